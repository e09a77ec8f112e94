"""Replication target of the database.

The row travels with the copy, so a copy knows its origin and its age.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import home_identity, operations
from db.states import ACTIVE_SQL

PROMOTED_PROBLEM = "it was promoted, and is a home of its own now"
"""Problem of a copy that was promoted. Replication to it stops."""

SKIPPED_NUMBERS = 10_000
"""Numbers a promoted copy skips, as the original may have given them out meanwhile."""


class Replica(NamedTuple):
    """A replication target.

    `origin` is the copied home as HOST:FOLDER, `at` the start of this copy, `synced_at` the start
    of the latest complete copy, and `problem` the failure of the latest one.
    """

    target: str
    origin: str
    at: str | None
    synced_at: str | None
    problem: str | None


def find_replica(c: Connection) -> Replica | None:
    """Return the replication target, or None."""
    row = c.exec_driver_sql("SELECT target, origin, at, synced_at, problem FROM replicas").first()
    return Replica(*row) if row else None


def get_lag_start(c: Connection) -> str | None:
    """Return the time since which the copy lacks writes, or None without a target.

    The start of the latest complete copy, else the time the target was set.
    """
    return c.exec_driver_sql("SELECT coalesce(synced_at, created_at) FROM replicas").scalar()


def set_target(c: Connection, target: str | None, origin: str, by: str) -> None:
    """Set the replication target, or remove it."""
    before = find_replica(c)
    raw_sql.execute_statement(c, "DELETE FROM replicas")
    if target is not None:
        now = timestamps.now()
        raw_sql.execute_statement(
            c,
            "INSERT INTO replicas (target, origin, created_at, updated_at) VALUES (?, ?, ?, ?)",
            (target, origin, now, now),
        )
    operations.record(
        c,
        by,
        "db replica",
        "replica",
        {"target": before.target} if before else None,
        {"target": target} if target else None,
    )


def record_start(c: Connection, at: str, origin: str) -> None:
    """Record in the row that a copy begins, so that the copy says so itself."""
    raw_sql.execute_statement(
        c, "UPDATE replicas SET at = ?, origin = ?, updated_at = ?", (at, origin, at)
    )


def record_end(c: Connection, began: str, problem: str | None) -> None:
    """Record the end of a copy, or its problem."""
    raw_sql.execute_statement(
        c,
        "UPDATE replicas SET synced_at = CASE WHEN ? IS NULL THEN ? ELSE synced_at END,"
        " problem = ?, updated_at = ?",
        (problem, began, problem, timestamps.now()),
    )


def promote_copy(c: Connection, by: str) -> int:
    """Make a copy an independent database without backups.

    Return the number after which tasks continue.
    """
    replica = find_replica(c)
    raw_sql.execute_statement(c, "DELETE FROM replicas")
    raw_sql.execute_statement(c, "DELETE FROM backups")
    home_identity.replace(c)
    # The runs may have succeeded: this is another machine, not a reboot of the old one.
    raw_sql.execute_statement(
        c, f"UPDATE instances SET boot_id = NULL WHERE status IN {ACTIVE_SQL}"
    )
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE"
        " SET value = value + excluded.value, updated_at = excluded.updated_at",
        (SKIPPED_NUMBERS, now, now),
    )
    operations.record(c, by, "db promote", "database", replica._asdict() if replica else None)
    return raw_sql.fetch_value(c, "SELECT value FROM counters WHERE name = 'task-number'")
