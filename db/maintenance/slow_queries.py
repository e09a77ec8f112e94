"""Stored slow statements with their plans, one row for each statement and caller.

A duty of the runtime stores what `statement_timer` and `lock_monitor` collect in memory. It also
counts slow statements and lock waits for each minute of the last hour, which SLA rules read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from app.translation import tr
from db import raw_sql, timestamps
from db.engine import Database
from db.maintenance.query_plans import explain_statement
from db.statement_timer import MAX_SLOW_STATEMENTS, SlowStatement

LARGE_WAL = 256 * 2**20
"""WAL size in bytes that raises an alert."""
ALERT_DURATION = 60.0
"""Seconds without another long wait that end its alert."""
SLOW, WAIT = "slow/", "lock-wait/"
"""Prefixes of counters by minute: slow statements, and the longest lock wait in microseconds."""
MINUTE_LENGTH = len("2026-11-25T10:42")
"""Length of the prefix of stored time that names a minute."""
HOUR = 3600.0
PROBLEMS = ("lock-wait", "wal-size")
"""Alerts of `find_problems`."""

_UPSERT = """
INSERT INTO slow_queries (statement, caller, plan, seconds, worst, total, count, created_at,
  updated_at)
VALUES (:statement, :caller, :plan, :seconds, :worst, :total, :count, :at, :at)
ON CONFLICT (statement, caller)
  DO UPDATE SET plan = coalesce(excluded.plan, plan), seconds = excluded.seconds,
    worst = max(worst, excluded.worst), total = total + excluded.total,
    count = count + excluded.count, updated_at = excluded.updated_at
"""
_TRIM = (
    "DELETE FROM slow_queries WHERE id NOT IN (SELECT id FROM slow_queries ORDER BY worst DESC"
    f" LIMIT {MAX_SLOW_STATEMENTS})"
)
_COUNT_MINUTE = (
    "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT"
    " (name) DO UPDATE SET value = {}, updated_at = excluded.updated_at"
)
_DELETE_MINUTES = "DELETE FROM counters WHERE name >= ? AND name < ?"


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A row of `slow_queries`."""

    id: int
    statement: str
    caller: str
    count: int
    seconds: float
    worst: float
    total: float
    plan: str | None
    created_at: str
    updated_at: str


async def store_slow_statements(db: Database) -> None:
    """Store the slow statements and the longest lock wait, if there are any."""
    slow, wait = db.slow.take_statements(), db.lock_waits.unstored
    if not slow and not wait:  # an idle runtime writes nothing
        return
    try:
        await db.write_quietly(_store_figures, await db.read(_add_plans, slow), wait)
    except BaseException:
        db.slow.restore_statements(slow)
        raise
    if db.lock_waits.unstored == wait:
        db.lock_waits.unstored = 0.0


def _add_plans(c: Connection, slow: Sequence[SlowStatement]) -> list[dict[str, Any]]:
    """Return the values of slow statements with their plans."""
    found = []
    for one in slow:
        plan = explain_statement(c, one.text, one.shape)
        found.append(asdict(one) | {"plan": "\n".join(plan) if plan else None})
    return found


def _store_figures(c: Connection, slow: Sequence[Mapping[str, Any]], wait: float) -> None:
    """Add slow statements and a lock wait to the stored ones; drop the fastest and the oldest."""
    now = timestamps.now()
    minute, hour_ago = now[:MINUTE_LENGTH], _get_hour_start(timestamps.to_unix(now))
    raw_sql.execute_statements(c, _UPSERT, slow)
    raw_sql.execute_statement(c, _TRIM)
    for name, value, merged in (
        (SLOW, sum(one["count"] for one in slow), "value + excluded.value"),
        (WAIT, round(wait * 1e6), "max(value, excluded.value)"),
    ):
        if value:
            raw_sql.execute_statement(
                c, _COUNT_MINUTE.format(merged), (name + minute, value, now, now)
            )
        raw_sql.execute_statement(c, _DELETE_MINUTES, (name, name + hour_ago))


def count_slow_in_hour(c: Connection, now: float) -> int:
    """Count the slow statements in the hour before a UNIX time."""
    return _aggregate_hour(c, "coalesce(sum(value), 0)", SLOW, now)


def find_longest_wait(c: Connection, now: float) -> float:
    """Return the longest lock wait in seconds in the hour before a UNIX time."""
    return _aggregate_hour(c, "coalesce(max(value), 0)", WAIT, now) / 1e6


def _aggregate_hour(c: Connection, what: str, name: str, now: float) -> int:
    values = (name + _get_hour_start(now), f"{name}{timestamps.from_unix(now)}")
    return c.exec_driver_sql(
        f"SELECT {what} FROM counters WHERE name >= ? AND name <= ?", values
    ).scalar_one()


def _get_hour_start(now: float) -> str:
    return timestamps.from_unix(now - HOUR)[:MINUTE_LENGTH]


def list_slow(c: Connection) -> list[SlowRow]:
    """Return the slow statements, slowest first."""
    names = ", ".join(one.name for one in fields(SlowRow))
    rows = raw_sql.fetch_tuples(c, f"SELECT {names} FROM slow_queries ORDER BY worst DESC, id")
    return [SlowRow(*row) for row in rows]


def clear_slow(c: Connection) -> int:
    """Delete all slow statements and minute figures; return the number of rows."""
    many = raw_sql.fetch_value(c, "SELECT count(*) FROM slow_queries")
    raw_sql.execute_statement(c, "DELETE FROM slow_queries")
    raw_sql.execute_statement(c, _DELETE_MINUTES, (SLOW, f"{SLOW[:-1]}0"))
    return many


def get_wal_size(path: Path) -> int:
    """Return the size of a database's WAL without opening it, or 0."""
    try:
        return os.stat(f"{os.fspath(path)}-wal").st_size
    except OSError:
        return 0


def find_problems(db: Database) -> dict[str, str]:
    """Return {alert: text} of current problems: a long lock wait and a large WAL."""
    found, long, wal = {}, db.lock_waits.long, get_wal_size(db.path)
    if long and monotonic() - long[0] < ALERT_DURATION:
        found["lock-wait"] = tr(
            "a change waited {seconds:.1f} s for the database, which another program held",
            seconds=long[1],
        )
    if wal > LARGE_WAL:
        found["wal-size"] = tr(
            "the database log has {size} MiB; a long-running reader prevents its checkpoint",
            size=wal // 2**20,
        )
    return found
