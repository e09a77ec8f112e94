"""WAL audit: committed frames that SQLite ignores."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from db.maintenance import integrity, wal_audit

PAGE, FRAME, HEADER = 4096, 4120, 32


@pytest.fixture
def killed_path(tmp_path: Path) -> Iterator[Path]:
    """Yield a database as a killed process leaves it.

    Two tables take turns in five one-page transactions in the WAL.
    """
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


def flip_frame_bit(path: Path, frame: int, at: int = 100) -> None:
    """Flip one bit of a frame, counted from 0."""
    with open(f"{path}-wal", "r+b") as log:
        log.seek(HEADER + frame * FRAME + at)
        old = log.read(1)[0]
        log.seek(-1, os.SEEK_CUR)
        log.write(bytes([old ^ 1]))


def count_rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
        return c.execute("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u)").fetchone()[0]


def test_a_wal_as_written_is_complete(killed_path: Path):
    assert not wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 5


@pytest.mark.parametrize("frame", range(4))
def test_commits_behind_a_flipped_bit_are_reported(killed_path: Path, frame: int):
    flip_frame_bit(killed_path, frame)

    assert wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == frame


def test_a_transaction_torn_by_a_power_loss_was_never_acknowledged(killed_path: Path):
    flip_frame_bit(killed_path, 4)

    assert not wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 4


def write_row(path: Path, pages: int) -> int:
    """Write a row of `pages` pages as a killed process would; return its first frame."""
    left = path.with_name("then.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        first = wal_audit._count_accepted(path)
        c.execute("INSERT INTO t VALUES (randomblob(?))", (pages * PAGE,))
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{left}{ending}")
    for ending in ("", "-wal"):
        os.rename(f"{left}{ending}", f"{path}{ending}")
    return first


def test_torn_frames_of_an_earlier_longer_wal_are_no_loss(killed_path: Path):
    for pages in (40, 30, 20, 10):
        flip_frame_bit(killed_path, write_row(killed_path, pages))
        assert not wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 5
    write_row(killed_path, 1)
    write_row(killed_path, 1)

    assert not wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 7
    assert len(find_commit_frames(killed_path)) == 7 + 4, "they lie there still"
    flip_frame_bit(killed_path, 5)
    assert wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 5


def find_commit_frames(path: Path) -> list[int]:
    log = Path(f"{path}-wal").read_bytes()
    return [at for at in range(HEADER, len(log), FRAME) if any(log[at + 4 : at + 8])]


def test_a_repeated_last_frame_is_one_transaction(killed_path: Path):
    """SQLite pads the last transaction so on disks that need whole sectors."""
    log = Path(f"{killed_path}-wal")
    data = log.read_bytes()
    words, last = ">" if data[3] & 1 else "<", list(wal_audit._read_frames(log, 4))[0]
    again = wal_audit._compute_checksum(words, last.head + last.page, last.sum)
    log.write_bytes(data + data[-FRAME:][:16] + struct.pack(">2I", *again) + last.page)
    assert wal_audit._count_accepted(killed_path) == 6
    flip_frame_bit(killed_path, 4)

    assert not wal_audit.has_ignored_commits(killed_path) and count_rows(killed_path) == 4


def test_a_writer_active_meanwhile_has_lost_nothing(
    killed_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with closing(sqlite3.connect(killed_path, isolation_level=None)) as c:
        seen = wal_audit._count_accepted

        def looked(path: Path) -> int:
            found = seen(path)
            for table in "tu":
                c.execute(f"INSERT INTO {table} VALUES (0)")
            return found

        monkeypatch.setattr(wal_audit, "_count_accepted", looked)
        assert not wal_audit.has_ignored_commits(killed_path)


def test_the_audit_keeps_the_locks_of_this_process(killed_path: Path):
    write = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], 0.1, isolation_level=None); "
        "c.execute('INSERT INTO t VALUES (5)'); "
        "print(c.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0])"
    )
    with closing(sqlite3.connect(killed_path, isolation_level=None)) as c:
        c.execute("BEGIN")
        before = c.execute("SELECT count(*) FROM t").fetchone()
        assert not wal_audit.has_ignored_commits(killed_path)

        done = subprocess.run(
            [sys.executable, "-c", write, killed_path], capture_output=True, text=True, check=True
        )

        assert done.stdout == "1\n", "busy: the read transaction still holds its lock"
        assert c.execute("SELECT count(*) FROM t").fetchone() == before


def test_frames_of_an_earlier_round_are_ignored(killed_path: Path):
    with closing(sqlite3.connect(killed_path, isolation_level=None)) as c:
        c.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        c.execute("INSERT INTO t VALUES (6)")
        for ending in ("", "-wal"):
            shutil.copy(f"{killed_path}{ending}", f"{killed_path.parent}/again.db{ending}")
    again = killed_path.parent / "again.db"

    assert Path(f"{again}-wal").stat().st_size == HEADER + 5 * FRAME
    assert not wal_audit.has_ignored_commits(again) and count_rows(again) == 6


@pytest.mark.parametrize("left", ["no log", "an empty log", "half a header", "half a frame"])
def test_a_missing_file_means_no_loss(killed_path: Path, left: str):
    log = Path(f"{killed_path}-wal")
    match left:
        case "no log":
            log.unlink()
        case "half a frame":
            os.truncate(log, HEADER + 2 * FRAME + 50)
        case _:
            os.truncate(log, 0 if left == "an empty log" else 16)

    assert not wal_audit.has_ignored_commits(killed_path)


def test_a_database_with_a_truncated_wal_is_damaged(database_path: Path, tmp_path: Path):
    with closing(sqlite3.connect(database_path, isolation_level=None)) as c:
        for change in (
            "UPDATE alembic_version SET version_num = version_num",
            "PRAGMA user_version = 0",
        ) * 2:
            c.execute(change)
        left = Path(shutil.copytree(database_path.parent, tmp_path / "left"), database_path.name)
    frames = (Path(f"{left}-wal").stat().st_size - HEADER) // FRAME
    flip_frame_bit(left, frames - 2)

    assert integrity.find_lost_writes(left) == [
        "its log is damaged, and the latest writes are behind the damage"
    ]
    assert integrity.find_damage(left) == [], "what SQLite sees is in order"


@pytest.fixture
def read_only_copy(killed_path: Path, tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Yield a function that puts the database with this WAL index on read-only media."""
    place = tmp_path / "medium"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs to mount a file system")

    def made(index: bytes) -> Path:
        for ending in ("", "-wal"):
            shutil.copy(f"{killed_path}{ending}", place)
        (place / f"{killed_path.name}-shm").write_bytes(index)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        return place / killed_path.name

    yield made
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.process
@pytest.mark.parametrize("index", [b"", b"\0" * 32768, b"\xff" * 32768])
@pytest.mark.parametrize("damaged", [None, 2])
def test_an_unwritable_wal_index_gives_no_report(
    killed_path: Path, read_only_copy: Callable[[bytes], Path], index: bytes, damaged: int | None
):  # fmt: skip
    if damaged is not None:
        flip_frame_bit(killed_path, damaged)

    found = read_only_copy(index)

    assert count_rows(found) == (5 if damaged is None else damaged)
    assert wal_audit.has_ignored_commits(found) is (damaged is not None)
