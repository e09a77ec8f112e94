"""How things stood at a moment that is over, from the runs' own times, the minute samples, the events and the operation log.

Every query is bounded, however many tasks there are: `SCANNED` is the most rows that one looks at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from db import sql
from db.states import ACTIVE, Task

SCANNED = 30_000
LONG = 300
"""Seconds: runs that took longer have an index of their own, `idx_instances_long`; others began so shortly before."""
AHEAD = 2_000
"""Starts after the moment among which those that waited then are looked for."""
ALERTS = 5_000
"""Alerts looked at, the first resolved after the moment."""
OPERATIONS = 50_000
"""Operations since the moment that are looked at."""

_ACTIVE = ", ".join(f"'{word}'" for word in sorted(ACTIVE))
_TASK = "t.uuid, t.number, t.name, t.queue, t.priority, t.front, t.created_at, t.timeout, t.not_before"


def bounds(c: Connection) -> tuple[str, str] | None:
    """The first and the last minute that has a sample; None when there is none."""
    first = sql.value(c, "SELECT min(minute) FROM samples")
    return (first, sql.value(c, "SELECT max(minute) FROM samples")) if first is not None else None


def around(c: Connection, minute: str) -> tuple[str | None, str | None]:
    """The last sampled minute before one and the first after it."""
    before = sql.value(c, "SELECT max(minute) FROM samples WHERE minute < ?", (minute,))
    return before, sql.value(c, "SELECT min(minute) FROM samples WHERE minute > ?", (minute,))


def samples(c: Connection, since: str, until: str) -> list[Any]:
    """Samples of these minutes, both included, oldest first."""
    return sql.rows(c, "SELECT * FROM samples WHERE minute >= ? AND minute <= ? ORDER BY minute", (since, until))


_RUNNING = f"""
SELECT {_TASK}, i.runid, i.attempt, i.cpu, i.memory, i.start_time, i.end_time
FROM instances i CROSS JOIN tasks t ON t.uuid = i.task_id WHERE i.runid IN (
  SELECT runid FROM (SELECT runid, end_time FROM instances WHERE start_time > :recent AND start_time <= :at
    ORDER BY start_time DESC LIMIT {SCANNED}) WHERE end_time IS NULL OR end_time > :at
  UNION SELECT runid FROM (SELECT runid, start_time FROM instances WHERE run_seconds > {LONG} AND end_time > :at LIMIT {SCANNED * 10})
    WHERE start_time <= :at
  UNION SELECT runid FROM instances WHERE status IN ({_ACTIVE}) AND start_time <= :at
) ORDER BY i.start_time, i.runid LIMIT :limit
"""


def running(c: Connection, at: str, recent: str, limit: int) -> list[Any]:
    """The runs that had begun and not ended; `recent` is `LONG` seconds before."""
    return sql.rows(c, _RUNNING, {"at": at, "recent": recent, "limit": limit})


_SOON = f"""
SELECT {_TASK}, soon.start_time AS became FROM
  (SELECT task_id, start_time FROM instances WHERE start_time > :at ORDER BY start_time LIMIT {AHEAD}) soon
  CROSS JOIN tasks t ON t.uuid = soon.task_id WHERE t.created_at <= :at LIMIT :limit
"""
_GIVEN_UP = f"""
SELECT {_TASK}, t.ended_at AS became FROM
  (SELECT uuid FROM tasks WHERE status = 'cancelled' AND ended_at > :at ORDER BY ended_at LIMIT {AHEAD}) g
  CROSS JOIN tasks t ON t.uuid = g.uuid WHERE t.created_at <= :at AND t.started_at IS NULL LIMIT :limit
"""
_QUEUED = f"""
SELECT {_TASK}, NULL AS became FROM json_each(:queues) q CROSS JOIN tasks t
WHERE t.uuid IN (SELECT uuid FROM tasks WHERE queue = q.value AND status = 'queued' AND created_at <= :at ORDER BY created_at LIMIT :limit)
ORDER BY t.created_at LIMIT :limit
"""
_OTHERS = f"""
SELECT {_TASK}, NULL AS became FROM tasks t WHERE t.uuid IN
  (SELECT uuid FROM tasks WHERE status = :status AND created_at <= :at AND deleted_at IS NULL LIMIT :limit)
"""


def waiting(c: Connection, at: str, queues: Sequence[str], limit: int) -> list[Any]:
    """Tasks that waited: `became` is when they started or were given up, in that order; without one those that wait to this day."""
    given = {"at": at, "limit": limit}
    found = sql.rows(c, _SOON, given)
    found += sql.rows(c, _QUEUED, {**given, "queues": json.dumps(list(queues))})
    for status in (Task.RETRYING, Task.BLOCKED, Task.SCHEDULED, Task.HELD):
        found += sql.rows(c, _OTHERS, {**given, "status": status.value})
    return found + sql.rows(c, _GIVEN_UP, given)


_STATES = """
SELECT u.value AS uuid, (SELECT status FROM events e WHERE e.task_id = u.value AND e.created_at <= :at ORDER BY e.id DESC LIMIT 1) AS status
FROM json_each(:uuids) u
"""


def states(c: Connection, uuids: Sequence[str], at: str) -> dict[str, str]:
    """{uuid: its last status by then}, of those that have one."""
    rows = sql.rows(c, _STATES, {"uuids": json.dumps(list(uuids)), "at": at})
    return {row[0]: row[1] for row in rows if row[1] is not None}


def ended(c: Connection, statuses: Sequence[str], since: str, until: str, limit: int) -> list[str]:
    """The tasks of these statuses that ended after `since`, until then, newest first: their uuids."""
    newest = " UNION ALL ".join(
        f"SELECT * FROM (SELECT uuid, ended_at FROM tasks WHERE status = '{word}' AND ended_at > :since AND ended_at <= :until "
        "AND +deleted_at IS NULL ORDER BY ended_at DESC LIMIT :limit)"
        for word in statuses
    )
    return sql.column(c, f"{newest} ORDER BY 2 DESC LIMIT :limit", {"since": since, "until": until, "limit": limit})


def ended_between(c: Connection, statuses: Sequence[str], since: str, until: str) -> dict[str, int]:
    """Tasks that ended in that time, by status."""
    listed = ", ".join(f"'{word}'" for word in statuses)
    counted = f"SELECT status, count(*) FROM tasks WHERE status IN ({listed}) AND ended_at > ? AND ended_at <= ? GROUP BY status"
    return {row[0]: row[1] for row in sql.rows(c, counted, (since, until))}


_ALERTS = f"""
SELECT a.id, a.name, a.severity, a.object, a.text, a.short, a.fired_at, a.task_id, a.acknowledged_at, a.acknowledged_by, t.number
FROM alerts a LEFT JOIN tasks t ON t.uuid = a.task_id WHERE a.id IN (
  SELECT id FROM alerts WHERE status <> 'resolved' AND fired_at <= :at
  UNION SELECT id FROM (SELECT id, fired_at FROM alerts WHERE resolved_at IS NOT NULL AND resolved_at > :at
    ORDER BY resolved_at LIMIT {ALERTS}) WHERE fired_at <= :at
) ORDER BY instr('criticalwarninginfo', a.severity), a.fired_at, a.id LIMIT :limit
"""


def alerts(c: Connection, at: str, limit: int) -> list[Any]:
    """The alerts that were open, worst first."""
    return sql.rows(c, _ALERTS, {"at": at, "limit": limit})


def changes(c: Connection, since: str) -> list[Any] | None:
    """What was done to queues and pools after a moment, newest first: rows of verb, object, before; None when too much was done."""
    last = sql.value(c, "SELECT max(id) FROM operations") or 0
    if last and _time_of(c, max(1, last - OPERATIONS)) > since and last > OPERATIONS:
        return None
    low, high = max(0, last - OPERATIONS), last
    while low < high:  # ids grow with time: the last one done by then
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _time_of(c, middle) <= since else (low, middle - 1)
    found = "SELECT verb, object, before FROM operations WHERE id > ? AND (verb LIKE 'queue %' OR verb LIKE 'pool %') ORDER BY id DESC"
    return sql.rows(c, found, (low,))


def _time_of(c: Connection, operation: int) -> str:
    """When an operation was done, or the next after it that there is."""
    return sql.value(c, "SELECT created_at FROM operations WHERE id >= ? ORDER BY id LIMIT 1", (operation,)) or "9"
