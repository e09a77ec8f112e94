"""Ended tasks with children that later transactions update, since they are many.

A counter names each such parent; its value is the rowid of the last dependency that was handled. It
is written in the transaction that ends the parent, so a crash loses no child. Updating a child
again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters

FOLDER = "ended/"
"""Prefix of the counters, before the uuid of the parent."""

_CHILDREN = (
    "SELECT DISTINCT task_id FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(?))"
    " LIMIT ?"
)
_ADD = (
    f"INSERT INTO counters (name, value, created_at, updated_at) SELECT '{FOLDER}' || value, 0, ?,"
    " ? FROM json_each(?) WHERE EXISTS (SELECT 1 FROM dependencies WHERE parent_id = value)"
    " ON CONFLICT (name) DO UPDATE SET value = 0, updated_at = excluded.updated_at"
)
_LATEST = "SELECT name, value FROM counters WHERE name >= ? AND name < ? ORDER BY name DESC LIMIT 1"
_NEXT = (
    "SELECT rowid, task_id FROM dependencies WHERE parent_id = ? AND rowid > ? ORDER BY rowid"
    " LIMIT ?"
)


def list_children(c: Connection, parents: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` children of tasks."""
    return raw_sql.fetch_column(c, _CHILDREN, (json.dumps(list(parents)), limit))


def add(c: Connection, parents: Sequence[str]) -> None:
    """Leave all children of these tasks to later transactions."""
    now = timestamps.now()
    raw_sql.execute_statement(c, _ADD, (now, now, json.dumps(list(parents))))


def has_any(c: Connection) -> bool:
    """Return True if a task has children left to update."""
    return counters.find_first_name(c, FOLDER) is not None


def list_uuids(c: Connection) -> list[str]:
    """Return the tasks with children left to update."""
    return list(counters.map_values(c, FOLDER))


def start_again(c: Connection) -> None:
    """Update all their children again: a rebuilt file may have other rowids."""
    now = timestamps.now()
    again = "UPDATE counters SET value = 0, updated_at = ? WHERE name >= ? AND name < ?"
    raw_sql.execute_statement(c, again, (now, *counters.get_range(FOLDER)))


def take_children(c: Connection, limit: int) -> list[str]:
    """Return the next children to update, at most `limit`, and move on; without any, none is left.

    The latest parent comes first: mostly a child of an earlier one. So few parents are pending.
    """
    while latest := raw_sql.fetch_rows(c, _LATEST, counters.get_range(FOLDER)):
        ((name, last),) = latest
        found = raw_sql.fetch_rows(c, _NEXT, (name.removeprefix(FOLDER), last, limit))
        if len(found) < limit:
            counters.delete(c, name)
        else:
            counters.set_value(c, name, found[-1].rowid)
        if found:
            return [row.task_id for row in found]
    return []
