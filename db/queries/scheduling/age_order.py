"""Queued tasks of a queue by the time of their submission, for pools that ignore priorities.

Tasks that somebody moved to the front come first. They are few and read by themselves, so that the
others follow an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from db import raw_sql
from db.queries.scheduling.dispatch import QUEUED_COLUMNS, fetch_of_each, make_of_each

_AT_FRONT = (
    f"SELECT {QUEUED_COLUMNS}, created_at FROM tasks INDEXED BY idx_tasks_next WHERE queue = ?"
    " AND status = 'queued' AND front > 0 ORDER BY front DESC, created_at, number LIMIT ?"
)
OLDEST = (
    f"SELECT {QUEUED_COLUMNS}, created_at FROM tasks INDEXED BY idx_tasks_oldest WHERE queue = ?"
    " AND status = 'queued' AND front <= 0 ORDER BY created_at, number LIMIT ?"
)
_FRONT_KEYS = (
    "SELECT number, created_at FROM tasks INDEXED BY idx_tasks_next WHERE queue = ? AND"
    " status = 'queued' AND front > 0 ORDER BY front DESC, created_at, number"
)
_BETWEEN = (
    "SELECT count(*) FROM tasks INDEXED BY idx_tasks_oldest WHERE queue = ? AND status = 'queued'"
    " AND (created_at, number) >= (?, ?) AND (created_at, number) < (?, ?)"
)
_POLICIES = (
    "SELECT q.name, p.policy FROM queues q JOIN pools p ON p.name = q.pool"
    " WHERE p.policy <> 'priority'"
)


MAX_OLDEST = 100
"""Tasks of a queue that are searched for the longest wait: they may be planned or retried."""
_LONGEST = (
    f"SELECT {QUEUED_COLUMNS}, created_at, max(created_at, coalesce(not_before, ''),"
    " coalesce(retry_at, '')) AS since FROM (SELECT * FROM tasks INDEXED BY idx_tasks_oldest WHERE"
    f" queue = ? AND status = 'queued' ORDER BY created_at, number LIMIT {MAX_OLDEST})"
    " ORDER BY since, number LIMIT 1"
)
_OLDEST_OF_EACH = (
    "SELECT value, (SELECT min(created_at) FROM tasks WHERE queue = value AND status = 'queued')"
    " FROM json_each(?)"
)


class AgedTask(Protocol):
    """A task with its number and the time of its submission."""

    @property
    def number(self) -> int: ...
    @property
    def created_at(self) -> str: ...


class _Age(NamedTuple):
    created_at: str
    number: int


def map_policies(c: Connection) -> dict[str, str]:
    """Return {queue: policy of its pool}, without the queues of pools that go by priority."""
    return dict(raw_sql.fetch_tuples(c, _POLICIES))


def list_queued(c: Connection, queue: str, limit: int) -> list[Any]:
    """Return the first queued tasks of a queue: at the front, then the oldest ones."""
    first = raw_sql.fetch_rows(c, _AT_FRONT, (queue, limit))
    left = limit - len(first)
    return [*first, *raw_sql.fetch_rows(c, OLDEST, (queue, left))] if left else first


_AT_FRONT_OF_EACH, _OLDEST_OF_QUEUES = make_of_each(_AT_FRONT), make_of_each(OLDEST)


def map_queued(c: Connection, sizes: Mapping[str, int]) -> dict[str, list[Any]]:
    """Return {queue: its first queued tasks as `list_queued`}, of each as many as `sizes` says."""
    found = fetch_of_each(c, _AT_FRONT_OF_EACH, sizes)
    left = {queue: size - len(found[queue]) for queue, size in sizes.items()}
    oldest = fetch_of_each(c, _OLDEST_OF_QUEUES, {n: size for n, size in left.items() if size})
    for queue, rows in found.items():
        rows += oldest.get(queue, ())
        rows.sort(key=_get_place)
    return found


def _get_place(row: Any) -> tuple[int, str, int]:
    return -max(row.front, 0), row.created_at, row.number


def map_oldest(c: Connection, queues: Sequence[str]) -> dict[str, str]:
    """Return {queue: time of the first submission among its queued tasks}."""
    rows = raw_sql.fetch_tuples(c, _OLDEST_OF_EACH, (json.dumps(list(queues)),))
    return {queue: at for queue, at in rows if at is not None}


def find_longest(c: Connection, queue: str) -> Any:
    """Return the queued task that waits longest, with `since`, or None.

    A task waits since its submission, its start time or its last retry. Among many tasks, only
    those submitted first are read.
    """
    return next(iter(raw_sql.fetch_rows(c, _LONGEST, (queue,))), None)


def find_submission(c: Connection, uuid: str) -> str | None:
    """Return the time of the submission of a task, or None if there is no such task."""
    return raw_sql.fetch_value(c, "SELECT created_at FROM tasks WHERE uuid = ?", (uuid,))


def count_before_each(c: Connection, queue: str, tasks: Iterable[AgedTask]) -> dict[int, int]:
    """Return {number: tasks before it} for at least these queued tasks of a queue.

    The order is that of `list_queued`. Tasks are counted step by step, so that all counts together
    read the index once.
    """
    at_front = [_Age(row.created_at, row.number) for row in _list_front_keys(c, queue)]
    found = {age.number: at for at, age in enumerate(at_front)}
    before, last = 0, _Age("", 0)
    for age in sorted({_Age(task.created_at, task.number) for task in tasks}):
        before += raw_sql.fetch_value(c, _BETWEEN, (queue, *last, *age))
        last = age
        younger = sum(one > age for one in at_front)
        found.setdefault(age.number, before + younger)
    return found


def _list_front_keys(c: Connection, queue: str) -> Sequence[Any]:
    return raw_sql.fetch_rows(c, _FRONT_KEYS, (queue,))
