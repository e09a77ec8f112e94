"""The search index file: answers stay complete whatever happens to the file."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.filter_query import Query, QueryTerm, fold_case
from app.service.tasks import filters, search_text
from db import engine, raw_sql
from db.engine import Database, create_write_engine, open_database
from db.errors import DamagedDatabase
from db.queries.tasks import transitions
from db.search import fts, index_file, pagination
from tests.db import builders
from tests.db.search.indexing import fill_index_file


@pytest.fixture
def direct_reads() -> None:
    """Keep the threads of readers: tests of this module are about them."""


def submit_named(c: Connection, *names: str) -> None:
    transitions.submit(c, [builders.make_task_row(name=name) for name in names], [], "ann")


def find_names(c: Connection, word: str) -> list[str]:
    """Return the names of the tasks that hold a word, newest first."""
    rowids = pagination.list_matching(
        c, filters.to_conditions(Query((QueryTerm("word", False, fold_case(word)),)))
    )
    return [row.name for rowid in rowids for row in pagination.fetch_columns(c, ("name",), [rowid])]


def rename_task(path: Path, number: int, name: str) -> None:
    """Rename a task as another program would, leaving no WAL."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE tasks SET name = ? WHERE number = ?", (name, number))


@pytest.fixture
def indexed_path(database_path: Path) -> Path:
    """Return a database of 300 tasks, `work 1` to `work 300`, fully indexed."""
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        submit_named(c, *(f"work {at}" for at in range(1, 301)))
    engine.dispose()
    fill_index_file(database_path)
    return database_path


async def find_offline(path: Path, *words: str) -> list[list[str]]:
    """Find tasks by each word without a runtime."""
    async with open_database(path, writable=False) as db:
        return [await db.read(find_names, word) for word in words]


async def read_index_state(path: Path) -> fts.IndexState:
    """Read the state of the index without a runtime."""
    async with open_database(path, writable=False) as db:
        return await db.read(fts.read_state)


async def test_a_complete_index_is_used(indexed_path: Path):
    found = await read_index_state(indexed_path)

    assert (found.mark_position > 0, found.upto, found.stale_tasks) == (True, 300, ())
    assert (
        index_file.remove_mismatched(indexed_path) is None
        and index_file.get_index_path(indexed_path).exists()
    )


async def test_without_an_index_file_all_tasks_are_read(indexed_path: Path):
    index_file.remove_index(index_file.get_index_path(indexed_path))

    assert await read_index_state(indexed_path) == fts.NO_STATE
    assert await find_offline(indexed_path, "work 299") == [["work 299"]]


async def test_the_index_file_is_private_whatever_the_umask(indexed_path: Path):
    old = os.umask(0)
    try:
        index_file.remove_index(index_file.get_index_path(indexed_path))
        async with open_database(indexed_path, writable=True) as db:
            await db.write(fts.record_batch, await db.run_on_index(db.index.create))
            batch = await db.read(fts.read_batch)
            assert batch is not None
            await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
            modes = {
                file.name: file.stat().st_mode & 0o777
                for file in indexed_path.parent.glob("search.db*")
            }
    finally:
        os.umask(old)

    assert modes == dict.fromkeys(("search.db", "search.db-wal", "search.db-shm"), 0o600)


def _write_garbage(file: Path) -> None:
    file.write_bytes(b"not a database" * 1000)


def _truncate(file: Path) -> None:
    file.write_bytes(b"")


def _tear(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _overwrite_pages(file: Path) -> None:
    """Overwrite every page but the first."""
    size = file.stat().st_size
    with open(file, "r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xa5" * (size - 4096))


def _drop_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as c, c:
        c.execute("DROP TABLE search")


def _set_other_format(file: Path) -> None:
    with closing(sqlite3.connect(file)) as c, c:
        c.execute("PRAGMA user_version=99")


def _replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGE_FUNCTIONS = [
    _write_garbage,
    _truncate,
    _tear,
    _overwrite_pages,
    _drop_table,
    _set_other_format,
    _replace_by_folder,
]


@pytest.mark.parametrize("damage", DAMAGE_FUNCTIONS)
async def test_a_damaged_index_is_ignored_and_answers_stay_right(indexed_path: Path, damage: Any):
    damage(index_file.get_index_path(indexed_path))

    async with open_database(indexed_path, writable=False) as db:
        assert await db.read(find_names, "work 29") == [
            f"work {at}" for at in (*range(299, 289, -1), 29)
        ]
        assert (db.found.get_usable(), bool(db.found.why)) == (None, True)
        assert await db.read(find_names, "work 300") == ["work 300"]


@pytest.mark.parametrize("damage", DAMAGE_FUNCTIONS)
async def test_an_index_damaged_while_attached_is_detached(indexed_path: Path, damage: Any):
    async with open_database(indexed_path, writable=True) as db:
        for _ in range(3):
            assert await db.read(find_names, "work 7") != []
        damage(index_file.get_index_path(indexed_path))

        assert await db.read(find_names, "work 29") == [
            f"work {at}" for at in (*range(299, 289, -1), 29)
        ]
        await db.write(submit_named, "work anew")
        assert (await db.read(find_names, "work"))[:2] == ["work anew", "work 300"]


async def test_a_damaged_database_is_not_blamed_on_the_index(indexed_path: Path):
    with closing(sqlite3.connect(indexed_path)) as file:
        root = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(indexed_path, "r+b") as opened:
        opened.seek((root - 1) * 4096)
        opened.write(b"\xff" * 4096)

    async with open_database(indexed_path, writable=False) as db:
        with pytest.raises(DamagedDatabase):
            await db.read(find_names, "work")
        assert db.found.get_usable() is not None and db.found.why is None


async def test_the_index_of_another_database_is_not_used(
    indexed_path: Path, fresh_database: Path, tmp_path: Path
):
    other = Path(shutil.copy(fresh_database, tmp_path / "taskdeck.db"))
    engine = create_write_engine(other)
    with engine.begin() as c:
        submit_named(c, *(f"else {at}" for at in range(1, 301)))
    engine.dispose()
    fill_index_file(other)
    shutil.copy(index_file.get_index_path(other), index_file.get_index_path(indexed_path))

    assert await read_index_state(indexed_path) == fts.NO_STATE
    assert await find_offline(indexed_path, "else", "work 300") == [[], ["work 300"]]
    assert (
        index_file.remove_mismatched(indexed_path) is not None
        and not index_file.get_index_path(indexed_path).exists()
    )


async def test_an_older_database_copy_finds_its_own_names(indexed_path: Path, tmp_path: Path):
    copy = shutil.copy(indexed_path, tmp_path / "copy.db")
    for round in range(5):
        rename_task(indexed_path, 7, f"renamed {round}")
        fill_index_file(indexed_path)
    assert await find_offline(indexed_path, "renamed 4", "work 7") == [
        ["renamed 4"],
        [f"work {at}" for at in range(79, 69, -1)],
    ]

    shutil.copy(copy, indexed_path)

    expected = [[], [f"work {at}" for at in (*range(79, 69, -1), 7)]]
    assert await find_offline(indexed_path, "renamed", "work 7") == expected
    assert index_file.remove_mismatched(indexed_path) is not None
    assert await find_offline(indexed_path, "renamed", "work 7") == expected


async def test_an_older_database_copy_reuses_numbers_correctly(indexed_path: Path, tmp_path: Path):
    copy = shutil.copy(indexed_path, tmp_path / "copy.db")
    engine = create_write_engine(indexed_path)
    with engine.begin() as c:
        submit_named(c, *(f"before {at}" for at in range(20)))
    engine.dispose()
    fill_index_file(indexed_path)
    assert (await read_index_state(indexed_path)).upto == 320

    shutil.copy(copy, indexed_path)

    assert await find_offline(indexed_path, "before") == [[]]
    async with open_database(indexed_path, writable=True) as db:
        await db.write(submit_named, *(f"after {at}" for at in range(40)))
        assert [len(await db.read(find_names, word)) for word in ("before", "after", "work")] == [
            0,
            40,
            300,
        ]


async def test_an_index_older_than_the_database_is_not_used(indexed_path: Path, tmp_path: Path):
    copy = shutil.copy(index_file.get_index_path(indexed_path), tmp_path / "search.db")
    rename_task(indexed_path, 7, "renamed")
    fill_index_file(indexed_path)

    shutil.copy(copy, index_file.get_index_path(indexed_path))

    assert await read_index_state(indexed_path) == fts.NO_STATE
    assert await find_offline(indexed_path, "renamed", "work 77") == [["renamed"], ["work 77"]]


async def test_a_stored_batch_without_its_note_is_indexed_again(indexed_path: Path):
    rename_task(indexed_path, 7, "renamed once")
    async with open_database(indexed_path, writable=True) as db:
        await db.write(submit_named, "work anew")
        batch = await db.read(fts.read_batch)
        assert batch is not None and batch.mark is not None
        await db.run_on_index(
            db.index.store, batch, search_text.make_stored_text
        )  # the runtime is killed here

    rename_task(indexed_path, 7, "renamed again")
    expected = [["renamed again"], [], ["work anew"]]
    assert await find_offline(indexed_path, "renamed", "once", "work anew") == expected
    assert index_file.remove_mismatched(indexed_path) is None
    found = await read_index_state(indexed_path)
    assert (found.upto, found.stale_tasks) == (300, (7,))

    fill_index_file(indexed_path)

    assert await find_offline(indexed_path, "renamed", "once", "work anew") == expected
    async with open_database(indexed_path, writable=False) as db:
        assert await db.read(fts.count_unindexed) == 0
        assert await db.read(
            raw_sql.fetch_column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed again%'"
        ) == [7]


async def test_a_task_renamed_while_it_is_indexed_stays_pending(indexed_path: Path):
    rename_task(indexed_path, 7, "renamed once")
    async with open_database(indexed_path, writable=True) as db:
        batch = await db.read(fts.read_batch)
        assert batch is not None and batch.mark is not None
        rename_task(indexed_path, 7, "renamed twice")
        await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
        await db.write(fts.record_batch, batch.mark, batch.stale)

        assert (
            await db.read(fts.count_unindexed),
            await db.read(find_names, "once"),
            await db.read(find_names, "twice"),
        ) == (1, [], ["renamed twice"])


async def test_a_reader_of_an_earlier_snapshot_finds_the_names_of_then(indexed_path: Path):
    async with (
        open_database(indexed_path, writable=True) as db,
        open_database(indexed_path, writable=True) as other,
    ):

        def twice(c: Connection) -> list[list[str]]:
            before = raw_sql.fetch_value(c, "SELECT count(*) FROM tasks")
            began.set()
            assert before == 300 and go_on.wait(10)
            return [find_names(c, word) for word in ("work 29", "renamed", "work 300")]

        began, go_on = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=lambda: answers.extend(_read_in_thread(indexed_path, twice))
        )
        answers: list[list[str]] = []
        thread.start()
        assert began.wait(10)
        for number in range(290, 300):
            rename_task(indexed_path, number, f"renamed {number}")
            await db.write(
                raw_sql.execute_statement, "DELETE FROM tasks WHERE number = ?", (number - 280,)
            )
            batch = await other.read(fts.read_batch)
            assert batch is not None and batch.mark is not None
            await other.run_on_index(other.index.store, batch, search_text.make_stored_text)
            await db.write(fts.record_batch, batch.mark, batch.stale)
        go_on.set()
        thread.join(10)

        assert answers == [[f"work {at}" for at in (*range(299, 289, -1), 29)], [], ["work 300"]]
        assert len(await db.read(find_names, "renamed")) == 10


def _read_in_thread(path: Path, fn: Any) -> Any:
    """Read in a thread with a writer's connection that has the index attached."""
    with closing(sqlite3.connect(path, isolation_level=None, uri=True)) as plain:
        index_file.attach_index(plain.execute, index_file.get_index_path(path))
        plain.execute("BEGIN")
        return fn(_DriverConnection(plain))


class _DriverConnection:
    """A plain driver connection in the shape that `db.raw_sql` takes."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.connection = self
        self.dbapi_connection = self.driver_connection = driver


async def test_readers_see_each_batch_and_a_replaced_file(indexed_path: Path):
    async with open_database(indexed_path, writable=True) as db:
        await db.write(submit_named, *(f"more {at}" for at in range(2 * fts.BATCH)))
        seen = []
        for _ in range(2):
            batch = await db.read(fts.read_batch)
            assert batch is not None
            await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
            seen.append((await db.read(fts.read_state)).upto)
        assert seen == [300 + fts.BATCH, 300 + 2 * fts.BATCH]

        mark = await db.run_on_index(db.index.create)
        assert await db.read(fts.read_state) == fts.NO_STATE
        await db.write(fts.record_batch, mark)
        assert await db.read(fts.read_state) == fts.IndexState(1, 0, ())
        assert await db.read(find_names, "more 499") == ["more 499"]


async def test_neither_writer_nor_reader_blocks_writing_the_index(indexed_path: Path):
    async with open_database(indexed_path, writable=True) as db:
        await db.write(submit_named, "work anew")
        batch = await db.read(fts.read_batch)
        assert batch is not None
        began, go_on = threading.Event(), threading.Event()

        def hold(c: Connection) -> list[str]:
            submit_named(c, "work held")
            began.set()
            assert go_on.wait(10)
            return find_names(c, "work 300")

        writing = db.write(hold)
        held = await _wait_for_start(writing, began)
        await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
        go_on.set()

        assert await held == ["work 300"]
        assert (await db.read(fts.read_state)).upto == 301


async def _wait_for_start(work: Any, began: threading.Event) -> Any:
    task = asyncio.ensure_future(work)
    assert await asyncio.to_thread(began.wait, 10)
    return task


async def test_a_read_only_home_is_searched_by_its_index(
    indexed_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine.os, "access", lambda path, mode: False)

    assert (await read_index_state(indexed_path)).upto == 300
    assert await find_offline(indexed_path, "work 299") == [["work 299"]]
    assert [file.name for file in indexed_path.parent.glob("search.db-*")] == []


async def test_the_wal_of_the_index_stays_small(indexed_path: Path):
    async with open_database(indexed_path, writable=True) as db:
        for part in range(12):
            await db.write(
                submit_named,
                *(f"long {part} {at} {os.urandom(400).hex()}" for at in range(fts.BATCH)),
            )
            batch = await db.read(fts.read_batch)
            assert batch is not None
            await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
            while await db.run_on_index(db.index.merge):
                pass
        log = index_file.get_index_path(indexed_path).with_name("search.db-wal")

        assert log.stat().st_size < 16 << 20


async def test_indexed_text_is_not_part_of_the_database(indexed_path: Path):
    with closing(sqlite3.connect(indexed_path)) as file:
        tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}

    assert not {name for name in tables if name.startswith("search")}


async def test_a_database_opened_read_only_keeps_a_mismatched_index(indexed_path: Path):
    _write_garbage(index_file.get_index_path(indexed_path))
    before = index_file.get_index_path(indexed_path).read_bytes()

    assert await find_offline(indexed_path, "work 299") == [["work 299"]]
    assert index_file.get_index_path(indexed_path).read_bytes() == before


async def test_old_marks_are_forgotten_and_not_trusted(indexed_path: Path):
    async with open_database(indexed_path, writable=True) as db:
        first = await db.read(
            raw_sql.fetch_value, "SELECT value FROM counters WHERE name = 'search'"
        )
        for at in range(index_file.KEPT_MARKS + 1):
            await _rename_and_index(db, 7, f"renamed {at}")
        assert (
            await db.read(raw_sql.fetch_value, "SELECT count(*) FROM about")
            == index_file.KEPT_MARKS
        )
        assert (await db.read(fts.read_state)).upto == 300

        await db.write(fts.record_batch, first)

        assert await db.read(fts.read_state) == fts.NO_STATE


async def _rename_and_index(db: Database, number: int, name: str) -> None:
    await db.write(
        raw_sql.execute_statement, "UPDATE tasks SET name = ? WHERE number = ?", (name, number)
    )
    batch = await db.read(fts.read_batch)
    assert batch is not None and batch.mark is not None
    await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
    await db.write(fts.record_batch, batch.mark, batch.stale)
