"""Past runs similar to a task, by template or name.

The number of rows read is bounded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql

TEMPLATES, NAMES, RECENT = 50, 100, 500
"""Rows read: latest ended tasks of a template, newest tasks of a name, latest ended runs of all."""

_FIGURES = "i.run_seconds, i.cpu_seconds, i.max_rss"
_OF_TEMPLATE = (
    f"SELECT {_FIGURES} FROM instances i WHERE i.task_id IN (SELECT uuid FROM tasks WHERE template"
    " = ? AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?) AND +i.status = 'succeeded'"
)
_OF_NAME = (
    f"SELECT {_FIGURES} FROM instances i WHERE i.task_id IN (SELECT uuid FROM tasks WHERE name = ?"
    " AND template IS NULL ORDER BY rowid DESC LIMIT ?) AND +i.status = 'succeeded'"
)
_RECENT = (
    "SELECT t.name, run_seconds, cpu_seconds, max_rss FROM (SELECT task_id, status, run_seconds,"
    " cpu_seconds, max_rss FROM instances WHERE end_time IS NOT NULL ORDER BY end_time DESC LIMIT"
    " ?) lately JOIN tasks t ON t.uuid = lately.task_id WHERE lately.status = 'succeeded' AND"
    " t.template IS NULL"
)


_SECONDS_OF_TEMPLATE = (
    "SELECT run_seconds, +status = 'succeeded' FROM instances WHERE task_id IN (SELECT uuid FROM"
    " tasks WHERE template = ? AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?)"
    " AND run_seconds IS NOT NULL"
)
_RECENT_SECONDS = (
    "SELECT t.name, run_seconds, lately.status = 'succeeded' FROM (SELECT task_id, status,"
    " run_seconds FROM instances WHERE end_time IS NOT NULL ORDER BY end_time DESC LIMIT ?) lately"
    " JOIN tasks t ON t.uuid = lately.task_id WHERE run_seconds IS NOT NULL AND t.template IS NULL"
)


_LATEST_STARTS = (
    "SELECT queue, started_at FROM tasks WHERE started_at >= ? ORDER BY started_at DESC LIMIT ?"
)
STARTS = 2000
"""Rows read to count the latest starts of a queue."""


class RunSeconds(NamedTuple):
    """Run time of an ended run in seconds, and whether the run succeeded."""

    seconds: float
    is_success: bool


def list_seconds_of_template(c: Connection, template: str) -> list[RunSeconds]:
    """Return the run times of a template's latest tasks."""
    rows = raw_sql.fetch_tuples(c, _SECONDS_OF_TEMPLATE, (template, TEMPLATES))
    return [RunSeconds(seconds, bool(success)) for seconds, success in rows]


def list_recent_seconds(c: Connection) -> list[tuple[str, RunSeconds]]:
    """Return task name and run time of recently ended commands, newest first."""
    rows = raw_sql.fetch_tuples(c, _RECENT_SECONDS, (RECENT,))
    return [(name, RunSeconds(seconds, bool(success))) for name, seconds, success in rows]


def list_latest_starts(c: Connection, since: str) -> list[tuple[str, str]]:
    """Return queue and time of the latest starts of tasks since a time, newest first."""
    return [(queue, at) for queue, at in raw_sql.fetch_tuples(c, _LATEST_STARTS, (since, STARTS))]


def list_of_template(c: Connection, template: str) -> list[Any]:
    """Return successful runs of a template's latest tasks.

    Rows of seconds, CPU seconds, peak MiB.
    """
    return [tuple(row) for row in raw_sql.fetch_rows(c, _OF_TEMPLATE, (template, TEMPLATES))]


def list_of_name(c: Connection, name: str) -> list[Any]:
    """Return successful runs of the newest commands of a name.

    Rows of seconds, CPU seconds, peak MiB.
    """
    return [tuple(row) for row in raw_sql.fetch_rows(c, _OF_NAME, (name, NAMES))]


def list_recent(c: Connection) -> list[Any]:
    """Return recently ended commands, newest first: task name, then the figures."""
    return [tuple(row) for row in raw_sql.fetch_rows(c, _RECENT, (RECENT,))]
