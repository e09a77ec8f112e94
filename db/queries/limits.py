"""Queries on the limits of tags, and on the tasks that they bound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, schema
from db.queries.age_order import OLDEST
from db.queries.dispatch import ACTIVE, QUEUED
from db.states import WAITING, as_sql

MAX_EXCLUSIONS = 50
"""Conditions of one statement; more are left out, since the plan skips these tasks, too."""
_ACTIVE = ACTIVE.replace(" FROM", ", i.tags, t.group_number FROM", 1)
_COLUMNS = ("cpu", "memory")


class Exclusion(NamedTuple):
    """Tasks with a tag that ask for more than an amount: of CPU, memory or a named resource.

    Without a resource, all tasks with the tag. With a `group`, all tasks of this group.
    """

    key: str
    value: str
    resource: str | None
    above: float
    group: int | None = None


def list_rows(c: Connection) -> list[Any]:
    """Return the limits by name, as stored."""
    columns = ", ".join(column.name for column in schema.limits.c)
    return raw_sql.fetch_rows(c, f"SELECT {columns} FROM limits ORDER BY name")


def list_active(c: Connection) -> list[Any]:
    """Return the active runs as `dispatch.list_active`, with their tags as JSON and group."""
    return raw_sql.fetch_rows(c, _ACTIVE)


def list_queued(
    c: Connection, queue: str, by_priority: bool, limit: int, excluded: Sequence[Exclusion]
) -> list[Any]:
    """Return the first queued tasks of a queue without the excluded ones: by priority or by age.

    The time grows with the excluded tasks that it passes: 50 ms for 100,000.
    """
    parts = [_build_exclusion(one) for one in excluded[:MAX_EXCLUSIONS]]
    more = "".join(f" AND NOT ({condition})" for condition, _ in parts)
    found = (QUEUED if by_priority else OLDEST).replace(" ORDER BY", f"{more} ORDER BY")
    return raw_sql.fetch_rows(c, found, (queue, *(v for _, values in parts for v in values), limit))


def _build_exclusion(one: Exclusion) -> tuple[str, tuple[Any, ...]]:
    if one.group is not None:
        return "group_number IS ?", (one.group,)
    # As `json.dumps` writes it. The text cannot be a part of a value, whose quotes are escaped.
    tag = "instr(tags, ?)", f"{json.dumps(one.key)}: {json.dumps(one.value)}"
    if one.resource is None:
        return tag[0], (tag[1],)
    if one.resource in _COLUMNS:
        return f"{tag[0]} AND {one.resource} > ?", (tag[1], one.above)
    path = json.dumps(one.resource)
    return f"{tag[0]} AND coalesce(resources ->> ?, 0) > ?", (tag[1], f"$.{path}", one.above)


class TaggedTask(NamedTuple):
    """A waiting task with the value of a tag, and what it asks for."""

    number: int
    value: str
    cpu: float
    memory: float
    resources: str | None


def list_waiting_with_tag(c: Connection, key: str) -> list[TaggedTask]:
    """Return the waiting tasks that have a tag of this name, in order of their numbers."""
    found = (
        "SELECT number, tags ->> :key, cpu, memory, resources FROM tasks INDEXED BY"
        f" idx_tasks_status WHERE status IN {as_sql(WAITING)} AND deleted_at IS NULL"
        " AND tags ->> :key IS NOT NULL ORDER BY number"
    )
    return [TaggedTask._make(row) for row in raw_sql.fetch_tuples(c, found, {"key": key})]


def map_tags(c: Connection, uuids: Sequence[str]) -> dict[str, tuple[str, int | None]]:
    """Return {uuid: its tags as JSON, and its group} of tasks."""
    found = (
        "SELECT uuid, tags, group_number FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))"
    )
    rows = raw_sql.fetch_tuples(c, found, (json.dumps(list(uuids)),))
    return {uuid: (tags, group) for uuid, tags, group in rows}
