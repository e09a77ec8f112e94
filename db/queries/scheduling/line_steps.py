"""Parts of the line of a queue, one behind the other.

To find the few among 100,000 tasks that may start takes a pass over all rows: 30 ms. A transaction
that passes one part takes a moment, and the next transaction goes on behind that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from db import raw_sql
from db.queries.scheduling.age_order import OLDEST
from db.queries.scheduling.dispatch import QUEUED

Place = tuple[Any, ...]
"""Values of a task by which a line is ordered: front, priority, number; or created_at, number."""

_OF_QUEUE = "FROM tasks WHERE queue = ? AND status = 'queued'"
_ORDER = "ORDER BY front DESC, priority DESC, number LIMIT 1"
_FIRST = f"SELECT front, priority, number {_OF_QUEUE} {_ORDER}"
_NEXT = (
    f"SELECT front, priority, number {_OF_QUEUE} AND front = ? AND priority < ? {_ORDER}",
    f"SELECT front, priority, number {_OF_QUEUE} AND front < ? {_ORDER}",
)
_ALIKE = f"{_OF_QUEUE} AND front = ? AND priority = ? AND number > ?"
_LAST_ALIKE = (
    f"SELECT number {_ALIKE} ORDER BY number LIMIT 1 OFFSET ?",
    f"SELECT max(number) {_ALIKE}",
)
_YOUNGER = (
    "SELECT created_at, number FROM tasks INDEXED BY idx_tasks_oldest WHERE queue = ?"
    " AND status = 'queued' AND (created_at, number) > (?, ?) ORDER BY created_at"
)
_LAST_YOUNGER = (f"{_YOUNGER}, number LIMIT 1 OFFSET ?", f"{_YOUNGER} DESC, number DESC LIMIT 1")
_PARTS = {
    True: QUEUED.replace(
        " ORDER BY", " AND front = ? AND priority = ? AND number > ? AND number <= ? ORDER BY"
    ),
    False: OLDEST.replace(
        " ORDER BY",
        " AND (created_at, number) > (?, ?) AND (created_at, number) <= (?, ?) ORDER BY",
    ),
}


def find_end(
    c: Connection, queue: str, by_priority: bool, after: Place | None, rows: int
) -> Place | None:
    """Return the place at which a part of at most so many rows ends, or None behind the last row.

    The part begins after a place, or with the first row. All its rows have the same priority.
    """
    if not by_priority:
        begin = after or ("", 0)
        return _fetch_end(c, _LAST_YOUNGER, (queue, *begin), rows)
    if after is not None:
        end = _fetch_end(c, _LAST_ALIKE, (queue, *after), rows)
        if end and end[0] is not None:
            return *after[:2], *end
    return _find_next(c, queue, after, rows)


def _find_next(c: Connection, queue: str, after: Place | None, rows: int) -> Place | None:
    """Return the end of a part of the next lower priority."""
    if after is None:
        first = _fetch(c, _FIRST, (queue,))
    else:
        first = _fetch(c, _NEXT[0], (queue, *after[:2])) or _fetch(c, _NEXT[1], (queue, after[0]))
    return first and find_end(c, queue, True, (*first[:2], first[2] - 1), rows)


def _fetch_end(
    c: Connection, last: tuple[str, str], values: tuple[Any, ...], rows: int
) -> Place | None:
    """Return the row so many rows further, or the last one."""
    return _fetch(c, last[0], (*values, rows - 1)) or _fetch(c, last[1], values)


def _fetch(c: Connection, query: str, values: tuple[Any, ...]) -> Place | None:
    return next(iter(raw_sql.fetch_tuples(c, query, values)), None)


def get_place(row: Any, by_priority: bool) -> Place:
    """Return the place of a row of a line."""
    if by_priority:
        return row.front, row.priority, row.number
    return row.created_at, row.number


def get_key(place: Place) -> Place:
    """Return the sort key of a place."""
    return (-place[0], -place[1], place[2]) if len(place) == 3 else place


def make_part(
    queue: str, by_priority: bool, after: Place | None, end: Place
) -> tuple[str, Sequence[Any]]:
    """Return the query for a part of a line, with its values but for the limit."""
    if not by_priority:
        return _PARTS[False], (queue, *(after or ("", 0)), *end)
    begin = after[2] if after is not None and after[:2] == end[:2] else -1
    return _PARTS[True], (queue, *end[:2], begin, end[2])
