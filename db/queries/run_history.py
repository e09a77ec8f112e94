"""Past runs similar to a task, by template or name.

The number of rows read is bounded.
"""

from __future__ import annotations

from typing import Any

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
