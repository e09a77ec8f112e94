"""The pool and the queue that every home begins with, without which no task can be submitted."""

from __future__ import annotations

from sqlalchemy import Connection

from db import host, raw_sql, schema
from db.queries import definitions
from db.queries.transitions import SYSTEM

DEFAULT_NAME = "default"
"""Of either."""
MISSING_DEFAULTS = " UNION ALL ".join(f"SELECT '{kind}' WHERE NOT EXISTS (SELECT 1 FROM {kind}s)" for kind in ("pool", "queue"))
"""`pool` and `queue`, as far as there is none at all."""


def create_defaults(c: Connection) -> None:
    """Pool `default`: this machine. Queue `default` on it. Only where there is no pool at all."""
    if "pool" in raw_sql.fetch_column(c, MISSING_DEFAULTS):
        cores, _ = create_default_pool(c)
        definitions.create(c, schema.queues, DEFAULT_NAME, {"pool": DEFAULT_NAME, "capacity": cores}, SYSTEM)


def create_default_pool(c: Connection) -> tuple[int, int]:
    """The pool alone; its cores and MiB."""
    cores, memory = host.read_capacity()
    definitions.create(c, schema.pools, DEFAULT_NAME, {"total_cpu": cores, "total_memory": memory}, SYSTEM)
    return int(cores), int(memory)
