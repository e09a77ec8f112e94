"""Queues and pools, as people make and change them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from app.core import spec
from app.core.clean import clean, valid_name
from app.errors import Conflict, Usage
from app.service import find
from app.service.call import Call
from db import named, reads, schema
from db.rows import PoolRow, QueueRow

_FIELDS: dict[str, TypeAdapter[Any]] = {
    "capacity": TypeAdapter(spec.Capacity),
    "priority": TypeAdapter(spec.Priority),
    "cpu": TypeAdapter(spec.Cpu),
    "memory": TypeAdapter(spec.Size),
    "pool": TypeAdapter(str),
    "description": TypeAdapter(str),
    "sla": TypeAdapter(str),
}
_COLUMNS = {"cpu": "total_cpu", "memory": "total_memory"}


def _values(given: dict[str, Any]) -> dict[str, Any]:
    return {_COLUMNS.get(name, name): _value(name, value) for name, value in given.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    try:
        return _FIELDS[name].validate_python(value)
    except ValidationError as error:
        raise Usage(f"{name} {spec.words_for(error)}. Nothing was changed.") from None


def _checked_name(name: str) -> None:
    wrong = valid_name(name)
    if wrong:
        raise Usage(f"name {wrong}. Nothing was changed.")


# --- queues -------------------------------------------------------------------------------------------------------------------------


async def queue_ls(call: Call) -> list[dict[str, Any]]:
    """All queues, highest priority first, with what waits in them."""
    return await call.db.read(queue_dicts)


def queue_dicts(c: Connection) -> list[dict[str, Any]]:
    """Queues on the wire."""
    counted, now = reads.counters(c), reads.queues_now(c)
    return [
        {**row._asdict(), "waiting": counted.get((row.name, "queued"), 0), "oldest_at": now[row.name].oldest_at,
         "word": _word(row, now[row.name])}
        for row in reads.queues(c)
    ]  # fmt: skip


def _word(row: QueueRow, now: Any) -> str:
    """What a queue does now: open, full, no room, paused, draining or pool off."""
    if now.pool_status != "active":
        return "pool off"
    if row.status != "active":
        return row.status
    if row.current_load >= row.capacity:
        return "full"
    waits = now.first_cpu is not None
    return "no room" if waits and (now.first_cpu > now.free_cpu + 1e-6 or now.first_memory > now.free_memory + 1e-6) else "open"


async def queue_show(call: Call, *, name: str) -> dict[str, Any]:
    """One queue."""
    found = {row["name"]: row for row in await call.db.read(queue_dicts)}
    if name not in found:
        raise find.named("queue", name, list(found))
    return found[name]


async def queue_create(
    call: Call,
    *,
    name: str,
    capacity: Any = None,
    pool: str | None = None,
    priority: Any = None,
    description: str | None = None,
) -> dict[str, Any]:
    """A new queue; by default as many at once as its pool has cores."""
    _checked_name(name)
    values = {
        "pool": "default",
        **_values({"capacity": capacity, "pool": pool, "priority": priority, "description": description}),
    }

    def create(c: Connection) -> None:
        if named.queue(c, name) is not None:
            raise Conflict(
                f"there is a queue {clean(name)} already. Nothing was changed.",
                f"Change it: taskdeck queue set {clean(name)}",
            )
        _checked_pool(c, values)
        owner = named.pool(c, values["pool"])
        values.setdefault("capacity", max(1, int(owner.total_cpu)) if owner else 1)
        named.create(c, schema.queues, name, values, call.by)

    await call.db.write(create)
    return await queue_show(call, name=name)


def _checked_pool(c: Connection, values: dict[str, Any]) -> None:
    if "pool" in values and named.pool(c, values["pool"]) is None:
        raise find.named("pool", values["pool"], [row.name for row in reads.pools(c)])


async def queue_set(
    call: Call,
    *,
    name: str,
    capacity: Any = None,
    pool: str | None = None,
    priority: Any = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Change a queue."""
    values = _values({"capacity": capacity, "pool": pool, "priority": priority, "description": description})
    if not values:
        raise Usage("nothing to set. Say what: --capacity, --priority, --pool or --description.")

    def change(c: Connection) -> None:
        _known_queue(c, name)
        _checked_pool(c, values)
        named.change(c, schema.queues, name, values, call.by)

    await call.db.write(change)
    return await queue_show(call, name=name)


def _known_queue(c: Connection, name: str) -> QueueRow:
    row = named.queue(c, name)
    if row is None:
        raise find.named("queue", name, [row.name for row in reads.queues(c)])
    return row


async def queue_rm(call: Call, *, name: str) -> dict[str, Any]:
    """Take away a queue that nothing refers to."""

    def remove(c: Connection) -> None:
        _known_queue(c, name)
        find.unused("queue", name, named.users_of_queue(c, name))
        named.remove(c, schema.queues, name, call.by)

    await call.db.write(remove)
    return {"name": name}


async def _queue_status(call: Call, name: str, status: str, verb: str) -> dict[str, Any]:
    def change(c: Connection) -> None:
        _known_queue(c, name)
        named.change(c, schema.queues, name, {"status": status}, call.by, verb)

    await call.db.write(change)
    return await queue_show(call, name=name)


async def queue_pause(call: Call, *, name: str) -> dict[str, Any]:
    """Start nothing from it."""
    return await _queue_status(call, name, "paused", "pause")


async def queue_resume(call: Call, *, name: str) -> dict[str, Any]:
    """Start from it again."""
    return await _queue_status(call, name, "active", "resume")


async def queue_drain(call: Call, *, name: str) -> dict[str, Any]:
    """Start nothing more; what runs ends."""
    return await _queue_status(call, name, "draining", "drain")


# --- pools --------------------------------------------------------------------------------------------------------------------------


async def pool_ls(call: Call) -> list[dict[str, Any]]:
    """All pools."""
    return await call.db.read(pool_dicts)


def pool_dicts(c: Connection) -> list[dict[str, Any]]:
    """Pools on the wire, with the name of their SLA."""
    slas = {row.id: row.name for row in c.execute(schema.slas.select())}
    return [
        {**row._asdict(), "sla": slas.get(row.sla_id) if row.sla_id is not None else None} for row in reads.pools(c)
    ]


async def pool_show(call: Call, *, name: str) -> dict[str, Any]:
    """One pool."""
    found = {row["name"]: row for row in await call.db.read(pool_dicts)}
    if name not in found:
        raise find.named("pool", name, list(found))
    return found[name]


async def pool_create(
    call: Call, *, name: str, cpu: Any, memory: Any, sla: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """A new pool of so many cores and MiB."""
    _checked_name(name)
    values = _values({"cpu": cpu, "memory": memory, "sla": sla, "description": description})

    def create(c: Connection) -> None:
        if named.pool(c, name) is not None:
            raise Conflict(
                f"there is a pool {clean(name)} already. Nothing was changed.",
                f"Change it: taskdeck pool set {clean(name)}",
            )
        named.create(c, schema.pools, name, _with_sla(c, values), call.by)

    await call.db.write(create)
    return await pool_show(call, name=name)


def _with_sla(c: Connection, values: dict[str, Any]) -> dict[str, Any]:
    """The SLA's id in place of its name."""
    if "sla" not in values:
        return values
    ids = {row.name: row.id for row in c.execute(schema.slas.select())}
    name = values["sla"]
    if name not in ids:
        raise find.named("sla", name, list(ids))
    return {**{key: value for key, value in values.items() if key != "sla"}, "sla_id": ids[name]}


async def pool_set(
    call: Call, *, name: str, cpu: Any = None, memory: Any = None, sla: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """Change a pool. What runs keeps what it has, also when the pool gets smaller."""
    values = _values({"cpu": cpu, "memory": memory, "sla": sla, "description": description})
    if not values:
        raise Usage("nothing to set. Say what: --cpu, --memory, --sla or --description.")

    def change(c: Connection) -> None:
        _known_pool(c, name)
        named.change(c, schema.pools, name, _with_sla(c, values), call.by)

    await call.db.write(change)
    return await pool_show(call, name=name)


def _known_pool(c: Connection, name: str) -> PoolRow:
    row = named.pool(c, name)
    if row is None:
        raise find.named("pool", name, [row.name for row in reads.pools(c)])
    return row


async def pool_rm(call: Call, *, name: str) -> dict[str, Any]:
    """Take away a pool that no queue draws from."""

    def remove(c: Connection) -> None:
        _known_pool(c, name)
        find.unused("pool", name, named.users_of_pool(c, name))
        named.remove(c, schema.pools, name, call.by)

    await call.db.write(remove)
    return {"name": name}


async def _pool_status(call: Call, name: str, status: str, verb: str) -> dict[str, Any]:
    def change(c: Connection) -> None:
        _known_pool(c, name)
        named.change(c, schema.pools, name, {"status": status}, call.by, verb)

    await call.db.write(change)
    return await pool_show(call, name=name)


async def pool_pause(call: Call, *, name: str) -> dict[str, Any]:
    """Start nothing in it."""
    return await _pool_status(call, name, "paused", "pause")


async def pool_resume(call: Call, *, name: str) -> dict[str, Any]:
    """Start in it again."""
    return await _pool_status(call, name, "active", "resume")


async def pool_drain(call: Call, *, name: str) -> dict[str, Any]:
    """Start nothing more in it; what runs ends."""
    return await _pool_status(call, name, "draining", "drain")
