"""Sizes are what the file has, and of indexes it is said which are used, which are not, and which are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import raw_sql, timestamps
from db.engine import open_database
from db.maintenance import size_stats, slow_queries
from db.statement_timer import Slow
from tests.db import bulk_data

QUEUED, ENDED = 2000, 1000


@pytest.fixture
def full(database: Path) -> Path:
    """A database of 3,000 tasks."""
    bulk_data.fill(database, QUEUED, ENDED)
    return database


async def test_rows_and_bytes_are_those_of_the_file(full: Path):
    async with open_database(full, writable=True) as db:
        found = await db.read(size_stats.read)
        counted = await db.read(lambda c: {t.name: raw_sql.value(c, f'SELECT count(*) FROM "{t.name}"') for t in found.tables})

    assert {table.name: table.rows for table in found.tables} == counted
    assert counted["tasks"] == QUEUED + ENDED
    taken = sum(table.bytes + table.index_bytes for table in found.tables)
    assert found.pages * found.page_bytes * 0.95 < taken <= found.pages * found.page_bytes
    assert found.exact


async def test_the_largest_table_is_first(full: Path):
    async with open_database(full, writable=True) as db:
        found = await db.read(size_stats.read)

    sizes = [table.bytes + table.index_bytes for table in found.tables]
    assert sizes == sorted(sizes, reverse=True)
    assert found.tables[0].name == "tasks"


async def test_what_was_deleted_is_seen_as_unused_room(full: Path):
    async with open_database(full, writable=True) as db:
        before = await db.read(size_stats.read)
        await db.write(lambda c: raw_sql.run(c, "DELETE FROM events"))
        after = await db.read(size_stats.read)

    assert after.free_pages > before.free_pages
    assert 0 <= before.fragmentation < after.fragmentation < 1


async def test_an_index_is_unused_until_a_statement_uses_it(full: Path):
    async with open_database(full, writable=True) as db:
        before = _index(await db.read(size_stats.read), "idx_tasks_type")
        await db.read(lambda c: raw_sql.rows(c, "SELECT uuid FROM tasks WHERE type = ?", ("exec",)))
        await slow_queries.keep(db)
        after = _index(await db.read(size_stats.read), "idx_tasks_type")

    assert (before.unused, before.used) == (True, 0)
    assert (after.unused, after.used) == (False, 1)
    assert after.columns == ("type",)


async def test_indexes_of_keys_and_of_foreign_keys_are_never_called_unused(full: Path):
    async with open_database(full, writable=True) as db:
        found = await db.read(size_stats.read)

    assert _index(found, "idx_tasks_number").serves == "unique"
    assert _index(found, "idx_templates_queue").serves == "foreign key"
    assert not any(index.unused for index in found.indexes if index.serves)


async def test_a_slow_statement_that_walks_names_the_index_that_is_missing(full: Path):
    statement = "SELECT uuid FROM tasks WHERE attempts = ? AND cwd = ?"
    one = Slow(statement, "ls", statement, 2, 0.2, 0.2, 0.2, 1, timestamps.now())
    small = Slow("SELECT name FROM pools WHERE description = ?", "ls", "", 1, 0.2, 0.2, 0.2, 1, timestamps.now())
    async with open_database(full, writable=True) as db:
        await db.write(slow_queries.store, slow_queries.Found([(one, "SCAN tasks"), (small, "SCAN pools")], {}))
        found = await db.read(size_stats.read)

    assert found.missing == [size_stats.Missing("tasks", ("attempts", "cwd"), 1)]


async def test_without_dbstat_sizes_are_estimated(full: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_database(full, writable=True) as db:
        exact = await db.read(size_stats.read)
        monkeypatch.setattr(size_stats, "_has_dbstat", lambda c: False)
        found = await db.read(size_stats.read)

    assert not found.exact
    assert {table.name: table.rows for table in found.tables} == {table.name: table.rows for table in exact.tables}
    whole, guess = (next(table for table in one.tables if table.name == "tasks") for one in (exact, found))
    assert whole.bytes / 2 < guess.bytes < whole.bytes * 2


def _index(found: size_stats.Stats, name: str) -> size_stats.IndexUse:
    return next(index for index in found.indexes if index.name == name)
