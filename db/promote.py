"""A copy of another home's database made a home of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from db import check, replicas
from db.engine import explain, write_engine
from db.errors import DamagedDatabase, Storage
from db.files import read_only_uri


class Copy(NamedTuple):
    """Of which home it is, when it was begun (None: it cannot say), its highest number, and what ran at that time."""

    origin: str
    at: str | None
    highest: int
    running: list[int]


def look(path: Path) -> Copy | None:
    """What the database at `path` says of itself; None when it is no copy. Raises Storage."""
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as c:
            row = c.execute("SELECT origin, at FROM replicas").fetchone()
            if row is None:
                return None
            highest = c.execute("SELECT value FROM counters WHERE name = 'task-number'").fetchone()
            running = "SELECT number FROM tasks WHERE status = 'running' AND deleted_at IS NULL ORDER BY number"
            return Copy(row[0], row[1], highest[0] if highest else 0, [number for (number,) in c.execute(running)])
    except sqlite3.Error as error:
        raise explain(error, path) or Storage(f"the copy cannot be read ({error}): {path}.") from error


def promote(path: Path, by: str) -> int:
    """Check the copy whole and make it a database of its own; the number from which its tasks go on. The caller holds the lock."""
    if wrong := check.check(path):
        raise DamagedDatabase(f"the copy is damaged: {wrong[0]}. It was not changed.", "Promote another copy, or restore a backup.")
    engine = write_engine(path)
    try:
        with engine.begin() as c:
            return replicas.promote(c, by)
    finally:
        engine.dispose()
