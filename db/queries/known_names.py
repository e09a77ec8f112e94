"""Names and tags that tasks have had, for hints about mistyped ones."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql

RECENT = 5000
"""Latest tasks whose names and tags are listed: some 10 ms."""
_LATEST = f"(SELECT name, tags FROM tasks ORDER BY number DESC LIMIT {RECENT})"


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
