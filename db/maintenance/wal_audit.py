"""What SQLite passes over in a log: it reads up to the first frame that is not as it was written, and takes all behind it for old."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from db.sqlite_files import read_only_uri

HEADER_SIZE, FRAME_HEADER_SIZE = 32, 24
"""Bytes before the first frame, and before the page in each; from https://sqlite.org/fileformat2.html#walformat."""

Checksum = tuple[int, int]
"""The checksum of a frame, which goes on from that of the frame before it."""


class _WalFrame(NamedTuple):
    """One frame of the log's present round: the number of its page and, in the last one of a transaction, the size of the database; the
    page itself; its sum."""

    head: bytes
    page: bytes
    sum: Checksum

    @property
    def commits(self) -> bool:
        return any(self.head[4:])


def has_ignored_commits(path: Path) -> bool:
    """Whether the log of the database at `path` holds transactions that SQLite does not see and that were in the database before. Raises
    OSError; sqlite3.Error where the database cannot be opened.

    What was torn when the machine went down, or was not taken by the disk, is none of these: it was never acknowledged, and its end may
    still lie there once shorter ones were written over it. Only of what another was built upon is it certain. So the loss of the very last
    transaction is not told: it looks like one that was torn."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size <= HEADER_SIZE:
        return False
    seen = _count_accepted(path)
    return _has_continuation(log, seen) and _count_accepted(path) == seen  # else somebody has begun to write meanwhile


def _count_accepted(path: Path) -> int:
    """The frames that SQLite finds in order. It writes that into the index of the log, from https://sqlite.org/walformat.html; where that
    cannot be written it has one in memory, and the file says nothing."""
    log, index = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as c:
        c.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not os.access(index, os.W_OK):
            return _count_valid(log)
        with open(index, "rb") as file:
            return struct.unpack("=I", file.read(20)[16:])[0]


def _count_valid(log: Path) -> int:
    """The frames up to the last end of a transaction at which each goes on from the sum of the one before it."""
    with open(log, "rb") as file:
        header = file.read(HEADER_SIZE)
    words, last = _get_byte_order(header), 0
    sum_ = _compute_checksum(words, header[:24], (0, 0))
    if sum_ != struct.unpack(">2I", header[24:]):
        return 0
    for number, frame in enumerate(_read_frames(log, 0), 1):
        if frame is None or (sum_ := _compute_checksum(words, frame.head + frame.page, sum_)) != frame.sum:
            break
        last = number if frame.commits else last
    return last


def _has_continuation(log: Path, seen: int) -> bool:
    """Whether one of the transactions that end behind those frames has another that goes on from its sum: who wrote that had the first in
    the database. Where a disk may spoil what lies beside, SQLite repeats the last frame of a transaction, which is no other one."""
    with open(log, "rb") as file:
        words = _get_byte_order(file.read(HEADER_SIZE))
    return any(
        one and then and one.commits and one.head != then.head and _compute_checksum(words, then.head + then.page, one.sum) == then.sum
        for one, then in pairwise(_read_frames(log, seen))
    )


def _get_byte_order(header: bytes) -> str:
    """The order of bytes in the words that are summed."""
    return ">" if struct.unpack(">I", header[:4])[0] & 1 else "<"


def _read_frames(log: Path, seen: int) -> Iterator[_WalFrame | None]:
    """The frames behind those, as they lie there; None for one of an earlier round."""
    with open(log, "rb") as file:
        _, _, size, _, *round_ = struct.unpack(">6I", file.read(24))
        file.seek(HEADER_SIZE + seen * (FRAME_HEADER_SIZE + size))
        while size and len(found := file.read(FRAME_HEADER_SIZE + size)) == FRAME_HEADER_SIZE + size:
            head, *mine, first, second = struct.unpack(">8s4I", found[:FRAME_HEADER_SIZE])
            yield _WalFrame(head, found[FRAME_HEADER_SIZE:], (first, second)) if mine == round_ else None


def _compute_checksum(words: str, body: bytes, before: Checksum) -> Checksum:
    """The checksum of what follows something with the sum `before`; `words`: the order of bytes in them."""
    first, second = before
    numbers = iter(struct.unpack(f"{words}{len(body) // 4}I", body))
    for one, two in zip(numbers, numbers, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
