"""The file of the index: whatever becomes of it, and whichever moment of the tasks one sees, answers are complete and right."""

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

from app.core.filter_query import Query, Term, fold
from app.service.tasks import filters, search_text
from db import engine, raw_sql
from db.engine import Database, open_database, write_engine
from db.errors import DamagedDatabase
from db.queries import transitions
from db.search import fts, index_file, pagination
from tests.db import builders
from tests.db.search.indexing import fill_file


def submit(c: Connection, *names: str) -> None:
    transitions.submit(c, [builders.task(name=name) for name in names], [], "ann")


def names(c: Connection, word: str) -> list[str]:
    """The names of the tasks that hold a word, newest first."""
    rowids = pagination.matching(c, filters.wanted(Query((Term("word", False, fold(word)),))))
    return [row.name for rowid in rowids for row in pagination.fetch(c, ("name",), [rowid])]


def rename(path: Path, number: int, name: str) -> None:
    """By another program, which leaves nothing beside the file."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE tasks SET name = ? WHERE number = ?", (name, number))


@pytest.fixture
def path(database: Path) -> Path:
    """A database of 300 tasks, `work 1` to `work 300`, and its whole index."""
    engine = write_engine(database)
    with engine.begin() as c:
        submit(c, *(f"work {at}" for at in range(1, 301)))
    engine.dispose()
    fill_file(database)
    return database


async def offline(path: Path, *words: str) -> list[list[str]]:
    """What is found by each word, without a runtime."""
    async with open_database(path, writable=False) as db:
        return [await db.read(names, word) for word in words]


async def known(path: Path) -> fts.Known:
    """What may be used of the index, without a runtime."""
    async with open_database(path, writable=False) as db:
        return await db.read(fts.known)


async def test_an_index_that_is_whole_is_used(path: Path):
    found = await known(path)

    assert (found.place > 0, found.upto, found.changed) == (True, 300, ())
    assert index_file.settle(path) is None and index_file.beside(path).exists()


async def test_without_a_file_all_tasks_are_read(path: Path):
    index_file.remove(index_file.beside(path))

    assert await known(path) == fts.NOTHING
    assert await offline(path, "work 299") == [["work 299"]]


async def test_an_index_is_private_whatever_the_umask(path: Path):
    old = os.umask(0)
    try:
        index_file.remove(index_file.beside(path))
        async with open_database(path, writable=True) as db:
            await db.write(fts.share, await db.indexing(db.index.make))
            batch = await db.read(fts.batch)
            assert batch is not None
            await db.indexing(db.index.store, batch, search_text.stored)
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("search.db*")}
    finally:
        os.umask(old)

    assert modes == dict.fromkeys(("search.db", "search.db-wal", "search.db-shm"), 0o600)


def _garbage(file: Path) -> None:
    file.write_bytes(b"not a database" * 1000)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _torn(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _spoiled(file: Path) -> None:
    """Every page but the first is overwritten."""
    size = file.stat().st_size
    with open(file, "r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xa5" * (size - 4096))


def _without_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as c, c:
        c.execute("DROP TABLE search")


def _of_another_format(file: Path) -> None:
    with closing(sqlite3.connect(file)) as c, c:
        c.execute("PRAGMA user_version=99")


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [_garbage, _empty, _torn, _spoiled, _without_a_table, _of_another_format, _a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_index_is_not_used_and_nobody_notices(path: Path, damage: Any):
    damage(index_file.beside(path))

    async with open_database(path, writable=False) as db:
        assert await db.read(names, "work 29") == [f"work {at}" for at in (*range(299, 289, -1), 29)]
        assert (db.found.usable(), bool(db.found.why)) == (None, True)
        assert await db.read(names, "work 300") == ["work 300"]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_an_index_that_is_damaged_while_it_is_attached_is_let_go_of(path: Path, damage: Any):
    async with open_database(path, writable=True) as db:
        for _ in range(3):
            assert await db.read(names, "work 7") != []
        damage(index_file.beside(path))

        assert await db.read(names, "work 29") == [f"work {at}" for at in (*range(299, 289, -1), 29)]
        await db.write(submit, "work anew")
        assert (await db.read(names, "work"))[:2] == ["work anew", "work 300"]


async def test_a_damaged_database_is_told_as_such_and_no_fault_of_the_index(path: Path):
    with closing(sqlite3.connect(path)) as file:
        root = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(path, "r+b") as opened:
        opened.seek((root - 1) * 4096)
        opened.write(b"\xff" * 4096)

    async with open_database(path, writable=False) as db:
        with pytest.raises(DamagedDatabase):
            await db.read(names, "work")
        assert db.found.usable() is not None and db.found.why is None


async def test_the_index_of_another_database_is_not_used(path: Path, fresh_database: Path, tmp_path: Path):
    other = Path(shutil.copy(fresh_database, tmp_path / "taskdeck.db"))
    engine = write_engine(other)
    with engine.begin() as c:
        submit(c, *(f"else {at}" for at in range(1, 301)))
    engine.dispose()
    fill_file(other)
    shutil.copy(index_file.beside(other), index_file.beside(path))

    assert await known(path) == fts.NOTHING
    assert await offline(path, "else", "work 300") == [[], ["work 300"]]
    assert index_file.settle(path) is not None and not index_file.beside(path).exists()


async def test_an_older_copy_of_the_database_has_the_names_it_had(path: Path, tmp_path: Path):
    copy = shutil.copy(path, tmp_path / "copy.db")
    for round in range(5):
        rename(path, 7, f"renamed {round}")
        fill_file(path)
    assert await offline(path, "renamed 4", "work 7") == [["renamed 4"], [f"work {at}" for at in range(79, 69, -1)]]

    shutil.copy(copy, path)

    expected = [[], [f"work {at}" for at in (*range(79, 69, -1), 7)]]
    assert await offline(path, "renamed", "work 7") == expected
    assert index_file.settle(path) is not None
    assert await offline(path, "renamed", "work 7") == expected


async def test_an_older_copy_of_the_database_gives_its_numbers_out_again(path: Path, tmp_path: Path):
    copy = shutil.copy(path, tmp_path / "copy.db")
    engine = write_engine(path)
    with engine.begin() as c:
        submit(c, *(f"before {at}" for at in range(20)))
    engine.dispose()
    fill_file(path)
    assert (await known(path)).upto == 320

    shutil.copy(copy, path)

    assert await offline(path, "before") == [[]]
    async with open_database(path, writable=True) as db:
        await db.write(submit, *(f"after {at}" for at in range(40)))
        assert [len(await db.read(names, word)) for word in ("before", "after", "work")] == [0, 40, 300]


async def test_an_index_older_than_the_database_is_not_used(path: Path, tmp_path: Path):
    copy = shutil.copy(index_file.beside(path), tmp_path / "search.db")
    rename(path, 7, "renamed")
    fill_file(path)

    shutil.copy(copy, index_file.beside(path))

    assert await known(path) == fts.NOTHING
    assert await offline(path, "renamed", "work 77") == [["renamed"], ["work 77"]]


async def test_what_was_stored_and_never_noted_is_done_once_more(path: Path):
    rename(path, 7, "renamed once")
    async with open_database(path, writable=True) as db:
        await db.write(submit, "work anew")
        batch = await db.read(fts.batch)
        assert batch is not None and batch.mark is not None
        await db.indexing(db.index.store, batch, search_text.stored)  # the runtime is killed after this

    rename(path, 7, "renamed again")
    expected = [["renamed again"], [], ["work anew"]]
    assert await offline(path, "renamed", "once", "work anew") == expected
    assert index_file.settle(path) is None
    found = await known(path)
    assert (found.upto, found.changed) == (300, (7,))

    fill_file(path)

    assert await offline(path, "renamed", "once", "work anew") == expected
    async with open_database(path, writable=False) as db:
        assert await db.read(fts.behind) == 0
        assert await db.read(raw_sql.column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed again%'") == [7]


async def test_a_task_that_is_renamed_while_its_text_is_stored_stays_to_be_done(path: Path):
    rename(path, 7, "renamed once")
    async with open_database(path, writable=True) as db:
        batch = await db.read(fts.batch)
        assert batch is not None and batch.mark is not None
        rename(path, 7, "renamed twice")
        await db.indexing(db.index.store, batch, search_text.stored)
        await db.write(fts.share, batch.mark, batch.stale)

        assert (await db.read(fts.behind), await db.read(names, "once"), await db.read(names, "twice")) == (1, [], ["renamed twice"])


async def test_who_sees_an_earlier_moment_finds_what_was_there_then(path: Path):
    """A read that began before tasks were renamed and purged, and goes on after that was indexed."""
    async with open_database(path, writable=True) as db, open_database(path, writable=True) as other:

        def twice(c: Connection) -> list[list[str]]:
            before = raw_sql.value(c, "SELECT count(*) FROM tasks")
            began.set()
            assert before == 300 and go_on.wait(10)
            return [names(c, word) for word in ("work 29", "renamed", "work 300")]

        began, go_on = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: answers.extend(_sync(path, twice)))
        answers: list[list[str]] = []
        thread.start()
        assert began.wait(10)
        for number in range(290, 300):
            rename(path, number, f"renamed {number}")
            await db.write(raw_sql.run, "DELETE FROM tasks WHERE number = ?", (number - 280,))
            batch = await other.read(fts.batch)
            assert batch is not None and batch.mark is not None
            await other.indexing(other.index.store, batch, search_text.stored)
            await db.write(fts.share, batch.mark, batch.stale)
        go_on.set()
        thread.join(10)

        assert answers == [[f"work {at}" for at in (*range(299, 289, -1), 29)], [], ["work 300"]]
        assert len(await db.read(names, "renamed")) == 10


def _sync(path: Path, fn: Any) -> Any:
    """One read in a thread, by the connection that a writer would have, with the index attached."""
    with closing(sqlite3.connect(path, isolation_level=None, uri=True)) as plain:
        index_file.attach(plain.execute, index_file.beside(path))
        plain.execute("BEGIN")
        return fn(_Plain(plain))


class _Plain:
    """A connection as `db.sql` takes it, over the driver's own."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.connection = self
        self.driver_connection = driver


async def test_readers_see_each_batch_and_the_file_that_replaces_another(path: Path):
    async with open_database(path, writable=True) as db:
        await db.write(submit, *(f"more {at}" for at in range(2 * fts.BATCH)))
        seen = []
        for _ in range(2):
            batch = await db.read(fts.batch)
            assert batch is not None
            await db.indexing(db.index.store, batch, search_text.stored)
            seen.append((await db.read(fts.known)).upto)
        assert seen == [300 + fts.BATCH, 300 + 2 * fts.BATCH]

        mark = await db.indexing(db.index.make)
        assert await db.read(fts.known) == fts.NOTHING
        await db.write(fts.share, mark)
        assert await db.read(fts.known) == fts.Known(1, 0, ())
        assert await db.read(names, "more 499") == ["more 499"]


async def test_neither_the_writer_nor_a_reader_keeps_the_index_from_being_written(path: Path):
    async with open_database(path, writable=True) as db:
        await db.write(submit, "work anew")
        batch = await db.read(fts.batch)
        assert batch is not None
        began, go_on = threading.Event(), threading.Event()

        def hold(c: Connection) -> list[str]:
            submit(c, "work held")
            began.set()
            assert go_on.wait(10)
            return names(c, "work 300")

        writing = db.write(hold)
        held = await _started(writing, began)
        await db.indexing(db.index.store, batch, search_text.stored)
        go_on.set()

        assert await held == ["work 300"]
        assert (await db.read(fts.known)).upto == 301


async def _started(work: Any, began: threading.Event) -> Any:
    task = asyncio.ensure_future(work)
    assert await asyncio.to_thread(began.wait, 10)
    return task


async def test_a_home_that_cannot_be_written_is_searched_by_its_index(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine.os, "access", lambda path, mode: False)

    assert (await known(path)).upto == 300
    assert await offline(path, "work 299") == [["work 299"]]
    assert [file.name for file in path.parent.glob("search.db-*")] == []


async def test_the_log_of_the_index_stays_small(path: Path):
    async with open_database(path, writable=True) as db:
        for part in range(12):
            await db.write(submit, *(f"long {part} {at} {os.urandom(400).hex()}" for at in range(fts.BATCH)))
            batch = await db.read(fts.batch)
            assert batch is not None
            await db.indexing(db.index.store, batch, search_text.stored)
            while await db.indexing(db.index.merge):
                pass
        log = index_file.beside(path).with_name("search.db-wal")

        assert log.stat().st_size < 16 << 20


async def test_what_is_indexed_is_no_part_of_the_database(path: Path):
    with closing(sqlite3.connect(path)) as file:
        tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}

    assert not {name for name in tables if name.startswith("search")}


async def test_a_database_opened_for_reading_leaves_an_index_that_does_not_fit_alone(path: Path):
    _garbage(index_file.beside(path))
    before = index_file.beside(path).read_bytes()

    assert await offline(path, "work 299") == [["work 299"]]
    assert index_file.beside(path).read_bytes() == before


async def test_marks_that_are_long_gone_are_forgotten_and_not_trusted(path: Path):
    async with open_database(path, writable=True) as db:
        first = await db.read(raw_sql.value, "SELECT value FROM counters WHERE name = 'search'")
        for at in range(index_file.KEPT + 1):
            await _follow(db, 7, f"renamed {at}")
        assert await db.read(raw_sql.value, "SELECT count(*) FROM about") == index_file.KEPT
        assert (await db.read(fts.known)).upto == 300

        await db.write(fts.share, first)

        assert await db.read(fts.known) == fts.NOTHING


async def _follow(db: Database, number: int, name: str) -> None:
    """Rename a task, and index that."""
    await db.write(raw_sql.run, "UPDATE tasks SET name = ? WHERE number = ?", (name, number))
    batch = await db.read(fts.batch)
    assert batch is not None and batch.mark is not None
    await db.indexing(db.index.store, batch, search_text.stored)
    await db.write(fts.share, batch.mark, batch.stale)
