"""Files: how SQLite is told of them, how they get to the disk, how one is held."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from urllib.parse import quote

SIDE_SUFFIXES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of the names."""


def read_only_uri(path: Path) -> str:
    """`path`, of any bytes, as a URI that sqlite3 opens read-only.

    In a folder that cannot be written SQLite cannot make the index of a log; without a log there is nothing it would miss.
    """
    alone = not path.with_name(f"{path.name}-wal").exists() and not os.access(path.parent, os.W_OK)
    return f"{_uri(path)}?mode=ro{'&immutable=1' if alone else ''}"


def undisturbed_uri(path: Path) -> str:
    """The same, and nothing is made beside a database that has no log: SQLite would leave one there."""
    alone = not path.with_name(f"{path.name}-wal").exists()
    return f"{_uri(path)}?mode=ro{'&immutable=1' if alone else ''}"


def existing_uri(path: Path) -> str:
    """`path` as a URI that sqlite3 opens for writing, and never makes."""
    return f"{_uri(path)}?mode=rw"


def fsync_path(path: Path) -> None:
    """Have a file or a folder on the disk. Never for a database that somebody may have open. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_database(path: Path) -> None:
    """Take a database away, if it is there. What lies beside goes after it: without that it would seem to be whole. Raises OSError."""
    for ending in ("", *SIDE_SUFFIXES):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)


def try_lock(fd: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file or folder until it is closed, unless another process has it; whether it was had."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _uri(path: Path) -> str:
    return f"file:{quote(os.fsencode(path))}"
