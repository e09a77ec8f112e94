"""Samples of queues and pools, one row a minute each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from db import raw_sql, schema

COUNT_COLUMNS = ("started", "ended", "failed")
"""Columns that count what happened within the minute. The others are levels."""
_LEVEL_COLUMNS = (
    "running",
    "waiting",
    "used_cpu",
    "used_memory",
    "measured_cpu",
    "measured_memory",
    "resources",
    "created_at",
    "updated_at",
)


def store_samples(c: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Store samples; a second one in the same minute replaces levels and adds counts.

    A replaced runtime or a drifting clock causes a second sample.
    """
    table = upsert(schema.samples)
    levels = {name: table.excluded[name] for name in _LEVEL_COLUMNS}
    counts = {name: schema.samples.c[name] + table.excluded[name] for name in COUNT_COLUMNS}
    c.execute(
        table.on_conflict_do_update(
            index_elements=["kind", "name", "minute"], set_=levels | counts
        ),
        rows,
    )


class StoredLevel(NamedTuple):
    """Levels of a queue or pool in a minute."""

    name: str
    minute: str
    running: int
    waiting: int
    used_cpu: float | None
    used_memory: float | None


def list_levels(c: Connection, kind: str, since: str) -> list[StoredLevel]:
    """Return the levels of all queues or pools from `since` on."""
    # `+` keeps SQLite from the index of the primary key, which holds all minutes of a kind.
    found = (
        "SELECT name, minute, running, waiting, used_cpu, used_memory FROM samples"
        " WHERE minute >= ? AND +kind = ?"
    )
    return [StoredLevel(*row) for row in raw_sql.fetch_tuples(c, found, (since, kind))]


def list_samples(c: Connection, since: str) -> list[Any]:
    """Return the minute samples after `since`, oldest first."""
    s = schema.samples
    return list(c.execute(select(s).where(s.c.minute >= since).order_by(s.c.minute)).all())


def map_last_measures(c: Connection) -> dict[str, Any]:
    """Return {pool: latest measured CPU and memory, with `updated_at`}."""
    found = (
        "SELECT name, measured_cpu, measured_memory, updated_at FROM samples "
        "WHERE kind = 'pool' AND minute = (SELECT max(minute) FROM samples)"
    )
    return {row.name: row for row in raw_sql.fetch_rows(c, found)}


def find_last_before(c: Connection, time: str) -> str | None:
    """Return the last minute before `time` that has samples, readable as a time or not."""
    return raw_sql.fetch_value(c, "SELECT max(minute) FROM samples WHERE minute < ?", (time,))


def find_first_from(c: Connection, time: str) -> str | None:
    """Return the first minute from `time` on that has samples."""
    return raw_sql.fetch_value(c, "SELECT min(minute) FROM samples WHERE minute >= ?", (time,))
