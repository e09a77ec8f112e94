"""Default pool and queue of a new home. Without them no task can be submitted."""

from __future__ import annotations

from sqlalchemy import Connection

from db import host, raw_sql, schema
from db.queries import definitions
from db.queries.tasks.transitions import SYSTEM

DEFAULT_NAME = "default"
"""Name of the default pool and of the default queue."""
DEFAULT_CAPACITY = 1000
"""Capacity of the default queue.

The pool limits; the capacity only holds back tasks that ask for nothing.
"""
MISSING_DEFAULTS = " UNION ALL ".join(
    f"SELECT '{kind}' WHERE NOT EXISTS (SELECT 1 FROM {kind}s)" for kind in ("pool", "queue")
)
"""Query that returns `pool` and `queue` for the tables without a row."""


def list_missing(c: Connection) -> list[str]:
    """Return `pool` and `queue` for the tables without a row."""
    return raw_sql.fetch_column(c, MISSING_DEFAULTS)


def create_defaults(c: Connection) -> None:
    """Create the default pool with this host's capacity and the default queue.

    Do nothing if any pool exists.
    """
    if "pool" in list_missing(c):
        create_default_pool(c)
        values = {"pool": DEFAULT_NAME, "capacity": DEFAULT_CAPACITY}
        definitions.create(c, schema.queues, DEFAULT_NAME, values, SYSTEM)


def create_default_pool(c: Connection) -> tuple[int, int]:
    """Create the default pool and return its cores and MiB."""
    cores, memory = host.read_capacity()
    definitions.create(
        c, schema.pools, DEFAULT_NAME, {"total_cpu": cores, "total_memory": memory}, SYSTEM
    )
    return int(cores), int(memory)
