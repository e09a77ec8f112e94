"""What an SLA looks at: which tasks, once each, when their time is up. Nothing is missed or told twice over a restart.

A cursor (the last task number looked at) says where an SLA is, and tasks whose time comes later than their number
suggests are put off, by their time. Both live in `counters`, as `sla/<id>/number` and
`sla/<id>/later/<due, microseconds>/<number>`; `sla/events` says against which events open alerts were held. No statement
reads more than a page of tasks, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import timestamps
from db.states import ENDED

PAGE = 500
"""Tasks looked at in one step."""
SPAN = 20_000
"""Task numbers, or events, passed over in one step."""


class SlaTask(NamedTuple):
    """What an SLA sees of a task; `first_start` is when its first attempt began."""

    uuid: str
    number: int
    name: str
    status: str
    created_at: str
    not_before: str | None
    ended_at: str | None
    first_start: str | None


SLA_TASK_COLUMNS = (
    "t.uuid, t.number, t.name, t.status, t.created_at, t.not_before, t.ended_at, "
    "(SELECT min(i.start_time) FROM instances i WHERE i.task_id = t.uuid) AS first_start"
)
"""The columns of a `Looked`, of the task `t`."""
ENDED_WORDS = ", ".join(f"'{word}'" for word in sorted(ENDED))


class TaskScope(NamedTuple):
    """Which tasks an SLA is about, as a condition on `t`."""

    where: str
    values: dict[str, Any]


def build_scope(c: Connection, sla_id: int, match: Mapping[str, Any]) -> TaskScope:
    """The tasks that `match` names; in the queues of the pools that point at the SLA, when some do."""
    parts, values = [], {}
    for key, column in (("template", "template"), ("queue", "queue"), ("task", "name")):
        if key in match:
            parts.append(f"+t.{column} = :{key}")
            values[key] = match[key]
    for at, (key, word) in enumerate(match.get("tag", {}).items()):
        parts.append(f"EXISTS (SELECT 1 FROM json_each(t.tags) j WHERE j.key = :key{at} AND j.value = :word{at})")
        values |= {f"key{at}": key, f"word{at}": word}
    if c.exec_driver_sql("SELECT 1 FROM pools WHERE sla_id = ? LIMIT 1", (sla_id,)).first():
        owned = "SELECT q.name FROM queues q JOIN pools p ON p.name = q.pool WHERE p.sla_id = :sla_id"
        parts.append(f"+t.queue IN ({owned})")
        values["sla_id"] = sla_id
    return TaskScope(" AND ".join(parts) or "1", values)


def read_cursor(c: Connection, sla_id: int) -> int:
    """The last task number that an SLA has looked at."""
    return _read_counter(c, f"sla/{sla_id}/number")


def move_cursor(c: Connection, sla_id: int, number: int) -> None:
    """Remember how far an SLA has looked."""
    _write_counter(c, f"sla/{sla_id}/number", number)


def find_last_created(c: Connection, until: str) -> int:
    """The highest number of the tasks submitted last at or before a time; 0 when there are none.

    Of the last hundred, because a clock that was set back makes numbers and times disagree.
    """
    latest = "SELECT number FROM tasks WHERE created_at <= ? ORDER BY created_at DESC, rowid DESC LIMIT 100"
    return c.exec_driver_sql(f"SELECT max(number) FROM ({latest})", (until,)).scalar_one() or 0


def read_page(c: Connection, scope: TaskScope, after: int, until: int, since: str) -> list[SlaTask]:
    """The tasks in scope with these numbers that have not ended, or ended after `since`; a page at most."""
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.number > :after AND t.number <= :until AND {scope.where} "
        f"AND t.deleted_at IS NULL AND (+t.status NOT IN ({ENDED_WORDS}) OR +t.ended_at > :since) "
        f"ORDER BY t.number LIMIT {PAGE}",
        {"after": after, "until": until, "since": since, **scope.values},
    )
    return [SlaTask._make(row) for row in rows]


def find_next_created(c: Connection, scope: TaskScope, after: int) -> str | None:
    """When the first task in scope after a number was submitted; beyond a thousand others, when the next of any was."""
    first = c.exec_driver_sql("SELECT number FROM tasks WHERE number > ? ORDER BY number LIMIT 1", (after,)).first()
    if first is None:
        return None
    last = first[0] + 2 * PAGE
    row = c.exec_driver_sql(
        f"SELECT t.created_at FROM tasks t WHERE t.number > :after AND t.number < :last AND {scope.where} "
        f"AND t.deleted_at IS NULL AND +t.status NOT IN ({ENDED_WORDS}) ORDER BY t.number LIMIT 1",
        {"after": after, "last": last, **scope.values},
    ).first()
    beyond = "SELECT created_at FROM tasks WHERE number >= ? ORDER BY number LIMIT 1"
    row = row or c.exec_driver_sql(beyond, (last,)).first()
    return row[0] if row else None


def defer_tasks(c: Connection, sla_id: int, due: Sequence[tuple[float, int]]) -> None:
    """Look at these tasks when their time is up: (UNIX seconds, number)."""
    for at, number in due:
        _write_counter(c, f"sla/{sla_id}/later/{int(at * 1e6):020d}/{number}", number)


def take_due(c: Connection, sla_id: int, scope: TaskScope, until: float) -> list[SlaTask]:
    """The tasks put off until now that are still in scope; a page at most, which is not put off any more."""
    first, last = f"sla/{sla_id}/later/", f"sla/{sla_id}/later/{int(until * 1e6):020d}0"
    found = "SELECT name, value FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
    due = c.exec_driver_sql(found, (first, last, PAGE)).all()
    if not due:
        return []
    names, numbers = (json.dumps([row[at] for row in due]) for at in (0, 1))
    c.exec_driver_sql("DELETE FROM counters WHERE name IN (SELECT value FROM json_each(?))", (names,))
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.number IN (SELECT value FROM json_each(:numbers)) "
        f"AND {scope.where} AND t.deleted_at IS NULL",
        {"numbers": numbers, **scope.values},
    )
    return [SlaTask._make(row) for row in rows]


def find_next_due(c: Connection, sla_id: int) -> float | None:
    """When the first task that was put off is due, UNIX seconds."""
    first = f"sla/{sla_id}/later/"
    found = "SELECT name FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT 1"
    row = c.exec_driver_sql(found, (first, f"sla/{sla_id}/later0")).first()
    return int(row[0].split("/")[3]) / 1e6 if row else None


def reset_cursor(c: Connection, sla_id: int) -> None:
    """Let an SLA look at every task again."""
    c.exec_driver_sql("DELETE FROM counters WHERE name >= ? AND name < ?", (f"sla/{sla_id}/", f"sla/{sla_id}0"))


def read_event_cursor(c: Connection) -> int:
    """The last event that open alerts were held against."""
    return _read_counter(c, "sla/events")


def move_event_cursor(c: Connection, until: int) -> None:
    """Remember which events open alerts were held against."""
    _write_counter(c, "sla/events", until)


def find_last_event(c: Connection) -> int:
    """The id of the last event."""
    return c.exec_driver_sql("SELECT max(id) FROM events").scalar_one() or 0


def _read_counter(c: Connection, name: str) -> int:
    row = c.exec_driver_sql("SELECT value FROM counters WHERE name = ?", (name,)).first()
    return row[0] if row else 0


def _write_counter(c: Connection, name: str, value: int) -> None:
    now = timestamps.now()
    c.exec_driver_sql(
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (name, value, now, now),
    )
