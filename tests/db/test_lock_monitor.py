"""The write lock held by another program: since when, by which, and when it is free again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db import engine, lock_monitor, raw_sql
from db.engine import Database, open_database
from db.errors import BusyDatabase
from db.lock_monitor import WriteLock, find_lock_holder
from tests.database_lock import hold_write_lock


@pytest.fixture
def direct_reads() -> None:
    """Keep the threads of readers: tests of this module are about them."""


def change_nothing(c: Connection) -> int:
    return 1


@pytest.mark.process
async def test_while_another_program_holds_the_lock_the_holder_is_known(
    db: Database, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    news, begins, loop, now = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(lock_monitor, "monotonic", lambda: now[0])
    db.after_commit(news.set)
    async with asyncio.timeout(20):
        assert await db.write(change_nothing) == 1 and db.find_lock_holder() is None
        execute = raw_sql.execute_statement

        def note_begin(c: Connection, sql: str) -> None:
            loop.call_soon_threadsafe(begins.set)
            execute(c, sql)

        monkeypatch.setattr(raw_sql, "execute_statement", note_begin)
        with hold_write_lock(db.path) as pid:
            writing = asyncio.ensure_future(db.write(change_nothing))
            await begins.wait()
            assert db.find_lock_holder() is None and not db.is_delayed(writing)
            now[0] += lock_monitor.REPORT_AFTER
            first = db.find_lock_holder()
            assert await db.read(change_nothing) == 1
            assert (
                first is not None
                and first.by.endswith(f", pid {pid}")
                and first.by.startswith("python")
            )
            assert db.is_delayed(writing) and not db.is_delayed(
                asyncio.ensure_future(asyncio.sleep(0))
            )
            now[0] += 3
            later = db.find_lock_holder()
            assert not writing.done() and later is not None and later.seconds == first.seconds + 3
        assert await writing == 1

    assert db.find_lock_holder() is None
    await asyncio.wait_for(news.wait(), 5)  # Nothing changed, but the free lock is news.


@pytest.mark.process
async def test_a_vain_wait_keeps_the_holder_known_until_the_lock_is_taken(
    database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.6)
    async with open_database(database_path, writable=True) as db:
        await db.write(change_nothing)
        with hold_write_lock(db.path):
            for _ in range(2):
                with pytest.raises(BusyDatabase):
                    await db.write(change_nothing)
            found = db.find_lock_holder()
            assert found is not None and found.seconds >= 1.2
        await db.write(change_nothing)
        assert db.find_lock_holder() is None


async def test_a_short_wait_is_not_reported(db: Database):
    lock = WriteLock(db.path)
    lock._since = lock_monitor.monotonic() - 0.1
    assert lock.find_holder() is None and not lock.is_held


@pytest.mark.parametrize(
    ("line", "pid"),
    [
        ("1: POSIX  ADVISORY  WRITE {pid} fe:00:{inode} 120 120", True),
        ("1: POSIX  ADVISORY  WRITE {pid} fe:00:{inode} 0 EOF", True),
        ("1: POSIX  ADVISORY  READ {pid} fe:00:{inode} 124 124", False),
        ("1: POSIX  ADVISORY  WRITE {pid} fe:00:{inode} 121 121", False),
        ("1: POSIX  ADVISORY  WRITE {pid} fe:00:{inode}1 120 120", False),
        ("1: -> POSIX  ADVISORY  WRITE {pid} fe:00:{inode} 120 120", False),
        ("1: POSIX  ADVISORY  WRITE 0 fe:00:{inode} 120 120", False),
        ("1: POSIX  ADVISORY  WRITE -1 fe:00:{inode} 120 120", False),
        ("", False),
    ],
)
def test_only_the_writer_lock_names_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, pid: bool
):
    shm, locks = tmp_path / "x-shm", tmp_path / "locks"
    shm.touch()
    locks.write_text(line.format(pid=2**30, inode=shm.stat().st_ino) + "\n")
    monkeypatch.setattr(lock_monitor, "PROC_LOCKS", locks)

    assert find_lock_holder(str(shm)) == (f"pid {2**30}" if pid else "")


def test_without_kernel_lock_information_no_process_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock_monitor, "PROC_LOCKS", tmp_path / "none")

    assert (find_lock_holder(str(tmp_path)), find_lock_holder(str(tmp_path / "none"))) == ("", "")
