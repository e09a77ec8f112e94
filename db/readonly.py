"""Read-only access to a database file through plain sqlite3."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from db import raw_sql
from db.backup import restore_tool as tool
from db.error_translation import translate_error
from db.errors import Storage
from db.sqlite_files import make_read_only_uri

MAX_FAULTS = 20
"""Maximum number of reported faults of one kind."""


def find_faults(c: sqlite3.Connection, most: int = MAX_FAULTS) -> list[str]:
    """Return the faults SQLite finds in pages, indexes and rows."""
    return read_check_lines(c, f"PRAGMA integrity_check({most})") or tool.find_broken_checks(c)


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that cannot write. Raise Storage if sqlite3 fails."""
    try:
        with closing(
            sqlite3.connect(make_read_only_uri(path), uri=True, timeout=10, isolation_level=None)
        ) as c:
            c.execute("BEGIN")  # one snapshot, while a runtime keeps writing
            yield c
    except raw_sql.DRIVER_ERRORS as error:
        raise translate_error(error, path) or Storage(
            "the database cannot be read ({error}): {path}.", error=error, path=path
        ) from error


def read_check_lines(c: sqlite3.Connection, pragma: str) -> list[str]:
    """Return the output of a check, one fault a line.

    SQLite may put several lines into the first row.
    """
    lines = [line for row in c.execute(pragma) for line in row[0].splitlines()]
    return [line for line in lines if line not in ("ok", "*** in database main ***")][:MAX_FAULTS]
