"""Slow statements as the database keeps them: each once for whoever asked, with its plan, the slowest `MOST`.

`db.timed` gathers them in memory; `keep`, a duty, writes them down by itself, so that nothing is written within anybody's transaction.
It also notes which indexes the statements use that were executed, and says what else ails: a log that grows, waits for the lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import clock, plans, sql
from db.engine import Database
from db.timed import MOST, Shape, Slow, SlowLog

AT_ONCE = 100
"""Statements whose plans are looked at in one go, some 5 ms."""
LARGE = 256 * 2**20
"""Bytes of the log from which on it is worth an alert."""
CALM = 60.0
"""Seconds without another long wait that end its alert."""
USED = "index-used/"
"""Counters of this name say how many statements were met whose plan has an index."""
PROBLEMS = ("lock-wait", "wal-size")
"""The alerts that `keep` may tell."""

_KEEP = """
INSERT INTO slow_queries (statement, caller, plan, seconds, worst, total, count, created_at, updated_at)
VALUES (:statement, :caller, :plan, :seconds, :worst, :total, :count, :at, :at)
ON CONFLICT (statement, caller) DO UPDATE SET plan = coalesce(excluded.plan, plan), seconds = excluded.seconds,
worst = max(worst, excluded.worst), total = total + excluded.total, count = count + excluded.count, updated_at = excluded.updated_at
"""
_TRIM = f"DELETE FROM slow_queries WHERE id NOT IN (SELECT id FROM slow_queries ORDER BY worst DESC LIMIT {MOST})"
_USE = (
    "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, :many, :now, :now) "
    "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value, updated_at = excluded.updated_at"
)


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
class Found:
    """What was gathered, ready to be written: slow statements with their plans, and {index: statements}."""

    slow: Sequence[tuple[Slow, str | None]]
    used: dict[str, int]


async def keep(db: Database) -> dict[str, str]:
    """Write down what was slow; the alerts {name: text} that waits for the lock and the size of the log are worth now."""
    slow, fresh = db.slow.take(AT_ONCE)
    if slow or fresh:
        try:
            found = await db.read(_planned, slow, [(text, db.slow.texts[text]) for text in fresh])
            await _written(db, found)
        except BaseException:
            db.slow.give_back(slow, fresh)
            raise
    return problems(db.slow, wal_bytes(db.path))


async def _written(db: Database, found: Found) -> None:
    """An idle runtime writes nothing."""
    if found.slow or found.used:
        await db.write_quietly(store, found)


def _planned(c: Connection, slow: Sequence[Slow], fresh: Iterable[tuple[str, Shape]]) -> Found:
    used: dict[str, int] = {}
    for text, shape in fresh:
        for index in plans.indexes(plan(c, text, shape) or ()):
            used[index] = used.get(index, 0) + 1
    kept = []
    for one in slow:
        lines = plan(c, one.text, one.shape)
        kept.append((one, "\n".join(lines) if lines is not None else None))
    return Found(kept, used)


def plan(c: Connection, text: str, shape: Shape) -> tuple[str, ...] | None:
    """The lines of a statement's plan, or None when it cannot be explained, as one on a table that is gone."""
    try:
        rows = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", _nothing(shape)).all()
    except DBAPIError:
        return None
    return plans.tree([(row[0], row[1], row[3]) for row in rows])


def _nothing(shape: Shape) -> Any:
    """Values to bind for a plan, which does not depend on them."""
    return (None,) * shape if isinstance(shape, int) else dict.fromkeys(shape)


def store(c: Connection, found: Found) -> None:
    """Add what was gathered to what is kept, and let the quickest go."""
    for one, lines in found.slow:
        told = {name: value for name, value in asdict(one).items() if name not in ("text", "shape")}
        sql.run(c, _KEEP, told | {"plan": lines})
    if found.slow:
        sql.run(c, _TRIM)
    now = clock.now()
    sql.run_many(c, _USE, [{"name": USED + index, "many": many, "now": now} for index, many in found.used.items()])


def listed(c: Connection) -> list[SlowRow]:
    """What was slow, the slowest first."""
    names = ", ".join(field.name for field in fields(SlowRow))
    return [SlowRow(*row) for row in sql.rows(c, f"SELECT {names} FROM slow_queries ORDER BY worst DESC, id")]


def clear(c: Connection) -> int:
    """Forget all of it; how many rows there were."""
    many = sql.value(c, "SELECT count(*) FROM slow_queries")
    sql.run(c, "DELETE FROM slow_queries")
    return many


def used(c: Connection) -> tuple[dict[str, int], str | None]:
    """{index: statements met whose plan has it}, and since when that is noted (None: never yet)."""
    rows = sql.rows(
        c, "SELECT name, value, created_at FROM counters WHERE name >= ? AND name < ?", (USED, f"{USED[:-1]}0")
    )
    since = min((row.created_at for row in rows), default=None)
    return {row.name.removeprefix(USED): row.value for row in rows}, since


def wal_bytes(path: Path) -> int:
    """The size of a database's log as its folder has it, which is not opened; 0 when there is none."""
    try:
        return os.stat(f"{os.fspath(path)}-wal").st_size
    except OSError:
        return 0


def problems(log: SlowLog, wal: int) -> dict[str, str]:
    """{alert: text} of what is so bad now that somebody must know."""
    found = {}
    if log.waits.long and monotonic() - log.waits.long[0] < CALM:
        found["lock-wait"] = f"a change waited {log.waits.long[1]:.1f} s for the database, which another program held"
    if wal > LARGE:
        found["wal-size"] = f"the log of the database has {wal // 2**20} MiB; a reader that never ends keeps it from being folded"
    return found
