"""Where the database is copied to, and whose copy a database is: the row travels along, so that a copy knows how old it is."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import home_identity, operations
from db.states import ACTIVE_SQL

PROMOTED_PROBLEM = "it was promoted, and is a home of its own now"
"""The problem of a copy that is none any more: nothing is copied there."""

SKIPPED_NUMBERS = 10_000
"""Numbers that a promoted copy leaves out, since those after its last one may have been given meanwhile."""


class Replica(NamedTuple):
    """`origin` is the home that is copied, as HOST:FOLDER; `at` when the copy that one reads was begun; `synced_at` when the last one
    that came to its end was begun; `problem` what kept the last one from it."""

    target: str
    origin: str
    at: str | None
    synced_at: str | None
    problem: str | None


def find_replica(c: Connection) -> Replica | None:
    """The one there is."""
    row = c.exec_driver_sql("SELECT target, origin, at, synced_at, problem FROM replicas").first()
    return Replica(*row) if row else None


def get_lag_start(c: Connection) -> str | None:
    """Since when the copy lacks what is written: when the last whole one was begun, else when it was chosen. None: there is none."""
    return c.exec_driver_sql("SELECT coalesce(synced_at, created_at) FROM replicas").scalar()


def set_target(c: Connection, target: str | None, origin: str, by: str) -> None:
    """Copy to `target` from now on, or nowhere."""
    before = find_replica(c)
    raw_sql.execute_statement(c, "DELETE FROM replicas")
    if target is not None:
        now = timestamps.now()
        raw_sql.execute_statement(c, "INSERT INTO replicas (target, origin, created_at, updated_at) VALUES (?, ?, ?, ?)", (target, origin, now, now))
    operations.record(c, by, "db replica", "replica", {"target": before.target} if before else None, {"target": target} if target else None)


def record_start(c: Connection, at: str, origin: str) -> None:
    """A copy is begun now; it will say so of itself."""
    raw_sql.execute_statement(c, "UPDATE replicas SET at = ?, origin = ?, updated_at = ?", (at, origin, at))


def record_end(c: Connection, began: str, problem: str | None) -> None:
    """The copy that was begun then came to its end, or to a problem."""
    raw_sql.execute_statement(c, "UPDATE replicas SET synced_at = CASE WHEN ? IS NULL THEN ? ELSE synced_at END, problem = ?, updated_at = ?",
            (problem, began, problem, timestamps.now()))  # fmt: skip


def promote_copy(c: Connection, by: str) -> int:
    """Make a copy a database of its own, which has no backups yet; the number from which tasks go on."""
    replica = find_replica(c)
    raw_sql.execute_statement(c, "DELETE FROM replicas")
    raw_sql.execute_statement(c, "DELETE FROM backups")
    home_identity.replace(c)
    # What ran there may have succeeded: this is another machine, and no restart of that one.
    raw_sql.execute_statement(c, f"UPDATE instances SET boot_id = NULL WHERE status IN {ACTIVE_SQL}")
    now = timestamps.now()
    raw_sql.execute_statement(c, "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', ?, ?, ?) "
               "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value, updated_at = excluded.updated_at",
            (SKIPPED_NUMBERS, now, now))  # fmt: skip
    operations.record(c, by, "db promote", "database", replica._asdict() if replica else None)
    return raw_sql.fetch_value(c, "SELECT value FROM counters WHERE name = 'task-number'")
