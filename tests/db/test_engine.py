"""One writer, several readers that cannot write, and errors that a person can act on."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db import raw_sql
from db.engine import Database, open_database
from db.error_translation import explain
from db.errors import BusyDatabase, DamagedDatabase, DiskFull, ReadOnlyDisk
from db.queries import reads, transitions
from tests.db.builders import task


def add(c: Connection) -> str:
    row = task()
    transitions.submit(c, [row], [], "ann")
    return row["uuid"]


async def test_what_was_written_is_read(db: Database):
    uuid = await db.write(add)

    assert [row.uuid for row in await db.read(reads.by_uuids, [uuid])] == [uuid]


async def test_a_reader_cannot_write(db: Database):
    with pytest.raises((ReadOnlyDisk, OperationalError), match="read"):
        await db.read(add)

    assert await db.read(reads.counts) == {}


async def test_a_read_sees_one_moment(db: Database):
    loop = asyncio.get_running_loop()

    def twice(c: Connection) -> tuple[int, int]:
        before = sum(reads.counts(c).values())
        asyncio.run_coroutine_threadsafe(db.write(add), other).result(10)
        return before, sum(reads.counts(c).values())

    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    try:
        assert loop is not other
        assert await db.read(twice) == (0, 0)
        assert await db.read(reads.counts) == {"queued": 1}
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


async def test_row_types_of_ever_new_statements_are_not_kept_for_ever(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(raw_sql, "MOST", 10)

    for n in range(30):
        assert await db.read(raw_sql.rows, f"SELECT {n} AS n, 'x' AS x") == [(n, "x")]

    assert len(raw_sql._shapes) <= 10


async def test_a_transaction_that_fails_leaves_nothing_not_even_a_table(db: Database):
    def half(c: Connection) -> None:
        add(c)
        c.exec_driver_sql("CREATE TABLE half (a)")
        c.exec_driver_sql("ALTER TABLE tasks ADD COLUMN mood TEXT")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await db.write(half)

    assert await db.read(reads.counts) == {}
    names = await db.read(lambda c: c.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all())
    columns = await db.read(lambda c: [row[1] for row in c.exec_driver_sql("PRAGMA table_info(tasks)")])
    assert "half" not in names and "mood" not in columns


async def test_the_writer_works_on_after_a_transaction_that_failed(db: Database):
    with pytest.raises(ZeroDivisionError):
        await db.write(lambda c: 1 // 0)

    assert await db.write(add)


async def test_there_is_one_wake_for_each_transaction_that_changed_something(db: Database):
    woken: list[threading.Thread] = []
    db.after_commit(lambda: woken.append(threading.current_thread()))

    await db.write(reads.counts)
    assert woken == []
    await db.write(lambda c: [add(c) for _ in range(3)])
    assert woken == [threading.main_thread()]
    with pytest.raises(ZeroDivisionError):
        await db.write(lambda c: [add(c), 1 // 0])

    assert len(woken) == 1


async def test_writes_at_once_run_one_after_the_other(db: Database):
    uuids = await asyncio.gather(*(db.write(add) for _ in range(50)))

    rows = await db.read(reads.by_uuids, uuids)
    assert sorted(row.number for row in rows) == list(range(1, 51))


async def test_an_acknowledged_write_is_synced(db: Database):
    pragmas = await db.write(
        lambda c: [
            c.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )

    assert pragmas == ["wal", 2, 1]


async def test_a_database_opened_for_reading_refuses_to_write_and_leaves_the_file_alone(database: Path):
    before = database.read_bytes()

    async with open_database(database, writable=False) as db:
        assert await db.read(reads.counts) == {}
        with pytest.raises(ReadOnlyDisk) as told:
            await db.write(add)

    assert database.read_bytes() == before
    assert (told.value.exit_code, told.value.code) == (5, "read-only")


async def test_a_database_in_a_folder_that_cannot_be_written_is_read_as_it_lies_there(
    database: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    async with open_database(database, writable=False) as opened:
        assert [queue.name for queue in await opened.read(reads.queues)] == ["default"]
        assert not database.with_name(database.name + "-shm").exists()


async def test_a_full_disk_is_told_and_nothing_is_stored(db: Database):
    await db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1"))

    def much(c: Connection) -> None:
        c.exec_driver_sql("PRAGMA max_page_count=1")
        transitions.submit(c, [task(parameters={"x": "y" * 4000}) for _ in range(500)], [], "ann")

    with pytest.raises(DiskFull, match="the disk is full .*Nothing was stored. Running jobs go on") as told:
        await db.write(much)
    assert told.value.exit_code == 5
    assert told.value.hint == "Free space, then try again; taskdeck db cleanup --dry-run shows what could go."
    assert await db.read(reads.counts) == {}

    await db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert await db.write(add)


def _room(monkeypatch: pytest.MonkeyPatch, free: int, files: int = 9) -> None:
    """The disk of the database as it says that it is."""
    space = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=10, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda path: space)


@pytest.mark.parametrize("said", ["disk I/O error", "unable to open database file"])
def test_an_error_of_a_disk_that_has_no_room_is_a_full_disk(said: str, database: Path, monkeypatch: pytest.MonkeyPatch):
    error = sqlite3.OperationalError(said)
    assert not isinstance(explain(error, database), DiskFull)

    _room(monkeypatch, 8192)
    full = explain(error, database)
    _room(monkeypatch, 2**30, files=0)
    no_file = explain(error, database)
    _room(monkeypatch, 2**30)

    assert isinstance(full, DiskFull) and f"the disk is full ({database.parent}, 8192 bytes free)" in full.message
    assert isinstance(no_file, DiskFull) and "no file more can be made" in no_file.message
    assert not isinstance(explain(error, database), DiskFull)


def test_a_database_whose_folder_is_gone_is_on_no_full_disk(tmp_path: Path):
    assert not isinstance(explain(sqlite3.OperationalError("unable to open database file"), tmp_path / "no" / "x.db"), DiskFull)


async def test_a_writer_that_another_program_keeps_out_says_so(db: Database, monkeypatch: pytest.MonkeyPatch):
    await db.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=1"))
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyDatabase, match="another program"):
            await db.write(add)
        assert await db.read(reads.counts) == {}
        other.execute("ROLLBACK")

    assert await db.write(add)


async def test_readers_go_on_while_the_writer_is_busy(db: Database):
    began, go_on = threading.Event(), threading.Event()

    def slow(c: Connection) -> None:
        add(c)
        began.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(db.write(slow))
    await asyncio.to_thread(began.wait, 10)
    assert await db.read(reads.counts) == {}
    go_on.set()
    await writing

    assert await db.read(reads.counts) == {"queued": 1}


def test_errors_of_the_driver_are_told_in_words(home: Path):
    told = {
        "database disk image is malformed": DamagedDatabase, "file is not a database": DamagedDatabase,
        "attempt to write a readonly database": ReadOnlyDisk, "database or disk is full": DiskFull, "database is locked": BusyDatabase,
    }  # fmt: skip

    for text, kind in told.items():
        problem = explain(sqlite3.OperationalError(text), home / "taskdeck.db")
        assert problem is not None and type(problem) is kind, text
        assert problem.exit_code == 5


def test_a_fault_of_ours_is_not_dressed_up(home: Path):
    assert explain(sqlite3.OperationalError('near "SELEC": syntax error'), home / "taskdeck.db") is None


def test_a_database_that_was_cut_to_nothing_while_it_was_open_is_damaged_and_no_fault_of_ours(tmp_path: Path):
    path, error = tmp_path / "taskdeck.db", sqlite3.OperationalError("no such table: slas")
    assert explain(error, path) is None
    path.write_bytes(b"")
    assert isinstance(explain(error, path), DamagedDatabase)
    path.write_bytes(b"x")
    assert explain(error, path) is None


async def test_a_path_of_any_bytes_holds_a_database(home: Path, database: Path):

    folder = Path(os.fsdecode(os.fsencode(home) + b"/\xff odd?#%20"))
    folder.mkdir()
    path = Path(shutil.copy(database, folder / "taskdeck.db"))

    async with open_database(path, writable=True) as db:
        await db.write(add)
    async with open_database(path, writable=False) as db:
        assert await db.read(reads.counts) == {"queued": 1}


async def test_a_cwd_of_any_bytes_comes_back_as_it_was(db: Database):

    odd = os.fsdecode(b"/srv/\xff\xfe")
    row = task(cwd=odd)
    await db.write(lambda c: transitions.submit(c, [row], [], "ann"))

    (found,) = await db.read(reads.by_uuids, [row["uuid"]])
    assert found.cwd == odd


async def test_the_log_is_written_back_when_that_is_asked_for(db: Database, database: Path):
    await db.write(transitions.submit, [task() for _ in range(200)], [], "ann")
    log = database.with_name(f"{database.name}-wal")
    before = log.stat().st_size

    await db.fold()
    await db.write(transitions.submit, [task()], [], "ann")

    assert log.stat().st_size == before, "the room of the log is used again"
    assert (await db.read(reads.counts))["queued"] == 201
