"""Database statistics: sizes as in the file, and which indexes are used, unused or missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import raw_sql
from db.engine import open_database
from db.maintenance import size_stats, slow_queries
from tests.db import bulk_data

QUEUED, ENDED = 2000, 1000


@pytest.fixture
def populated_path(database_path: Path) -> Path:
    bulk_data.fill_database(database_path, QUEUED, ENDED)
    return database_path


async def test_rows_and_bytes_match_the_file(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats, {})
        counted = await db.read(
            lambda c: {
                t.name: raw_sql.fetch_value(c, f'SELECT count(*) FROM "{t.name}"')
                for t in found.tables
            }
        )

    assert {table.name: table.rows for table in found.tables} == counted
    assert counted["tasks"] == QUEUED + ENDED
    taken = sum(table.bytes + table.index_bytes for table in found.tables)
    assert found.pages * found.page_bytes * 0.95 < taken <= found.pages * found.page_bytes
    assert found.exact


async def test_the_largest_table_is_listed_first(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats, {})

    sizes = [table.bytes + table.index_bytes for table in found.tables]
    assert sizes == sorted(sizes, reverse=True)
    assert found.tables[0].name == "tasks"


async def test_deleted_rows_show_as_unused_space(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        before = await db.read(size_stats.read_stats, {})
        await db.write(lambda c: raw_sql.execute_statement(c, "DELETE FROM events"))
        after = await db.read(size_stats.read_stats, {})

    assert after.free_pages > before.free_pages
    assert 0 <= before.fragmentation < after.fragmentation < 1


async def test_an_index_is_used_by_the_executed_statements_whose_plan_has_it(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        for text in ("SELECT uuid FROM tasks WHERE type = ?", "SELECT 1 FROM tasks WHERE type = ?"):
            for value in ("exec", "other"):
                await db.read(raw_sql.fetch_rows, text, (value,))
        found = await db.read(size_stats.read_stats, db.slow.texts)

    index = _find_index(found, "idx_tasks_type")
    assert (index.used, index.columns) == (2, ("type",))
    assert _find_index(found, "idx_tasks_name").used == 0


async def test_key_and_foreign_key_indexes_serve_their_key(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats, {})

    assert _find_index(found, "idx_tasks_number").serves == "unique"
    assert _find_index(found, "idx_templates_queue").serves == "foreign key"
    assert _find_index(found, "idx_tasks_type").serves is None


async def test_a_slow_scanning_statement_names_the_missing_index(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        for text, values in (
            ("SELECT uuid FROM tasks WHERE attempts = ? AND cwd = ?", 2),
            ("SELECT name FROM pools WHERE description = ?", 1),
        ):
            db.slow.add_slow("ls", text, values, 0.2)
        await slow_queries.store_slow_statements(db)
        found = await db.read(size_stats.read_stats, {})

    assert found.missing == [size_stats.MissingIndex("tasks", ("attempts", "cwd"), 1)]


async def test_without_dbstat_only_the_size_of_the_file_is_known(
    populated_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(size_stats, "HAS_DBSTAT", "SELECT 1 WHERE 0")
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats, {})

    assert found.pages > 0
    assert (found.exact, found.tables, found.indexes, found.missing) == (False, [], [], [])


def _find_index(found: size_stats.Stats, name: str) -> size_stats.IndexUse:
    return next(index for index in found.indexes if index.name == name)
