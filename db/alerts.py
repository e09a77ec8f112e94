"""Alerts in the database: listed, fired, closed and acknowledged. `db.looks` finds what they are about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from db import clock, looks, schema
from db.looks import LOOKED, OVER, Looked
from db.rows import AlertRow

_ALERT = [schema.alerts.c[name] for name in AlertRow._fields]
_ALERT_COLUMNS = ", ".join(f'a."{name}"' for name in AlertRow._fields)
_WITH_TASK = (
    f"SELECT {_ALERT_COLUMNS}, {LOOKED}, s.conditions AS conditions FROM alerts a "
    "LEFT JOIN tasks t ON t.uuid = a.task_id LEFT JOIN slas s ON s.id = a.sla_id"
)
_WORST_FIRST = "instr('criticalwarninginfo', {0}.severity), {0}.fired_at, {0}.id"


SYSTEM = "taskdeck"
"""The object of alerts that are about no task."""


class OpenAlert(NamedTuple):
    """An alert with its task (None: there is none) and its SLA's conditions."""

    alert: AlertRow
    task: Looked | None
    conditions: dict[str, Any] | None


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
        f"{_WITH_TASK} WHERE a.id IN (SELECT open_alerts.id FROM ("
        "SELECT id, severity, fired_at FROM alerts WHERE status <> 'resolved' UNION ALL "
        "SELECT id, severity, fired_at FROM alerts WHERE resolved_at IS NOT NULL AND resolved_at >= :since"
        f") open_alerts ORDER BY {_WORST_FIRST.format('open_alerts')} LIMIT :limit) ORDER BY {_WORST_FIRST.format('a')}",
        {"since": "9999" if resolved_since is None else resolved_since, "limit": limit or -1},
    )
    return [_open(row) for row in rows]


def to_resolve(c: Connection, after: int, until: int, limit: int) -> list[OpenAlert]:
    """Open alerts whose task did what they wait for, as the events with these ids tell: quick however many are open."""
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.task_id IN (SELECT e.task_id FROM events e WHERE e.id > :after AND e.id <= :until "
        f"AND e.status IN ('running', {OVER})) AND +a.status <> 'resolved' AND (+t.status IN ({OVER}) "
        "OR (s.conditions ->> '$.preset' = 'starts-within' AND EXISTS "
        "(SELECT 1 FROM instances i WHERE i.task_id = t.uuid AND i.start_time IS NOT NULL))) LIMIT :limit",
        {"after": after, "until": until, "limit": limit},
    )
    return [_open(row) for row in rows]


def any_open(c: Connection) -> bool:
    """Whether any alert is not resolved."""
    return c.exec_driver_sql("SELECT 1 FROM alerts WHERE status <> 'resolved' LIMIT 1").first() is not None


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
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'acknowledged', acknowledged_at = :now, acknowledged_by = :by, updated_at = :now "
        "WHERE id IN (SELECT value FROM json_each(:ids)) AND +status = 'firing'",
        {"now": clock.now(), "by": by, "ids": json.dumps(list(ids))},
    )


def system(c: Connection, problems: Mapping[str, str]) -> None:
    """Let the open alerts about Taskdeck itself be exactly these, {name: text}: tell of new ones, close those that are over."""
    a, now = schema.alerts, clock.now()
    about = (a.c.sla_id.is_(None), a.c.task_id.is_(None), a.c.object == SYSTEM, text("status <> 'resolved'"))
    known = {row.name: row.id for row in c.execute(select(a.c.id, a.c.name).where(*about))}
    for name in known.keys() - problems.keys():
        c.execute(update(a).where(a.c.id == known[name]).values(status="resolved", resolved_at=now, updated_at=now))
    for name, said in problems.items():
        if name in known:
            c.execute(update(a).where(a.c.id == known[name]).values(text=said, short=said, updated_at=now))
        else:
            row = {"name": name, "severity": "critical", "status": "firing", "object": SYSTEM, "text": said, "short": said}
            c.execute(a.insert().values(**row, fired_at=now, created_at=now, updated_at=now))


def forget_sla(c: Connection, sla_id: int) -> None:
    """Close the alerts of an SLA that goes, and let them keep its name only."""
    restart(c, sla_id)
    c.execute(update(schema.alerts).where(schema.alerts.c.sla_id == sla_id).values(sla_id=None))


def restart(c: Connection, sla_id: int) -> None:
    """Let an SLA whose rule has changed look at every task again, and close what it had found."""
    looks.restart(c, sla_id)
    now = clock.now()
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'resolved', resolved_at = ?, updated_at = ? "
        "WHERE sla_id = ? AND status <> 'resolved'",
        (now, now, sla_id),
    )


def _open(row: Any) -> OpenAlert:
    split = len(AlertRow._fields)
    task = Looked._make(row[split:-1])
    return OpenAlert(AlertRow._make(row[:split]), task if task.uuid else None, json.loads(row[-1]) if row[-1] else None)
