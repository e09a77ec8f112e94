"""Loads of queues and pools, recounted from the active runs."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.states import ACTIVE_SQL

_LOADS = f"""
SELECT queue, pool, count(*) AS load, sum(cpu) AS cpu, sum(memory) AS memory FROM instances
WHERE status IN {ACTIVE_SQL} GROUP BY queue, pool
"""


def recount_loads(c: Connection) -> list[str]:
    """Write the loads of queues and pools; return the names whose figures changed."""
    queues: dict[str, int] = {}
    pools: dict[str, tuple[float, float]] = {}
    for row in raw_sql.fetch_rows(c, _LOADS):
        queues[row.queue] = queues.get(row.queue, 0) + row.load
        cpu, memory = pools.get(row.pool, (0.0, 0.0))
        pools[row.pool] = (cpu + row.cpu, memory + row.memory)
    return [*_write_loads(c, queues), *_write_used(c, pools)]


def move_reservations(c: Connection, queue: str, pool: str) -> None:
    """Move the reservations of a queue's active runs to another pool."""
    raw_sql.execute_statement(
        c,
        f"UPDATE instances SET pool = ? WHERE queue = ? AND status IN {ACTIVE_SQL}",
        (pool, queue),
    )
    recount_loads(c)


def _write_loads(c: Connection, loads: dict[str, int]) -> list[str]:
    was = dict(raw_sql.fetch_tuples(c, "SELECT name, current_load FROM queues"))
    now = timestamps.now()
    new = [
        {"at": name, "load": loads.get(name, 0), "now": now}
        for name, load in was.items()
        if load != loads.get(name, 0)
    ]
    raw_sql.execute_statements(
        c, "UPDATE queues SET current_load = :load, updated_at = :now WHERE name = :at", new
    )
    return [row["at"] for row in new]


def _write_used(c: Connection, loads_by_pool: dict[str, tuple[float, float]]) -> list[str]:
    new, now = [], timestamps.now()
    for name, cpu, memory in raw_sql.fetch_rows(c, "SELECT name, used_cpu, used_memory FROM pools"):
        now_cpu, now_memory = (round(value, 3) for value in loads_by_pool.get(name, (0.0, 0.0)))
        if (cpu, memory) != (now_cpu, now_memory):
            new.append({"at": name, "cpu": now_cpu, "memory": now_memory, "now": now})
    raw_sql.execute_statements(
        c,
        "UPDATE pools SET used_cpu = :cpu, used_memory = :memory, updated_at = :now WHERE name ="
        " :at",
        new,
    )
    return [row["at"] for row in new]
