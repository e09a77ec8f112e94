"""Order of `taskdeck ls`: what runs, what waits in the order of dispatch, then what ended.

Each part follows an index and stops at the limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Unpack

from sqlalchemy import Connection

from db import raw_sql
from db.queries import reads
from db.queries.reads import LIST_COLUMNS, TaskFilter
from db.queries.scheduling import age_order
from db.rows import TaskListText
from db.states import ENDED, WAITING, TaskStatus, as_sql

_ALL = -1
"""Limit of SQLite that means all rows."""


class _Part(NamedTuple):
    """Conditions of a list as SQL with their values, the index to use, and the filter itself.

    `narrow` names the index of names or groups if the filter has one, since few tasks share it.
    """

    where: str
    values: dict[str, Any]
    narrow: str
    wanted: TaskFilter
    is_folded: bool = False

    def build(self, columns: str, rest: str) -> str:
        """Return a query of `columns` with the rest behind FROM, up to :limit.

        A folded list leaves out the tasks of groups. The query looks at no more than
        `MAX_EXAMINED`, so 100,000 tasks of a group before the others cost some 15 ms.
        """
        if not self.is_folded:
            return f"SELECT {columns} FROM tasks {rest} LIMIT :limit"
        names = [f"k{at}" for at in range(columns.count(",") + 1)]
        inner = ", ".join(f"{c} AS {k}" for c, k in zip(columns.split(","), names, strict=True))
        return (
            f"SELECT {', '.join(names)} FROM (SELECT {inner}, group_number FROM tasks {rest} LIMIT"
            f" {MAX_EXAMINED}) WHERE group_number IS NULL LIMIT :limit"
        )


MAX_EXAMINED = 20_000
"""Tasks of a part that a list without tasks of groups looks at."""


def _get_value(column: str) -> str:
    return "json(t.sweep)" if column == "sweep" else f"t.{column}"


_LISTED = (
    f"SELECT json_group_array(json_array({', '.join(map(_get_value, LIST_COLUMNS))})), count(*)"
    " FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
)
_WAITING = (
    "SELECT t.uuid FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value WHERE +t.status IN"
    f" {as_sql(WAITING)} LIMIT ?"
)


def list_as_text(
    c: Connection,
    *,
    limit: int = 0,
    waiting: int = 0,
    fold: bool = False,
    **conditions: Unpack[TaskFilter],
) -> TaskListText:
    """Return matching tasks as JSON text, in the order of `list_rowids`, and the first `waiting`.

    SQLite builds the text, six times as fast as by way of Python objects.
    """
    rowids = json.dumps(list_rowids(c, limit=limit, fold=fold, **conditions))
    ((lines, count),) = raw_sql.fetch_tuples(c, _LISTED, (rowids,))
    return TaskListText(lines, count, raw_sql.fetch_column(c, _WAITING, (rowids, waiting)))


def list_rowids(
    c: Connection, *, limit: int = 0, fold: bool = False, **conditions: Unpack[TaskFilter]
) -> list[int]:
    """Return the rowids of matching tasks, with `fold` of those of no group. 0 means no limit.

    Running tasks: the latest start first. Queued ones: as the dispatcher takes them. Retrying and
    scheduled ones: by their time. Blocked and held ones: oldest first. Ended ones: newest first.
    """
    part = _build_part(conditions)._replace(is_folded=fold)
    found: list[int] = []
    for statuses, read in _PARTS:
        chosen = [word for word in statuses if word in (conditions.get("statuses") or statuses)]
        if chosen and not (limit and len(found) >= limit):
            found += read(c, part, chosen, limit - len(found) if limit else _ALL)
    if fold and not (limit and len(found) >= limit):
        known = {*found}
        more = _list_single(c, part, limit - len(found) if limit else _ALL)
        found += [rowid for rowid in more if rowid not in known]
    return found


def _list_single(c: Connection, part: _Part, limit: int) -> list[int]:
    """Return tasks of no group that have not ended, which many tasks of a group may hide.

    None if no group has so many tasks in one state. Only the newest tasks are looked at.
    """
    counts = "SELECT max(value) FROM counters WHERE name >= 'groups/' AND name < 'groups0'"
    if (raw_sql.fetch_value(c, counts) or 0) < MAX_EXAMINED:
        return []
    return raw_sql.fetch_column(
        c,
        "SELECT place FROM (SELECT rowid AS place, status FROM tasks INDEXED BY idx_tasks_single"
        f" WHERE group_number IS NULL AND deleted_at IS NULL AND {part.where} ORDER BY number DESC"
        f" LIMIT {MAX_EXAMINED}) WHERE status = 'running' OR status IN {as_sql(WAITING)} LIMIT"
        " :limit",
        {**part.values, "limit": limit},
    )


def _build_part(conditions: TaskFilter) -> _Part:
    texts, values = ["+deleted_at IS NULL"], dict[str, Any]()
    tests = {"queue": "queue = :queue", "name": "name = :name", "since": "created_at >= :since"}
    for key, test in tests.items():
        if (value := conditions.get(key)) is not None:
            texts.append(test)
            values[key] = value
    for at, (key, value) in enumerate((conditions.get("tags") or {}).items()):
        texts.append(
            f"EXISTS (SELECT 1 FROM json_each(tasks.tags) g WHERE g.key = :key{at} AND g.value ="
            f" :value{at})"
        )
        values |= {f"key{at}": key, f"value{at}": value}
    narrow = ""
    if groups := conditions.get("groups"):
        texts.append("group_number IN (SELECT value FROM json_each(:groups))")
        values["groups"] = json.dumps(list(groups))
        narrow = "INDEXED BY idx_tasks_group"
    if conditions.get("name") is not None:
        narrow = "INDEXED BY idx_tasks_name"
    return _Part(" AND ".join(texts), values, narrow, conditions)


def _list_running(c: Connection, part: _Part, _: Sequence[str], limit: int) -> list[int]:
    return raw_sql.fetch_column(
        c,
        part.build(
            "rowid",
            f"{part.narrow} WHERE status = 'running' AND {part.where} ORDER BY started_at DESC,"
            " number DESC",
        ),
        {**part.values, "limit": limit},
    )


def _list_queued(c: Connection, part: _Part, _: Sequence[str], limit: int) -> list[int]:
    """Return queued tasks: by the priority of their queues, then as in one queue."""
    only, places = part.wanted.get("queue"), dict[int, list[str]]()
    for row in reads.list_queues(c):
        if only in (None, row.name):
            places.setdefault(row.priority, []).append(row.name)
    found: list[int] = []
    for priority in sorted(places, reverse=True):
        if limit == _ALL or len(found) < limit:
            found += _list_of_queues(c, part, places[priority], limit)
    return _cut(found, limit)


def _list_of_queues(c: Connection, part: _Part, names: Sequence[str], limit: int) -> list[int]:
    """Return the queued tasks of queues with one priority."""
    others = age_order.map_policies(c)
    by_age = [
        _list_slice(c, part, name, order, limit)
        for order in _AGE_ORDERS
        for name in names
        if name in others
    ]
    parts = [_list_slice(c, part, name, _NEXT, limit) for name in names if name not in others]
    rows = parts[0] if len(parts) == 1 else sorted(chain.from_iterable(parts))
    return [row[-1] for row in chain(rows, *by_age)]


class _SliceOrder(NamedTuple):
    """Order of queued tasks of a queue, as an index has it, and which of them."""

    indexed_by: str
    order: str
    which: str = "1"


_NEXT = _SliceOrder("idx_tasks_next", "front DESC, priority DESC, number")
_AGE_ORDERS = (
    _SliceOrder("idx_tasks_next", "front DESC, created_at, number", "front > 0"),
    _SliceOrder("idx_tasks_oldest", "created_at, number", "front <= 0"),
)
"""Orders of a queue whose pool does not go by priority; expected times are not considered."""


def _list_slice(
    c: Connection, part: _Part, queue: str, by: _SliceOrder, limit: int
) -> Iterable[Any]:
    index = part.narrow or f"INDEXED BY {by.indexed_by}"
    return raw_sql.fetch_tuples(
        c,
        part.build(
            "-front, -priority, number, rowid",
            f"{index} WHERE queue = :place AND status = 'queued' AND {by.which} AND {part.where}"
            f" ORDER BY {by.order}",
        ),
        {**part.values, "place": queue, "limit": limit},
    )


def _list_due(c: Connection, part: _Part, statuses: Sequence[str], limit: int) -> list[int]:
    """Return retrying or scheduled tasks by their time, from the index of that time."""
    (status,) = statuses
    due = "retry_at" if status == TaskStatus.RETRYING else "not_before"
    index = part.narrow or f"INDEXED BY idx_tasks_{status}"
    return raw_sql.fetch_column(
        c,
        part.build(
            "rowid",
            f"{index} WHERE status = '{status}' AND {due} > '' AND {part.where} ORDER BY {due}",
        ),
        {**part.values, "limit": limit},
    )


def _list_oldest(c: Connection, part: _Part, statuses: Sequence[str], limit: int) -> list[int]:
    (status,) = statuses
    return raw_sql.fetch_column(
        c,
        part.build(
            "rowid", f"{part.narrow} WHERE status = '{status}' AND {part.where} ORDER BY rowid"
        ),
        {**part.values, "limit": limit},
    )


def _list_ended(c: Connection, part: _Part, statuses: Sequence[str], limit: int) -> list[int]:
    """Return ended tasks, the latest end first.

    With a filter by group, queue, name, tag or submission, return the latest submission first.
    """
    if part.values:
        listed = ", ".join(f"'{word}'" for word in statuses)
        return raw_sql.fetch_column(
            c,
            part.build(
                "rowid",
                f"{part.narrow} WHERE +status IN ({listed}) AND {part.where} ORDER BY number DESC",
            ),
            {**part.values, "limit": limit},
        )
    since = part.wanted.get("recent") or ""
    found = [
        tuple(row)
        for status in statuses
        for row in raw_sql.fetch_rows(
            c,
            part.build(
                "ended_at, number, rowid",
                f"WHERE status = '{status}' AND ended_at >= :since AND {part.where} ORDER BY"
                " ended_at DESC",
            ),
            {"since": since, "limit": limit},
        )
    ]
    return [row[-1] for row in _cut(sorted(found, reverse=True), limit)]


def _cut(rows: list[Any], limit: int) -> list[Any]:
    return rows if limit == _ALL else rows[:limit]


_ReadPart = Callable[[Connection, _Part, Sequence[str], int], list[int]]


def _list_parts() -> Iterator[tuple[Sequence[str], _ReadPart]]:
    yield (TaskStatus.RUNNING.value,), _list_running
    yield (TaskStatus.QUEUED.value,), _list_queued
    for status in (TaskStatus.RETRYING, TaskStatus.SCHEDULED):
        yield (status.value,), _list_due
    for status in (TaskStatus.BLOCKED, TaskStatus.HELD):
        yield (status.value,), _list_oldest
    yield tuple(sorted(status.value for status in ENDED)), _list_ended


_PARTS = tuple(_list_parts())
