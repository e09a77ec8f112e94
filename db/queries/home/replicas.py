"""Replication target of the database.

The row is replicated too, so a replica knows its origin and its age.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, literal, select, text, update

from db import host, schema, timestamps
from db.queries import counters, schedules
from db.queries.history import operations
from db.queries.home import home_identity
from db.states import ACTIVE_SQL

PROMOTED_PROBLEM = "it was promoted, and is a home of its own now"
"""Problem of a target whose replica was promoted. Replication to it stops."""

MOST_MISSED = 10_000
"""Missed tasks that are counted; counting all of a replica of last week would take long."""
SKIPPED_NUMBERS = 10_000
"""Numbers that a promoted replica skips, as its home may have assigned them meanwhile."""


_REPLICAS = schema.replicas


class Replica(NamedTuple):
    """A replication target.

    `origin` is the replicated home as HOST:FOLDER, `at` the start of the latest sync, `synced_at`
    the start of the latest complete sync, and `problem` the failure of the latest sync.
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
    """Return the time since which the replica lacks writes, or None without a target.

    The time is the start of the latest complete sync, else the time when the target was set.
    """
    return c.execute(select(func.coalesce(_REPLICAS.c.synced_at, _REPLICAS.c.created_at))).scalar()


def count_missed(c: Connection, since: str) -> dict[str, int]:
    """Return {"tasks", "ends", "most"}: tasks submitted and tasks ended since a time.

    A replica of that time lacks them. Counting stops one above `most`.
    """
    tasks = schema.tasks
    return {
        name: c.execute(
            select(func.count()).select_from(
                select(literal(1)).where(column >= since).limit(MOST_MISSED + 1).subquery()
            )
        ).scalar_one()
        for name, column in (("tasks", tasks.c.created_at), ("ends", tasks.c.ended_at))
    } | {"most": MOST_MISSED}


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
    """Record the start of a sync, so that the replica contains this time."""
    c.execute(update(_REPLICAS).values(at=at, origin=origin, updated_at=at))


def record_end(c: Connection, began: str, problem: str | None) -> None:
    """Record the end of a sync, or its problem."""
    synced = {"synced_at": began} if problem is None else {}
    c.execute(update(_REPLICAS).values(problem=problem, updated_at=timestamps.now(), **synced))


def promote_replica(c: Connection, by: str) -> int:
    """Make a replica an independent database without backups.

    Return the number after which tasks continue.
    """
    replica = find_replica(c)
    c.execute(delete(_REPLICAS))
    c.execute(delete(schema.backups))
    home_identity.replace(c)
    # The runs may have succeeded: this is another machine, not a reboot of the old one.
    c.execute(update(schema.instances).where(text(f"status IN {ACTIVE_SQL}")).values(boot_id=None))
    schedules.continue_from_now(c, host.read_boot_id())
    counters.add_values(c, {"task-number": SKIPPED_NUMBERS})
    operations.record(c, by, "db promote", "database", replica._asdict() if replica else None)
    return counters.read_value(c, "task-number") or SKIPPED_NUMBERS
