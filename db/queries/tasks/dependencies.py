"""Dependency graph around a task: parents and children, level by level."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql
from db.queries.tasks import skips
from db.states import TaskStatus


class RelatedTask(NamedTuple):
    """A related task.

    `via` is the task it was reached from; `kind` is a key of
    `states.SATISFYING`.
    """

    via: str
    kind: str
    uuid: str
    number: int
    name: str
    status: str
    deleted_at: str | None


_RELATED = (
    "SELECT d.{near} AS via, d.kind, t.uuid, t.number, t.name, t.status, t.deleted_at FROM"
    " dependencies d JOIN tasks t ON t.uuid = d.{far} WHERE d.{near} IN (SELECT value FROM"
    " json_each(?)) LIMIT ?"
)
PARENTS, CHILDREN = (
    {"near": "task_id", "far": "parent_id"},
    {"near": "parent_id", "far": "task_id"},
)
MAX_COUNT = 10_000
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM dependencies WHERE {near} = ? LIMIT ?)"


def list_related(
    c: Connection, direction: dict[str, str], uuids: Sequence[str], limit: int
) -> list[RelatedTask]:
    """Return the parents or children of tasks, at most `limit`, in no order."""
    return [
        RelatedTask._make(row)
        for row in raw_sql.fetch_rows(
            c, _RELATED.format(**direction), (json.dumps(list(uuids)), limit)
        )
    ]


def count_related(c: Connection, direction: dict[str, str], uuid: str) -> int:
    """Count the parents or children of a task, up to `MAX_COUNT`."""
    return int(raw_sql.fetch_value(c, _COUNT.format(**direction), (uuid, MAX_COUNT)))


def list_changes(c: Connection, obj: str, since: str, newest: int = 5000) -> list[Any]:
    """Return users' changes to an object among the newest operations, oldest first.

    Rows of created_at, by, verb, before, after (JSON).
    """
    found = (
        'SELECT created_at, "by", verb, before, after FROM operations WHERE id > (SELECT'
        " coalesce(max(id), 0) FROM operations) - ? AND object = ? AND created_at >= ? ORDER BY id"
    )
    return raw_sql.fetch_rows(c, found, (newest, obj, since))


MAX_CHILDREN = 1000
"""Children in which cancelled ones are looked for, in some 3 ms."""
_NUMBERS = "SELECT uuid, number FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))"
_SOME_CHILDREN = (
    "SELECT t.uuid, t.number, t.status, t.reason, t.deleted_at, d.parent_id FROM (SELECT task_id,"
    " parent_id FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(?)) AND kind ="
    " 'success' LIMIT ?) d JOIN tasks t ON t.uuid = d.task_id"
)


def list_cancelled_children(c: Connection, uuids: Sequence[str]) -> tuple[list[int], bool]:
    """Return the numbers of tasks cancelled because of these tasks; True if these are all.

    Includes indirect children. At most `MAX_CHILDREN` children are examined.
    """
    parents = dict(raw_sql.fetch_rows(c, _NUMBERS, (json.dumps(list(uuids)),)))
    known, numbers, left = {*uuids}, list[int](), MAX_CHILDREN
    while parents and left > 0:
        rows = raw_sql.fetch_rows(c, _SOME_CHILDREN, (json.dumps(list(parents)), left))
        left -= len(rows)
        found = {row.uuid: row.number for row in rows if _was_cancelled_with(row, parents)}
        parents = {uuid: number for uuid, number in found.items() if uuid not in known}
        known |= parents.keys()
        numbers += parents.values()
    return sorted(numbers), left > 0


def _was_cancelled_with(row: Any, parents: Mapping[str, int]) -> bool:
    return (
        row.status == TaskStatus.CANCELLED
        and row.deleted_at is None
        and skips.names_parent(row.reason, parents[row.parent_id])
    )


_FAILED_PARENTS = (
    "SELECT t.number, p.number AS parent, p.status FROM dependencies d JOIN tasks t ON t.uuid ="
    " d.task_id JOIN tasks p ON p.uuid = d.parent_id WHERE d.task_id IN (SELECT value FROM"
    " json_each(?)) AND d.parent_id NOT IN (SELECT value FROM json_each(?)) AND"
    f" {skips.BROKEN} ORDER BY t.number, p.number"
)


def list_failed_parents(c: Connection, uuids: Sequence[str]) -> list[Any]:
    """Return parents, not among these tasks, that ended such that these tasks should not run.

    Rows of number, parent, status.
    """
    uuids_json = json.dumps(list(uuids))
    return raw_sql.fetch_rows(c, _FAILED_PARENTS, (uuids_json, uuids_json))


def find_failed_parents(c: Connection, uuids: Sequence[str]) -> dict[str, int]:
    """Return {uuid: number of a failed parent} for tasks that need its success."""
    found = (
        "SELECT d.task_id, min(p.number) FROM dependencies d JOIN tasks p ON p.uuid = d.parent_id"
        f" WHERE d.task_id IN (SELECT value FROM json_each(?)) AND {skips.BROKEN} GROUP BY"
        " d.task_id"
    )
    return dict(raw_sql.fetch_rows(c, found, (json.dumps(list(uuids)),)))


_CANCELLED_WITH = (
    "SELECT t.uuid, t.number, t.reason, d.parent_id FROM dependencies d JOIN tasks t ON t.uuid ="
    " d.task_id WHERE d.parent_id IN (SELECT value FROM json_each(?)) AND +t.status = 'cancelled'"
    " AND t.deleted_at IS NULL ORDER BY t.number"
)
_PAIRS = (
    "SELECT task_id, parent_id FROM dependencies WHERE task_id IN (SELECT value FROM json_each(?))"
)


def list_cancelled_with(c: Connection, uuids: Sequence[str]) -> list[str]:
    """Return all tasks cancelled because of these, directly or not, each after its parents."""
    level = dict(raw_sql.fetch_rows(c, _NUMBERS, (json.dumps(list(uuids)),)))
    known, found = {*uuids}, list[str]()
    while level:
        rows = raw_sql.fetch_rows(c, _CANCELLED_WITH, (json.dumps(list(level)),))
        level = {
            row.uuid: row.number
            for row in rows
            if row.uuid not in known and skips.names_parent(row.reason, level[row.parent_id])
        }
        known |= level.keys()
        found += level
    return _put_parents_first(c, found)


def _put_parents_first(c: Connection, uuids: Sequence[str]) -> list[str]:
    order = TopologicalSorter[str]({uuid: () for uuid in uuids})
    for task, parent in raw_sql.fetch_rows(c, _PAIRS, (json.dumps(list(uuids)),)):
        order.add(task, parent)
    chosen = {*uuids}
    return [uuid for uuid in order.static_order() if uuid in chosen]
