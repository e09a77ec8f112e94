"""Replication target of the database.

The row travels with the copy, so a copy knows its origin and its age.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text, update

from db import schema, timestamps
from db.queries import counters, home_identity, operations
from db.states import ACTIVE_SQL

PROMOTED_PROBLEM = "it was promoted, and is a home of its own now"
"""Problem of a copy that was promoted. Replication to it stops."""

SKIPPED_NUMBERS = 10_000
"""Numbers a promoted copy skips, as the original may have given them out meanwhile."""


_REPLICAS = schema.replicas


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
    row = c.execute(select(*(_REPLICAS.c[name] for name in Replica._fields))).first()
    return Replica._make(row) if row else None


def get_lag_start(c: Connection) -> str | None:
    """Return the time since which the copy lacks writes, or None without a target.

    The start of the latest complete copy, else the time the target was set.
    """
    return c.execute(select(func.coalesce(_REPLICAS.c.synced_at, _REPLICAS.c.created_at))).scalar()


def set_target(c: Connection, target: str | None, origin: str, by: str) -> None:
    """Set the replication target, or remove it."""
    before = find_replica(c)
    c.execute(delete(_REPLICAS))
    if target is not None:
        now = timestamps.now()
        row = {"target": target, "origin": origin, "created_at": now, "updated_at": now}
        c.execute(insert(_REPLICAS).values(row))
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
    c.execute(update(_REPLICAS).values(at=at, origin=origin, updated_at=at))


def record_end(c: Connection, began: str, problem: str | None) -> None:
    """Record the end of a copy, or its problem."""
    synced = {"synced_at": began} if problem is None else {}
    c.execute(update(_REPLICAS).values(problem=problem, updated_at=timestamps.now(), **synced))


def promote_copy(c: Connection, by: str) -> int:
    """Make a copy an independent database without backups.

    Return the number after which tasks continue.
    """
    replica = find_replica(c)
    c.execute(delete(_REPLICAS))
    c.execute(delete(schema.backups))
    home_identity.replace(c)
    # The runs may have succeeded: this is another machine, not a reboot of the old one.
    c.execute(update(schema.instances).where(text(f"status IN {ACTIVE_SQL}")).values(boot_id=None))
    counters.add_values(c, {"task-number": SKIPPED_NUMBERS})
    operations.record(c, by, "db promote", "database", replica._asdict() if replica else None)
    return counters.read_value(c, "task-number") or SKIPPED_NUMBERS
