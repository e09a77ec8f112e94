"""Alerts in the database: listed, fired, closed, acknowledged, and the silences over their SLAs.

`db.looks` finds what they are about. An SLA has one silence at most; one that is over is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from db import schema, timestamps
from db.queries import sla_cursor
from db.queries.sla_cursor import ENDED_WORDS, SLA_TASK_COLUMNS, SlaTask
from db.rows import AlertRow

_ALERT = [schema.alerts.c[name] for name in AlertRow._fields]
_ALERT_COLUMNS = ", ".join(f'a."{name}"' for name in AlertRow._fields)
_WITH_TASK = (
    f"SELECT {_ALERT_COLUMNS}, {SLA_TASK_COLUMNS}, s.conditions AS conditions FROM alerts a "
    "LEFT JOIN tasks t ON t.uuid = a.task_id LEFT JOIN slas s ON s.id = a.sla_id"
)
_WORST_FIRST = (
    "CASE WHEN {0}.status = 'resolved' THEN 2 WHEN {0}.sla_id IN (SELECT value FROM json_each(:quiet)) THEN 1 ELSE 0 END, "
    "instr('criticalwarninginfo', {0}.severity), instr('firingpendingacknowledged', {0}.status), {0}.fired_at, {0}.id"
)
"""What nobody is to be bothered with stands behind all that is open, however severe."""
RECENT_TASKS = 200
"""Tasks that are passed over at most to find a few that a rule can be held against."""


SYSTEM_OBJECT = "taskdeck"
"""The object of alerts that are about no task."""


class Silence(NamedTuple):
    """Nobody wants to hear of an SLA until then."""

    sla_id: int
    by: str
    reason: str | None
    until: str
    created_at: str


class OpenAlert(NamedTuple):
    """An alert with its task (None: there is none), its SLA's conditions, and the silence over it."""

    alert: AlertRow
    task: SlaTask | None
    conditions: dict[str, Any] | None
    silence: Silence | None = None


def find_alert(c: Connection, alert_id: int) -> AlertRow | None:
    """An alert by its id."""
    row = c.execute(select(*_ALERT).where(schema.alerts.c.id == alert_id)).first()
    return AlertRow._make(row) if row else None


def list_of_rule(c: Connection, name: str) -> list[AlertRow]:
    """The alerts of an SLA that are not resolved, oldest first."""
    a = schema.alerts.c
    chosen = select(*_ALERT).where(text("status <> 'resolved'"), a.name == name).order_by(a.fired_at)
    return [AlertRow._make(row) for row in c.execute(chosen)]


def list_alerts(c: Connection, resolved_since: str | None = None, limit: int = 0) -> list[OpenAlert]:
    """Open alerts, and those resolved since a time; limit 0 is all.

    The most severe first, firing ones before acknowledged ones, then the oldest; behind them the silenced, then the resolved.
    """
    quiet = map_silences(c)
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.id IN (SELECT open_alerts.id FROM ("
        "SELECT id, severity, status, sla_id, fired_at FROM alerts WHERE status <> 'resolved' UNION ALL "
        "SELECT id, severity, status, sla_id, fired_at FROM alerts WHERE resolved_at IS NOT NULL AND resolved_at >= :since"
        f") open_alerts ORDER BY {_WORST_FIRST.format('open_alerts')} LIMIT :limit) ORDER BY {_WORST_FIRST.format('a')}",
        {
            "since": "9999" if resolved_since is None else resolved_since,
            "limit": limit or -1,
            "quiet": json.dumps(list(quiet)),
        },
    )
    return [_add_silence(_make_open_alert(row), quiet) for row in rows]


def find_open_alert(c: Connection, alert_id: int) -> OpenAlert | None:
    """An alert by its id, with all that belongs to it."""
    row = c.exec_driver_sql(f"{_WITH_TASK} WHERE a.id = ?", (alert_id,)).first()
    return _add_silence(_make_open_alert(row), map_silences(c)) if row else None


def count_by_rule(c: Connection) -> dict[int, dict[str, int]]:
    """{SLA: {status: open alerts}}."""
    found: dict[int, dict[str, int]] = {}
    rows = c.exec_driver_sql(
        "SELECT sla_id, status, count(*) FROM alerts WHERE status <> 'resolved' AND sla_id IS NOT NULL GROUP BY sla_id, status"
    )
    for sla_id, status, n in rows:
        found.setdefault(sla_id, {})[status] = n
    return found


def map_metric_alerts(c: Connection) -> dict[int, int]:
    """{SLA: its open alert}, of alerts that are about no task."""
    found = "SELECT sla_id, id FROM alerts WHERE status <> 'resolved' AND sla_id IS NOT NULL AND task_id IS NULL"
    return {row.sla_id: row.id for row in c.exec_driver_sql(found)}


def list_intervals(c: Connection, sla_id: int, since: str, most: int) -> list[tuple[str, str]]:
    """When the alerts of an SLA fired and were resolved, of those resolved since then, among the latest `most` of all SLAs; the latest
    first."""
    rows = c.exec_driver_sql(
        "SELECT fired_at, resolved_at FROM (SELECT sla_id, fired_at, resolved_at FROM alerts WHERE resolved_at IS NOT NULL "
        "AND resolved_at >= ? ORDER BY resolved_at DESC LIMIT ?) WHERE sla_id = ? ORDER BY resolved_at DESC",
        (since, most, sla_id),
    )
    return [(fired, over) for fired, over in rows]


def map_resolved(c: Connection, since: str, most: int) -> dict[int, tuple[int, str]]:
    """{SLA: (alerts resolved since then, when the last was)}, of the latest `most` of all SLAs."""
    rows = c.exec_driver_sql(
        "SELECT sla_id, count(*), max(resolved_at) FROM (SELECT sla_id, resolved_at FROM alerts WHERE resolved_at IS NOT NULL "
        "AND resolved_at >= ? ORDER BY resolved_at DESC LIMIT ?) WHERE sla_id IS NOT NULL GROUP BY sla_id",
        (since, most),
    )
    return {sla_id: (n, last) for sla_id, n, last in rows}


_TASK_GROUPS = (
    ("template", "t.template = :word AND t.ended_at IS NOT NULL", "t.ended_at"),
    ("task", "t.name = :word", "t.rowid"),
    ("queue", "t.queue = :word", "t.number"),
)


def list_recent_tasks(c: Connection, match: Mapping[str, Any]) -> list[SlaTask]:
    """The newest tasks of a template, else of a name, else of a queue, else of all: `LATELY` at most, newest first."""
    where, order = next(((w, o) for key, w, o in _TASK_GROUPS if match.get(key)), ("1", "t.number"))
    word = next((match[key] for key, _, _ in _TASK_GROUPS if match.get(key)), "")
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE {where} AND t.deleted_at IS NULL ORDER BY {order} DESC LIMIT {RECENT_TASKS}",
        {"word": word},
    )
    return [SlaTask._make(row) for row in rows]


def list_to_resolve(c: Connection, after: int, until: int, limit: int) -> list[OpenAlert]:
    """Open alerts whose task did what they wait for, as the events with these ids tell: quick however many are open."""
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.task_id IN (SELECT e.task_id FROM events e WHERE e.id > :after AND e.id <= :until "
        f"AND e.status IN ('running', {ENDED_WORDS})) AND +a.status <> 'resolved' AND (+t.status IN ({ENDED_WORDS}) "
        "OR (s.conditions ->> '$.preset' = 'starts-within' AND EXISTS "
        "(SELECT 1 FROM instances i WHERE i.task_id = t.uuid AND i.start_time IS NOT NULL))) LIMIT :limit",
        {"after": after, "until": until, "limit": limit},
    )
    return [_make_open_alert(row) for row in rows]


def has_open_alerts(c: Connection) -> bool:
    """Whether any alert is not resolved."""
    return c.exec_driver_sql("SELECT 1 FROM alerts WHERE status <> 'resolved' LIMIT 1").first() is not None


def fire_alerts(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Record occurrences (all columns but id and the times of the row); the one of a task that is there is opened again."""
    if not rows:
        return
    now = timestamps.now()
    table = upsert(schema.alerts)
    told = ("severity", "status", "object", "text", "short", "value", "limit", "fired_at", "resolved_at", "updated_at")
    statement = table.on_conflict_do_update(
        index_elements=["sla_id", "task_id"],
        index_where=text("task_id IS NOT NULL"),
        set_={name: table.excluded[name] for name in told} | {"acknowledged_at": None, "acknowledged_by": None},
    )
    c.execute(statement, [{**row, "created_at": now, "updated_at": now} for row in rows])


def resolve_alerts(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Close alerts: rows of {key: its id, resolved_at, text, short, value}."""
    if rows:
        a = schema.alerts
        names = ("resolved_at", "text", "short", "value")
        values = {name: bindparam(f"new_{name}") for name in names}
        closed = update(a).where(a.c.id == bindparam("key"))
        statement = closed.values(status="resolved", updated_at=timestamps.now(), **values)
        c.execute(statement, [{"key": row["key"]} | {f"new_{name}": row[name] for name in names} for row in rows])


def acknowledge(c: Connection, ids: Iterable[int], by: str) -> None:
    """Somebody has seen these firing alerts."""
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'acknowledged', acknowledged_at = :now, acknowledged_by = :by, updated_at = :now "
        "WHERE id IN (SELECT value FROM json_each(:ids)) AND +status = 'firing'",
        {"now": timestamps.now(), "by": by, "ids": json.dumps(list(ids))},
    )


def unacknowledge(c: Connection, ids: Iterable[int]) -> None:
    """Nobody has seen these acknowledged alerts after all."""
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'firing', acknowledged_at = NULL, acknowledged_by = NULL, updated_at = :now "
        "WHERE id IN (SELECT value FROM json_each(:ids)) AND +status = 'acknowledged'",
        {"now": timestamps.now(), "ids": json.dumps(list(ids))},
    )


def map_silences(c: Connection) -> dict[int, Silence]:
    """{SLA: its silence}, of those that are silenced now."""
    s = schema.silences.c
    chosen = select(*(s[name] for name in Silence._fields)).where(s.until > timestamps.now())
    return {row.sla_id: Silence._make(row) for row in c.execute(chosen)}


def silence_rule(c: Connection, sla_id: int, until: str, by: str, reason: str | None) -> None:
    """Silence an SLA until a time, in place of what silences it now."""
    unsilence_rule(c, sla_id)
    now = timestamps.now()
    row = {"sla_id": sla_id, "by": by, "reason": reason, "until": until, "created_at": now, "updated_at": now}
    c.execute(schema.silences.insert().values(**row))


def unsilence_rule(c: Connection, sla_id: int) -> None:
    """Let an SLA be heard again."""
    c.execute(schema.silences.delete().where(schema.silences.c.sla_id == sla_id))


def set_severity(c: Connection, sla_id: int, severity: str) -> None:
    """Let the open alerts of an SLA be of this severity."""
    c.exec_driver_sql(
        "UPDATE alerts SET severity = ?, updated_at = ? WHERE sla_id = ? AND status <> 'resolved'",
        (severity, timestamps.now(), sla_id),
    )


def set_system_alerts(c: Connection, problems: Mapping[str, str], mild: Collection[str] = ()) -> None:
    """Let the open alerts about Taskdeck itself be exactly these, {name: text}: tell of new ones, close those that are over. Those that are
    `mild` are warnings, the others critical."""
    a, now = schema.alerts, timestamps.now()
    about = (a.c.sla_id.is_(None), a.c.task_id.is_(None), a.c.object == SYSTEM_OBJECT, text("status <> 'resolved'"))
    known = {row.name: row.id for row in c.execute(select(a.c.id, a.c.name).where(*about))}
    for name in known.keys() - problems.keys():
        c.execute(update(a).where(a.c.id == known[name]).values(status="resolved", resolved_at=now, updated_at=now))
    for name, said in problems.items():
        severity = "warning" if name in mild else "critical"
        if name in known:
            c.execute(update(a).where(a.c.id == known[name]).values(severity=severity, text=said, short=said, updated_at=now))
        else:
            row = {"name": name, "severity": severity, "status": "firing", "object": SYSTEM_OBJECT, "text": said, "short": said}
            c.execute(a.insert().values(**row, fired_at=now, created_at=now, updated_at=now))


def detach_rule(c: Connection, sla_id: int) -> None:
    """Close the alerts of an SLA that goes, and let them keep its name only; its silence goes with it."""
    restart_rule(c, sla_id)
    unsilence_rule(c, sla_id)
    c.execute(update(schema.alerts).where(schema.alerts.c.sla_id == sla_id).values(sla_id=None))


def restart_rule(c: Connection, sla_id: int) -> None:
    """Let an SLA whose rule has changed look at every task again, and close what it had found."""
    sla_cursor.reset_cursor(c, sla_id)
    now = timestamps.now()
    c.exec_driver_sql(
        "UPDATE alerts SET status = 'resolved', resolved_at = ?, updated_at = ? "
        "WHERE sla_id = ? AND status <> 'resolved'",
        (now, now, sla_id),
    )


def _make_open_alert(row: Any) -> OpenAlert:
    split = len(AlertRow._fields)
    task = SlaTask._make(row[split:-1])
    return OpenAlert(AlertRow._make(row[:split]), task if task.uuid else None, json.loads(row[-1]) if row[-1] else None)


def _add_silence(found: OpenAlert, quiet: Mapping[int, Silence]) -> OpenAlert:
    """The alert with the silence over it, while it is open."""
    if found.alert.status == "resolved" or found.alert.sla_id is None:
        return found
    return found._replace(silence=quiet.get(found.alert.sla_id))
