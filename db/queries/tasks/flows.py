"""Tasks of a group, or tasks that depend on one another, with their dependencies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql


class FlowRow(NamedTuple):
    """A task of a flow."""

    uuid: str
    number: int
    name: str
    status: str
    template: str | None
    timeout: float | None
    reason: str | None
    started_at: str | None
    ended_at: str | None
    queue: str
    priority: int
    front: int
    attempts: int
    created_at: str


class FlowEdge(NamedTuple):
    """A dependency: child, parent, its number and kind."""

    task: str
    parent: str
    number: int
    kind: str


_COLUMNS = ", ".join(f"t.{name}" for name in FlowRow._fields)
_OF_GROUP = (
    f"SELECT {_COLUMNS} FROM tasks t WHERE t.group_number = ? AND t.deleted_at IS NULL ORDER BY"
    " t.number LIMIT ?"
)
_LISTED = (
    f"SELECT {_COLUMNS} FROM tasks t WHERE t.uuid IN (SELECT value FROM json_each(?)) AND"
    " t.deleted_at IS NULL ORDER BY t.number"
)
_EDGES = (
    "SELECT d.task_id, d.parent_id, p.number, d.kind FROM dependencies d JOIN tasks p ON p.uuid ="
    " d.parent_id WHERE d.task_id IN (SELECT value FROM json_each(?)) ORDER BY p.number"
)
_NEIGHBOURS = (
    "SELECT parent_id FROM dependencies WHERE task_id IN (SELECT value FROM json_each(:of)) UNION"
    " SELECT task_id FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(:of)) LIMIT"
    " :most"
)


def list_group(c: Connection, group: int, limit: int) -> list[FlowRow]:
    """Return the first tasks of a group."""
    return [FlowRow._make(row) for row in raw_sql.fetch_rows(c, _OF_GROUP, (group, limit))]


def list_connected(c: Connection, uuid: str, limit: int) -> list[FlowRow]:
    """Return a task with the tasks that depend on it or it on them, directly or not."""
    known, level = {uuid: None}, [uuid]
    while level and len(known) < limit:
        given = {"of": json.dumps(level), "most": limit + len(known)}
        found = raw_sql.fetch_column(c, _NEIGHBOURS, given)
        level = [one for one in found if one not in known][: limit - len(known)]
        known |= dict.fromkeys(level)
    return [
        FlowRow._make(row) for row in raw_sql.fetch_rows(c, _LISTED, (json.dumps(list(known)),))
    ]


def list_edges(c: Connection, uuids: Sequence[str]) -> list[FlowEdge]:
    """Return the dependencies of tasks, also on other tasks."""
    return [
        FlowEdge._make(row) for row in raw_sql.fetch_rows(c, _EDGES, (json.dumps(list(uuids)),))
    ]
