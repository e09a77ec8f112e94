"""What SQLite passes over in a log: it reads up to the first frame that is not as it was written, and takes all behind it for old."""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import psutil

from db.files import read_only_uri

HEADER, FRAME = 32, 24
"""Bytes before the first frame, and before the page in each; from https://sqlite.org/fileformat2.html#walformat."""


def cut_short(path: Path) -> bool:
    """Whether the log of the database at `path` holds transactions that SQLite does not see. One that was torn when the machine went down
    was never acknowledged and is none of these. Raises OSError; sqlite3.Error where the database cannot be opened."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size <= HEADER:
        return False
    commits = _unseen_commits(log, _seen(path))
    return commits > 1 or commits == 1 and log.stat().st_mtime > psutil.boot_time()


def _seen(path: Path) -> int:
    """The frames that SQLite finds in order. It writes that into the index of the log, from https://sqlite.org/walformat.html."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as c:
        c.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with open(path.with_name(f"{path.name}-shm"), "rb") as index:
            return struct.unpack("=I", index.read(20)[16:])[0]


def _unseen_commits(log: Path, seen: int) -> int:
    """The transactions that end in frames behind those, by what each frame says before its page: to which round of the log it belongs,
    and whether it is the last one of a transaction."""
    commits = 0
    with open(log, "rb") as file:
        _, _, page, _, *round_ = struct.unpack(">6I", file.read(24))
        place, end = HEADER + seen * (FRAME + page), os.fstat(file.fileno()).st_size
        while page and place + FRAME + page <= end:
            file.seek(place)
            _, last, *mine = struct.unpack(">4I", file.read(16))
            commits += bool(last) and mine == round_
            place += FRAME + page
    return commits
