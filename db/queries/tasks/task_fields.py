"""Writes of task columns that change no status. `transitions` writes all others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, update

from db import raw_sql, schema, timestamps
from db.queries.rules import alerts

_BY_UUID = update(schema.tasks).where(schema.tasks.c.uuid == bindparam("at"))
# SQL text: `max` of each queue is one step in the index of queued tasks.
_HIGHEST_FRONT = (
    "SELECT coalesce(max(top), 0) FROM (SELECT (SELECT max(front) FROM tasks WHERE queue = q.name"
    " AND status = 'queued') AS top FROM queues q)"
)

_MARK_CHANGED = (
    "INSERT INTO stale_texts (number, changes, created_at, updated_at) SELECT number, 1, ?1, ?1"
    " FROM tasks WHERE uuid IN (SELECT value FROM json_each(?2)) ON CONFLICT (number) DO UPDATE SET"
    " changes = changes + 1, updated_at = excluded.updated_at"
)


def update_column(c: Connection, column: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write one column of tasks from rows of {at: uuid, column: value}."""
    if rows:
        values = {column: bindparam(column), "updated_at": timestamps.now()}
        c.execute(_BY_UUID.values(values), list(rows))


def update_tasks(c: Connection, uuids: Sequence[str], values: dict[str, Any]) -> None:
    """Write the same values to many tasks."""
    new = {name: bindparam(f"new_{name}") for name in values}
    given = {f"new_{name}": value for name, value in values.items()}
    c.execute(
        _BY_UUID.values(**new, updated_at=timestamps.now()),
        [{"at": uuid, **given} for uuid in uuids],
    )


def mark_text_changed(c: Connection, uuids: Sequence[str]) -> None:
    """Let the search index read the texts of tasks again. A new name does so by itself."""
    raw_sql.execute_statement(c, _MARK_CHANGED, (timestamps.now(), json.dumps(list(uuids))))


def mark_deleted(c: Connection, uuids: Sequence[str]) -> None:
    """Mark tasks as deleted and resolve their alerts. Retention removes rows and logs later."""
    alerts.resolve_of_tasks(c, uuids)
    update_tasks(c, uuids, {"deleted_at": timestamps.now()})


def find_highest_front(c: Connection) -> int:
    """Return the highest `front` of the queued tasks of all queues, 0 without any."""
    return raw_sql.fetch_value(c, _HIGHEST_FRONT)
