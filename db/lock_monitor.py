"""The database's write lock as its one writer meets it: since when another program holds it, and which that is."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

REPORT_AFTER = 0.5
"""Seconds from which on the lock counts as held by another program: shorter waits are nobody's business."""
WRITE_LOCK_BYTE = 120
"""The byte of the file `-shm` that SQLite locks for the one who writes (sqlite.org/walformat.html, 2.3.1: the first of the locks)."""
PROC_LOCKS = Path("/proc/locks")
BUSY_WORDS = ("locked", "busy")
"""What SQLite says when it waited in vain."""


class LockHolder(NamedTuple):
    """The lock is held by another program: for how many seconds, and which one: `sqlite3, pid 4711`, or "" where that is not known."""

    seconds: float
    by: str


class WriteLock:
    """What the writer knows of the lock. It is written in the writer's thread and read in any."""

    def __init__(self, path: Path) -> None:
        self._shm = f"{os.fspath(path)}-shm"
        self._since: float | None = None
        self.waited = 0.0
        """Seconds for which the transaction that began last had to wait, in all its attempts."""

    def begin_immediate(self, c: Connection) -> None:
        """Begin a transaction, once nobody else writes."""
        self._since = began = self._since or monotonic()
        try:
            c.exec_driver_sql("BEGIN IMMEDIATE")
        except DBAPIError as error:
            if not any(word in str(error.orig) for word in BUSY_WORDS):
                self._since = None
            raise
        self._since, self.waited = None, monotonic() - began

    @property
    def is_held(self) -> bool:
        """Whether another program has held it for long."""
        return self._since is not None and monotonic() - self._since >= REPORT_AFTER

    def find_holder(self) -> LockHolder | None:
        """Who holds it; None while it can be had."""
        since = self._since
        if since is None or (seconds := monotonic() - since) < REPORT_AFTER:
            return None
        return LockHolder(seconds, find_lock_holder(self._shm))


def find_lock_holder(shm: str) -> str:
    """`sqlite3, pid 4711`: who holds the lock of those who write, as the kernel tells. The file is not opened: to close it again would
    take away the locks that this process has on it."""
    try:
        inode = os.stat(shm).st_ino
        lines = PROC_LOCKS.read_text("ascii", "replace").splitlines()
    except OSError:
        return ""
    return next((_format_process(int(words[4])) for words in map(str.split, lines) if _is_write_lock_line(words, inode)), "")


def _is_write_lock_line(words: list[str], inode: int) -> bool:
    """Whether a line of /proc/locks, as `7: POSIX ADVISORY WRITE 4711 08:01:131 120 120`, is that of the lock; what waits begins with an
    arrow, and what another machine or container holds has no pid."""
    if len(words) != 8 or words[3] != "WRITE" or not words[4].isdigit() or not int(words[4]) or int(words[4]) == os.getpid():
        return False
    return words[5].rpartition(":")[2] == str(inode) and int(words[6]) <= WRITE_LOCK_BYTE and (words[7] == "EOF" or int(words[7]) >= WRITE_LOCK_BYTE)


def _format_process(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"pid {pid}"
    return f"{name}, pid {pid}"
