"""Names and tags that tasks have had: the latest task of a name, and hints about mistyped ones."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql

RECENT = 5000
"""Latest tasks whose names and tags are listed: some 10 ms."""
_LATEST = f"(SELECT name, tags FROM tasks ORDER BY number DESC LIMIT {RECENT})"


class LatestTask(NamedTuple):
    """The latest task of a name."""

    uuid: str
    number: int
    status: str
    created_at: str
    started_at: str | None


def find_latest_task(c: Connection, name: str) -> LatestTask | None:
    """Return the latest task of a name that is not deleted, or None."""
    found = raw_sql.fetch_tuples(
        c,
        "SELECT uuid, number, status, created_at, started_at FROM tasks WHERE name = ? AND"
        " deleted_at IS NULL ORDER BY rowid DESC LIMIT 1",
        (name,),
    )
    return next((LatestTask._make(row) for row in found), None)


def has_task_name(c: Connection, name: str) -> bool:
    """Return True if a stored task has the name, also a deleted one."""
    return bool(
        raw_sql.fetch_value(c, "SELECT EXISTS (SELECT 1 FROM tasks WHERE name = ?)", (name,))
    )


def list_recent_names(c: Connection) -> list[str]:
    """Return the names of the latest tasks, each once."""
    return raw_sql.fetch_column(c, f"SELECT DISTINCT name FROM {_LATEST}")


def list_recent_tags(c: Connection) -> list[str]:
    """Return the tags of the latest tasks as KEY=VALUE, each once."""
    return raw_sql.fetch_column(
        c,
        f"SELECT DISTINCT g.key || '=' || g.value FROM {_LATEST} t, json_each(t.tags) g"
        " WHERE t.tags <> '{}'",
    )
