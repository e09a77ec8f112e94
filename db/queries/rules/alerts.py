"""Queries on alerts.

`queries.sla_cursor` selects the tasks that rules are evaluated on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Subquery,
    TextClause,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from db import raw_sql, schema, timestamps
from db.queries.rules import deliveries, silences, sla_cursor
from db.queries.rules.silences import Silence
from db.queries.rules.sla_cursor import (
    ENDED_WORDS,
    FAILED_WORDS,
    SLA_TASK_COLUMNS,
    SlaTask,
    TaskScope,
)
from db.queries.value_lists import is_any_of
from db.rows import AlertRow

_A = schema.alerts.c
_UNRESOLVED = _A.status != literal_column("'resolved'")
"""Condition for an open alert. SQLite uses the partial index of open alerts for a literal only."""
_ALERT = [_A[name] for name in AlertRow._fields]
_ALERT_COLUMNS = ", ".join(f'a."{name}"' for name in AlertRow._fields)
# SQL text, because rules and the board read them every second. The order of the conditions and
# `+`, which keeps SQLite from an index, decide their plans.
_WITH_TASK = (
    f"SELECT {_ALERT_COLUMNS}, {SLA_TASK_COLUMNS}, s.conditions AS conditions FROM alerts a "
    "LEFT JOIN tasks t ON t.uuid = a.task_id LEFT JOIN slas s ON s.id = a.sla_id"
)
_WORST_FIRST = (
    "CASE WHEN {0}.status = 'resolved' THEN 3 WHEN {0}.id IN (SELECT value FROM"
    " json_each(:quiet)) THEN 2 WHEN {0}.status = 'acknowledged' THEN 1 ELSE 0 END,"
    " instr('criticalwarninginfo', {0}.severity), instr('firingpending', {0}.status),"
    " {0}.fired_at DESC, {0}.id DESC"
)
"""What nobody has seen comes first; silenced alerts follow all other open ones."""
RECENT_TASKS = 200
"""Maximum number of tasks examined to find examples for a rule."""


SYSTEM_OBJECT = "taskdeck"
"""Object of alerts without a task."""


class AlertDetail(NamedTuple):
    """An alert with its task (if any), its rule's conditions, and the silence that covers it."""

    alert: AlertRow
    task: SlaTask | None
    conditions: dict[str, Any] | None
    silence: Silence | None = None


def find_alert(c: Connection, alert_id: int) -> AlertRow | None:
    """Return an alert by id."""
    row = c.execute(select(*_ALERT).where(_A.id == alert_id)).first()
    return AlertRow._make(row) if row else None


def list_by_id(c: Connection, ids: Sequence[int]) -> list[AlertRow]:
    """Return alerts by id, in the order of `ids`; unknown ids are left out."""
    found = select(*_ALERT).where(is_any_of(_A.id, ids))
    rows = {row.id: AlertRow._make(row) for row in c.execute(found)}
    return [rows[number] for number in ids if number in rows]


def list_open_names(c: Connection) -> set[str]:
    """Return the names of all rules with unresolved alerts."""
    return {*c.execute(select(_A.name).where(_UNRESOLVED).distinct()).scalars()}


def list_of_rule(c: Connection, name: str) -> list[AlertRow]:
    """Return the unresolved alerts of a rule, oldest first."""
    query = select(*_ALERT).where(_UNRESOLVED, _A.name == name).order_by(_A.fired_at)
    return [AlertRow._make(row) for row in c.execute(query)]


def list_alerts(
    c: Connection, resolved_since: str | None = None, limit: int = 0
) -> list[AlertDetail]:
    """Return open alerts, and alerts resolved since a time; a limit of 0 means all.

    Firing alerts come before acknowledged, silenced and resolved ones. Among each of these the most
    severe come first, then the newest.
    """
    silenced = silences.find_silenced(c)
    rows = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.id IN (SELECT open_alerts.id FROM (SELECT id, severity, status,"
        " sla_id, fired_at FROM alerts WHERE status <> 'resolved' UNION ALL SELECT id, severity,"
        " status, sla_id, fired_at FROM alerts WHERE resolved_at IS NOT NULL AND resolved_at >="
        f" :since) open_alerts ORDER BY {_WORST_FIRST.format('open_alerts')} LIMIT :limit) ORDER BY"
        f" {_WORST_FIRST.format('a')}",
        {
            "since": "9999" if resolved_since is None else resolved_since,
            "limit": limit or -1,
            "quiet": json.dumps(list(silenced)),
        },
    )
    return [_add_silence(alert, silenced) for alert in _make_open_alerts(c, rows.all())]


def find_open_alert(c: Connection, alert_id: int) -> AlertDetail | None:
    """Return an alert by id, with its task, conditions and silence."""
    rows = c.exec_driver_sql(f"{_WITH_TASK} WHERE a.id = ?", (alert_id,)).all()
    silenced = silences.find_silenced(c, [alert_id])
    return next((_add_silence(one, silenced) for one in _make_open_alerts(c, rows)), None)


def count_by_rule(c: Connection) -> dict[int, dict[str, int]]:
    """Return {rule id: {status: open alerts}}.

    Those that matchers of a silence select count as `silenced`.
    """
    found: dict[int, dict[str, int]] = {}
    rows = c.execute(
        select(_A.sla_id, _A.status, func.count())
        .where(_UNRESOLVED, _A.sla_id.is_not(None))
        .group_by(_A.sla_id, _A.status)
    )
    for sla_id, status, n in rows:
        found.setdefault(sla_id, {})[status] = n
    matched = [key for key, one in silences.find_silenced(c).items() if one.matchers is not None]
    for alert in list_by_id(c, matched):
        if alert.sla_id is not None:
            counts = Counter(found[alert.sla_id])
            counts.subtract([alert.status])
            counts["silenced"] += 1
            found[alert.sla_id] = {word: n for word, n in counts.items() if n}
    return found


def map_metric_alerts(c: Connection) -> dict[int, int]:
    """Return {rule id: open alert} for alerts without a task."""
    found = select(_A.sla_id, _A.id).where(
        _UNRESOLVED, _A.sla_id.is_not(None), _A.task_id.is_(None)
    )
    return {row.sla_id: row.id for row in c.execute(found)}


def list_intervals(c: Connection, sla_id: int, since: str, most: int) -> list[tuple[str, str]]:
    """Return (fired, resolved) times of a rule's alerts, latest first.

    Only alerts resolved since `since`, among the latest `most` of all rules.
    """
    latest = _select_resolved(since, most)
    rows = c.execute(
        select(latest.c.fired_at, latest.c.resolved_at)
        .where(latest.c.sla_id == sla_id)
        .order_by(latest.c.resolved_at.desc())
    )
    return [(fired, resolved_at) for fired, resolved_at in rows]


def map_resolved(c: Connection, since: str, most: int) -> dict[int, tuple[int, str]]:
    """Return {rule id: (alerts resolved since `since`, time of the last)}.

    Examines the latest `most` alerts of all rules.
    """
    latest = _select_resolved(since, most)
    rows = c.execute(
        select(latest.c.sla_id, func.count(), func.max(latest.c.resolved_at))
        .where(latest.c.sla_id.is_not(None))
        .group_by(latest.c.sla_id)
    )
    return {sla_id: (n, last) for sla_id, n, last in rows}


def _select_resolved(since: str, most: int) -> Subquery:
    """Return the query for the latest alerts of all rules that were resolved since a time."""
    return (
        select(_A.sla_id, _A.fired_at, _A.resolved_at)
        .where(_A.resolved_at.is_not(None), _A.resolved_at >= since)
        .order_by(_A.resolved_at.desc())
        .limit(most)
        .subquery()
    )


_TASK_GROUPS = (
    ("template", "t.template = :word AND t.ended_at IS NOT NULL", "t.ended_at"),
    ("task", "t.name = :word", "t.rowid"),
    ("queue", "t.queue = :word", "t.number"),
)


def list_recent_tasks(c: Connection, match: Mapping[str, Any]) -> list[SlaTask]:
    """Return the newest tasks that a rule can be tried on, at most `RECENT_TASKS`.

    Tasks of the template, else of the name, else of the queue, else of all.
    """
    where, order = next(((w, o) for key, w, o in _TASK_GROUPS if match.get(key)), ("1", "t.number"))
    word = next((match[key] for key, _, _ in _TASK_GROUPS if match.get(key)), "")
    rows = c.exec_driver_sql(
        f"SELECT {SLA_TASK_COLUMNS} FROM tasks t WHERE {where} AND t.deleted_at IS NULL ORDER BY"
        f" {order} DESC LIMIT {RECENT_TASKS}",
        {"word": word},
    )
    return sla_cursor.make_tasks(c, rows)


_SCOPE_GROUPS = (
    ("template", "t.template = :word", "t.rowid"),
    ("task", "t.name = :word", "t.rowid"),
    ("queue", "t.queue = :word", "t.number"),
)


def has_recent_task(c: Connection, scope: TaskScope, match: Mapping[str, Any]) -> bool:
    """Return whether one of the newest tasks that a rule can concern is in its scope."""
    key, where, order = next(
        (group for group in _SCOPE_GROUPS if match.get(group[0])), ("", "1", "t.number")
    )
    newest = (
        "SELECT t.template, t.queue, t.name, t.tags, t.deleted_at FROM tasks t WHERE"
        f" {where} ORDER BY {order} DESC LIMIT {RECENT_TASKS}"
    )
    found = f"SELECT 1 FROM ({newest}) t WHERE {scope.where} AND t.deleted_at IS NULL LIMIT 1"
    return (
        c.exec_driver_sql(found, {"word": match.get(key, ""), **scope.values}).first() is not None
    )


def list_to_resolve(c: Connection, after: int, until: int, limit: int) -> list[AlertDetail]:
    """Return open alerts whose task met the rule, according to these events.

    A finish rule requires success; a cancel ends its alert as well. The alert of a failure that
    somebody acknowledged ends with the next success of a task of that name.
    """
    page = {"after": after, "until": until, "limit": limit}
    ends = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.task_id IN (SELECT e.task_id FROM events e WHERE e.id > :after AND"
        f" e.id <= :until AND e.status IN ('running', {ENDED_WORDS})) AND +a.status <> 'resolved'"
        " AND a.fingerprint IS NULL"
        " AND (+t.status IN ('succeeded', 'cancelled') OR (s.conditions ->> '$.preset' ="
        f" 'starts-within' AND (+t.status IN ({ENDED_WORDS}) OR EXISTS (SELECT 1 FROM instances i"
        " WHERE i.task_id = t.uuid AND i.start_time IS NOT NULL)))) LIMIT :limit",
        page,
    ).all()
    successes = c.exec_driver_sql(
        f"{_WITH_TASK} WHERE a.status <> 'resolved' AND a.status = 'acknowledged' AND"
        f" +t.status IN ({FAILED_WORDS}) AND s.conditions ->> '$.preset' = 'finishes-within' AND"
        " t.name IN (SELECT n.name FROM events e CROSS JOIN tasks n ON n.uuid = e.task_id WHERE"
        " e.id > :after AND e.id <= :until AND e.status = 'succeeded') LIMIT :limit",
        page,
    ).all()
    return _make_open_alerts(c, [*ends, *successes][:limit])


def find_latest_task(c: Connection, name: str) -> str | None:
    """Return the uuid of the latest task of a name that is not deleted."""
    found = (
        "SELECT uuid FROM tasks WHERE name = ? AND deleted_at IS NULL ORDER BY rowid DESC LIMIT 1"
    )
    return raw_sql.fetch_value(c, found, (name,))


def has_open_alerts(c: Connection) -> bool:
    """Return True if any alert is unresolved."""
    found = "SELECT 1 FROM alerts WHERE status <> 'resolved' LIMIT 1"
    return raw_sql.fetch_value(c, found) is not None


def fire_alerts(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert alerts; reopen the existing alert of the same rule and task.

    Rows have all columns but id and row times. Rows with a `fingerprint` come from rules of the
    general form: the alert that is live under the fingerprint stays as it is.
    """
    if not rows:
        return
    known = _list_firing(c, rows)
    now = timestamps.now()
    table = upsert(schema.alerts)
    columns = (
        "severity",
        "status",
        "object",
        "text",
        "short",
        "value",
        "limit",
        "fired_at",
        "resolved_at",
        "updated_at",
    )
    statement = table.on_conflict_do_update(
        index_elements=["sla_id", "task_id"],
        index_where=text("task_id IS NOT NULL AND fingerprint IS NULL"),
        set_={name: table.excluded[name] for name in columns}
        | {"acknowledged_at": None, "acknowledged_by": None},
    )
    times = {"created_at": now, "updated_at": now}
    preset = [{**row, **times} for row in rows if row.get("fingerprint") is None]
    general = [{**row, **times} for row in rows if row.get("fingerprint") is not None]
    found: list[int] = []
    if preset:
        found += c.scalars(statement.returning(_A.id), preset)
    if general:
        # One live alert per fingerprint, also if a pass is repeated after a crash.
        found += c.scalars(table.on_conflict_do_nothing().returning(_A.id), general)
    deliveries.announce(c, "firing", [number for number in found if number not in known])


def _list_firing(c: Connection, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the alerts of these preset rules and tasks that are firing already."""
    tasks = [row["task_id"] for row in rows if row["task_id"] and not row.get("fingerprint")]
    rules = {row["sla_id"] for row in rows}
    firing = text("+status = 'firing' AND fingerprint IS NULL")
    found = select(_A.id).where(is_any_of(_A.task_id, tasks), is_any_of(_A.sla_id, rules), firing)
    return set(c.scalars(found)) if tasks else set()


def resolve_alerts(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Resolve alerts: rows of {key: id, resolved_at, text, short, value}, and `ending` if any."""
    if rows:
        a = schema.alerts
        names = ("resolved_at", "text", "short", "value", "ending")
        values = {name: bindparam(f"new_{name}") for name in names}
        closed = update(a).where(a.c.id == bindparam("key"))
        statement = closed.values(status="resolved", updated_at=timestamps.now(), **values)
        c.execute(
            statement,
            [
                {"key": row["key"]} | {f"new_{name}": row.get(name) for name in names}
                for row in rows
            ],
        )
        deliveries.announce(c, "resolved", [row["key"] for row in rows])


def list_fired_of_resolved(c: Connection, since: str) -> list[tuple[str, str]]:
    """Return (fingerprint, firing time) of the alerts resolved since a time, the oldest first."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT fingerprint, fired_at FROM alerts WHERE resolved_at >= ? AND fingerprint IS NOT"
        " NULL ORDER BY resolved_at",
        (since,),
    )
    return [(fingerprint, fired_at) for fingerprint, fired_at in rows]


def map_live(c: Connection, fingerprints: Sequence[str]) -> dict[str, AlertRow]:
    """Return {fingerprint: live alert}."""
    found = c.exec_driver_sql(
        f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE a.fingerprint IN (SELECT value FROM"
        " json_each(?)) AND a.fingerprint IS NOT NULL AND a.resolved_at IS NULL",
        (json.dumps(list(fingerprints)),),
    )
    rows = [AlertRow._make(row) for row in found]
    return {row.fingerprint or "": row for row in rows}


def escalate_alerts(c: Connection, rows: Sequence[tuple[int, str]]) -> None:
    """Raise the severity of alerts, given as (id, severity), and end their acknowledgement."""
    if not rows:
        return
    raised = update(schema.alerts).where(_A.id == bindparam("key")).values(
        severity=bindparam("raised"), status="firing", acknowledged_at=None, acknowledged_by=None,
        note=None, updated_at=timestamps.now(),
    )  # fmt: skip
    c.execute(raised, [{"key": key, "raised": severity} for key, severity in rows])
    keys = [key for key, _ in rows]
    silences.release_alerts(c, keys)
    deliveries.announce(c, "escalated", keys)


def resolve_of_tasks(c: Connection, uuids: Sequence[str]) -> None:
    """Resolve the open alerts of tasks that are deleted."""
    _resolve_now(c, is_any_of(_A.task_id, uuids), text("+status <> 'resolved'"))


def reopen_cancelled(c: Connection, uuids: Sequence[str]) -> None:
    """Open the alerts of cancelled tasks again that their cancel resolved."""
    opened = c.exec_driver_sql(
        "UPDATE alerts SET status = CASE WHEN acknowledged_at IS NULL THEN 'firing' ELSE"
        " 'acknowledged' END, resolved_at = NULL, updated_at = :now WHERE task_id IN (SELECT value"
        " FROM json_each(:uuids)) AND +status = 'resolved' AND sla_id IS NOT NULL AND fingerprint"
        " IS NULL AND resolved_at"
        " >= (SELECT ended_at FROM tasks WHERE uuid = task_id) RETURNING id",
        {"now": timestamps.now(), "uuids": json.dumps(list(uuids))},
    )
    deliveries.announce(c, "firing", opened.scalars().all())


def acknowledge(c: Connection, ids: Iterable[int], by: str, note: str | None = None) -> None:
    """Acknowledge firing alerts, with a note."""
    values = {
        "status": "acknowledged",
        "acknowledged_at": timestamps.now(),
        "acknowledged_by": by,
        "note": note,
    }
    changed = _update_in_status(c, ids, "firing", values)
    deliveries.announce(c, "acknowledged", changed)


def unacknowledge(c: Connection, ids: Iterable[int]) -> None:
    """Return acknowledged alerts to firing."""
    _update_in_status(
        c,
        ids,
        "acknowledged",
        {"status": "firing", "acknowledged_at": None, "acknowledged_by": None, "note": None},
    )


def set_notes(c: Connection, ids: Iterable[int], note: str) -> None:
    """Replace the notes of acknowledged alerts."""
    _update_in_status(c, ids, "acknowledged", {"note": note})


def _update_in_status(
    c: Connection, ids: Iterable[int], status: str, values: Mapping[str, str | None]
) -> list[int]:
    """Write columns of the alerts that have a status; return those alerts."""
    # `+status`: SQLite finds the alerts by their ids, not by status
    guard = text("+status = :guard").bindparams(guard=status)
    changed = update(schema.alerts).where(is_any_of(_A.id, ids), guard)
    written = changed.values(**values, updated_at=timestamps.now()).returning(_A.id)
    return list(c.scalars(written))


def update_alerts_of_changed_rule(
    c: Connection, sla_id: int, changed: Collection[str], severity: str
) -> None:
    """Update a rule's open alerts after a change of some of its columns."""
    if {"conditions", "enabled"} & {*changed}:
        restart_rule(c, sla_id)
    elif "priority" in changed:
        c.execute(
            update(schema.alerts)
            .where(_A.sla_id == sla_id, _UNRESOLVED, _A.severity != severity)
            .values(severity=severity, updated_at=timestamps.now())
        )
        silences.release_rules(c, [sla_id])


def map_system_alerts(c: Connection) -> dict[str, int]:
    """Return {name: alert id} of the open alerts about Taskdeck itself."""
    about = (_A.sla_id.is_(None), _A.task_id.is_(None), _A.object == SYSTEM_OBJECT, _UNRESOLVED)
    return {row.name: row.id for row in c.execute(select(_A.id, _A.name).where(*about))}


def set_system_alerts(
    c: Connection, problems: Mapping[str, str], mild: Collection[str] = (), channel: str = "",
    kept: Collection[str] = (),
) -> None:  # fmt: skip
    """Make {name: text} the open alerts about Taskdeck itself.

    New ones are inserted and missing ones resolved, except those in `kept`; `channel` hears of
    both. Names in `mild` are warnings, the others critical.
    """
    a, now = schema.alerts, timestamps.now()
    known = map_system_alerts(c)
    over = [known[name] for name in known.keys() - problems.keys() - {*kept}]
    for number in over:
        c.execute(
            update(a)
            .where(a.c.id == number)
            .values(status="resolved", resolved_at=now, updated_at=now)
        )
    deliveries.announce_own(c, "resolved", over, channel)
    new: list[int] = []
    for name, said in problems.items():
        severity = "warning" if name in mild else "critical"
        if name in known:
            c.execute(
                update(a)
                .where(a.c.id == known[name])
                .values(severity=severity, text=said, short=said, updated_at=now)
            )
        else:
            row = {
                "name": name,
                "severity": severity,
                "status": "firing",
                "object": SYSTEM_OBJECT,
                "text": said,
                "short": said,
            }
            made = a.insert().values(**row, fired_at=now, created_at=now, updated_at=now)
            new.append(c.execute(made.returning(a.c.id)).scalar_one())
    deliveries.announce_own(c, "firing", new, channel)


def detach_rule(c: Connection, sla_id: int) -> None:
    """Resolve the alerts of a deleted rule and remove its silence.

    The alerts keep only the rule's name.
    """
    restart_rule(c, sla_id)
    silences.unsilence_rule(c, sla_id)
    now = timestamps.now()
    c.execute(update(schema.alerts).where(_A.sla_id == sla_id).values(sla_id=None, updated_at=now))


CHANGED_AT_ONCE = 3_000
"""Alerts of a changed rule that one transaction changes, in some 12 ms."""
_RESOLVE_SOME = (
    "UPDATE alerts SET status = 'resolved', resolved_at = :now, updated_at = :now WHERE id IN"
    " (SELECT id FROM alerts WHERE sla_id = :rule AND status <> 'resolved' LIMIT :limit) RETURNING"
    " id"
)
_SET_SOME_SEVERITIES = (
    "UPDATE alerts SET severity = :severity, updated_at = :now WHERE id IN (SELECT id FROM alerts"
    " WHERE sla_id = :rule AND status <> 'resolved' AND severity <> :severity LIMIT :limit)"
    " RETURNING id"
)
_DETACH_SOME = (
    "UPDATE alerts SET sla_id = NULL, updated_at = :now WHERE id IN (SELECT id FROM alerts WHERE"
    " sla_id = :rule AND task_id IS NOT NULL AND status = 'resolved' LIMIT :limit) RETURNING id"
)


_COUNT_SOME = (
    "SELECT count(*) FROM (SELECT 1 FROM alerts WHERE sla_id = ? AND task_id IS NOT NULL LIMIT ?)"
)


def has_many(c: Connection, sla_id: int) -> bool:
    """Return True if a rule has more alerts than one transaction should change."""
    given = (sla_id, CHANGED_AT_ONCE + 1)
    return raw_sql.fetch_value(c, _COUNT_SOME, given) > CHANGED_AT_ONCE


def resolve_some(c: Connection, sla_id: int) -> bool:
    """Resolve some alerts of a rule that is about to be changed; return True if more are left.

    The rule evaluates every task again, so a crash before the change loses no alert.
    """
    sla_cursor.reset_cursor(c, sla_id)
    c.execute(schema.rule_states.delete().where(schema.rule_states.c.sla_id == sla_id))
    resolved = _change_some(c, _RESOLVE_SOME, sla_id)
    deliveries.announce(c, "resolved", resolved)
    return len(resolved) == CHANGED_AT_ONCE


def detach_some(c: Connection, sla_id: int) -> bool:
    """Detach some resolved alerts of a rule to be deleted; return True if more are left."""
    return len(_change_some(c, _DETACH_SOME, sla_id)) == CHANGED_AT_ONCE


def set_some_severities(c: Connection, sla_id: int, severity: str) -> bool:
    """Set the severity of some open alerts of a rule; return True if more are left."""
    found = _change_some(c, _SET_SOME_SEVERITIES, sla_id, severity=severity)
    return len(found) == CHANGED_AT_ONCE


def _change_some(c: Connection, statement: str, sla_id: int, **more: str) -> list[int]:
    given = {"now": timestamps.now(), "rule": sla_id, "limit": CHANGED_AT_ONCE, **more}
    return raw_sql.fetch_column(c, statement, given)


def restart_rule(c: Connection, sla_id: int) -> None:
    """Evaluate a changed rule on every task again, and resolve its alerts."""
    sla_cursor.reset_cursor(c, sla_id)
    for table in (schema.rule_states, schema.due_times):
        c.execute(table.delete().where(table.c.sla_id == sla_id))
    _resolve_now(c, _A.sla_id == sla_id, _UNRESOLVED)


def _resolve_now(c: Connection, *where: ColumnElement[bool] | TextClause) -> None:
    """Resolve alerts as they are, and tell those who were told of them."""
    now = timestamps.now()
    resolved = (
        update(schema.alerts)
        .where(*where)
        .values(status="resolved", resolved_at=now, updated_at=now)
        .returning(_A.id)
    )
    deliveries.announce(c, "resolved", list(c.scalars(resolved)))


def _make_open_alerts(c: Connection, rows: Sequence[Any]) -> list[AlertDetail]:
    split = len(AlertRow._fields)
    tasks = sla_cursor.make_tasks(c, [row[split:-1] for row in rows])
    return [
        AlertDetail(
            AlertRow._make(row[:split]),
            task if task.uuid else None,
            json.loads(row[-1]) if row[-1] else None,
        )
        for row, task in zip(rows, tasks, strict=True)
    ]


def _add_silence(found: AlertDetail, silenced: Mapping[int, Silence]) -> AlertDetail:
    """Return an open alert with the silence that covers it."""
    if found.alert.status == "resolved":
        return found
    return found._replace(silence=silenced.get(found.alert.id))
