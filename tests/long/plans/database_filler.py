"""A filler of large databases with every kind of row in every growing table."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from db.engine import create_write_engine
from tests.db import bulk_data

ENDED_SHARE = 5
"""One in this many tasks has ended."""


def fill_database(path: Path, tasks: int) -> None:
    """Add tasks and as many operations, and for each ended task a run and three events."""
    bulk_data.fill_database(path, tasks - tasks // ENDED_SHARE, tasks // ENDED_SHARE)
    engine = create_write_engine(path)
    with engine.begin() as c:
        for rows in (_add_operations, _add_alerts, _add_deliveries, _add_samples, _limit_queues):
            rows(c)
    engine.dispose()


def _add_operations(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO operations (by, verb, object, after, created_at, updated_at, source, origin,"
        " batch) SELECT 'ann', 'set', 'task #' || number, '{\"priority\": 1}', created_at,"
        " created_at, 'cli', 'pts/1', NULL FROM tasks"
    )


def _add_alerts(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO alerts (name, severity, status, task_id, object, text, short, fired_at,"
        " resolved_at, created_at, updated_at) SELECT 'in-time', 'warning', 'resolved', uuid, '#'"
        " || number, 'late', 'late', created_at, ended_at, created_at, ended_at FROM tasks WHERE"
        " ended_at IS NOT NULL AND number % 10 = 0"
    )


def _add_deliveries(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO deliveries (key, alert_id, task_id, event, action, target, payload, status,"
        " log, reached, due_at, created_at, updated_at) SELECT 'key ' || id, id, task_id, 'firing',"
        " '{\"notify\": \"ops\"}', 'ops', '{\"ids\": [], \"alerts\": []}', 'sent', '[]', '[]',"
        " created_at, created_at, created_at FROM alerts"
    )


def _add_samples(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO samples (kind, name, minute, created_at, updated_at) SELECT 'queue', queue,"
        " substr(created_at, 1, 16) || ':00.000000Z' AS minute, min(created_at), min(created_at)"
        " FROM tasks GROUP BY queue, 3"
    )


def _limit_queues(c: Connection) -> None:
    """Let one queue start two tasks at a time, so that the tables stay large."""
    c.exec_driver_sql("UPDATE queues SET capacity = iif(name = 'default', 2, 0)")
