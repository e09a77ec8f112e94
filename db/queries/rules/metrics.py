"""Metrics of the database itself, for SLA rules.

Replica lag, backup age, slow queries, lock waits and WAL size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.maintenance import slow_queries
from db.queries.home import backups, replicas


class MetricValue(NamedTuple):
    """A metric's current value, None without one.

    `problem` says why the value is unreadable.
    """

    value: float | None
    problem: str | None = None


def read_metric(c: Connection, metric: str, now: float) -> MetricValue:
    """Return a metric at a UNIX time, in seconds, as a count, or in bytes."""
    try:
        return MetricValue(METRIC_READERS[metric](c, now))
    except Exception as error:  # one broken metric must not stop other rules
        return MetricValue(None, f"cannot be read ({type(error).__name__})")


def _read_replica_lag(c: Connection, now: float) -> float | None:
    return _get_age(replicas.get_lag_start(c), now)


def _read_backup_age(c: Connection, now: float) -> float | None:
    newest = backups.find_newest_good(c)
    return _get_age(newest.created_at if newest else None, now)


def _get_age(since: str | None, now: float) -> float | None:
    return max(0.0, now - timestamps.to_unix(since)) if since else None


def _read_slow_queries(c: Connection, now: float) -> float:
    return float(slow_queries.count_slow_in_hour(c, now))


def _read_wal_size(c: Connection, now: float) -> float:
    return float(slow_queries.get_wal_size(find_database_path(c)))


def find_database_path(c: Connection) -> Path:
    """Return the path of the database file of a connection."""
    rows = raw_sql.fetch_rows(c, "PRAGMA database_list")
    return Path(next(row.file for row in rows if row.name == "main"))


METRIC_READERS: Mapping[str, Callable[[Connection, float], float | None]] = {
    "replica-lag": _read_replica_lag,
    "backup-age": _read_backup_age,
    "slow-queries": _read_slow_queries,
    "lock-wait": slow_queries.find_longest_wait,
    "wal-size": _read_wal_size,
}
"""{metric: function that reads it}"""
