"""Database statistics: sizes as in the file, and which indexes are used, unused or missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import raw_sql, timestamps
from db.engine import open_database
from db.maintenance import size_stats, slow_queries
from db.statement_timer import SlowStatement
from tests.db import bulk_data

QUEUED, ENDED = 2000, 1000


@pytest.fixture
def populated_path(database_path: Path) -> Path:
    bulk_data.fill_database(database_path, QUEUED, ENDED)
    return database_path


async def test_rows_and_bytes_match_the_file(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats)
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
        found = await db.read(size_stats.read_stats)

    sizes = [table.bytes + table.index_bytes for table in found.tables]
    assert sizes == sorted(sizes, reverse=True)
    assert found.tables[0].name == "tasks"


async def test_deleted_rows_show_as_unused_space(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        before = await db.read(size_stats.read_stats)
        await db.write(lambda c: raw_sql.execute_statement(c, "DELETE FROM events"))
        after = await db.read(size_stats.read_stats)

    assert after.free_pages > before.free_pages
    assert 0 <= before.fragmentation < after.fragmentation < 1


async def test_an_index_is_unused_until_a_statement_uses_it(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        before = _find_index(await db.read(size_stats.read_stats), "idx_tasks_type")
        await db.read(
            lambda c: raw_sql.fetch_rows(c, "SELECT uuid FROM tasks WHERE type = ?", ("exec",))
        )
        await slow_queries.store_slow_statements(db)
        after = _find_index(await db.read(size_stats.read_stats), "idx_tasks_type")

    assert (before.unused, before.used) == (True, 0)
    assert (after.unused, after.used) == (False, 1)
    assert after.columns == ("type",)


async def test_key_and_foreign_key_indexes_are_never_called_unused(populated_path: Path):
    async with open_database(populated_path, writable=True) as db:
        found = await db.read(size_stats.read_stats)

    assert _find_index(found, "idx_tasks_number").serves == "unique"
    assert _find_index(found, "idx_templates_queue").serves == "foreign key"
    assert not any(index.unused for index in found.indexes if index.serves)


async def test_a_slow_scanning_statement_names_the_missing_index(populated_path: Path):
    statement = "SELECT uuid FROM tasks WHERE attempts = ? AND cwd = ?"
    one = SlowStatement(statement, "ls", statement, 2, 0.2, 0.2, 0.2, 1, timestamps.now())
    small = SlowStatement(
        "SELECT name FROM pools WHERE description = ?",
        "ls",
        "",
        1,
        0.2,
        0.2,
        0.2,
        1,
        timestamps.now(),
    )
    async with open_database(populated_path, writable=True) as db:
        await db.write(
            slow_queries.store_figures,
            slow_queries.CollectedFigures([(one, "SCAN tasks"), (small, "SCAN pools")], {}),
        )
        found = await db.read(size_stats.read_stats)

    assert found.missing == [size_stats.MissingIndex("tasks", ("attempts", "cwd"), 1)]


async def test_without_dbstat_sizes_are_estimated(
    populated_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_database(populated_path, writable=True) as db:
        exact = await db.read(size_stats.read_stats)
        monkeypatch.setattr(size_stats, "_has_dbstat", lambda c: False)
        found = await db.read(size_stats.read_stats)

    assert not found.exact
    assert {table.name: table.rows for table in found.tables} == {
        table.name: table.rows for table in exact.tables
    }
    whole, guess = (
        next(table for table in one.tables if table.name == "tasks") for one in (exact, found)
    )
    assert whole.bytes / 2 < guess.bytes < whole.bytes * 2


def _find_index(found: size_stats.Stats, name: str) -> size_stats.IndexUse:
    return next(index for index in found.indexes if index.name == name)
