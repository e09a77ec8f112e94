"""Stored slow statements with their plans, one row for each statement and caller.

`statement_timer` collects statements in memory. A duty of the runtime, `store_slow_statements`,
stores them in its own transaction. The duty also counts index usage and slow statements for each
minute of the last hour, and reports lock waits and a growing WAL.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.translation import tr
from db import raw_sql, timestamps
from db.engine import Database
from db.maintenance import query_plans
from db.statement_timer import (
    MAX_SLOW_STATEMENTS,
    MINUTE_LENGTH,
    BoundShape,
    MinuteFigures,
    SlowLog,
    SlowStatement,
)

PLANS_PER_RUN = 100
"""Statements explained in one run, about 5 ms."""
LARGE_WAL = 256 * 2**20
"""WAL size in bytes that raises an alert."""
ALERT_DURATION = 60.0
"""Seconds without another long wait that end its alert."""
INDEX_USED = "index-used/"
"""Prefix of counters: statements whose plan uses an index."""
SLOW, WAIT = "slow/", "lock-wait/"
"""Prefixes of counters by minute: slow statements, and the longest lock wait in microseconds."""
HOUR = 3600.0
PROBLEMS = ("lock-wait", "wal-size")
"""Alerts that `store_slow_statements` may raise."""

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
_COUNT_USE = (
    "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, :many, :now, :now)"
    " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value, updated_at ="
    " excluded.updated_at"
)


_COUNT_MINUTE = (
    "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, :value, :now, :now) "
    "ON CONFLICT (name) DO UPDATE SET value = {}, updated_at = excluded.updated_at"
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


@dataclass(frozen=True, slots=True)
class CollectedFigures:
    """Collected figures.

    Slow statements with plans, {index: statements}, {minute: figures}.
    """

    slow: Sequence[tuple[SlowStatement, str | None]]
    index_uses: dict[str, int]
    minutes: dict[str, MinuteFigures] = field(default_factory=dict)


async def store_slow_statements(db: Database) -> dict[str, str]:
    """Store slow statements; return {name: text} of the current alerts.

    Alerts concern lock waits and the WAL size.
    """
    (slow, new_texts), minutes = db.slow.take_statements(PLANS_PER_RUN), db.slow.take_minutes()
    if slow or new_texts or minutes:
        try:
            statements, used = await db.read(
                _explain_statements, slow, [(text, db.slow.texts[text]) for text in new_texts]
            )
            await _write_figures(db, CollectedFigures(statements, used, minutes))
        except BaseException:
            db.slow.restore_statements(slow, new_texts)
            db.slow.restore_minutes(minutes)
            raise
    return find_problems(db.slow, get_wal_size(db.path))


async def _write_figures(db: Database, figures: CollectedFigures) -> None:
    """Store the figures, if there are any: an idle runtime writes nothing."""
    if figures.slow or figures.index_uses or figures.minutes:
        await db.write_quietly(store_figures, figures)


def _explain_statements(
    c: Connection, slow: Sequence[SlowStatement], new_texts: Iterable[tuple[str, BoundShape]]
) -> tuple[list[tuple[SlowStatement, str | None]], dict[str, int]]:
    """Return slow statements with plans, and {index: new statements that use it}."""
    used: dict[str, int] = {}
    for text, shape in new_texts:
        for index in query_plans.find_indexes(explain_statement(c, text, shape) or ()):
            used[index] = used.get(index, 0) + 1
    statements = []
    for one in slow:
        lines = explain_statement(c, one.text, one.shape)
        statements.append((one, "\n".join(lines) if lines is not None else None))
    return statements, used


def explain_statement(c: Connection, text: str, shape: BoundShape) -> tuple[str, ...] | None:
    """Return the lines of a statement's plan, or None if SQLite cannot explain it."""
    try:
        rows = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", _make_placeholders(shape)).all()
    except DBAPIError:
        return None
    return query_plans.format_plan([(row[0], row[1], row[3]) for row in rows])


def _make_placeholders(shape: BoundShape) -> Any:
    """Return placeholder values; a plan does not depend on them."""
    return (None,) * shape if isinstance(shape, int) else dict.fromkeys(shape)


def store_figures(c: Connection, figures: CollectedFigures) -> None:
    """Add collected figures to the stored ones and drop the fastest statements."""
    for one, lines in figures.slow:
        told = {name: value for name, value in asdict(one).items() if name not in ("text", "shape")}
        raw_sql.execute_statement(c, _UPSERT, told | {"plan": lines})
    if figures.slow:
        raw_sql.execute_statement(c, _TRIM)
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        _COUNT_USE,
        [
            {"name": INDEX_USED + index, "many": many, "now": now}
            for index, many in figures.index_uses.items()
        ],
    )
    if figures.minutes:
        _store_minutes(c, figures.minutes, now)


def _store_minutes(c: Connection, minutes: dict[str, MinuteFigures], now: str) -> None:
    """Add figures by minute and drop minutes older than an hour."""
    slow = [
        {"name": SLOW + at, "value": one.slow, "now": now}
        for at, one in minutes.items()
        if one.slow
    ]
    waits = [
        {"name": WAIT + at, "value": round(one.wait * 1e6), "now": now}
        for at, one in minutes.items()
        if one.wait
    ]
    raw_sql.execute_statements(c, _COUNT_MINUTE.format("value + excluded.value"), slow)
    raw_sql.execute_statements(c, _COUNT_MINUTE.format("max(value, excluded.value)"), waits)
    for name in (SLOW, WAIT):
        raw_sql.execute_statement(
            c, _DELETE_MINUTES, (name, name + _get_hour_start(timestamps.to_unix(now)))
        )


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
    return [
        SlowRow(*row)
        for row in raw_sql.fetch_rows(
            c, f"SELECT {names} FROM slow_queries ORDER BY worst DESC, id"
        )
    ]


def clear_slow(c: Connection) -> int:
    """Delete all slow statements and minute figures; return the number of rows."""
    many = raw_sql.fetch_value(c, "SELECT count(*) FROM slow_queries")
    raw_sql.execute_statement(c, "DELETE FROM slow_queries")
    raw_sql.execute_statement(c, _DELETE_MINUTES, (SLOW, f"{SLOW[:-1]}0"))
    return many


def read_index_usage(c: Connection) -> tuple[dict[str, int], str | None]:
    """Return {index: statements that use it}, and the start of counting (None: never)."""
    rows = raw_sql.fetch_rows(
        c,
        "SELECT name, value, created_at FROM counters WHERE name >= ? AND name < ?",
        (INDEX_USED, f"{INDEX_USED[:-1]}0"),
    )
    since = min((row.created_at for row in rows), default=None)
    return {row.name.removeprefix(INDEX_USED): row.value for row in rows}, since


def get_wal_size(path: Path) -> int:
    """Return the size of a database's WAL without opening it, or 0."""
    try:
        return os.stat(f"{os.fspath(path)}-wal").st_size
    except OSError:
        return 0


def find_problems(log: SlowLog, wal: int) -> dict[str, str]:
    """Return {alert: text} of current problems."""
    figures = {}
    if log.waits.long and monotonic() - log.waits.long[0] < ALERT_DURATION:
        figures["lock-wait"] = tr(
            "a change waited {seconds:.1f} s for the database, which another program held",
            seconds=log.waits.long[1],
        )
    if wal > LARGE_WAL:
        figures["wal-size"] = tr(
            "the database log has {size} MiB; a long-running reader prevents its checkpoint",
            size=wal // 2**20,
        )
    return figures
