"""Tasks with children that later transactions update, since they are many.

Such a task has ended or started, or its cancel was undone. A counter names it; the value is the
rowid of the last dependency that was handled. The counter is written in the transaction that
changes the task, so a crash loses no child. Updating a child again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters

FOLDER = "children/"
"""Prefix of the counters, before the uuid of an ended task, or a uuid and the time of a cancel."""


class CancelledTask(NamedTuple):
    """A task whose cancel is undone, with the time of the cancel."""

    uuid: str
    number: int
    ended_at: str


class TakenChildren(NamedTuple):
    """Children to update now, and their parent if its cancel was undone."""

    uuids: list[str]
    parent: CancelledTask | None


_CANCELLED = (
    "SELECT uuid, number, ended_at FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
    " +status = 'cancelled'"
)
# `+parent_id`, or SQLite would look for each pair of child and parent.
_CANCELLED_WITH = (
    "SELECT t.uuid, t.number, t.ended_at, t.reason, d.parent_id FROM dependencies d JOIN tasks t ON"
    " t.uuid = d.task_id WHERE d.task_id IN (SELECT value FROM json_each(?)) AND +d.parent_id IN"
    " (SELECT value FROM json_each(?)) AND d.kind = 'success' AND +t.status = 'cancelled'"
    " AND t.deleted_at IS NULL"
)
_CHILDREN = (
    "SELECT DISTINCT task_id FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(?))"
    " LIMIT ?"
)
_ADD = (
    "INSERT INTO counters (name, value, created_at, updated_at) SELECT ? || value, 0, ?, ? FROM"
    " json_each(?) WHERE EXISTS (SELECT 1 FROM dependencies WHERE parent_id = substr(value, 1, 36))"
    " ON CONFLICT (name) DO UPDATE SET value = 0, updated_at = excluded.updated_at"
)
_LATEST = "SELECT name, value FROM counters WHERE name >= ? AND name < ? ORDER BY name DESC LIMIT 1"
_NEXT = (
    "SELECT rowid, task_id FROM dependencies WHERE parent_id = ? AND rowid > ? ORDER BY rowid"
    " LIMIT ?"
)


LEADS = "EXISTS (SELECT 1 FROM dependencies d WHERE d.parent_id = i.task_id AND d.kind = 'start')"
"""Condition that other tasks wait for the start of the task of run `i`."""


def list_leading(c: Connection, uuids: Sequence[str]) -> list[str]:
    """Return those of the tasks whose start lets others start."""
    found = (
        "SELECT DISTINCT parent_id FROM dependencies WHERE kind = 'start' AND parent_id IN (SELECT"
        " value FROM json_each(?))"
    )
    return raw_sql.fetch_column(c, found, (_list(uuids),))


def list_children(c: Connection, parents: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` children of tasks."""
    return raw_sql.fetch_column(c, _CHILDREN, (json.dumps(list(parents)), limit))


def list_cancelled(c: Connection, uuids: Sequence[str]) -> list[CancelledTask]:
    """Return those of the tasks that are cancelled."""
    return [CancelledTask._make(row) for row in raw_sql.fetch_rows(c, _CANCELLED, (_list(uuids),))]


def list_cancelled_with(
    c: Connection, parents: Sequence[CancelledTask], children: Sequence[str]
) -> list[CancelledTask]:
    """Return those of the children that were cancelled by the cancel of one of the parents."""
    known = {task.uuid: task for task in parents}
    found: dict[str, CancelledTask] = {}
    for row in raw_sql.fetch_rows(c, _CANCELLED_WITH, (_list(children), _list(known))):
        parent = known[row.parent_id]
        same = row.reason == f"parent #{parent.number} cancelled"
        if same and row.ended_at >= parent.ended_at:
            found[row.uuid] = CancelledTask(row.uuid, row.number, row.ended_at)
    return list(found.values())


def _list(values: Any) -> str:
    return json.dumps(list(values))


def add(c: Connection, parents: Sequence[str]) -> None:
    """Leave all children of these ended tasks to later transactions."""
    now = timestamps.now()
    raw_sql.execute_statement(c, _ADD, (FOLDER, now, now, _list(parents)))


def add_cancelled(c: Connection, parents: Sequence[CancelledTask]) -> None:
    """Leave all children of these tasks, whose cancel was undone, to later transactions."""
    add(c, [f"{task.uuid}/{task.ended_at}" for task in parents])


def has_any(c: Connection) -> bool:
    """Return True if a task has children left to update."""
    return counters.find_first_name(c, FOLDER) is not None


def list_uuids(c: Connection) -> list[str]:
    """Return the tasks with children left to update."""
    return [name.partition("/")[0] for name in counters.map_values(c, FOLDER)]


def start_again(c: Connection) -> None:
    """Update all their children again: a rebuilt file may have other rowids."""
    now = timestamps.now()
    again = "UPDATE counters SET value = 0, updated_at = ? WHERE name >= ? AND name < ?"
    raw_sql.execute_statement(c, again, (now, *counters.get_range(FOLDER)))


def take_children(c: Connection, limit: int) -> TakenChildren | None:
    """Return the next children to update, at most `limit`, and move on; or None at the end.

    The latest parent comes first: mostly a child of an earlier one. So few parents are pending.
    """
    while latest := raw_sql.fetch_rows(c, _LATEST, counters.get_range(FOLDER)):
        ((name, last),) = latest
        uuid, _, cancelled_at = name.removeprefix(FOLDER).partition("/")
        found = raw_sql.fetch_rows(c, _NEXT, (uuid, last, limit))
        if len(found) < limit:
            counters.delete(c, name)
        else:
            counters.set_value(c, name, found[-1].rowid)
        if found:
            uuids = [row.task_id for row in found]
            return TakenChildren(uuids, _read_parent(c, uuid, cancelled_at))
    return None


def _read_parent(c: Connection, uuid: str, cancelled_at: str) -> CancelledTask | None:
    if not cancelled_at:
        return None
    number = raw_sql.fetch_value(c, "SELECT number FROM tasks WHERE uuid = ?", (uuid,))
    return CancelledTask(uuid, number, cancelled_at)
