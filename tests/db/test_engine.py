"""One writer, several read-only readers, and errors that people can act on."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db import memory, raw_sql
from db.engine import Database, WatchedRead, open_database
from db.error_translation import translate_error
from db.errors import BusyDatabase, DamagedDatabase, DiskFull, ReadOnlyDisk
from db.queries import reads
from db.queries.tasks import transitions
from tests.db.builders import make_task_row


@pytest.fixture
def direct_reads() -> None:
    """Keep the threads of readers: tests of this module are about them."""


def submit_one(c: Connection) -> str:
    row = make_task_row()
    transitions.submit(c, [row], [], "ann")
    return row["uuid"]


async def test_written_rows_can_be_read(db: Database):
    uuid = await db.write(submit_one)

    assert [row.uuid for row in await db.read(reads.list_by_uuid, [uuid])] == [uuid]


async def test_those_woken_by_a_commit_run_before_its_author(db: Database):
    changed, order = asyncio.Event(), list[str]()
    db.after_commit(changed.set)

    async def follow() -> None:
        await changed.wait()
        order.append("woken")

    async def submit() -> None:
        await db.write(submit_one)
        order.append("answered")

    await asyncio.gather(submit(), follow())

    assert order == ["woken", "answered"]


async def test_a_read_enters_the_thread_of_its_connection_three_times(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await db.read(raw_sql.fetch_value, "SELECT 1")
    entries: list[Any] = []
    enter = aiosqlite.Connection._execute

    async def note(self: aiosqlite.Connection, fn: Any, *args: Any, **kwargs: Any) -> Any:
        entries.append(fn)
        return await enter(self, fn, *args, **kwargs)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", note)

    assert await db.read(raw_sql.fetch_value, "SELECT 1") == 1
    assert len(entries) == 3  # BEGIN, the query, and the rollback


async def test_a_reader_cannot_write(db: Database):
    with pytest.raises((ReadOnlyDisk, OperationalError), match="read"):
        await db.read(submit_one)

    assert await db.read(reads.count_by_status) == {}


async def test_a_read_sees_one_snapshot(db: Database):
    loop = asyncio.get_running_loop()

    def twice(c: Connection) -> tuple[int, int]:
        before = sum(reads.count_by_status(c).values())
        asyncio.run_coroutine_threadsafe(db.write(submit_one), other).result(10)
        return before, sum(reads.count_by_status(c).values())

    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    try:
        assert loop is not other
        assert await db.read(twice) == (0, 0)
        assert await db.read(reads.count_by_status) == {"queued": 1}
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


async def test_a_read_on_a_thread_sees_one_snapshot_and_cannot_write(db: Database):
    loop, looping = asyncio.get_running_loop(), threading.get_ident()

    def read(c: Connection) -> tuple[int, int]:
        assert threading.get_ident() != looping
        before = sum(reads.count_by_status(c).values())
        asyncio.run_coroutine_threadsafe(db.write(submit_one), loop).result(60)
        return before, sum(reads.count_by_status(c).values())

    assert await db.read_on_thread(read) == (0, 0)
    with pytest.raises((ReadOnlyDisk, OperationalError), match="read"):
        await db.read_on_thread(submit_one)


async def test_row_types_of_new_statements_are_not_cached_without_limit(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(raw_sql, "MAX_ROW_TYPES", 10)

    for n in range(30):
        assert await db.read(raw_sql.fetch_rows, f"SELECT {n} AS n, 'x' AS x") == [(n, "x")]

    assert len(raw_sql._row_types) <= 10


async def test_a_failed_transaction_leaves_nothing_not_even_a_table(db: Database):
    def half(c: Connection) -> None:
        submit_one(c)
        c.exec_driver_sql("CREATE TABLE half (a)")
        c.exec_driver_sql("ALTER TABLE tasks ADD COLUMN mood TEXT")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await db.write(half)

    assert await db.read(reads.count_by_status) == {}
    names = await db.read(
        lambda c: c.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
    )
    columns = await db.read(
        lambda c: [row[1] for row in c.exec_driver_sql("PRAGMA table_info(tasks)")]
    )
    assert "half" not in names and "mood" not in columns


async def test_the_writer_works_after_a_failed_transaction(db: Database):
    with pytest.raises(ZeroDivisionError):
        await db.write(lambda c: 1 // 0)

    assert await db.write(submit_one)


async def test_each_changing_transaction_wakes_once(db: Database):
    woken: list[threading.Thread] = []
    db.after_commit(lambda: woken.append(threading.current_thread()))

    await db.write(reads.count_by_status)
    assert woken == []
    await db.write(lambda c: [submit_one(c) for _ in range(3)])
    assert woken == [threading.main_thread()]
    with pytest.raises(ZeroDivisionError):
        await db.write(lambda c: [submit_one(c), 1 // 0])

    assert len(woken) == 1


async def test_concurrent_writes_run_one_after_the_other(db: Database):
    uuids = await asyncio.gather(*(db.write(submit_one) for _ in range(50)))

    rows = await db.read(reads.list_by_uuid, uuids)
    assert sorted(row.number for row in rows) == list(range(1, 51))


async def test_transactions_that_wait_or_run_are_counted(db: Database):
    freed = threading.Event()
    blocking = asyncio.ensure_future(db.write(lambda c: freed.wait(60)))
    waiting = asyncio.ensure_future(db.write(submit_one))
    await asyncio.sleep(0)  # both are handed over

    assert db.pending_writes == 2

    freed.set()
    await asyncio.gather(blocking, waiting)
    await db.write(lambda c: None)  # the thread has left the transactions before
    assert db.pending_writes <= 1


async def test_an_acknowledged_write_is_synced(db: Database):
    pragmas = await db.write(
        lambda c: [
            c.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )

    assert pragmas == ["wal", 2, 1]


async def test_a_database_opened_read_only_refuses_writes_and_stays_unchanged(database_path: Path):
    before = database_path.read_bytes()

    async with open_database(database_path, writable=False) as db:
        assert await db.read(reads.count_by_status) == {}
        with pytest.raises(ReadOnlyDisk) as told:
            await db.write(submit_one)

    assert database_path.read_bytes() == before
    assert (told.value.exit_code, told.value.code) == (5, "read-only")


async def test_a_database_in_a_read_only_folder_can_be_read(
    database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    async with open_database(database_path, writable=False) as opened:
        assert [queue.name for queue in await opened.read(reads.list_queues)] == ["default"]
        assert not database_path.with_name(database_path.name + "-shm").exists()


async def test_a_full_disk_is_reported_and_nothing_is_stored(db: Database):
    await db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1"))

    def much(c: Connection) -> None:
        c.exec_driver_sql("PRAGMA max_page_count=1")
        transitions.submit(
            c, [make_task_row(parameters={"x": "y" * 4000}) for _ in range(500)], [], "ann"
        )

    with pytest.raises(
        DiskFull, match="the disk is full .*Nothing was stored. Running jobs continue"
    ) as told:
        await db.write(much)
    assert told.value.exit_code == 5
    assert (
        told.value.hint
        == "Free space, then try again; taskdeck db cleanup --dry-run shows what could go."
    )
    assert await db.read(reads.count_by_status) == {}

    await db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert await db.write(submit_one)


def _set_disk_space(monkeypatch: pytest.MonkeyPatch, free: int, files: int = 9) -> None:
    """Make statvfs report this much free space."""
    space = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=10, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda path: space)


@pytest.mark.parametrize("said", ["disk I/O error", "unable to open database file"])
def test_an_io_error_on_a_disk_without_space_is_a_full_disk(
    said: str, database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    error = sqlite3.OperationalError(said)
    assert not isinstance(translate_error(error, database_path), DiskFull)

    _set_disk_space(monkeypatch, 8192)
    full = translate_error(error, database_path)
    _set_disk_space(monkeypatch, 2**30, files=0)
    no_file = translate_error(error, database_path)
    _set_disk_space(monkeypatch, 2**30)

    assert (
        isinstance(full, DiskFull)
        and f"the disk is full ({database_path.parent}, 8192 bytes free)" in full.message
    )
    assert isinstance(no_file, DiskFull) and "no more files can be created" in no_file.message
    assert not isinstance(translate_error(error, database_path), DiskFull)


def test_a_missing_folder_is_not_reported_as_a_full_disk(tmp_path: Path):
    assert not isinstance(
        translate_error(
            sqlite3.OperationalError("unable to open database file"), tmp_path / "no" / "x.db"
        ),
        DiskFull,
    )


async def test_a_writer_locked_out_by_another_program_says_so(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await db.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=1"))
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyDatabase, match="another program"):
            await db.write(submit_one)
        assert await db.read(reads.count_by_status) == {}
        other.execute("ROLLBACK")

    assert await db.write(submit_one)


async def test_readers_continue_while_the_writer_is_busy(db: Database):
    began, go_on = threading.Event(), threading.Event()

    def slow(c: Connection) -> None:
        submit_one(c)
        began.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(db.write(slow))
    await asyncio.to_thread(began.wait, 10)
    assert await db.read(reads.count_by_status) == {}
    go_on.set()
    await writing

    assert await db.read(reads.count_by_status) == {"queued": 1}


def test_driver_errors_become_readable_problems(home: Path):
    told = {
        "database disk image is malformed": DamagedDatabase,
        "file is not a database": DamagedDatabase,
        "attempt to write a readonly database": ReadOnlyDisk, "database or disk is full": DiskFull,
        "database is locked": BusyDatabase,
    }  # fmt: skip

    for text, kind in told.items():
        problem = translate_error(sqlite3.OperationalError(text), home / "taskdeck.db")
        assert problem is not None and type(problem) is kind, text
        assert problem.exit_code == 5


def test_an_internal_error_is_not_translated(home: Path):
    assert (
        translate_error(
            sqlite3.OperationalError('near "SELEC": syntax error'), home / "taskdeck.db"
        )
        is None
    )


def test_a_database_truncated_while_open_is_damaged(tmp_path: Path):
    path, error = tmp_path / "taskdeck.db", sqlite3.OperationalError("no such table: slas")
    assert translate_error(error, path) is None
    path.write_bytes(b"")
    assert isinstance(translate_error(error, path), DamagedDatabase)
    path.write_bytes(b"x")
    assert translate_error(error, path) is None


async def test_a_path_of_arbitrary_bytes_can_hold_a_database(home: Path, database_path: Path):

    folder = Path(os.fsdecode(os.fsencode(home) + b"/\xff odd?#%20"))
    folder.mkdir()
    path = Path(shutil.copy(database_path, folder / "taskdeck.db"))

    async with open_database(path, writable=True) as db:
        await db.write(submit_one)
    async with open_database(path, writable=False) as db:
        assert await db.read(reads.count_by_status) == {"queued": 1}


async def test_a_cwd_of_arbitrary_bytes_round_trips(db: Database):

    odd = os.fsdecode(b"/srv/\xff\xfe")
    row = make_task_row(cwd=odd)
    await db.write(lambda c: transitions.submit(c, [row], [], "ann"))

    (found,) = await db.read(reads.list_by_uuid, [row["uuid"]])
    assert found.cwd == odd


async def test_the_wal_is_checkpointed_on_request(db: Database, database_path: Path):
    await db.write(transitions.submit, [make_task_row() for _ in range(200)], [], "ann")
    log = database_path.with_name(f"{database_path.name}-wal")
    before = log.stat().st_size

    await db.checkpoint()
    await db.write(transitions.submit, [make_task_row()], [], "ann")

    assert log.stat().st_size == before, "the room of the log is used again"
    assert (await db.read(reads.count_by_status))["queued"] == 201


async def test_a_watched_read_is_left_out_until_something_is_written(db: Database):
    calls: list[int] = []

    def list_tasks(c: Connection) -> list[Any]:
        calls.append(1)
        return list(c.exec_driver_sql("SELECT 1 FROM tasks"))

    watched = WatchedRead(db, list_tasks)
    assert [await watched.read(), await watched.read(), len(calls)] == [[], [], 1]

    await db.write(submit_one)

    assert [len(await watched.read()), len(await watched.read()), len(calls)] == [1, 1, 2]


async def test_the_page_caches_of_both_writers_are_small(db: Database):
    def read_cache(c: sqlite3.Connection) -> int:
        return -c.execute("PRAGMA main.cache_size").fetchone()[0]

    await db.run_on_index(db.index.create)
    index = await db.run_on_index(lambda: read_cache(db.index._open_current()))  # pyright: ignore[reportPrivateUsage]

    assert await db.write(lambda c: read_cache(get_driver(c))) + index <= 6 * 1024


async def test_a_trim_empties_the_page_cache_and_gives_memory_back(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    statements: list[str] = []
    trimmed, loop = asyncio.Event(), asyncio.get_running_loop()
    monkeypatch.setattr(memory, "trim_memory", lambda: loop.call_soon_threadsafe(trimmed.set))
    await db.write(submit_one)
    await db.write(lambda c: get_driver(c).set_trace_callback(statements.append))

    db.trim_later(3600)
    db.trim_later(0)
    await asyncio.wait_for(trimmed.wait(), 20)

    assert statements[-1] == "PRAGMA shrink_memory"


async def test_a_closed_database_is_not_trimmed(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(db.path, tmp_path / "copy.db")
    trims: list[int] = []
    monkeypatch.setattr(memory, "trim_memory", lambda: trims.append(1))
    async with open_database(tmp_path / "copy.db", writable=True) as other:
        other.trim_later(0)
    await asyncio.sleep(0)

    assert trims == []


def get_driver(c: Connection) -> sqlite3.Connection:
    driver = c.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
