"""A log of which SQLite does not see the end."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from db import check, wal
from db.errors import DamagedDatabase

PAGE, FRAME, HEADER = 4096, 4120, 32


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A database as a process leaves it that is killed: a table, and five transactions of a page each in the log."""
    live, left = tmp_path / "live.db", tmp_path / "left.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as c:
        c.execute("PRAGMA journal_mode=WAL")
        c.execute("CREATE TABLE t (n)")
        c.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        for n in range(5):
            c.execute("INSERT INTO t VALUES (?)", (n,))
        for ending in ("", "-wal"):
            shutil.copy(f"{live}{ending}", f"{left}{ending}")
    yield left


def flip(path: Path, frame: int, at: int = 100) -> None:
    """One bit of a frame in the log, by its number from 0."""
    with open(f"{path}-wal", "r+b") as log:
        log.seek(HEADER + frame * FRAME + at)
        old = log.read(1)[0]
        log.seek(-1, os.SEEK_CUR)
        log.write(bytes([old ^ 1]))


def rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
        return c.execute("SELECT count(*) FROM t").fetchone()[0]


def test_a_log_that_is_as_it_was_written_is_whole(killed: Path):
    assert not wal.cut_short(killed) and rows(killed) == 5


@pytest.mark.parametrize("frame", range(5))
def test_writes_behind_a_flipped_bit_are_missed(killed: Path, frame: int):
    flip(killed, frame)

    assert wal.cut_short(killed) and rows(killed) == frame


def test_what_was_torn_when_the_machine_went_down_was_never_acknowledged(killed: Path):
    flip(killed, 4)
    before = psutil.boot_time() - 60
    os.utime(f"{killed}-wal", (before, before))

    assert not wal.cut_short(killed) and rows(killed) == 4
    flip(killed, 3)
    assert wal.cut_short(killed), "two of them were not torn at once"


def test_frames_of_an_earlier_round_are_old(killed: Path):
    with closing(sqlite3.connect(killed, isolation_level=None)) as c:
        c.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        c.execute("INSERT INTO t VALUES (6)")
        for ending in ("", "-wal"):
            shutil.copy(f"{killed}{ending}", f"{killed.parent}/again.db{ending}")
    again = killed.parent / "again.db"

    assert Path(f"{again}-wal").stat().st_size == HEADER + 5 * FRAME
    assert not wal.cut_short(again) and rows(again) == 6


@pytest.mark.parametrize("left", ["no log", "an empty log", "half a header", "half a frame"])
def test_what_is_not_there_was_not_passed_over(killed: Path, left: str):
    log = Path(f"{killed}-wal")
    match left:
        case "no log":
            log.unlink()
        case "half a frame":
            os.truncate(log, HEADER + 2 * FRAME + 50)
        case _:
            os.truncate(log, 0 if left == "an empty log" else 16)

    assert not wal.cut_short(killed)


def test_a_database_whose_log_is_cut_is_damaged(database: Path):
    with closing(sqlite3.connect(database, isolation_level=None)) as c:
        for _ in range(3):
            c.execute("UPDATE alembic_version SET version_num = version_num")
        left = Path(shutil.copytree(database.parent, database.parent.with_name(f"{database.parent.name}-left"))) / database.name
    frames = (Path(f"{left}-wal").stat().st_size - HEADER) // FRAME
    flip(left, frames - 2)

    with pytest.raises(DamagedDatabase, match=r"its log is damaged, and what was written last is behind that"):
        check.quick(left)
    assert check.damage(left) == [], "what SQLite sees is in order"
