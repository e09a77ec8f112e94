"""One file of the journal."""

from __future__ import annotations

import errno
import json
import os

from app.keeper.wire import encode_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SEGMENT_BYTES = 512 * 1024  # bytes preallocated for one journal file
EXIT_BYTES = 512  # bytes reserved for the exit of each living run
RESERVED_BYTES = 16 * 1024  # bytes reserved for stops, refusals and records moved by `compact`


class JournalSegment:
    """One journal file.

    `size` is the position of the next record, or how far another owner's file was read.
    """

    __slots__ = (
        "name",
        "fd",
        "size",
        "has_partial_line",
        "boot",
        "runs",
        "pending_exits",
        "unsynced",
        "is_in_folder",
        "is_owned",
    )

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd, self.size, self.has_partial_line, self.boot = name, fd, 0, False, ""
        self.runs: set[str] = set()  # not yet forgotten
        self.pending_exits = 0  # exits still to be written to this file
        self.unsynced: dict[str, float] = {}  # {run: time} of exits not yet synced, oldest first
        self.is_in_folder = False  # the directory entry is on the disk
        self.is_owned = False

    @property
    def identity(self) -> list[int]:
        """Device and inode, which differ in a copy and stay the same in a moved home."""
        found = os.fstat(self.fd)
        return [found.st_dev, found.st_ino]

    def has_room(self) -> bool:
        """Return whether one more run and the exits of all living runs fit."""
        return self.size + (self.pending_exits + 1) * EXIT_BYTES + RESERVED_BYTES <= SEGMENT_BYTES

    def append(self, record: dict[str, Any]) -> None:
        """Write a record with one write().

        Raise OSError if it did not fit; a partial line stays and is ignored.
        """
        data = b"\n" + encode_line(record) if self.has_partial_line else encode_line(record)
        written = os.pwrite(self.fd, data, self.size)
        self.size += written
        self.has_partial_line = written < len(data)
        if self.has_partial_line:
            raise OSError(errno.ENOSPC, "no space for the journal")

    def read_new(self) -> Iterator[dict[str, Any]]:
        """Yield records that another process wrote since the last call. Skip a torn last line."""
        data = os.pread(self.fd, os.fstat(self.fd).st_size, self.size).rstrip(b"\0")
        self.size += len(data)
        self.has_partial_line = bool(data) and not data.endswith(b"\n")
        for text in data.split(b"\n"):
            try:
                record = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def preallocate(fd: int) -> None:
    """Preallocate a journal file if the file system can. Raise OSError if space is short."""
    try:
        os.posix_fallocate(fd, 0, SEGMENT_BYTES)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
