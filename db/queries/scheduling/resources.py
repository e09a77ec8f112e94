"""Queries on named resources, whose amounts are stored as JSON text in rows of other tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.states import ACTIVE_SQL


@lru_cache(maxsize=1024)
def _parse(text: str) -> Mapping[str, int]:
    return {str(name): int(amount) for name, amount in json.loads(text).items()}


def parse_named(text: str | None) -> Mapping[str, int]:
    """Return {named resource: amount} of a column."""
    return _parse(text) if text else {}


def to_text(amounts: Mapping[str, float] | None) -> str | None:
    """Return amounts as stored, without zeros; None for none."""
    kept = {name: amount for name, amount in (amounts or {}).items() if amount}
    return json.dumps(kept, sort_keys=True) if kept else None


class LimitRow(NamedTuple):
    """The most that running tasks of a tag may take; None is any amount."""

    name: str
    running: int | None
    cpu: float | None
    memory: float | None
    resources: str | None


class BookingRow(NamedTuple):
    """A booking that has not ended."""

    name: str
    running: None
    cpu: float | None
    memory: float | None
    resources: str | None
    pool: str
    tag: str
    begins_at: str
    ends_at: str


class SharedResourceRow(NamedTuple):
    """A row of the resources table."""

    name: str
    total: int
    description: str | None
    created_at: str
    updated_at: str


def list_shared(c: Connection) -> list[SharedResourceRow]:
    """Return the resources that all pools share, by name."""
    found = f"SELECT {', '.join(SharedResourceRow._fields)} FROM resources ORDER BY name"
    return [SharedResourceRow._make(row) for row in raw_sql.fetch_tuples(c, found)]


def count_asking(
    c: Connection, name: str, most: int, states: Sequence[str]
) -> tuple[int, int | None]:
    """Return how many tasks in `states` ask for more than `most`, and the first one.

    100,000 tasks in these states take 0.1 s.
    """
    found = (
        "SELECT count(*), min(t.number) FROM tasks t INDEXED BY idx_tasks_status CROSS JOIN"
        " json_each(t.resources) n WHERE t.status IN (SELECT value FROM json_each(?))"
        " AND t.deleted_at IS NULL AND n.key = ? AND n.value > ?"
    )
    (row,) = raw_sql.fetch_tuples(c, found, (json.dumps(list(states)), name, most))
    return row


def read_totals(c: Connection) -> Mapping[str, int]:
    """Return {resource that all pools share: its total}."""
    return dict(raw_sql.fetch_tuples(c, "SELECT name, total FROM resources"))


class Bounds(NamedTuple):
    """Totals beside those of pools: shared resources, limits of tags by name, and bookings.

    `groups` has the most running tasks of each group that has queued ones.
    """

    shared: Mapping[str, int]
    limits: Mapping[str, LimitRow]
    groups: Mapping[int, int]
    bookings: Sequence[BookingRow]


def read_bounds(c: Connection) -> Bounds:
    """Return what bounds the tasks of all pools together, by one statement."""
    rows = list(raw_sql.fetch_tuples(c, _BOUNDS, (timestamps.now(),)))
    return Bounds(
        {row[1]: row[2] for row in rows if row[0] == 0},
        {row[1]: LimitRow._make(row[1:6]) for row in rows if row[0] == 1},
        {row[1]: row[2] for row in rows if row[0] == 2},
        [BookingRow._make(row[1:]) for row in rows if row[0] == 3],
    )


_NONE = "NULL, NULL, NULL, NULL"
_BOUNDS = (
    f"SELECT 0, name, total, NULL, NULL, NULL, {_NONE} FROM resources"
    f" UNION ALL SELECT 1, name, running, cpu, memory, resources, {_NONE} FROM limits"
    f" UNION ALL SELECT 2, number, max_running, NULL, NULL, NULL, {_NONE} FROM groups g"
    " WHERE max_running IS NOT NULL AND EXISTS (SELECT 1 FROM tasks t WHERE t.group_number ="
    " g.number AND t.status = 'queued')"
    " UNION ALL SELECT 3, name, NULL, cpu, memory, resources, pool, tag, begins_at, ends_at"
    " FROM bookings WHERE ends_at > ?"
)


def parse_devices(text: str | None) -> list[str]:
    """Return the devices of a run as stored."""
    return json.loads(text) if text else []


def list_held_devices(c: Connection) -> set[str]:
    """Return the devices of all active runs."""
    found = raw_sql.fetch_column(c, _HELD_DEVICES)
    return {name for text in found for name in parse_devices(text)}


_HELD_DEVICES = (
    f"SELECT devices FROM instances WHERE status IN {ACTIVE_SQL} AND devices IS NOT NULL"
)
_HELD = (
    f"SELECT pool, resources FROM instances WHERE status IN {ACTIVE_SQL} AND resources IS NOT NULL"
)


def sum_held(c: Connection) -> dict[str, dict[str, int]]:
    """Return {pool: {named resource: amount that its active runs hold}}."""
    found: dict[str, dict[str, int]] = {}
    for pool, text in raw_sql.fetch_tuples(c, _HELD):
        held = found.setdefault(pool, {})
        for name, amount in parse_named(text).items():
            held[name] = held.get(name, 0) + amount
    return found
