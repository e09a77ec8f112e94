"""Cursor over the tasks that an SLA rule still has to evaluate.

The cursor survives restarts: no task is missed or reported twice. The cursor holds the last
evaluated task number; tasks that are due later are deferred by time. The number and the deferred
tasks are `counters`: `sla/<id>/number` and `sla/<id>/later/<due, microseconds>/<number>`.
`sla/events` is the last event followed: events resolve alerts, and report failures and tasks that
an undo brought back. No statement reads more than a page of tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql
from db.queries import counters
from db.states import ENDED, FAILED

PAGE = 500
"""Maximum number of tasks evaluated in one step."""
SPAN = 20_000
"""Maximum number of task numbers, or events, passed in one step."""
MAX_LAG = 1000
"""Events after which the cursor moves even if no rule needs them, so that reads stay short."""


class SlaTask(NamedTuple):
    """Columns of a task that a rule evaluates.

    `first_start` is the start of the first attempt. `orphaned` is True for a task that was
    cancelled because a task before it failed.
    """

    uuid: str
    number: int
    name: str
    status: str
    created_at: str
    not_before: str | None
    ended_at: str | None
    first_start: str | None
    reason: str | None
    orphaned: bool


ENDED_WORDS = ", ".join(f"'{word}'" for word in sorted(ENDED))
FAILED_WORDS = ", ".join(f"'{word}'" for word in sorted(FAILED))
_ANCESTORS = (
    "WITH RECURSIVE ancestors(uuid) AS (SELECT value FROM json_each(?) UNION SELECT d.parent_id"
    " FROM ancestors up CROSS JOIN dependencies d ON d.task_id = up.uuid CROSS JOIN tasks p ON"
    " p.uuid = d.parent_id WHERE +d.kind = 'success' AND +p.status = 'cancelled') SELECT"
    f" d.parent_id, up.uuid, p.status IN ({FAILED_WORDS}) FROM ancestors up CROSS JOIN dependencies"
    " d ON d.task_id = up.uuid CROSS JOIN tasks p ON p.uuid = d.parent_id WHERE +d.kind = 'success'"
    f" AND +p.status IN ('cancelled', {FAILED_WORDS})"
)
SLA_TASK_COLUMNS = (
    "t.uuid, t.number, t.name, t.status, t.created_at, t.not_before, t.ended_at, (SELECT"
    " min(i.start_time) FROM instances i WHERE i.task_id = t.uuid) AS first_start, t.reason,"
    " t.status = 'cancelled' AND t.reason GLOB 'parent #*' AS orphaned"
)
"""Columns of an `SlaTask`, from `tasks t`. `make_tasks` checks `orphaned`, a first guess."""
BROUGHT_BACK = "brought back"
"""Note of the event that the undo of a cancel writes."""
_BEFORE = "SELECT p.status FROM events p WHERE p.task_id = e.task_id AND p.id < e.id"
_JUDGED_AT_ONCE = (
    f"(e.status IN ('cancelled', {FAILED_WORDS}) OR e.note = '{BROUGHT_BACK}' OR (e.note IS NULL"
    " AND e.status IN ('queued', 'scheduled', 'blocked', 'retrying') AND"
    f" ({_BEFORE} ORDER BY p.id DESC LIMIT 1) = 'held'))"
)
"""Condition for events after which a task is judged at once, not at its time."""


def make_tasks(c: Connection, rows: Iterable[Sequence[Any]]) -> list[SlaTask]:
    """Return the tasks of rows of `SLA_TASK_COLUMNS`.

    `orphaned` stays True only for a task with a failed ancestor. Read all ancestors once, since the
    tasks of a long chain share most of them.
    """
    tasks = [SlaTask._make(row) for row in rows]
    cancelled = [task.uuid for task in tasks if task.orphaned]
    if not cancelled:
        return tasks
    children: dict[str, list[str]] = {}
    failed = set[str]()
    for parent, child, is_failed in raw_sql.fetch_rows(c, _ANCESTORS, (json.dumps(cancelled),)):
        children.setdefault(parent, []).append(child)
        if is_failed:
            failed.add(parent)
    orphans, pending = set[str](), [*failed]
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in orphans:
                orphans.add(child)
                pending.append(child)
    return [task._replace(orphaned=task.uuid in orphans) for task in tasks]


class TaskScope(NamedTuple):
    """The tasks of a rule, as a condition on `t`."""

    where: str
    values: dict[str, Any]


def build_scope(c: Connection, sla_id: int, match: Mapping[str, Any]) -> TaskScope:
    """Return the tasks that `match` selects.

    If pools refer to the rule, only tasks in the queues of those pools count.
    """
    parts, values = [], {}
    for key, column in (("template", "template"), ("queue", "queue"), ("task", "name")):
        if key in match:
            parts.append(f"+t.{column} = :{key}")
            values[key] = match[key]
    for at, (key, word) in enumerate(match.get("tag", {}).items()):
        parts.append(
            f"EXISTS (SELECT 1 FROM json_each(t.tags) j WHERE j.key = :key{at} AND j.value ="
            f" :word{at})"
        )
        values |= {f"key{at}": key, f"word{at}": word}
    if c.exec_driver_sql("SELECT 1 FROM pools WHERE sla_id = ? LIMIT 1", (sla_id,)).first():
        owned = (
            "SELECT q.name FROM queues q JOIN pools p ON p.name = q.pool WHERE p.sla_id = :sla_id"
        )
        parts.append(f"+t.queue IN ({owned})")
        values["sla_id"] = sla_id
    return TaskScope(" AND ".join(parts) or "1", values)


def read_cursor(c: Connection, sla_id: int) -> int:
    """Return the last task number that a rule has evaluated."""
    return counters.read_value(c, f"sla/{sla_id}/number") or 0


def move_cursor(c: Connection, sla_id: int, number: int) -> None:
    """Store the last task number that a rule has evaluated."""
    counters.set_value(c, f"sla/{sla_id}/number", number)


def find_last_created(c: Connection, until: str) -> int:
    """Return the highest number of the latest tasks submitted up to a time, or 0.

    Examines a hundred tasks: after a clock reset, numbers and times disagree.
    """
    latest = (
        "SELECT number FROM tasks WHERE created_at <= ? ORDER BY created_at DESC, rowid DESC"
        " LIMIT 100"
    )
    return c.exec_driver_sql(f"SELECT max(number) FROM ({latest})", (until,)).scalar_one() or 0


def read_page(c: Connection, scope: TaskScope, after: int, until: int, since: str) -> list[SlaTask]:
    """Return a page of tasks in scope with these numbers.

    The tasks have not ended, or ended after `since`.
    """
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.number > :after AND t.number <= :until AND"
        f" {scope.where} AND t.deleted_at IS NULL AND (+t.status NOT IN ({ENDED_WORDS}) OR"
        f" +t.ended_at > :since) ORDER BY t.number LIMIT {PAGE}",
        {"after": after, "until": until, "since": since, **scope.values},
    )
    return make_tasks(c, rows)


def find_next_created(c: Connection, scope: TaskScope, after: int) -> str | None:
    """Return the submission time of the next task in scope.

    After a thousand others, return the time of any next task.
    """
    first = c.exec_driver_sql(
        "SELECT number FROM tasks WHERE number > ? ORDER BY number LIMIT 1", (after,)
    ).first()
    if first is None:
        return None
    last = first[0] + 2 * PAGE
    row = c.exec_driver_sql(
        "SELECT t.created_at FROM tasks t WHERE t.number > :after AND t.number < :last AND"
        f" {scope.where} AND t.deleted_at IS NULL AND +t.status NOT IN ({ENDED_WORDS}) ORDER BY"
        " t.number LIMIT 1",
        {"after": after, "last": last, **scope.values},
    ).first()
    beyond = "SELECT created_at FROM tasks WHERE number >= ? ORDER BY number LIMIT 1"
    row = row or c.exec_driver_sql(beyond, (last,)).first()
    return row[0] if row else None


def defer_tasks(c: Connection, sla_id: int, due: Sequence[tuple[float, int]]) -> None:
    """Defer tasks until they are due: (UNIX seconds, number)."""
    for at, number in due:
        counters.set_value(c, f"sla/{sla_id}/later/{int(at * 1e6):020d}/{number}", number)


def take_due(c: Connection, sla_id: int, scope: TaskScope, until: float) -> list[SlaTask]:
    """Return a page of deferred tasks that are due and in scope, and remove them."""
    first, last = f"sla/{sla_id}/later/", f"sla/{sla_id}/later/{int(until * 1e6):020d}0"
    found = "SELECT name, value FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
    due = c.exec_driver_sql(found, (first, last, PAGE)).all()
    if not due:
        return []
    names, numbers = (json.dumps([row[at] for row in due]) for at in (0, 1))
    c.exec_driver_sql(
        "DELETE FROM counters WHERE name IN (SELECT value FROM json_each(?))", (names,)
    )
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.number IN (SELECT value FROM"
        f" json_each(:numbers)) AND {scope.where} AND t.deleted_at IS NULL",
        {"numbers": numbers, **scope.values},
    )
    return make_tasks(c, rows)


def read_task(c: Connection, uuid: str) -> SlaTask:
    """Return a task as a rule evaluates it."""
    found = f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.uuid = ?"
    return make_tasks(c, [c.exec_driver_sql(found, (uuid,)).one()])[0]


def read_changed(
    c: Connection, sla_id: int, scope: TaskScope, after: int, until: int, since: str
) -> list[SlaTask]:
    """Return tasks in scope that failed, were released or brought back, by these events.

    Leave out failures before `since`, and tasks released or brought back whose alert is open.
    """
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE t.uuid IN (SELECT e.task_id FROM events e"
        f" WHERE e.id > :after AND e.id <= :until AND {_JUDGED_AT_ONCE}) AND {scope.where} AND"
        f" t.deleted_at IS NULL AND CASE WHEN +t.status IN ({ENDED_WORDS}) THEN +t.ended_at >"
        " :since ELSE NOT EXISTS (SELECT 1 FROM alerts a WHERE a.sla_id = :rule AND a.task_id ="
        " t.uuid AND +a.status <> 'resolved') END",
        {"after": after, "until": until, "since": since, "rule": sla_id, **scope.values},
    )
    return make_tasks(c, rows)


def has_changed(c: Connection, after: int, until: int) -> bool:
    """Return whether these events report a failure, or a task released or brought back."""
    found = f"SELECT 1 FROM events e WHERE e.id > ? AND e.id <= ? AND {_JUDGED_AT_ONCE} LIMIT 1"
    return c.exec_driver_sql(found, (after, until)).first() is not None


def find_page_end(c: Connection, after: int, last: int) -> int:
    """Return the last event of the next step: `SPAN` events, or a page of failures."""
    until = min(last, after + SPAN)
    found = (
        f"SELECT e.id FROM events e WHERE e.id > ? AND e.id <= ? AND {_JUDGED_AT_ONCE} ORDER BY"
        f" e.id LIMIT 1 OFFSET {PAGE - 1}"
    )
    return c.exec_driver_sql(found, (after, until)).scalar() or until


def find_next_due(c: Connection, sla_id: int) -> float | None:
    """Return the time of the next deferred task in UNIX seconds."""
    name = counters.find_first_name(c, f"sla/{sla_id}/later/")
    return int(name.split("/")[3]) / 1e6 if name else None


def reset_cursor(c: Connection, sla_id: int) -> None:
    """Reset the cursor of a rule, so that it evaluates every task again."""
    counters.delete_below(c, f"sla/{sla_id}/")


def read_event_span(c: Connection) -> tuple[int, int]:
    """Return the last event followed, and the last event."""
    found = (
        "SELECT coalesce((SELECT value FROM counters WHERE name = 'sla/events'), 0),"
        " coalesce((SELECT max(id) FROM events), 0)"
    )
    cursor, last = c.exec_driver_sql(found).one()
    return cursor, last


def move_event_cursor(c: Connection, until: int) -> None:
    """Store the last event followed."""
    counters.set_value(c, "sla/events", until)


def find_last_event(c: Connection) -> int:
    """Return the highest event id."""
    return c.exec_driver_sql("SELECT max(id) FROM events").scalar_one() or 0
