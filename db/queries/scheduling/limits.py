"""Queries on the limits of tags, and on the tasks that they bound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, schema
from db.queries.scheduling import line_steps
from db.queries.scheduling.age_order import OLDEST
from db.queries.scheduling.dispatch import ACTIVE, QUEUED, QUEUED_COLUMNS
from db.queries.scheduling.line_steps import Place
from db.states import WAITING, as_sql

MAX_EXCLUSIONS = 50
"""Conditions of one statement, each for many groups or values of a tag; more are left out."""
_ACTIVE = ACTIVE.replace(" FROM", ", i.tags, t.group_number FROM", 1)
_COLUMNS = ("cpu", "memory")
_AMONG = (
    "SELECT {columns} FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND +queue = ?"
    " AND +status = 'queued'"
)
_QUEUED_AMONG = _AMONG.format(columns=QUEUED_COLUMNS)
_OLDEST_AMONG = _AMONG.format(columns=f"{QUEUED_COLUMNS}, created_at") + " AND +front <= 0"


class Exclusion(NamedTuple):
    """Tasks that ask for more than an amount: of CPU, memory or a named resource.

    They have all tags `tags`, none of the tags `without`, and a timeout longer than `longer_than`
    seconds, or none. With a `group`, they are of this group. Without a resource, all such tasks.
    Tasks of the templates `brief` are not among them. `is_lasting` is false if the clock moves
    `longer_than`. With `is_only`, all other tasks are excluded.
    """

    tags: tuple[str, ...]
    without: tuple[str, ...]
    resource: str | None
    above: float
    longer_than: float | None = None
    group: int | None = None
    brief: tuple[str, ...] = ()
    is_lasting: bool = False
    is_only: bool = False


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
    more, values = _build_exclusions(excluded)
    found = (QUEUED if by_priority else OLDEST).replace(" ORDER BY", f"{more} ORDER BY")
    return raw_sql.fetch_rows(c, found, (queue, *values, limit))


def list_part(
    c: Connection,
    queue: str,
    by_priority: bool,
    excluded: Sequence[Exclusion],
    after: Place | None,
    end: Place,
) -> list[Any]:
    """Return the rows of `list_queued` that are behind a place, up to the end of a part."""
    more, values = _build_exclusions(excluded)
    part, of_part = line_steps.make_part(queue, by_priority, after, end)
    found = part.replace(" ORDER BY", f"{more} ORDER BY")
    return raw_sql.fetch_rows(c, found, (*of_part, *values, -1))


def list_among(
    c: Connection,
    queue: str,
    by_priority: bool,
    excluded: Sequence[Exclusion],
    uuids: Sequence[str],
) -> list[Any]:
    """Return those rows of `list_queued` that are among some tasks, in any order."""
    more, values = _build_exclusions(excluded)
    found = _QUEUED_AMONG if by_priority else _OLDEST_AMONG
    return raw_sql.fetch_rows(c, found + more, (json.dumps(list(uuids)), queue, *values))


def count_waiting(c: Connection, pool: str, excluded: Exclusion) -> int:
    """Return how many waiting tasks of a pool are excluded. 100,000 take 0.1 s."""
    condition, values = _build_exclusion([excluded])
    found = (
        "SELECT count(*) FROM tasks INDEXED BY idx_tasks_status WHERE status IN"
        f" {as_sql(WAITING)} AND deleted_at IS NULL AND queue IN (SELECT name FROM queues"
        f" WHERE pool = ?) AND {condition}"
    )
    return raw_sql.fetch_column(c, found, (pool, *values))[0]


def _build_exclusions(excluded: Sequence[Exclusion]) -> tuple[str, list[Any]]:
    """Return conditions without the excluded tasks: one for all groups or values of a tag."""
    alike: dict[Exclusion, list[Exclusion]] = {}
    for one in excluded:
        alike.setdefault(_get_kind(one), []).append(one)
    kinds = list(alike.items())[:MAX_EXCLUSIONS]
    parts = [(one.is_only, *_build_exclusion(several)) for one, several in kinds]
    more = "".join(f" AND{'' if only else ' NOT'} ({condition})" for only, condition, _ in parts)
    return more, [v for *_, values in parts for v in values]


def _get_kind(one: Exclusion) -> Exclusion:
    """Return an exclusion without its group, or without the value of its only tag."""
    if one.group is not None:
        return one._replace(group=0)
    if len(one.tags) == 1:
        return one._replace(tags=(one.tags[0].partition("=")[0],))
    return one


def _build_exclusion(alike: Sequence[Exclusion]) -> tuple[str, tuple[Any, ...]]:
    """Return the condition of exclusions that differ in the group or in the value of a tag."""
    one, parts = alike[0], list[tuple[str, tuple[Any, ...]]]()
    if len(alike) > 1 and one.tags:
        pairs = [each.tags[0].partition("=") for each in alike]
        found = (f"$.{json.dumps(pairs[0][0])}", json.dumps([value for *_, value in pairs]))
        parts.append(("coalesce(tags ->> ? IN (SELECT value FROM json_each(?)), FALSE)", found))
    else:
        parts += (("instr(tags, ?) > 0", (_to_json(tag),)) for tag in one.tags)
    parts += (("instr(tags, ?) = 0", (_to_json(tag),)) for tag in one.without)
    if one.group is not None:
        groups = json.dumps([each.group for each in alike])
        among = "coalesce(group_number IN (SELECT value FROM json_each(?)), FALSE)"
        parts.append((among, (groups,)))
    if one.resource in _COLUMNS:
        parts.append((f"{one.resource} > ?", (one.above,)))
    elif one.resource is not None:
        path = f"$.{json.dumps(one.resource)}"
        parts.append(("coalesce(resources ->> ?, 0) > ?", (path, one.above)))
    if one.longer_than is not None:
        parts.append(("(timeout IS NULL OR timeout > ?)", (one.longer_than,)))
    if one.brief:
        among = "coalesce(template NOT IN (SELECT value FROM json_each(?)), TRUE)"
        parts.append((among, (json.dumps(one.brief),)))
    return " AND ".join(text for text, _ in parts), tuple(v for _, values in parts for v in values)


def _to_json(tag: str) -> str:
    """Return a tag as `json.dumps` stores it: no value contains it, since quotes are escaped."""
    key, _, value = tag.partition("=")
    return f"{json.dumps(key)}: {json.dumps(value)}"


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
