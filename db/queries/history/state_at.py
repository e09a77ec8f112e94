"""State at a past moment.

Sources are run times, minute samples, events and the operation log. Every query is bounded:
`MAX_ROWS` is the maximum number of rows it reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql
from db.states import ACTIVE, ENDED, WAITING, TaskStatus

MAX_ROWS = 30_000
LONG_RUN = 300
"""Seconds. Longer runs have their own index, `idx_instances_long`; the others started shortly
before the moment."""
LATER_STARTS = 2_000
"""Number of later starts searched for tasks that waited at the moment."""
MAX_ALERTS = 5_000
"""Maximum number of alerts read, earliest resolved first."""
MAX_OPERATIONS = 50_000
"""Maximum number of later operations read."""

_ACTIVE = ", ".join(f"'{word}'" for word in sorted(ACTIVE))
_ENDED = ", ".join(f"'{word}'" for word in sorted(ENDED))
_WAITED = (
    "coalesce((SELECT e.status FROM events e WHERE e.task_id = t.uuid AND e.created_at <= :at"
    " ORDER BY e.id DESC LIMIT 1), 'queued') IN"
    f" ({', '.join(repr(word.value) for word in sorted(WAITING))})"
)
"""Condition for a waiting task: its last event says so. A task without events counts as waiting."""
_TASK = (
    "t.uuid, t.number, t.name, t.queue, t.priority, t.front, t.created_at, t.timeout, t.not_before"
)
_TASK_WITH_REQUEST = f"{_TASK}, t.cpu, t.memory"


def find_bounds(c: Connection) -> tuple[str, str] | None:
    """Return the first and last sampled minute, or None."""
    first = raw_sql.fetch_value(c, "SELECT min(minute) FROM samples")
    return (
        (first, raw_sql.fetch_value(c, "SELECT max(minute) FROM samples"))
        if first is not None
        else None
    )


def find_neighbours(c: Connection, minute: str) -> tuple[str | None, str | None]:
    """Return the sampled minutes just before and after a minute."""
    before = raw_sql.fetch_value(c, "SELECT max(minute) FROM samples WHERE minute < ?", (minute,))
    return before, raw_sql.fetch_value(
        c, "SELECT min(minute) FROM samples WHERE minute > ?", (minute,)
    )


def list_samples(c: Connection, since: str, until: str) -> list[Any]:
    """Return the samples of these minutes, both included, oldest first."""
    return raw_sql.fetch_rows(
        c, "SELECT * FROM samples WHERE minute >= ? AND minute <= ? ORDER BY minute", (since, until)
    )


_RUNNING = f"""
SELECT {_TASK}, i.runid, i.attempt, i.cpu, i.memory, i.start_time, i.end_time
FROM instances i CROSS JOIN tasks t ON t.uuid = i.task_id WHERE i.runid IN (
  SELECT runid FROM (SELECT runid, end_time FROM instances
    WHERE start_time > :recent AND start_time <= :at
    ORDER BY start_time DESC LIMIT {MAX_ROWS}) WHERE end_time IS NULL OR end_time > :at
  UNION SELECT runid FROM (SELECT runid, start_time FROM instances
    WHERE run_seconds > {LONG_RUN} AND end_time > :at LIMIT {MAX_ROWS * 10})
    WHERE start_time <= :at
  UNION SELECT runid FROM instances WHERE status IN ({_ACTIVE}) AND start_time <= :at
) ORDER BY i.start_time, i.runid LIMIT :limit
"""


def list_running(c: Connection, at: str, recent: str, limit: int) -> list[Any]:
    """Return the runs active at a moment; `recent` is `LONG_RUN` seconds earlier."""
    return raw_sql.fetch_rows(c, _RUNNING, {"at": at, "recent": recent, "limit": limit})


_STARTED_LATER = f"""
SELECT {_TASK_WITH_REQUEST}, soon.start_time AS became, 'started' AS fate FROM
  (SELECT task_id, start_time FROM instances WHERE start_time > :at ORDER BY start_time
    LIMIT {LATER_STARTS}) soon
  CROSS JOIN tasks t ON t.uuid = soon.task_id WHERE t.created_at <= :at AND {_WAITED} LIMIT :limit
"""
_CANCELLED_LATER = f"""
SELECT {_TASK_WITH_REQUEST}, t.ended_at AS became, 'cancelled' AS fate FROM
  (SELECT uuid FROM tasks WHERE status = 'cancelled' AND ended_at > :at ORDER BY ended_at
    LIMIT {LATER_STARTS}) g
  CROSS JOIN tasks t ON t.uuid = g.uuid WHERE t.created_at <= :at
  AND (t.started_at IS NULL OR t.started_at <= :at) AND {_WAITED} LIMIT :limit
"""
_QUEUED = f"""
SELECT {_TASK_WITH_REQUEST}, NULL AS became, NULL AS fate FROM json_each(:queues) q
  CROSS JOIN tasks t
WHERE t.uuid IN (SELECT uuid FROM tasks
  WHERE queue = q.value AND status = 'queued' AND created_at <= :at
  ORDER BY created_at LIMIT :limit)
AND {_WAITED} ORDER BY t.created_at LIMIT :limit
"""
_OTHERS = f"""
SELECT {_TASK_WITH_REQUEST}, NULL AS became, NULL AS fate FROM tasks t WHERE t.uuid IN
  (SELECT uuid FROM tasks WHERE status = :status AND created_at <= :at AND deleted_at IS NULL
    LIMIT :limit) AND {_WAITED}
"""


def list_waiting(c: Connection, at: str, queues: Sequence[str], limit: int) -> list[Any]:
    """Return the tasks waiting at a moment.

    `became` is the time of their `fate`, started or cancelled; both are None for tasks that wait to
    this day.
    """
    given = {"at": at, "limit": limit}
    found = raw_sql.fetch_rows(c, _STARTED_LATER, given)
    found += raw_sql.fetch_rows(c, _QUEUED, {**given, "queues": json.dumps(list(queues))})
    for status in (TaskStatus.RETRYING, TaskStatus.BLOCKED, TaskStatus.SCHEDULED, TaskStatus.HELD):
        found += raw_sql.fetch_rows(c, _OTHERS, {**given, "status": status.value})
    return found + raw_sql.fetch_rows(c, _CANCELLED_LATER, given)


_STATES = """
SELECT u.value AS uuid,
  (SELECT status FROM events e WHERE e.task_id = u.value AND e.created_at <= :at
    ORDER BY e.id DESC LIMIT 1) AS status
FROM json_each(:uuids) u
"""


def map_states(c: Connection, uuids: Sequence[str], at: str) -> dict[str, str]:
    """Return {uuid: last status at a moment} for tasks that have one."""
    rows = raw_sql.fetch_rows(c, _STATES, {"uuids": json.dumps(list(uuids)), "at": at})
    return {row[0]: row[1] for row in rows if row[1] is not None}


class EndedTask(NamedTuple):
    """A task that had ended."""

    uuid: str
    number: int
    name: str
    queue: str
    priority: int
    status: str
    ended_at: str
    reason: str | None


def list_ended(
    c: Connection, statuses: Sequence[str], since: str, until: str, limit: int
) -> list[EndedTask]:
    """Return tasks that ended in a period and stayed so, newest first."""
    newest = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {', '.join(EndedTask._fields)} FROM tasks WHERE status = '{word}'"
        " AND ended_at > :since AND ended_at <= :until AND (+deleted_at IS NULL OR +deleted_at >"
        " :until) ORDER BY ended_at DESC LIMIT :limit)"
        for word in statuses
    )
    found = raw_sql.fetch_rows(
        c,
        f"{newest} ORDER BY ended_at DESC LIMIT :limit",
        {"since": since, "until": until, "limit": limit},
    )
    return [EndedTask(*row) for row in found]


_RERUN = f"""
SELECT t.uuid, t.number, t.name, t.queue, t.priority, e.status, e.created_at,
  coalesce(i.reason, e.note) AS reason, e.by FROM
  (SELECT DISTINCT task_id
    FROM (SELECT task_id FROM events WHERE id > :last ORDER BY id LIMIT {MAX_ROWS})) later
  CROSS JOIN tasks t ON t.uuid = later.task_id
  CROSS JOIN events e ON e.id = (SELECT max(id) FROM events WHERE task_id = t.uuid AND id <= :last)
  LEFT JOIN instances i ON i.runid =
    (SELECT max(runid) FROM instances WHERE task_id = t.uuid AND end_time <= :at)
      AND i.status = e.status
WHERE e.status IN ({_ENDED}) AND e.created_at > :since AND (t.ended_at IS NULL OR t.ended_at > :at)
"""


def list_rerun(c: Connection, since: str, at: str) -> list[EndedTask]:
    """Return the tasks that had ended after `since` and ran again after the moment.

    Their ends come from the events.
    """
    last = _find_last_id(c, "events", at, 0)
    found = raw_sql.fetch_rows(c, _RERUN, {"since": since, "at": at, "last": last})
    return [
        EndedTask(*row[:7], reason=row.reason or _get_cancel_reason(row))  # type: ignore[call-arg]
        for row in found
    ]


def _get_cancel_reason(row: Any) -> str | None:
    return f"cancelled by {row.by}" if row.status == TaskStatus.CANCELLED else None


def map_last_runs(c: Connection, uuids: Sequence[str], at: str) -> dict[str, Any]:
    """Return {uuid: latest ended run}: run_seconds, exit_code, signal, stored log."""
    found = (
        "SELECT task_id, max(runid) AS runid, run_seconds, exit_code, signal, logs FROM instances "
        "WHERE task_id IN (SELECT value FROM json_each(?)) AND end_time <= ? GROUP BY task_id"
    )
    return {row.task_id: row for row in raw_sql.fetch_rows(c, found, (json.dumps(list(uuids)), at))}


def count_ended_between(
    c: Connection, statuses: Sequence[str], since: str, until: str
) -> dict[str, int]:
    """Count the tasks that ended in a period, by status."""
    listed = ", ".join(f"'{word}'" for word in statuses)
    counted = (
        f"SELECT status, count(*) FROM tasks WHERE status IN ({listed}) AND ended_at > ? AND"
        " ended_at <= ? GROUP BY status"
    )
    return {row[0]: row[1] for row in raw_sql.fetch_rows(c, counted, (since, until))}


_ALERTS = f"""
SELECT a.id, a.name, a.severity, a.object, a.text, a.short, a.fired_at, a.task_id,
  a.acknowledged_at, a.acknowledged_by, a."limit",
  s.conditions, t.number, t.created_at, t.not_before, t.ended_at,
  (SELECT min(i.start_time) FROM instances i WHERE i.task_id = t.uuid) AS first_start
FROM alerts a LEFT JOIN tasks t ON t.uuid = a.task_id LEFT JOIN slas s ON s.id = a.sla_id
WHERE a.id IN (
  SELECT id FROM alerts WHERE status <> 'resolved' AND max(fired_at, created_at) <= :at
  UNION ALL SELECT id FROM (SELECT id, max(fired_at, created_at) AS came FROM alerts
    WHERE resolved_at IS NOT NULL AND resolved_at > :at
    ORDER BY resolved_at LIMIT {MAX_ALERTS}) WHERE came <= :at
) ORDER BY (a.acknowledged_at IS NOT NULL AND a.acknowledged_at <= :at),
  instr('criticalwarninginfo', a.severity), a.fired_at DESC, a.id DESC LIMIT :limit
"""


def list_alerts(c: Connection, at: str, limit: int) -> list[Any]:
    """Return the alerts open and known at a moment, in the order of `alerts.list_alerts`.

    An alert may have fired before its rule was created; such an alert counts from its creation.
    """
    return raw_sql.fetch_rows(c, _ALERTS, {"at": at, "limit": limit})


def list_definition_changes(c: Connection, since: str) -> list[Any] | None:
    """Return later operations on queues and pools, newest first.

    Rows of verb, object, before; None if there are too many operations.
    """
    last = raw_sql.fetch_value(c, "SELECT max(id) FROM operations") or 0
    if (
        last
        and _get_time(c, "operations", max(1, last - MAX_OPERATIONS)) > since
        and last > MAX_OPERATIONS
    ):
        return None
    found = (
        "SELECT verb, object, before FROM operations WHERE id > ? AND (verb LIKE 'queue %' OR verb"
        " LIKE 'pool %') ORDER BY id DESC"
    )
    return raw_sql.fetch_rows(
        c, found, (_find_last_id(c, "operations", since, max(0, last - MAX_OPERATIONS)),)
    )


def _find_last_id(c: Connection, table: str, at: str, low: int) -> int:
    """Return the last id at a moment by bisection, since ids grow with time."""
    high = raw_sql.fetch_value(c, f"SELECT max(id) FROM {table}") or 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _get_time(c, table, middle) <= at else (low, middle - 1)
    return low


def _get_time(c: Connection, table: str, row: int) -> str:
    """Return the time of a row, or of the next one if it is gone."""
    return (
        raw_sql.fetch_value(
            c, f"SELECT created_at FROM {table} WHERE id >= ? ORDER BY id LIMIT 1", (row,)
        )
        or "9"
    )
