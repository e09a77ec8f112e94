"""Queues and pools: made, changed and taken away, each with its operation row, in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, func, select

from db import clock, operations, reads, schema
from db.rows import PoolRow, QueueRow


def queue(c: Connection, name: str) -> QueueRow | None:
    """A queue by its name."""
    return next((row for row in reads.queues(c) if row.name == name), None)


def pool(c: Connection, name: str) -> PoolRow | None:
    """A pool by its name."""
    return next((row for row in reads.pools(c) if row.name == name), None)


def create(c: Connection, table: Table, name: str, values: dict[str, Any], by: str) -> None:
    """Insert a queue or pool (`schema.queues`, `schema.pools`), active."""
    now = clock.now()
    c.execute(table.insert().values(name=name, status="active", created_at=now, updated_at=now, **values))
    operations.record(c, by, f"{_kind(table)} create", f"{_kind(table)} {name}", after=values)


def change(
    c: Connection, table: Table, name: str, values: dict[str, Any], by: str, verb: str = "set"
) -> dict[str, list[Any]]:
    """Set what differs; {column: [old, new]}. What is so already is left alone, its time of change too."""
    row = c.execute(select(table).where(table.c.name == name)).one()._mapping
    changed = {key: [row[key], value] for key, value in values.items() if row[key] != value}
    if changed:
        new = {key: value for key, (_, value) in changed.items()}
        if "status" in new:
            new |= {"status_by": by, "status_at": clock.now()}
        c.execute(table.update().where(table.c.name == name).values(**new, updated_at=clock.now()))
        before, after = ({key: pair[at] for key, pair in changed.items()} for at in (0, 1))
        operations.record(c, by, f"{_kind(table)} {verb}", f"{_kind(table)} {name}", before, after)
    return changed


def remove(c: Connection, table: Table, name: str, by: str) -> None:
    """Delete one that nothing refers to."""
    row = dict(c.execute(select(table).where(table.c.name == name)).one()._mapping)
    c.execute(table.delete().where(table.c.name == name))
    operations.record(c, by, f"{_kind(table)} rm", f"{_kind(table)} {name}", before=row)


def users_of_queue(c: Connection, name: str) -> dict[str, int]:
    """What refers to a queue: tasks (ended ones too), templates."""
    return {"task": _count(c, schema.tasks, "queue", name), "template": _count(c, schema.templates, "queue", name)}


def users_of_pool(c: Connection, name: str) -> dict[str, int]:
    """What refers to a pool: queues."""
    return {"queue": _count(c, schema.queues, "pool", name)}


def _count(c: Connection, table: Table, column: str, value: str) -> int:
    return c.execute(select(func.count()).select_from(table).where(table.c[column] == value)).scalar_one()


def _kind(table: Table) -> str:
    return table.name.removesuffix("s")
