"""WAL audit: detect committed frames that SQLite ignores behind a corrupt frame.

SQLite reads a WAL up to the first invalid frame and treats all later frames as old.

A process that closes any descriptor of a file loses all its POSIX locks on the file, also those of
SQLite. Other processes may then overwrite pages in use. SQLite locks the database and its `-shm`
file, so a child process reads the `-shm`. SQLite takes no locks on the `-wal`.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from app.translation import tr
from db.sqlite_files import make_read_only_uri

HEADER_SIZE, FRAME_HEADER_SIZE = 32, 24
"""Bytes of the WAL header and of a frame header (https://sqlite.org/fileformat2.html#walformat)."""

Checksum = tuple[int, int]
"""Checksum of a frame. Each checksum continues that of the frame before."""


class _WalFrame(NamedTuple):
    """A frame of the current WAL generation.

    `head` is the page number and, in a commit frame, the database size; `sum` is the checksum.
    """

    head: bytes
    page: bytes
    sum: Checksum

    @property
    def commits(self) -> bool:
        return any(self.head[4:])


def has_ignored_commits(path: Path) -> bool:
    """Return True if the WAL holds ignored transactions that were once committed.

    Frames torn by a power failure, or not accepted by the disk, were never acknowledged, and their
    remains may follow later, shorter transactions. Only a transaction that another one builds upon
    was surely committed. The loss of the very last transaction is therefore not detected: it looks
    like a torn transaction. Raise OSError, or sqlite3.Error if the database cannot be opened.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size <= HEADER_SIZE:
        return False
    accepted = _count_accepted(path)
    return (
        _has_continuation(log, accepted) and _count_accepted(path) == accepted
    )  # another count shows that a writer has started meanwhile


def _count_accepted(path: Path) -> int:
    """Return the number of frames that SQLite accepts.

    SQLite writes the number to the `-shm` file (https://sqlite.org/walformat.html) while a
    connection is open. In a read-only folder that index is only in memory, so the frames are
    counted here.
    """
    log, index = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    with closing(sqlite3.connect(make_read_only_uri(path), uri=True)) as c:
        c.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not os.access(index, os.W_OK):
            return _count_valid(log)
        return struct.unpack("=I", _read_start_in_child(index, 20)[16:])[0]


def _read_start_in_child(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, read by a child process. Raise OSError."""
    code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read(int(sys.argv[2])))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, os.fspath(path), str(size)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if len(done.stdout) < size:
        raise OSError(tr("{path} cannot be read", path=path))
    return done.stdout


def _count_valid(log: Path) -> int:
    """Return the number of frames up to the last commit with a valid checksum chain."""
    with open(log, "rb") as file:
        header = file.read(HEADER_SIZE)
    byte_order, last = _get_byte_order(header), 0
    sum_ = _compute_checksum(byte_order, header[:24], (0, 0))
    if sum_ != struct.unpack(">2I", header[24:]):
        return 0
    for number, frame in enumerate(_read_frames(log, 0), 1):
        if (
            frame is None
            or (sum_ := _compute_checksum(byte_order, frame.head + frame.page, sum_)) != frame.sum
        ):
            break
        last = number if frame.commits else last
    return last


def _has_continuation(log: Path, accepted: int) -> bool:
    """Return True if an ignored transaction is continued by another one.

    The writer of the second transaction had the first in its database. On disks that may damage
    neighbouring sectors SQLite repeats a commit frame; a repetition does not count.
    """
    with open(log, "rb") as file:
        byte_order = _get_byte_order(file.read(HEADER_SIZE))
    return any(
        one
        and then
        and one.commits
        and one.head != then.head
        and _compute_checksum(byte_order, then.head + then.page, one.sum) == then.sum
        for one, then in pairwise(_read_frames(log, accepted))
    )


def _get_byte_order(header: bytes) -> str:
    """Return the byte order of the checksum."""
    return ">" if struct.unpack(">I", header[:4])[0] & 1 else "<"


def _read_frames(log: Path, accepted: int) -> Iterator[_WalFrame | None]:
    """Yield the frames after the first `accepted`; None for an older generation."""
    with open(log, "rb") as file:
        _, _, size, _, *round_ = struct.unpack(">6I", file.read(24))
        file.seek(HEADER_SIZE + accepted * (FRAME_HEADER_SIZE + size))
        while (
            size and len(found := file.read(FRAME_HEADER_SIZE + size)) == FRAME_HEADER_SIZE + size
        ):
            head, *salts, first, second = struct.unpack(">8s4I", found[:FRAME_HEADER_SIZE])
            yield (
                _WalFrame(head, found[FRAME_HEADER_SIZE:], (first, second))
                if salts == round_
                else None
            )


def _compute_checksum(byte_order: str, body: bytes, before: Checksum) -> Checksum:
    """Return the checksum of `body` that continues `before`."""
    first, second = before
    numbers = iter(struct.unpack(f"{byte_order}{len(body) // 4}I", body))
    for one, two in zip(numbers, numbers, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
