"""A log of which SQLite does not see the end."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from db.maintenance import integrity, wal_audit

PAGE, FRAME, HEADER = 4096, 4120, 32


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A database as a process leaves it that is killed: two tables, and five transactions of a page each in the log, by turns."""
    live, left = tmp_path / "live.db", tmp_path / "left.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as c:
        c.execute("PRAGMA journal_mode=WAL")
        c.executescript("CREATE TABLE t (n); CREATE TABLE u (n)")
        c.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        for n in range(5):
            c.execute(f"INSERT INTO {'tu'[n % 2]} VALUES (?)", (n,))
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
        return c.execute("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u)").fetchone()[0]


def test_a_log_that_is_as_it_was_written_is_whole(killed: Path):
    assert not wal_audit.cut_short(killed) and rows(killed) == 5


@pytest.mark.parametrize("frame", range(4))
def test_writes_behind_a_flipped_bit_are_missed(killed: Path, frame: int):
    flip(killed, frame)

    assert wal_audit.cut_short(killed) and rows(killed) == frame


def test_what_was_torn_when_the_machine_went_down_was_never_acknowledged(killed: Path):
    flip(killed, 4)

    assert not wal_audit.cut_short(killed) and rows(killed) == 4


def write(path: Path, pages: int) -> int:
    """A row of so many pages, as a process leaves it that is killed; the first frame that it took."""
    left = path.with_name("then.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        first = wal_audit._seen(path)
        c.execute("INSERT INTO t VALUES (randomblob(?))", (pages * PAGE,))
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{left}{ending}")
    for ending in ("", "-wal"):
        os.rename(f"{left}{ending}", f"{path}{ending}")
    return first


def test_ends_of_longer_ones_that_were_torn_are_no_loss_behind_shorter_ones(killed: Path):
    for pages in (40, 30, 20, 10):
        flip(killed, write(killed, pages))
        assert not wal_audit.cut_short(killed) and rows(killed) == 5
    write(killed, 1)
    write(killed, 1)

    assert not wal_audit.cut_short(killed) and rows(killed) == 7
    assert len(commits(killed)) == 7 + 4, "they lie there still"
    flip(killed, 5)
    assert wal_audit.cut_short(killed) and rows(killed) == 5


def commits(path: Path) -> list[int]:
    """The frames of the log that end transactions."""
    log = Path(f"{path}-wal").read_bytes()
    return [at for at in range(HEADER, len(log), FRAME) if any(log[at + 4 : at + 8])]


def test_a_last_frame_that_was_written_twice_is_one_transaction(killed: Path):
    """So SQLite fills whole sectors where the disk has to have them."""
    log = Path(f"{killed}-wal")
    data = log.read_bytes()
    words, last = ">" if data[3] & 1 else "<", list(wal_audit._frames(log, 4))[0]
    again = wal_audit._sum(words, last.head + last.page, last.sum)
    log.write_bytes(data + data[-FRAME:][:16] + struct.pack(">2I", *again) + last.page)
    assert wal_audit._seen(killed) == 6
    flip(killed, 4)

    assert not wal_audit.cut_short(killed) and rows(killed) == 4


def test_who_has_begun_to_write_meanwhile_has_lost_nothing(killed: Path, monkeypatch: pytest.MonkeyPatch):
    with closing(sqlite3.connect(killed, isolation_level=None)) as c:
        seen = wal_audit._seen

        def looked(path: Path) -> int:
            found = seen(path)
            for table in "tu":
                c.execute(f"INSERT INTO {table} VALUES (0)")
            return found

        monkeypatch.setattr(wal_audit, "_seen", looked)
        assert not wal_audit.cut_short(killed)


def test_frames_of_an_earlier_round_are_old(killed: Path):
    with closing(sqlite3.connect(killed, isolation_level=None)) as c:
        c.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        c.execute("INSERT INTO t VALUES (6)")
        for ending in ("", "-wal"):
            shutil.copy(f"{killed}{ending}", f"{killed.parent}/again.db{ending}")
    again = killed.parent / "again.db"

    assert Path(f"{again}-wal").stat().st_size == HEADER + 5 * FRAME
    assert not wal_audit.cut_short(again) and rows(again) == 6


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

    assert not wal_audit.cut_short(killed)


def test_a_database_whose_log_is_cut_is_damaged(database: Path):
    with closing(sqlite3.connect(database, isolation_level=None)) as c:
        for change in ("UPDATE alembic_version SET version_num = version_num", "PRAGMA user_version = 0") * 2:
            c.execute(change)
        left = Path(shutil.copytree(database.parent, database.parent.with_name(f"{database.parent.name}-left"))) / database.name
    frames = (Path(f"{left}-wal").stat().st_size - HEADER) // FRAME
    flip(left, frames - 2)

    assert integrity.lost_writes(left) == ["its log is damaged, and what was written last is behind that"]
    assert integrity.damage(left) == [], "what SQLite sees is in order"


@pytest.fixture
def read_only(killed: Path, tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """The same on a medium that cannot be written, with this for the index of its log."""
    place = tmp_path / "medium"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")

    def made(index: bytes) -> Path:
        for ending in ("", "-wal"):
            shutil.copy(f"{killed}{ending}", place)
        (place / f"{killed.name}-shm").write_bytes(index)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        return place / killed.name

    yield made
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("index", [b"", b"\0" * 32768, b"\xff" * 32768])
@pytest.mark.parametrize("damaged", [None, 2])
def test_an_index_that_cannot_be_written_says_nothing(
    killed: Path, read_only: Callable[[bytes], Path], index: bytes, damaged: int | None
):  # fmt: skip
    if damaged is not None:
        flip(killed, damaged)

    found = read_only(index)

    assert rows(found) == (5 if damaged is None else damaged)
    assert wal_audit.cut_short(found) is (damaged is not None)
