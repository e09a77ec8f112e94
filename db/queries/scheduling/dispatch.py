"""Queries of the dispatcher.

The queries use indexes, so their cost does not grow with the number of tasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.rows import get_run_limit
from db.states import ACTIVE_SQL

QUEUED_COLUMNS = (
    "uuid, number, name, queue, priority, front, cpu, memory, timeout, template, resources, tags,"
    " group_number"
)
QUEUED = (
    f"SELECT {QUEUED_COLUMNS} FROM tasks WHERE queue = ? AND status = 'queued'"
    " ORDER BY front DESC, priority DESC, number LIMIT ?"
)
_FIRST = (
    "SELECT {columns} FROM json_each(?) AS q CROSS JOIN tasks ON tasks.rowid IN"
    " (SELECT rowid FROM tasks {first})"
)
ACTIVE = (
    "SELECT t.number, t.name, i.queue, i.cpu, i.memory, i.start_time, t.timeout, t.template,"
    " i.runid, i.status, i.deadline, i.resources, i.devices, i.pool,"
    " max(t.created_at, coalesce(t.not_before, ''), coalesce(t.retry_at, '')) AS since"
    " FROM instances i"
    f" JOIN tasks t ON t.uuid = i.task_id WHERE i.status IN {ACTIVE_SQL}"
)
STARTABLE = (
    "SELECT uuid, number, tags, attempts, launch, cwd, umask, env_id, env, timeout, grace,"
    " early_signal, output, stdin, split, error, retry_on_oom, name, group_number, group_index,"
    " sweep, max(created_at, coalesce(not_before, '')) AS since"
    " FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))"
)
WITH_LIMIT = (
    "SELECT i.runid, i.start_time, i.deadline, t.timeout, t.early_signal FROM instances i JOIN"
    f" tasks t ON t.uuid = i.task_id WHERE i.status IN {ACTIVE_SQL}"
    " AND +i.status IN ('running', 'paused')"
    " AND (i.deadline IS NOT NULL OR t.timeout IS NOT NULL)"
)
REQUESTED_STATES = (
    "SELECT i.runid, i.status, i.stop_reason, t.grace FROM instances i JOIN tasks t ON t.uuid ="
    f" i.task_id WHERE i.status IN {ACTIVE_SQL}"
)
NEXT_DUE = (
    "SELECT min(at) FROM (SELECT min(not_before) AS at FROM tasks INDEXED BY idx_tasks_scheduled"
    " WHERE status = 'scheduled' UNION ALL SELECT min(retry_at) FROM tasks INDEXED BY"
    " idx_tasks_retrying WHERE status = 'retrying')"
)

WAITING_FOR_RETRY = (
    "SELECT uuid, retry_at, retry_delay FROM tasks INDEXED BY idx_tasks_status"
    " WHERE status IN ('retrying', 'held') AND retry_at > ?"
    " AND retry_at GLOB ?"
)


def list_queued(c: Connection, queue: str, limit: int) -> list[Any]:
    """Return the first queued tasks of a queue, by priority."""
    return raw_sql.fetch_rows(c, QUEUED, (queue, limit))


def make_of_each(found: str) -> str:
    """Return a query for several queues: of each, the first tasks that `found` reads of one.

    The rows of a queue have no order, since SQLite reads them by their keys.
    """
    columns, _, first = found.removeprefix("SELECT ").partition(" FROM tasks ")
    return _FIRST.format(
        columns=", ".join(f"tasks.{name}" for name in columns.split(", ")),
        first=first.replace("queue = ?", "queue = q.value", 1),
    )


QUEUED_OF_EACH = make_of_each(QUEUED)


def map_queued(c: Connection, sizes: Mapping[str, int]) -> dict[str, list[Any]]:
    """Return {queue: its first queued tasks by priority}, of each as many as `sizes` says."""
    found = fetch_of_each(c, QUEUED_OF_EACH, sizes)
    for rows in found.values():
        rows.sort(key=_get_place)
    return found


def fetch_of_each(c: Connection, query: str, sizes: Mapping[str, int]) -> dict[str, list[Any]]:
    """Return {queue: rows} of a query from `make_of_each`, by one statement for each size."""
    names: dict[int, list[str]] = {}
    for queue, size in sizes.items():
        names.setdefault(size, []).append(queue)
    found: dict[str, list[Any]] = {queue: [] for queue in sizes}
    for size, queues in names.items():
        for row in raw_sql.fetch_rows(c, query, (json.dumps(queues), size)):
            found[row.queue].append(row)
    return found


def _get_place(row: Any) -> tuple[int, int, int]:
    return -row.front, -row.priority, row.number


def count_kinds(c: Connection, queue: str) -> list[tuple[str | None, int]]:
    """Return the named resources that queued tasks of a queue ask for (JSON), and how many do.

    100,000 tasks take 50 ms.
    """
    found = (
        "SELECT resources, count(*) FROM tasks INDEXED BY idx_tasks_next WHERE queue = ?"
        " AND status = 'queued' GROUP BY resources"
    )
    return [(resources, many) for resources, many in raw_sql.fetch_tuples(c, found, (queue,))]


def list_uuids_of_kind(c: Connection, queue: str, resources: str | None, limit: int) -> list[str]:
    """Return the first queued tasks of a queue, by priority, that ask for named resources."""
    found = (
        "SELECT uuid FROM tasks INDEXED BY idx_tasks_next WHERE queue = ? AND status = 'queued'"
        " AND resources IS ? ORDER BY front DESC, priority DESC, number LIMIT ?"
    )
    return raw_sql.fetch_column(c, found, (queue, resources, limit))


def list_active(c: Connection) -> list[Any]:
    """Return the active runs."""
    return raw_sql.fetch_rows(c, ACTIVE)


def map_startable(c: Connection, uuids: Sequence[str]) -> dict[str, Any]:
    """Return {uuid: what a run takes from its task}: tags (JSON), attempts so far, launch data.

    A task whose launch data cannot be read is left out.
    """
    found: dict[str, Any] = {}
    for row in raw_sql.fetch_rows(c, STARTABLE, (json.dumps(list(uuids)),)):
        with suppress(ValueError):
            launch, env = _parse_mapping(row.launch), _parse_mapping(row.env or "{}")
            found[row.uuid] = row._replace(launch=launch, env=env)
    return found


def map_run_limits(c: Connection) -> dict[str, tuple[float, str | None]]:
    """Return {runid: (limit in seconds, early signal)} of the unstopped runs with a limit."""
    rows = raw_sql.fetch_rows(c, WITH_LIMIT)
    limits = [
        (row.runid, get_run_limit(row.start_time, row.deadline, row.timeout), row.early_signal)
        for row in rows
    ]
    return {runid: (limit, early) for runid, limit, early in limits if limit is not None}


def list_requested_states(c: Connection) -> list[Any]:
    """Return the requested state of active runs: runid, status, stop_reason, grace."""
    return raw_sql.fetch_rows(c, REQUESTED_STATES)


def cap_retry_times(c: Connection) -> None:
    """Move retries that are further ahead than their delay to one delay from now.

    The clock has been set back since such a retry was stored.
    """
    now = timestamps.utcnow()
    later = (timestamps.format_time(now), timestamps.TIME_GLOB)
    rows = [
        {"uuid": row.uuid, "at": latest}
        for row in raw_sql.fetch_rows(c, WAITING_FOR_RETRY, later)
        if row.retry_at > (latest := timestamps.from_unix(now.timestamp() + row.retry_delay))
    ]
    raw_sql.execute_statements(c, "UPDATE tasks SET retry_at = :at WHERE uuid = :uuid", rows)


def find_next_due(c: Connection) -> str | None:
    """Return the time of the next scheduled or retrying task.

    Raise ValueError for an invalid time: it would never be reached.
    """
    found = raw_sql.fetch_value(c, NEXT_DUE)
    if found is not None and not timestamps.is_time(found):
        raise ValueError("not a time")
    return found


def get_environment(c: Connection, sha256: str) -> dict[str, str]:
    """Return a stored environment. Raise ValueError if unreadable."""
    found = raw_sql.fetch_value(c, "SELECT variables FROM environments WHERE sha256 = ?", (sha256,))
    return _parse_mapping(found) if found else {}


def _parse_mapping(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found
