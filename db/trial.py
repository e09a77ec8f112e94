"""Whether the disk takes what is written."""

from __future__ import annotations

from sqlalchemy import Connection

from db import clock


def try_out(c: Connection) -> None:
    """A change that matters to nobody, and is on the disk once it is committed."""
    now = clock.now()
    c.exec_driver_sql(
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('tried out', 1, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = value + 1, updated_at = excluded.updated_at",
        (now, now),
    )
