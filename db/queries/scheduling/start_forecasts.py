"""Queries on recorded forecasts of starts. Their number is bounded for each pool."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql

_STARTED = (
    "(SELECT min(i.created_at) FROM instances i WHERE i.task_id = t.uuid"
    " AND i.created_at >= f.created_at)"
)
_OF_POOL = (
    f"SELECT f.earliest, f.latest, f.created_at, {_STARTED} AS started_at"
    " FROM (SELECT * FROM start_forecasts WHERE pool = ? ORDER BY created_at DESC LIMIT ?) f"
    " CROSS JOIN tasks t ON t.number = f.number"
    " WHERE started_at IS NOT NULL OR t.status = 'queued'"
)
_RECORDED = (
    f"SELECT f.number, f.pool, {_STARTED} IS NOT NULL AS has_started,"
    " t.status = 'queued' AND q.status = 'active' AND p.status = 'active' AND q.pool = f.pool"
    " AS can_start"
    " FROM start_forecasts f LEFT JOIN tasks t ON t.number = f.number"
    " LEFT JOIN queues q ON q.name = t.queue LEFT JOIN pools p ON p.name = q.pool"
)
_INSERT = (
    "INSERT OR REPLACE INTO start_forecasts (number, pool, earliest, latest, created_at,"
    " updated_at) VALUES (?, ?, ?, ?, ?, ?)"
)
_REMOVE_OLDEST = (
    "DELETE FROM start_forecasts WHERE number IN (SELECT number FROM start_forecasts"
    " WHERE pool = ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)"
)


class StartForecast(NamedTuple):
    """Forecast of a task: its earliest and latest start in seconds from `created_at`."""

    number: int
    pool: str
    earliest: float
    latest: float
    created_at: str


def list_of_pool(c: Connection, pool: str, limit: int) -> list[Any]:
    """Return the latest forecasts of a pool whose tasks have started or are queued.

    `started_at` is None for the latter.
    """
    return raw_sql.fetch_rows(c, _OF_POOL, (pool, limit))


def list_recorded(c: Connection) -> list[Any]:
    """Return number and pool of all recorded forecasts.

    `has_started` tells that the task has started since, `can_start` that it is queued in this pool,
    and that nobody paused its queue.
    """
    return raw_sql.fetch_rows(c, _RECORDED)


def add(c: Connection, found: Iterable[StartForecast]) -> None:
    """Record forecasts."""
    for row in found:
        raw_sql.execute_statement(c, _INSERT, (*row, row.created_at))


def remove(c: Connection, numbers: Iterable[int]) -> None:
    """Remove the forecasts of tasks."""
    for number in numbers:
        raw_sql.execute_statement(c, "DELETE FROM start_forecasts WHERE number = ?", (number,))


def remove_oldest(c: Connection, pool: str, kept: int) -> None:
    """Remove all forecasts of a pool but the latest `kept`."""
    raw_sql.execute_statement(c, _REMOVE_OLDEST, (pool, kept))
