"""Figures of the database itself, as rules are held against them: from rows that the duties keep, and the size of its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from db import timestamps
from db.maintenance import slow_queries
from db.queries import reads, replicas


class Figure(NamedTuple):
    """A figure as of now. `value` is None where there is none, as the age of a replica without one; `problem` says why it cannot be
    read."""

    value: float | None
    problem: str | None = None


def read(c: Connection, metric: str, now: float) -> Figure:
    """A figure as of a UNIX time: seconds, a count, or bytes."""
    try:
        return Figure(FIGURES[metric](c, now))
    except Exception as error:  # whatever ails one figure must not keep the other rules from being looked at
        return Figure(None, f"cannot be read ({type(error).__name__})")


def _replica_lag(c: Connection, now: float) -> float | None:
    return _age(replicas.behind_since(c), now)


def _backup_age(c: Connection, now: float) -> float | None:
    return _age(reads.newest_backup(c), now)


def _age(since: str | None, now: float) -> float | None:
    return max(0.0, now - timestamps.unix(since)) if since else None


def _slow_queries(c: Connection, now: float) -> float:
    return float(slow_queries.slow_in_hour(c, now))


def _wal_size(c: Connection, now: float) -> float:
    main = next(row.file for row in c.exec_driver_sql("PRAGMA database_list") if row.name == "main")
    return float(slow_queries.wal_bytes(Path(main)))


FIGURES: Mapping[str, Callable[[Connection, float], float | None]] = {
    "replica-lag": _replica_lag,
    "backup-age": _backup_age,
    "slow-queries": _slow_queries,
    "lock-wait": slow_queries.longest_wait,
    "wal-size": _wal_size,
}
"""{metric: what reads it}"""
