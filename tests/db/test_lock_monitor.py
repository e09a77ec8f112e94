"""The lock of those who write, held by another program: known since when and by which, and told when it can be had again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from db import engine, lock_monitor
from db.engine import Database, open_database
from db.errors import BusyDatabase
from db.lock_monitor import WriteLock, holder
from tests.database_lock import held


def nothing(c: Connection) -> int:
    return 1


async def test_while_another_program_holds_it_that_is_known_and_by_which_and_all_can_be_read(
    db: Database, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    news, begins, loop, now = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(lock_monitor, "monotonic", lambda: now[0])
    db.after_commit(news.set)
    async with asyncio.timeout(20):
        assert await db.write(nothing) == 1 and db.held() is None
        assert db._writer is not None
        event.listen(db._writer, "before_cursor_execute", lambda *_: loop.call_soon_threadsafe(begins.set))
        with held(db.path) as pid:
            writing = asyncio.ensure_future(db.write(nothing))
            await begins.wait()
            assert db.held() is None and not db.holds_up(writing)
            now[0] += lock_monitor.LONG
            first = db.held()
            assert await db.read(nothing) == 1
            assert first is not None and first.by.endswith(f", pid {pid}") and first.by.startswith("python")
            assert db.holds_up(writing) and not db.holds_up(asyncio.ensure_future(asyncio.sleep(0)))
            now[0] += 3
            later = db.held()
            assert not writing.done() and later is not None and later.seconds == first.seconds + 3
        assert await writing == 1

    assert db.held() is None
    await asyncio.wait_for(news.wait(), 5)  # nothing was changed, but that it can be had again is news


async def test_one_that_waited_in_vain_leaves_it_known_as_held_until_the_next_one_has_it(
    database: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.6)
    async with open_database(database, writable=True) as db:
        await db.write(nothing)
        with held(db.path):
            for _ in range(2):
                with pytest.raises(BusyDatabase):
                    await db.write(nothing)
            found = db.held()
            assert found is not None and found.seconds >= 1.2
        await db.write(nothing)
        assert db.held() is None


async def test_a_short_wait_is_nobodys_business(db: Database):
    lock = WriteLock(db.path)
    lock._since = lock_monitor.monotonic() - 0.1
    assert lock.held() is None and not lock.is_held


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
def test_only_the_lock_of_the_writer_names_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, pid: bool):
    shm, locks = tmp_path / "x-shm", tmp_path / "locks"
    shm.touch()
    locks.write_text(line.format(pid=2**30, inode=shm.stat().st_ino) + "\n")
    monkeypatch.setattr(lock_monitor, "LOCKS", locks)

    assert holder(str(shm)) == (f"pid {2**30}" if pid else "")


def test_where_the_kernel_does_not_tell_nobody_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock_monitor, "LOCKS", tmp_path / "none")

    assert (holder(str(tmp_path)), holder(str(tmp_path / "none"))) == ("", "")
