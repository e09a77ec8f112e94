"""Database files: SQLite URIs, fsync and advisory locks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from urllib.parse import quote

SIDE_SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""


def make_read_only_uri(path: Path) -> str:
    """Return `path`, which may hold any bytes, as a URI that sqlite3 opens read-only.

    SQLite cannot create the `-shm` file in a read-only folder. Without a WAL the file is safe to
    open as immutable.
    """
    is_immutable = not path.with_name(f"{path.name}-wal").exists() and not os.access(
        path.parent, os.W_OK
    )
    return f"{_uri(path)}?mode=ro{'&immutable=1' if is_immutable else ''}"


def make_undisturbed_uri(path: Path) -> str:
    """Return a read-only URI that leaves no files beside a database without a WAL.

    SQLite would otherwise leave an empty WAL there.
    """
    is_immutable = not path.with_name(f"{path.name}-wal").exists()
    return f"{_uri(path)}?mode=ro{'&immutable=1' if is_immutable else ''}"


def make_existing_uri(path: Path) -> str:
    """Return `path` as a URI that sqlite3 opens for writing and never creates."""
    return f"{_uri(path)}?mode=rw"


def fsync_path(path: Path) -> None:
    """Flush a file or folder to disk. Raise OSError.

    Never call it for a database that another thread may have open: closing the file drops SQLite's
    locks.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_database(path: Path) -> None:
    """Remove a database and its side files, if they exist. Raise OSError.

    The database goes first: without its WAL it would still look complete.
    """
    for ending in ("", *SIDE_SUFFIXES):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)


def try_lock(fd: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file or folder until it is closed and return True on success.

    Return False if another process holds the lock.
    """
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _uri(path: Path) -> str:
    return f"file:{quote(os.fsencode(path))}"
