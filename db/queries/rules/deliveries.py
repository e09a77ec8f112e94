"""Queries on deliveries: the outbox of messages and actions.

A delivery is written in the transaction that changes its alert, and sent afterwards. `next_at` is
the time of the next attempt, None once nothing more is sent. Alerts of one rule that change within
`GROUP_SECONDS` share a delivery. One that was read for sending is not extended any more: only
deliveries that are not due yet are.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, literal_column, select, text, update

from db import raw_sql, schema, timestamps
from db.queries.rules import hook_alerts, silences
from db.queries.value_lists import is_any_of
from db.rows import DeliveryRow

GROUP_SECONDS = 1.0
"""Seconds that a message waits for further alerts of its rule."""
MAX_LISTED = 20
"""Alerts whose texts a delivery holds; the others are counted."""
GROUPED_KINDS = (
    "notify",
    "webhook",
    "command",
    "submit",
    "pause_queue",
    "resume_queue",
    "snapshot",
)
"""Actions that run once for several alerts; others run once for each alert."""
KINDS = (*GROUPED_KINDS, "cancel", "retry", "set_priority")
_D = schema.deliveries.c
_A = schema.alerts.c
_ROW = [_D[name] for name in DeliveryRow._fields]
_WAITING = _D.next_at.is_not(None)
_ALERT_FACTS = (
    "id", "name", "severity", "status", "task_id", "object", "text", "value", "limit", "fired_at",
    "resolved_at",
)  # fmt: skip
"""Columns of an alert that a delivery keeps."""


def announce(c: Connection, event: str, alert_ids: Sequence[int]) -> None:
    """Enqueue what the rules of these alerts do on an event.

    Events are firing, resolved, acknowledged and escalated. The message of a silenced firing alert
    waits for the end of the silence; if the alert is resolved before, nobody hears of it. Other
    messages of a silenced alert are left out.
    """
    if event == "firing":
        hook_alerts.note_fired(c, alert_ids)
    actions = _map_actions(c, event, alert_ids)
    if not actions:
        return
    ends = {key: one.until for key, one in silences.find_silenced(c, alert_ids).items()}
    found: dict[int, list[dict[str, Any]]] = {}
    for sla_id, facts in _list_facts(c, alert_ids):
        if sla_id in actions and (event == "firing" or facts["id"] not in ends):
            found.setdefault(sla_id, []).append(facts)
    for sla_id, alerts in found.items():
        _announce_together(c, sla_id, event, actions[sla_id], alerts, ends)


def announce_own(c: Connection, event: str, alert_ids: Sequence[int], channel: str) -> None:
    """Enqueue a message about each of these alerts of Taskdeck itself, which have no rule."""
    if event == "firing":
        hook_alerts.note_fired(c, alert_ids)
    if not channel or not alert_ids:
        return
    ends = {key: one.until for key, one in silences.find_silenced(c, alert_ids).items()}
    for _, facts in _list_facts(c, alert_ids):
        if event == "firing" or facts["id"] not in ends:
            action = {"on": event, "notify": channel}
            _announce_together(c, None, event, [action], [facts], ends)


def _announce_together(
    c: Connection,
    sla_id: int | None,
    event: str,
    actions: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
    ends: Mapping[int, str],
) -> None:
    """Enqueue the actions of one rule; `ends` are the ends of silences by alert."""
    held = _list_held(c, sla_id) if event != "firing" else []
    for action in actions:
        unheard = _find_unheard(c, sla_id, held, describe_target(action))
        told = [alert for alert in alerts if alert["id"] not in unheard]
        for end in dict.fromkeys(ends.get(alert["id"]) for alert in told):
            part = [alert for alert in told if ends.get(alert["id"]) == end]
            _enqueue(c, sla_id, event, action, part, end)


def _list_facts(
    c: Connection, alert_ids: Collection[int]
) -> list[tuple[int | None, dict[str, Any]]]:
    """Return the rule and the facts of alerts, oldest first."""
    rows = c.execute(
        select(_A.sla_id, *(_A[name] for name in _ALERT_FACTS))
        .where(is_any_of(_A.id, alert_ids))
        .order_by(_A.fired_at, _A.id)
    )
    return [(sla_id, dict(zip(_ALERT_FACTS, facts, strict=True))) for sla_id, *facts in rows]


def _map_actions(
    c: Connection, event: str, alert_ids: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """Return {rule id: its actions on an event} for the rules of these alerts."""
    s = schema.slas.c
    rules = select(_A.sla_id).where(is_any_of(_A.id, alert_ids))
    found = c.execute(select(s.id, s.actions).where(s.id.in_(rules)))
    on_event = {
        sla_id: [one for one in actions if one.get("on", "firing") == event]
        for sla_id, actions in found
        if isinstance(actions, list)
    }
    return {sla_id: actions for sla_id, actions in on_event.items() if actions}


class HeldMessage(NamedTuple):
    """A first message that is held back: its target and its alerts."""

    target: str
    ids: Sequence[int]


def _list_held(c: Connection, sla_id: int | None) -> list[HeldMessage]:
    """Return the first messages of a rule that a silence or `after` holds back.

    Without a rule they are about alerts of Taskdeck itself.
    """
    # `+sla_id`: few deliveries wait, but a rule may have many
    rows = c.exec_driver_sql(
        "SELECT target, payload ->> '$.ids', created_at, due_at FROM deliveries WHERE next_at > ?"
        " AND +sla_id IS ? AND +event = 'firing' AND repeats = 0 AND attempts = 0",
        (timestamps.now(), sla_id),
    )
    return [
        HeldMessage(target, json.loads(ids))
        for target, ids, created_at, due_at in rows
        if _is_put_off(created_at, due_at)
    ]


def is_held(row: DeliveryRow) -> bool:
    """Return whether an unsent message waits, or waited, longer than for further alerts."""
    return not row.attempts and _is_put_off(row.created_at, row.due_at)


def list_ended_by_ack(c: Connection, alert_ids: Collection[int]) -> list[DeliveryRow]:
    """Return the later actions, soonest first, of which these acknowledged alerts were the last.

    Those are put off by `after` or a silence, or repeated; a message on its way is sent.
    """
    if not alert_ids:
        return []
    rules = c.execute(select(_A.sla_id).where(is_any_of(_A.id, alert_ids)).distinct()).scalars()
    waiting = select(*_ROW).where(_D.next_at > timestamps.now(), text("+event = 'firing'"))
    rows = map(DeliveryRow._make, c.execute(waiting.order_by(_D.next_at, _D.id)))
    of_rules = {*rules}
    later = [row for row in rows if row.sla_id in of_rules and (row.repeats or is_held(row))]
    states = map_alert_states(c, {number for row in later for number in row.payload["ids"]})
    return [
        row
        for row in later
        if {*alert_ids} & {*row.payload["ids"]}
        and all(states.get(number, ("",))[0] != "firing" for number in row.payload["ids"])
    ]


def _is_put_off(created_at: str, due_at: str) -> bool:
    usual = timestamps.parse_time(created_at) + timedelta(seconds=2 * GROUP_SECONDS)
    return due_at > timestamps.format_time(usual)


def _find_unheard(
    c: Connection, sla_id: int | None, held: Sequence[HeldMessage], target: str
) -> set[int]:
    """Return the alerts of which a target was told nothing, because the message is held."""
    firing_target = target.replace("resume_queue ", "pause_queue ")
    ids = {i for one in held if one.target == firing_target for i in one.ids}
    if not ids or sla_id is None:  # nothing was said to a channel without a rule before
        return ids
    return ids - _find_told(c, sla_id, ids, firing_target)


def _find_told(c: Connection, sla_id: int, alert_ids: Collection[int], target: str) -> set[int]:
    """Return the alerts of whose present firing a target was told, or an attempt made."""
    found = c.exec_driver_sql(
        "SELECT DISTINCT a.id FROM deliveries d, json_each(d.payload, '$.ids') j CROSS JOIN alerts"
        " a ON a.id = j.value WHERE d.sla_id = :rule AND +d.event = 'firing' AND +d.target ="
        " :target AND d.attempts > 0 AND d.created_at >= a.fired_at AND d.created_at >= (SELECT"
        " min(fired_at) FROM alerts WHERE id IN (SELECT value FROM json_each(:ids))) AND j.value"
        " IN (SELECT value FROM json_each(:ids))",
        {"rule": sla_id, "target": target, "ids": json.dumps(list(alert_ids))},
    )
    return set(found.scalars())


def _enqueue(
    c: Connection,
    sla_id: int | None,
    event: str,
    action: Mapping[str, Any],
    alerts: Sequence[Mapping[str, Any]],
    silenced_until: str | None,
) -> None:
    most = action.get("max")
    if most is not None and sla_id is not None:
        done = _count_done(c, sla_id, alerts, action)
        alerts = [one for one in alerts if done[_get_subject(one, action)] < most]
    if not alerts:
        return
    now = timestamps.utcnow()
    is_grouped = get_kind(action) in GROUPED_KINDS and sla_id is not None
    wait = GROUP_SECONDS if is_grouped else 0.0
    due = timestamps.format_time(now + timedelta(seconds=max(wait, action.get("after") or 0.0)))
    due = max(due, silenced_until or "")
    if not is_grouped:
        for alert in alerts:
            _insert(c, sla_id, event, action, [alert], due)
    elif (number := _find_group(c, sla_id, event, action, due)) is not None:
        payload = c.execute(select(_D.payload).where(_D.id == number)).scalar_one()
        _update(c, number, {"payload": _join(payload, alerts)})
    else:
        _insert(c, sla_id, event, action, alerts, due)


def _find_group(
    c: Connection, sla_id: int | None, event: str, action: Mapping[str, Any], due: str
) -> int | None:
    """Return the first delivery, not yet due, that can take further alerts."""
    earliest = timestamps.parse_time(due) - timedelta(seconds=GROUP_SECONDS)
    # sorted here, since SQLite would walk the whole table in the order of the ids
    rows = c.exec_driver_sql(
        "SELECT id, action FROM deliveries WHERE next_at > ? AND next_at >= ? AND next_at <= ? AND"
        " +sla_id IS ? AND +event = ? AND repeats = 0 AND attempts = 0",
        (timestamps.now(), timestamps.format_time(earliest), due, sla_id, event),
    )
    alike = (number for number, stored in sorted(rows) if json.loads(stored) == action)
    return next(alike, None)


def _join(payload: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a payload with further alerts, each once."""
    listed = [one for one in payload["alerts"] if one["id"] not in {a["id"] for a in alerts}]
    listed += alerts
    ids = list(dict.fromkeys([*payload["ids"], *(one["id"] for one in alerts)]))
    return {**payload, "ids": ids, "alerts": listed[:MAX_LISTED]}


def _get_subject(alert: Mapping[str, Any], action: Mapping[str, Any]) -> int | str:
    """Return what `max` counts by: the alert, or its task where each retry makes a new alert."""
    return alert["id"] if get_kind(action) in GROUPED_KINDS else alert["object"]


def _count_done(
    c: Connection, sla_id: int, alerts: Sequence[Mapping[str, Any]], action: Mapping[str, Any]
) -> Counter[int | str]:
    """Count, for each subject, the deliveries of an action that were not skipped."""
    is_grouped = get_kind(action) in GROUPED_KINDS
    column, part = ("j.value", "$.ids") if is_grouped else ("j.value ->> '$.object'", "$.alerts")
    begin = (  # no delivery is older than its alerts; those of tasks are of several alerts
        " AND d.created_at >= (SELECT min(created_at) FROM alerts WHERE id IN (SELECT value FROM"
        " json_each(:subjects)))"
        if is_grouped
        else ""
    )
    found = c.exec_driver_sql(
        f"SELECT {column} AS subject, d.action FROM deliveries d, json_each(d.payload, :part) j"
        f" WHERE d.sla_id = :rule AND +d.status <> 'skipped'{begin} AND subject IN (SELECT value"
        " FROM json_each(:subjects))",
        {
            "part": part,
            "rule": sla_id,
            "subjects": json.dumps([_get_subject(one, action) for one in alerts]),
        },
    )
    return Counter(subject for subject, stored in found if json.loads(stored) == action)


def _insert(
    c: Connection,
    sla_id: int | None,
    event: str,
    action: Mapping[str, Any],
    alerts: Sequence[Mapping[str, Any]],
    due: str,
    **more: Any,
) -> None:
    payload = {"ids": [one["id"] for one in alerts], "alerts": list(alerts[:MAX_LISTED])}
    first = alerts[0] if alerts else {}
    values = {
        "sla_id": sla_id, "alert_id": first.get("id"), "task_id": first.get("task_id"),
        "event": event, "action": dict(action), "target": describe_target(action),
        "payload": payload, "status": "pending", "log": [], "reached": [], "due_at": due,
        "next_at": due, **more,
    }  # fmt: skip
    insert(c, values)


def insert(c: Connection, values: Mapping[str, Any]) -> int:
    """Insert a delivery with a new key; return its id."""
    now = timestamps.now()
    row = {"key": str(uuid.uuid4()), "created_at": now, "updated_at": now, **values}
    if row["action"].get("dry_run"):
        row |= {"status": "dry_run", "next_at": None}
    inserted = c.execute(schema.deliveries.insert().values(**row).returning(_D.id))
    return inserted.scalar_one()


def get_kind(action: Mapping[str, Any]) -> str:
    """Return the kind of an action, such as `notify`."""
    return next(kind for kind in KINDS if kind in action)


def describe_target(action: Mapping[str, Any]) -> str:
    """Return the target of an action in words: `ops`, or `pause_queue media`."""
    kind = get_kind(action)
    value = action[kind]
    if kind == "notify":
        return str(value)
    if kind == "webhook":
        return f"webhook {str(value).partition('://')[2].partition('/')[0].rpartition('@')[2]}"
    if kind == "command":
        return f"command {value[0]}"
    return kind if value is True or isinstance(value, dict) else f"{kind} {value}"


# --- sending ----------------------------------------------------------------------------


def find_due(c: Connection, now: str, busy: Sequence[str], limit: int) -> list[DeliveryRow]:
    """Return deliveries that are due, earliest first, but none to a busy target.

    A delivery waits for earlier ones of its rule to the same target that have failed so far.
    """
    earlier = schema.deliveries.alias("earlier")
    e = earlier.c
    blocked = (
        select(e.id)
        .where(
            e.sla_id == _D.sla_id,
            e.id < _D.id,
            literal_column("+earlier.target") == _D.target,
            literal_column("+earlier.next_at").is_not(None),
            e.attempts > 0,
        )
        .exists()
    )
    found = select(*_ROW).where(_WAITING, _D.next_at <= now, ~is_any_of(_D.target, busy), ~blocked)
    rows = c.execute(found.order_by(_D.next_at, _D.id).limit(limit))
    return [DeliveryRow._make(row) for row in rows]


def find_next_time(c: Connection, after: str = "") -> str | None:
    """Return the time of the next attempt after a time, or None."""
    found = "SELECT next_at FROM deliveries WHERE next_at > ? ORDER BY next_at LIMIT 1"
    return raw_sql.fetch_value(c, found, (after,))


def map_alert_states(c: Connection, ids: Iterable[int]) -> dict[int, tuple[str, str | None]]:
    """Return {alert: (status, resolved_at)} of the alerts that exist."""
    found = c.execute(select(_A.id, _A.status, _A.resolved_at).where(is_any_of(_A.id, ids)))
    return {number: (status, resolved_at) for number, status, resolved_at in found}


def split_silenced(c: Connection, delivery_id: int, alert_ids: Collection[int], until: str) -> None:
    """Move alerts of an unsent delivery into one of their own, due at the end of a silence."""
    found = c.execute(select(*_ROW).where(_D.id == delivery_id, _WAITING)).first()
    row = DeliveryRow._make(found) if found else None
    loud = [number for number in row.payload["ids"] if number not in alert_ids] if row else []
    if row is None or row.attempts or not loud:
        return
    quiet = [number for number in row.payload["ids"] if number in alert_ids]
    payload = {**row.payload, **_make_payload(c, loud)}
    _update(c, row.id, {"payload": payload, "alert_id": loud[0]})
    same = ("sla_id", "task_id", "event", "action", "target", "repeats")
    insert(c, {
        **{name: getattr(row, name) for name in same}, "alert_id": quiet[0],
        "payload": {**row.payload, **_make_payload(c, quiet)}, "status": "pending", "log": [],
        "reached": [], "due_at": until, "next_at": until,
    })  # fmt: skip


def _make_payload(c: Connection, alert_ids: Sequence[int]) -> dict[str, Any]:
    listed = [facts for _, facts in _list_facts(c, alert_ids[:MAX_LISTED])]
    return {"ids": list(alert_ids), "alerts": listed}


def put_off(c: Connection, delivery_id: int, until: str) -> None:
    """Move an unsent delivery to the end of a silence."""
    _update(c, delivery_id, {"next_at": until, "due_at": until})


def finish(c: Connection, delivery_id: int, status: str, why: str | None = None) -> None:
    """Store the last state of a delivery; nothing more is sent."""
    _update(c, delivery_id, {"status": status, "next_at": None, "last_error": why})


def record_attempt(
    c: Connection, row: DeliveryRow, error: str | None, reached: Sequence[str], next_at: str | None
) -> bool:
    """Record an attempt. Without an error the delivery is sent; without `next_at`, given up.

    A delivery that took further alerts while it was sent stays pending. Return whether the delivery
    is finished.
    """
    now = timestamps.now()
    updated_at = c.execute(select(_D.updated_at).where(_D.id == row.id)).scalar()
    is_extended = error is None and updated_at != row.updated_at
    status = "pending" if is_extended or (error and next_at) else "given_up" if error else "sent"
    values = {
        "attempts": row.attempts + 1,
        "log": [*row.log, {"at": now, "error": error}],
        "reached": [] if is_extended else list(reached),
        "status": status,
        "next_at": now if is_extended else next_at if error else None,
        "last_error": error,
    }
    _update(c, row.id, values)
    return status != "pending"


def keep_snapshot(c: Connection, row: DeliveryRow, snapshot: Mapping[str, Any]) -> None:
    """Keep a snapshot with its alert."""
    _update(c, row.id, {"payload": {**row.payload, "snapshot": dict(snapshot)}})


def repeat(c: Connection, row: DeliveryRow, ids: Sequence[int], at: str) -> None:
    """Enqueue the same message again, about the alerts that are still open."""
    listed = [one for one in row.payload["alerts"] if one["id"] in ids]
    insert(c, {
        **{name: getattr(row, name) for name in ("sla_id", "task_id", "event", "action", "target")},
        "alert_id": ids[0], "payload": {**row.payload, "ids": list(ids), "alerts": listed},
        "status": "pending", "log": [], "reached": [], "repeats": row.repeats + 1, "due_at": at,
        "next_at": at,
    })  # fmt: skip


def _update(c: Connection, delivery_id: int, values: Mapping[str, Any]) -> None:
    now = timestamps.now()
    c.execute(
        update(schema.deliveries).where(_D.id == delivery_id).values(**values, updated_at=now)
    )


# --- views ------------------------------------------------------------------------------


def list_latest(c: Connection, limit: int) -> list[DeliveryRow]:
    """Return the latest deliveries, newest first."""
    found = select(*_ROW).order_by(_D.id.desc()).limit(limit)
    return [DeliveryRow._make(row) for row in c.execute(found)]


def list_by_id(c: Connection, ids: Collection[int]) -> list[DeliveryRow]:
    """Return the deliveries that exist."""
    return [DeliveryRow._make(row) for row in c.execute(select(*_ROW).where(is_any_of(_D.id, ids)))]


def list_failing(c: Connection, limit: int) -> list[DeliveryRow]:
    """Return deliveries that have failed so far and are tried again, the next first."""
    failing = select(*_ROW).where(_WAITING, _D.attempts > 0).order_by(_D.next_at).limit(limit)
    return [DeliveryRow._make(row) for row in c.execute(failing)]


def list_of_rule(c: Connection, sla_id: int, limit: int) -> list[DeliveryRow]:
    """Return the latest deliveries of a rule, newest first."""
    found = select(*_ROW).where(_D.sla_id == sla_id).order_by(_D.id.desc()).limit(limit)
    return [DeliveryRow._make(row) for row in c.execute(found)]


def list_of_alert(c: Connection, sla_id: int | None, alert_id: int) -> list[DeliveryRow]:
    """Return the deliveries of an alert, oldest first."""
    if sla_id is None:
        own = select(*_ROW).where(_D.alert_id == alert_id).order_by(_D.id)
        return [DeliveryRow._make(row) for row in c.execute(own)]
    alert = "EXISTS (SELECT 1 FROM json_each(deliveries.payload, '$.ids') j WHERE j.value = :alert)"
    found = select(*_ROW).where(_D.sla_id == sla_id, text(alert).bindparams(alert=alert_id))
    return [DeliveryRow._make(row) for row in c.execute(found.order_by(_D.id))]


def find_failing(c: Connection, attempts: int) -> tuple[int, DeliveryRow] | None:
    """Return the number of waiting deliveries that failed so often, and the latest of them."""
    failing = (_WAITING, _D.attempts >= attempts)
    latest = select(*_ROW).where(*failing).order_by(_D.next_at.desc()).limit(1)
    row = c.execute(latest).first()
    if row is None:
        return None
    many = select(func.count()).select_from(schema.deliveries).where(*failing)
    return c.execute(many).scalar_one(), DeliveryRow._make(row)
