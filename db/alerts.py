"""Alerts in the database, and the statements that find the tasks an SLA must look at.

Each SLA looks at each task once, when its time is up: a cursor (the last task number looked at) says where it is, and
tasks whose time comes later than their number suggests are put off, by their time. Both live in `counters`, as
`sla/<id>/number` and `sla/<id>/later/<due, microseconds>/<number>`, so that nothing is missed or told twice when the
runtime was down. No statement reads more than a page of tasks, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from db import clock, schema
from db.rows import AlertRow
from db.states import ENDED

PAGE = 500
"""Tasks looked at in one step."""
SPAN = 20_000
"""Task numbers passed over in one step."""

_ALERT = [schema.alerts.c[name] for name in AlertRow._fields]


class Looked(NamedTuple):
    """What an SLA sees of a task; `first_start` is when its first attempt began."""

    uuid: str
    number: int
    name: str
    status: str
    created_at: str
    not_before: str | None
    ended_at: str | None
    first_start: str | None


class OpenAlert(NamedTuple):
    """An alert that is not resolved, with its task (None: there is none) and its SLA's conditions."""

    alert: AlertRow
    task: Looked | None
    conditions: dict[str, Any] | None


_LOOKED = (
    "t.uuid, t.number, t.name, t.status, t.created_at, t.not_before, t.ended_at, "
    "(SELECT min(i.start_time) FROM instances i WHERE i.task_id = t.uuid) AS first_start"
)
_ALERT_COLUMNS = ", ".join(f'a."{name}"' for name in AlertRow._fields)
_WITH_TASK = (
    f"SELECT {_ALERT_COLUMNS}, {_LOOKED}, s.conditions AS conditions FROM alerts a "
    "LEFT JOIN tasks t ON t.uuid = a.task_id LEFT JOIN slas s ON s.id = a.sla_id"
)
_OVER = ", ".join(f"'{word}'" for word in sorted(ENDED))


def find(c: Connection, alert_id: int) -> AlertRow | None:
    """An alert by its id."""
    row = c.execute(select(*_ALERT).where(schema.alerts.c.id == alert_id)).first()
    return AlertRow._make(row) if row else None


def of_sla(c: Connection, name: str) -> list[AlertRow]:
    """The alerts of an SLA that are not resolved, oldest first."""
    a = schema.alerts.c
    chosen = select(*_ALERT).where(text("status <> 'resolved'"), a.name == name).order_by(a.fired_at)
    return [AlertRow._make(row) for row in c.execute(chosen)]


def listed(c: Connection, resolved_since: str | None = None, limit: int = 0) -> list[OpenAlert]:
    """Open alerts, and those resolved since a time; the most severe first, then the oldest. Limit 0 is all."""
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.id IN (SELECT id FROM alerts WHERE status <> 'resolved' "
        "UNION ALL SELECT id FROM alerts WHERE resolved_at IS NOT NULL AND resolved_at >= :since) "
        "ORDER BY instr('criticalwarninginfo', a.severity), a.fired_at, a.id LIMIT :limit",
        {"since": resolved_since or "9999", "limit": limit or -1},
    )
    return [_open(row) for row in rows]


def to_resolve(c: Connection, limit: int) -> list[OpenAlert]:
    """Open alerts whose task has done what they wait for, or whose SLA is off."""
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.status <> 'resolved' AND (t.uuid IS NULL OR s.id IS NULL "
        f"OR NOT s.enabled OR +t.status IN ({_OVER}) OR t.deleted_at IS NOT NULL "
        "OR (t.attempts > 0 AND s.conditions ->> '$.preset' = 'starts-within' AND EXISTS "
        "(SELECT 1 FROM instances i WHERE i.task_id = t.uuid AND i.start_time IS NOT NULL))) LIMIT :limit",
        {"limit": limit},
    )
    return [_open(row) for row in rows]


def fire(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Record occurrences (all columns but id and the times of the row); one that is there is opened again."""
    if not rows:
        return
    now = clock.now()
    table = upsert(schema.alerts)
    told = ("severity", "status", "object", "text", "short", "value", "limit", "fired_at", "resolved_at", "updated_at")
    statement = table.on_conflict_do_update(
        index_elements=["sla_id", "task_id"],
        index_where=text("task_id IS NOT NULL"),
        set_={name: table.excluded[name] for name in told} | {"acknowledged_at": None, "acknowledged_by": None},
    )
    c.execute(statement, [{**row, "created_at": now, "updated_at": now} for row in rows])


def resolve(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Close alerts: rows of {key: its id, resolved_at, text, short, value}."""
    if rows:
        a = schema.alerts
        names = ("resolved_at", "text", "short", "value")
        values = {name: bindparam(f"new_{name}") for name in names}
        closed = update(a).where(a.c.id == bindparam("key"))
        statement = closed.values(status="resolved", updated_at=clock.now(), **values)
        c.execute(statement, [{"key": row["key"]} | {f"new_{name}": row[name] for name in names} for row in rows])


def acknowledge(c: Connection, ids: Iterable[int], by: str) -> None:
    """Somebody has seen these firing alerts."""
    a, now = schema.alerts, clock.now()
    seen = update(a).where(a.c.id.in_(list(ids)), a.c.status == "firing")
    c.execute(seen.values(status="acknowledged", acknowledged_at=now, acknowledged_by=by, updated_at=now))


def forget_sla(c: Connection, sla_id: int) -> None:
    """Let the alerts of an SLA that goes keep its name only."""
    c.execute(update(schema.alerts).where(schema.alerts.c.sla_id == sla_id).values(sla_id=None))
    restart(c, sla_id)


def restart(c: Connection, sla_id: int) -> None:
    """Let an SLA whose rule has changed look at every task again, and close what it had found."""
    c.exec_driver_sql("DELETE FROM counters WHERE name >= ? AND name < ?", (f"sla/{sla_id}/", f"sla/{sla_id}0"))
    now = clock.now()
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'resolved', resolved_at = ?, updated_at = ? "
        "WHERE sla_id = ? AND status <> 'resolved'",
        (now, now, sla_id),
    )


def cursor(c: Connection, sla_id: int) -> int:
    """The last task number that an SLA has looked at."""
    row = c.exec_driver_sql("SELECT value FROM counters WHERE name = ?", (f"sla/{sla_id}/number",)).first()
    return row[0] if row else 0


def move_cursor(c: Connection, sla_id: int, number: int) -> None:
    """Remember how far an SLA has looked."""
    _count(c, f"sla/{sla_id}/number", number)


def last_created(c: Connection, until: str) -> int:
    """The number of the last task submitted at or before a time; 0 when there is none."""
    found = "SELECT number FROM tasks WHERE created_at <= ? ORDER BY created_at DESC, rowid DESC LIMIT 1"
    row = c.exec_driver_sql(found, (until,)).first()
    return row[0] if row else 0


def page(c: Connection, scope: Scope, after: int, until: int, since: str) -> list[Looked]:
    """The tasks in scope with these numbers that have not ended, or ended after `since`; a page at most."""
    rows = c.exec_driver_sql(
        f"SELECT {_LOOKED} FROM tasks t WHERE t.number > :after AND t.number <= :until AND {scope.where} "
        f"AND t.deleted_at IS NULL AND (+t.status NOT IN ({_OVER}) OR +t.ended_at > :since) "
        f"ORDER BY t.number LIMIT {PAGE}",
        {"after": after, "until": until, "since": since, **scope.values},
    )
    return [Looked._make(row) for row in rows]


def next_created(c: Connection, scope: Scope, after: int) -> str | None:
    """When the first task in scope after a number was submitted; beyond a thousand others, when the next of any was."""
    first = c.exec_driver_sql("SELECT number FROM tasks WHERE number > ? ORDER BY number LIMIT 1", (after,)).first()
    if first is None:
        return None
    last = first[0] + 2 * PAGE
    row = c.exec_driver_sql(
        f"SELECT t.created_at FROM tasks t WHERE t.number > :after AND t.number < :last AND {scope.where} "
        f"AND t.deleted_at IS NULL AND +t.status NOT IN ({_OVER}) ORDER BY t.number LIMIT 1",
        {"after": after, "last": last, **scope.values},
    ).first()
    beyond = "SELECT created_at FROM tasks WHERE number >= ? ORDER BY number LIMIT 1"
    row = row or c.exec_driver_sql(beyond, (last,)).first()
    return row[0] if row else None


def put_off(c: Connection, sla_id: int, due: Sequence[tuple[float, int]]) -> None:
    """Look at these tasks when their time is up: (UNIX seconds, number)."""
    for at, number in due:
        _count(c, f"sla/{sla_id}/later/{int(at * 1e6):020d}/{number}", number)


def take_due(c: Connection, sla_id: int, scope: Scope, until: float) -> list[Looked]:
    """The tasks put off until now that are still in scope; a page at most, which is not put off any more."""
    first, last = f"sla/{sla_id}/later/", f"sla/{sla_id}/later/{int(until * 1e6):020d}0"
    found = "SELECT name, value FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
    due = c.exec_driver_sql(found, (first, last, PAGE)).all()
    if not due:
        return []
    names, numbers = (json.dumps([row[at] for row in due]) for at in (0, 1))
    c.exec_driver_sql("DELETE FROM counters WHERE name IN (SELECT value FROM json_each(?))", (names,))
    rows = c.exec_driver_sql(
        f"SELECT {_LOOKED} FROM tasks t WHERE t.number IN (SELECT value FROM json_each(:numbers)) "
        f"AND {scope.where} AND t.deleted_at IS NULL",
        {"numbers": numbers, **scope.values},
    )
    return [Looked._make(row) for row in rows]


def next_due(c: Connection, sla_id: int) -> float | None:
    """When the first task that was put off is due, UNIX seconds."""
    first = f"sla/{sla_id}/later/"
    found = "SELECT name FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT 1"
    row = c.exec_driver_sql(found, (first, f"sla/{sla_id}/later0")).first()
    return int(row[0].split("/")[3]) / 1e6 if row else None


class Scope(NamedTuple):
    """Which tasks an SLA is about, as a condition on `t`."""

    where: str
    values: dict[str, Any]


def scope(c: Connection, sla_id: int, match: Mapping[str, Any]) -> Scope:
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
    return Scope(" AND ".join(parts) or "1", values)


def _count(c: Connection, name: str, value: int) -> None:
    now = clock.now()
    c.exec_driver_sql(
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (name, value, now, now),
    )


def _open(row: Any) -> OpenAlert:
    split = len(AlertRow._fields)
    task = Looked._make(row[split:-1])
    return OpenAlert(AlertRow._make(row[:split]), task if task.uuid else None, json.loads(row[-1]) if row[-1] else None)
