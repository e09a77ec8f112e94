"""Monitor of the database's write lock: waits for it, which program holds it, and since when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql

REPORT_AFTER = 0.5
"""Seconds after which a held lock is reported."""
LOCK_WAIT_THRESHOLD = 0.01
"""Seconds from which the start of a transaction counts as a lock wait."""
LOCK_WAIT_ALERT = 1.0
"""Seconds from which a lock wait raises an alert."""
WRITE_LOCK_BYTE = 120
"""Offset of the write lock byte in the `-shm` file (sqlite.org/walformat.html, 2.3.1)."""
PROC_LOCKS = Path("/proc/locks")
BUSY_WORDS = ("locked", "busy")
"""Words in SQLite's message for a lock wait that timed out."""


class LockHolder(NamedTuple):
    """Holder of the write lock.

    Seconds held so far, and a name like `sqlite3, pid 4711`, or "" if unknown.
    """

    seconds: float
    by: str


@dataclass(slots=True)
class LockWaits:
    """Lock waits of this process's transactions: count, and total and longest seconds."""

    count: int = 0
    total: float = 0.0
    worst: float = 0.0
    unstored: float = 0.0
    """Seconds of the longest wait that is not stored yet (`slow_queries`)."""
    long: tuple[float, float] | None = None
    """The latest wait over `LOCK_WAIT_ALERT` seconds: its end on the monotonic clock, and its
    seconds."""

    def add(self, seconds: float) -> None:
        """Count the wait of a transaction, unless it is too short."""
        if seconds >= LOCK_WAIT_THRESHOLD:
            self.count += 1
            self.total += seconds
            self.worst = max(self.worst, seconds)
            self.unstored = max(self.unstored, seconds)
        if seconds >= LOCK_WAIT_ALERT:
            self.long = monotonic(), seconds


class WriteLock:
    """State of the write lock as seen by the writer.

    The writer thread updates the state; any thread may read it.
    """

    def __init__(self, path: Path) -> None:
        self._shm = f"{os.fspath(path)}-shm"
        self._since: float | None = None
        self.waited = 0.0
        """Seconds the latest transaction waited for the lock, over all its attempts."""
        self.waits = LockWaits()

    def begin_immediate(self, c: Connection) -> None:
        """Begin a transaction as soon as no other program writes."""
        self._since = began = self._since or monotonic()
        try:
            raw_sql.execute_statement(c, "BEGIN IMMEDIATE")
        except raw_sql.DRIVER_ERRORS as error:
            if not any(word in str(error) for word in BUSY_WORDS):
                self._since = None
            raise
        self._since, self.waited = None, monotonic() - began
        self.waits.add(self.waited)

    @property
    def is_held(self) -> bool:
        """True if another program has held the lock for at least `REPORT_AFTER` seconds."""
        return self._since is not None and monotonic() - self._since >= REPORT_AFTER

    def find_holder(self) -> LockHolder | None:
        """Return the holder of the lock, or None if the lock is free."""
        since = self._since
        if since is None or (seconds := monotonic() - since) < REPORT_AFTER:
            return None
        return LockHolder(seconds, find_lock_holder(self._shm))


def find_lock_holder(shm: str) -> str:
    """Return the name and pid of the process that holds the write lock.

    Read from /proc/locks without opening the file: closing it would drop this process's own locks
    on it.
    """
    try:
        inode = os.stat(shm).st_ino
        lines = PROC_LOCKS.read_text("ascii", "replace").splitlines()
    except OSError:
        return ""
    return next(
        (
            _format_process(int(fields[4]))
            for fields in map(str.split, lines)
            if _is_write_lock_line(fields, inode)
        ),
        "",
    )


def _is_write_lock_line(fields: list[str], inode: int) -> bool:
    """Return True if a line of /proc/locks is the write lock of another process.

    A line looks like `7: POSIX ADVISORY WRITE 4711 08:01:131 120 120`. Waiting locks begin with an
    arrow. Locks of another machine or container have no pid.
    """
    if (
        len(fields) != 8
        or fields[3] != "WRITE"
        or not fields[4].isdigit()
        or not int(fields[4])
        or int(fields[4]) == os.getpid()
    ):
        return False
    return (
        fields[5].rpartition(":")[2] == str(inode)
        and int(fields[6]) <= WRITE_LOCK_BYTE
        and (fields[7] == "EOF" or int(fields[7]) >= WRITE_LOCK_BYTE)
    )


def _format_process(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"pid {pid}"
    return f"{name}, pid {pid}"
