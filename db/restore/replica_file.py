"""Identity of a replica file: its home, and the time and content of its last sync."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from db import raw_sql
from db.backup import restore_tool as tool
from db.error_translation import translate_error
from db.errors import DamagedDatabase, Problem, Storage
from db.sqlite_files import make_read_only_uri, make_undisturbed_uri


class ReplicaIdentity(NamedTuple):
    """Identity of a replica.

    Its home, the start of the sync (None: unknown), its highest number, and the tasks running then.
    """

    origin: str
    at: str | None
    highest: int
    running: list[int]


def read_identity(path: Path) -> ReplicaIdentity:
    """Return the identity of the replica at `path`. Raise Storage."""
    try:
        with closing(sqlite3.connect(make_read_only_uri(path), uri=True)) as c:
            origin, at = c.execute("SELECT origin, at FROM replicas").fetchone() or (
                "another home",
                None,
            )
            highest = c.execute(
                "SELECT value FROM counters WHERE name = 'task-number' AND typeof(value) ="
                " 'integer'"
            ).fetchone()
            running = (
                "SELECT number FROM tasks WHERE status = 'running' AND deleted_at IS NULL ORDER BY"
                " number"
            )
            return ReplicaIdentity(
                origin,
                at,
                highest[0] if highest else 0,
                [number for (number,) in c.execute(running)],
            )
    except raw_sql.DRIVER_ERRORS as error:
        raise make_unreadable_error(error, path) from error


def read_origin_and_time(path: Path) -> tuple[str, str | None]:
    """Return a replica's origin and the start of its last sync, None if unknown. Raise Storage.

    Leaves no file beside the replica.
    """
    try:
        with closing(sqlite3.connect(make_undisturbed_uri(path), uri=True)) as c:
            row = c.execute("SELECT origin, at FROM replicas").fetchone()
    except raw_sql.DRIVER_ERRORS as error:
        raise make_unreadable_error(error, path) from error
    return row or ("another home", None)


def make_unreadable_error(error: Exception, copy: Path) -> Problem:
    """Return the problem for a driver error on a replica."""
    problem = translate_error(error, copy)
    if isinstance(problem, DamagedDatabase):
        return make_damaged_error(problem.why, copy)
    return problem or Storage(
        "the replica cannot be read ({error}): {copy}.", error=error, copy=copy
    )


def make_damaged_error(why: str, copy: Path) -> Storage:
    """Return the problem for a damaged replica.

    The hint differs from a home's own database: backups of this home are no help.
    """
    return Storage(
        "the replica is damaged ({why}): {copy}. It was not changed.",
        "Promote another replica, or restore a backup.",
        why=why,
        copy=copy,
    )


def find_origin(path: Path) -> tuple[str | None, str | None]:
    """Return a replica's origin and home identity, or (None, None).

    Leaves no file beside the replica, which has a WAL only while it is written.
    """
    with (
        suppress(*raw_sql.DRIVER_ERRORS),
        closing(sqlite3.connect(make_undisturbed_uri(path), uri=True)) as c,
    ):
        row = c.execute("SELECT origin FROM replicas").fetchone()
        return (str(row[0]), tool.read_home_uuid(c)) if row else (None, None)
    return None, None
