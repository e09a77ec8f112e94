"""Alert verbs: list, show, acknowledge and silence.

An acknowledgement belongs to one alert: somebody has seen it. A silence covers all alerts of a
rule, critical ones too, or the alerts that matchers select. A matcher of its name silences an alert
without a rule, such as one of Taskdeck itself. A silence has an author and a reason, and it ends by
itself. Silenced alerts are still recorded, but `status --check` and the counts of firing alerts
ignore them.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core import sla
from app.core.rules import levels
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.core.text.units import format_upper_bound
from app.errors import NotFound, Problem, Usage
from app.service import notifications, silences, sla_evaluation, sla_metrics
from app.service.arguments import parse_since
from app.service.context import Call, RuntimeHandle
from app.service.definitions import slas
from app.service.rules.evaluation.alert_texts import keep_reason
from app.service.rules.evaluation.levels import SHORT, WHILE_DOWN, AlertText
from app.service.tasks import lookup
from app.translation import tr, tr_n
from db import timestamps
from db.engine import Connection
from db.queries import definitions
from db.queries import schedules as db_schedules
from db.queries.history import operations
from db.queries.rules import alerts, deliveries
from db.queries.rules import silences as db_silences
from db.queries.rules.silences import Silence
from db.rows import AlertRow, DeliveryRow, SlaRow

_ALERT_ID = re.compile(r"[0-9]{1,18}")
BATCH_SIZE = 500
"""Alerts in one transaction, and at most in one operation: some 20 ms on the writer thread."""
MAX_ENDED = 5
"""Actions that the answer of an acknowledgement lists."""
MAX_RULES = 20
"""Rules silenced in one transaction, about 2 ms each."""


async def ls(
    call: Call, *, all: bool = False, since: Any = None, limit: int = 0
) -> list[dict[str, Any]]:
    """Return firing alerts, then acknowledged, silenced and resolved ones.

    Among each of these the most severe come first, then the newest.

    `all` includes every resolved alert, `since` only those resolved after a past time such as
    `24h`. A limit of 0 means no limit.
    """
    resolved = "" if all else parse_since(since)
    await sla_evaluation.evaluate_for_reader(call)
    return await call.db.read(
        lambda c: [as_dict(alert) for alert in list_current(c, resolved, limit, call.live)]
    )


async def show(call: Call, *, id: str | int) -> dict[str, Any]:
    """Return one alert with its rule, task times, recent runs and metric history.

    `labels` are the names that a silence can match; `tag` has all tags of the task. `about` has the
    latest task and the schedule of the name or schedule that the alert is about.
    """
    return await call.db.read(_show_alert, id, call.live)


def list_current(
    c: Connection, resolved_since: str | None = None, limit: int = 0,
    live: RuntimeHandle | None = None,
) -> list[alerts.AlertDetail]:  # fmt: skip
    """Return alerts as `alerts.list_alerts` does, with the texts of open ones updated.

    An alert that fired at 45m reads 57m twelve minutes later. The texts of rules of the general
    form come from the runtime `live`; without one they are those of the time of firing.
    """
    now = timestamps.utcnow().timestamp()
    found = alerts.list_alerts(c, resolved_since, limit)
    return [_refresh(c, alert, now, live) for alert in found]


def read_texts(
    c: Connection, ids: Sequence[int], live: RuntimeHandle | None
) -> dict[int, AlertText]:
    """Return {alert: its present text and value} of as many alerts as a message lists."""
    now = timestamps.utcnow().timestamp()
    found = (alerts.find_open_alert(c, number) for number in ids[: deliveries.MAX_LISTED])
    rows = [_refresh(c, alert, now, live).alert for alert in found if alert is not None]
    return {row.id: AlertText(row.text, row.value) for row in rows}


def get_status(alert: alerts.AlertDetail) -> str:
    """Return the state of an alert: firing, acknowledged, resolved, expired or silenced.

    `silenced` applies while the alert is open and a silence covers it.
    """
    return "silenced" if alert.silence else alert.alert.ending or alert.alert.status


def as_dict(alert: alerts.AlertDetail) -> dict[str, Any]:
    """Return an alert as sent to clients.

    `since` is the time at which the limit was reached. `silenced_until` is None without a silence.
    `value` and `limit` are in seconds, or in the unit of the rule's `metric`; `brief` is both in
    words for a rule of the general form that compares one metric, else None.
    """
    row, task, silence = alert.alert, alert.task, alert.silence
    return {
        "id": row.id, "sla": row.name, "sla_id": row.sla_id, "severity": row.severity,
        "status": get_status(alert),
        "task_number": task.number if task else None, "task_name": task.name if task else None,
        "object": row.object,
        "task_uuid": row.task_id, "text": row.text, "short": row.short, "since": row.fired_at,
        "value": row.value, "limit": row.limit,
        "metric": (alert.conditions or {}).get("metric"),
        "brief": levels.describe_brief(alert.conditions, row.value, row.limit),
        "acknowledged_by": row.acknowledged_by, "acknowledged_at": row.acknowledged_at,
        "note": row.note,
        "silenced_until": silence.until if silence else None,
        "silence": silences.format_id(silence.id) if silence else None,
        "silenced_by": silence.by if silence else None,
        "silence_reason": silence.reason if silence else None,
        "resolved_at": row.resolved_at, "created_at": row.created_at, "updated_at": row.updated_at,
    }  # fmt: skip


def _show_alert(c: Connection, ident: str | int, live: RuntimeHandle | None) -> dict[str, Any]:
    word = str(ident).strip()
    alert = alerts.find_open_alert(c, int(word)) if _ALERT_ID.fullmatch(word) else None
    if alert is None:
        alert = _find_only_alert(c, word)
    alert = _refresh(c, alert, timestamps.utcnow().timestamp(), live)
    rule = next((row for row in definitions.list_slas(c) if row.id == alert.alert.sla_id), None)
    labels = db_silences.list_labelled(c, [alert.alert.id])[0].labels._asdict()
    return {
        **as_dict(alert),
        "labels": {
            key: ", ".join(name) if key == "tag" else name for key, name in labels.items() if name
        },
        "about": _find_about(c, alert.alert),
        "rule": slas.add_state(c, [rule], live)[0] if rule else None,
        "task": _get_task_times(alert),
        "runs": (
            slas.list_runs(
                c, sla.parse_conditions(rule.conditions), slas.match_similar(c, alert.task)
            )
            if rule and alert.task and not sla.is_general(rule.conditions)
            else []
        ),
        "was": slas.list_high_spells(c, rule) if rule else [],
        "deliveries": [
            notifications.describe_delivery(row) | {"snapshot": row.payload.get("snapshot")}
            for row in deliveries.list_of_alert(c, alert.alert.sla_id, alert.alert.id)
        ],
    }


def _find_only_alert(c: Connection, name: str) -> alerts.AlertDetail:
    """Return the only open alert of a name. Raise NotFound."""
    rows, shown = alerts.list_of_rule(c, name), truncate(sanitize(name), 60)
    if len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows[:MAX_ENDED])
        more = ", …" if len(rows) > MAX_ENDED else ""
        raise NotFound(
            "{shown} has {n} open alerts: give an id of {ids}{more}.",
            shown=shown,
            n=len(rows),
            ids=ids,
            more=more,
        )
    found = alerts.find_open_alert(c, rows[0].id) if rows else None
    if found is None:
        if definitions.find_sla(c, name) is not None:
            raise NotFound(_describe_quiet(name), "List: taskdeck alert ls --all")
        raise NotFound('there is no alert "{shown}".', "List: taskdeck alert ls", shown=shown)
    return found


def _describe_quiet(name: str) -> str:
    return tr("no alert of rule {name} is open.", name=truncate(sanitize(name), 60))


def _find_about(c: Connection, row: AlertRow) -> dict[str, str | None]:
    kind, _, name = (row.fingerprint or "").partition("/")[2].partition(":")
    if row.task_id is not None:
        return {"task": row.task_id, "schedule": None}
    if kind in ("name", "task"):
        found = db_schedules.find_by_task_name(c, name)
        return {"task": alerts.find_latest_task(c, name), "schedule": found}
    if kind == "schedule":
        fires = db_schedules.list_fires(c, [name], 20)[name]
        latest = next((fire.task_id for fire in fires if fire.task_id), None)
        return {"task": latest, "schedule": name}
    return {"task": None, "schedule": None}


def _get_task_times(alert: alerts.AlertDetail) -> dict[str, Any] | None:
    """Return the task's times of submission, earliest start, first start and end."""
    task = alert.task
    if task is None:
        return None
    return {"status": task.status, "created_at": task.created_at, "not_before": task.not_before,
            "first_start": task.first_start, "ended_at": task.ended_at}  # fmt: skip


def _refresh(
    c: Connection, alert: alerts.AlertDetail, now: float, live: RuntimeHandle | None
) -> alerts.AlertDetail:
    if alert.alert.status == "resolved" or alert.conditions is None:
        return alert
    if sla.is_general(alert.conditions):
        return _refresh_general(alert, live)
    rule = sla.parse_conditions(alert.conditions)
    if rule.metric:
        return sla_metrics.refresh(c, alert, rule, now)
    if alert.task is None:
        return alert
    verdict = sla.judge_task(rule, sla_evaluation.to_facts(alert.task), now)
    if not verdict.late:  # The task failed, and its next attempt is in time so far.
        return alert
    row = alert.alert._replace(text=verdict.text, short=verdict.short, value=verdict.took)
    return alert._replace(alert=row)


def _refresh_general(alert: alerts.AlertDetail, live: RuntimeHandle | None) -> alerts.AlertDetail:
    row = alert.alert
    found = live.get_alert_text(row.fingerprint) if live and row.fingerprint else None
    if found is None:
        return alert
    text = found.text + (WHILE_DOWN if WHILE_DOWN in row.text else "")
    text = keep_reason(row.text, text)
    return alert._replace(alert=row._replace(text=text, short=text[:SHORT], value=found.value))


# --- acknowledge ------------------------------------------------------------------------


async def ack(call: Call, *, ids: Sequence[str | int], note: str | None = None) -> dict[str, Any]:
    """Acknowledge alerts by id, or all alerts of a rule by its name.

    A note replaces that of an acknowledged alert. An acknowledged alert stays open. The
    acknowledgement ends when the alert resolves or gets worse.
    """
    kept = silences.parse_reason(note)

    def act(c: Connection, by: str, found: Sequence[int]) -> dict[str, Any]:
        return _acknowledge(c, by, found, kept)

    return await _apply_to_alerts(call, act, ids)


async def unack(call: Call, *, ids: Sequence[str | int]) -> dict[str, Any]:
    """Remove acknowledgements, by alert id or by rule name."""
    return await _apply_to_alerts(call, _unacknowledge, ids)


async def _apply_to_alerts(
    call: Call,
    act: Callable[[Connection, str, Sequence[int]], dict[str, Any]],
    ids: Sequence[str | int],
) -> dict[str, Any]:
    """Resolve ids and rule names on a reader, then change up to `BATCH_SIZE` alerts at a time.

    Starts and ends go through in between.
    """
    found, refused, quiet = await call.db.read(_resolve, ids)
    total: dict[str, Any] = {"done": [], "refused": refused, "notes": quiet}
    for at in range(0, len(found), BATCH_SIZE):
        part = await call.db.write(act, call.by, found[at : at + BATCH_SIZE])
        for key, rows in part.items():
            total[key] += rows
    return total


def _acknowledge(c: Connection, by: str, ids: Sequence[int], note: str | None) -> dict[str, Any]:
    rows = alerts.list_by_id(c, ids)
    firing = [row for row in rows if row.status == "firing"]
    alerts.acknowledge(c, [row.id for row in firing], by, note)
    _record_operations(c, by, "ack", firing, "acknowledged")
    noted = [row for row in rows if row.status == "acknowledged" and note not in (None, row.note)]
    if note is not None and noted:
        alerts.set_notes(c, [row.id for row in noted], note)
        _record_operations(c, by, "note", noted, "acknowledged")
    done = [row for row in rows if row in firing or row in noted]
    return {
        "done": [_format_done(row, "acknowledged") for row in done],
        "notes": [_format_note(row) for row in rows if row not in done]
        + _describe_ended(deliveries.list_ended_by_ack(c, [row.id for row in firing])),
    }


def _describe_ended(rows: Sequence[DeliveryRow]) -> list[str]:
    """Return a note on the actions that an acknowledgement ends: `cancel in 5s, notify ops …`."""
    if not rows:
        return []
    now = timestamps.utcnow()
    listed = ", ".join(_describe_later(row, now) for row in rows[:MAX_ENDED])
    if len(rows) > MAX_ENDED:
        listed = tr("{named} and {more:,} more", named=listed, more=len(rows) - MAX_ENDED)
    return [
        tr_n(
            len(rows),
            "{n:,} later action will not run: {actions}.",
            "{n:,} later actions will not run: {actions}.",
            actions=listed,
        )
    ]


def _describe_later(row: DeliveryRow, now: datetime) -> str:
    target = truncate(sanitize(row.target), 60)
    wait = format_upper_bound((timestamps.parse_time(row.due_at) - now).total_seconds())
    if "notify" in row.action:
        return tr("notify {target} in {wait}", target=target, wait=wait)
    return tr("{target} in {wait}", target=target, wait=wait)


def _unacknowledge(c: Connection, by: str, ids: Sequence[int]) -> dict[str, Any]:
    rows = alerts.list_by_id(c, ids)
    acknowledged = [row for row in rows if row.status == "acknowledged"]
    alerts.unacknowledge(c, [row.id for row in acknowledged])
    _record_operations(c, by, "unack", acknowledged, "firing")
    notes = [
        tr("alert {id} ({name}) is not acknowledged.", id=row.id, name=sanitize(row.name))
        for row in rows
        if row.status != "acknowledged"
    ]
    return {"done": [_format_done(row, "firing") for row in acknowledged], "notes": notes}


def _resolve(
    c: Connection, ids: Sequence[str | int]
) -> tuple[list[int], list[dict[str, Any]], list[str]]:
    """Resolve ids and rule names to distinct alert ids, refusals, and notes."""
    words = [str(ident).strip() for ident in ids]
    known = _map_alerts(c, words)
    rules, open_names = [row.name for row in definitions.list_slas(c)], alerts.list_open_names(c)
    found: dict[int, None] = {}
    refused, quiet = [], []
    for word in dict.fromkeys(words):
        of_rule = alerts.list_of_rule(c, word) if word in open_names else []
        rows = [known[word]] if word in known else of_rule
        found |= dict.fromkeys(row.id for row in rows)
        if not rows and word in rules:
            quiet.append(_describe_quiet(word))
        elif not rows:
            refused.append(lookup.make_refusal(_make_not_found(word, rules), word))
    return list(found), refused, quiet


def _map_alerts(c: Connection, words: Sequence[str]) -> dict[str, AlertRow]:
    """Return {word: alert} of the words that are the id of an alert, from one query."""
    numbers = {word: int(word) for word in words if _ALERT_ID.fullmatch(word)}
    rows = {row.id: row for row in alerts.list_by_id(c, list(numbers.values()))}
    return {word: rows[number] for word, number in numbers.items() if number in rows}


def _record_operations(
    c: Connection, by: str, verb: str, rows: Sequence[AlertRow], status: str
) -> None:
    """Record one operation for each rule, however many of these alerts it has.

    Notes of the alerts before it are kept for undo.
    """
    by_rule: dict[str, list[AlertRow]] = {}
    notes = {str(row.id): row.note for row in rows if row.note}
    for row in rows:
        by_rule.setdefault(row.name, []).append(row)
    entries = [
        (
            f"alert {name} on {found[0].object if len(found) == 1 else f'{len(found)} tasks'}",
            {"status": found[0].status},
            {"status": status, "ids": [row.id for row in found]}
            | ({"notes": notes} if notes else {}),
        )
        for name, found in by_rule.items()
    ]
    operations.record_all(c, by, f"alert {verb}", entries)


def _make_not_found(word: str, rules: Sequence[str]) -> NotFound:
    near = find_nearest(word, rules)
    hint = f" Nearest: {sanitize(near)}." if near else ""
    return NotFound(
        'there is no alert "{word}".{advice}',
        "List: taskdeck alert ls",
        word=truncate(sanitize(word), 60),
        advice=hint,
    )


def _format_done(row: AlertRow, status: str) -> dict[str, Any]:
    return {"id": row.id, "sla": row.name, "object": row.object, "status": status}


def _format_note(row: AlertRow) -> str:
    by = sanitize(row.acknowledged_by or "")
    said = (
        tr("was acknowledged by {by} already", by=by)
        if row.status == "acknowledged"
        else tr("has resolved")
    )
    return tr("alert {id} ({name}) {said}.", id=row.id, name=sanitize(row.name), said=said)


# --- silence ----------------------------------------------------------------------------


async def silence(
    call: Call,
    *,
    until: Any,
    ids: Sequence[str | int] = (),
    sla: str | None = None,
    match: dict[str, Any] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Silence rules until a time such as `5h`, `tomorrow 08:00` or an ISO time.

    `sla` is the name of a rule. `ids` has ids of alerts, and names of rules or of alerts without a
    rule. A new silence of a rule replaces an earlier one. In place of both, `match` has globs, such
    as `{"rule": ["gpu-*"]}`.

    Return {"done": [{"sla", "status": "silenced", "until", "reason", "alerts": open ones, "before":
    {"until", "reason", "by"} or None}], "refused", "notes"}. Raise Usage if the time is past or
    more than a year away.
    """
    if match is not None:
        if ids or sla is not None:
            raise Usage("a silence takes rules or matchers, not both. Nothing was changed.")
        return await silences.set_matching(call, match, until, reason)
    stop, why = silences.parse_until(until), silences.parse_reason(reason)

    def act(c: Connection, row: SlaRow, was: Silence | None) -> dict[str, Any]:
        db_silences.silence_rule(c, row.id, stop, call.by, why)
        return {"status": "silenced", "until": stop, "reason": why}

    found = await call.db.read(_resolve_targets, _parse_words(ids, sla))
    total = await _apply_to_rules(call, "silence", found.rules, act)
    for name in found.names:
        _add_results(total, await silences.set_matching(call, _make_matchers(name), until, reason))
    total["refused"] += map(_add_later_hint, found.refused)
    return total


def _add_later_hint(refusal: dict[str, Any]) -> dict[str, Any]:
    """Return the refusal of a name without an open alert, with how to silence later ones."""
    word = str(refusal["id"])
    if _ALERT_ID.fullmatch(word) or "Nearest:" in refusal["message"]:
        return refusal
    later = tr(
        "Later ones too: taskdeck alert silence --rule {word} --for 2h",
        word=sanitize(shlex.quote(word)),
    )
    return refusal | {key: f"{refusal[key]}. {later}" for key in ("message", "hint")}


async def unsilence(
    call: Call, *, ids: Sequence[str | int] = (), sla: str | None = None
) -> dict[str, Any]:
    """End silences early, by the rule, an alert or their id. Return the same shape as `silence`."""

    def act(c: Connection, row: SlaRow, was: Silence | None) -> dict[str, Any] | None:
        db_silences.unsilence_rule(c, row.id)
        return {"status": "heard", "until": None, "reason": None} if was else None

    refs = _parse_words(ids, sla)
    given = [word for word, is_name in refs if not is_name]
    numbers = await call.db.read(silences.find_numbers, given)
    others = [ref for ref in refs if ref[0] not in numbers]
    found = await call.db.read(_resolve_targets, others)
    total = await _apply_to_rules(call, "unsilence", found.rules, act)
    of_names, notes = await call.db.read(_find_by_name, found.names)
    if numbers or of_names:
        _add_results(total, await call.db.write(silences.end, call.by, numbers | of_names))
    total["notes"] += notes
    total["refused"] += found.refused
    return total


def _make_matchers(name: str) -> dict[str, list[str]]:
    """Return matchers of the alerts that have this name, and no rule."""
    return {"rule": [glob.escape(name)]}


def _add_results(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key in total:
        total[key] += more[key]


def _find_by_name(c: Connection, names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return {id: number} of the silences of these names, and notes on names without one."""
    found, notes = {}, []
    for name in names:
        silence = db_silences.find_matching(c, _make_matchers(name))
        if silence is None:
            notes.append(_explain_other_silence(c, name))
        else:
            found[silences.format_id(silence.id)] = silence.id
    return found, notes


SilenceAction = Callable[[Connection, SlaRow, Silence | None], dict[str, Any] | None]


async def _apply_to_rules(
    call: Call, verb: str, rules: Sequence[str], act: SilenceAction
) -> dict[str, Any]:
    """Apply `act` to each rule once, up to `MAX_RULES` in one transaction."""
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for at in range(0, len(rules), MAX_RULES):
        done, notes = await call.db.write(
            _apply_to_some_rules, call.by, verb, rules[at : at + MAX_RULES], act
        )
        total["done"] += done
        total["notes"] += notes
    return total


def _apply_to_some_rules(
    c: Connection, by: str, verb: str, names: Sequence[str], act: SilenceAction
) -> tuple[list[dict[str, Any]], list[str]]:
    """Apply `act` to the rules that still exist; return the results and notes.

    `act` returns the new state, or None if there was nothing to do.
    """
    rules = [row for name in names if (row := definitions.find_sla(c, name)) is not None]
    own, counts = db_silences.map_own(c), alerts.count_by_rule(c)
    done, notes = [], []
    for row in rules:
        was = own.get(row.id)
        before = silences.describe_end(was)
        after = act(c, row, was)
        if after is None:
            notes.append(_explain_other_silence(c, row.name, row.id))
            continue
        open_alerts = sum(counts.get(row.id, {}).values())
        done.append({"sla": row.name, **after, "alerts": open_alerts, "before": before})
        operations.record(c, by, f"alert {verb}", f"sla {row.name}", before, after)
    return done, notes


def _explain_other_silence(c: Connection, name: str, rule: int | None = None) -> str:
    """Explain that a name has no silence of its own, and name the one that covers its alerts."""
    listed = [alert.id for alert in alerts.list_of_rule(c, name)]
    others = [*db_silences.find_silenced(c, listed).values()]
    if rule is not None and (covering := db_silences.map_covering(c).get(rule)):
        others.append(covering)
    if not others:
        return tr("{name} is not silenced.", name=sanitize(name))
    ident = silences.format_id(others[0].id)
    words = silences.describe(others[0], {})
    return tr(
        "{name} is silenced by {ident} ({words}); to end that: taskdeck alert unsilence {ident}",
        name=sanitize(name),
        ident=ident,
        words=words,
    )


def _parse_words(ids: Sequence[str | int], name: str | None) -> list[tuple[str, bool]]:
    """Return each given word and whether it must be a rule name.

    Raise Usage for an empty list, which never means all rules.
    """
    rule_refs = [(str(ident).strip(), False) for ident in ids] + (
        [(name, True)] if name is not None else []
    )
    if not rule_refs:
        raise Usage(
            "no rule given. Give its name, or the id of one of its alerts.",
            "List: taskdeck alert ls",
        )
    return rule_refs


class SilenceTargets(NamedTuple):
    """Rules to silence, names of alerts without a rule, and refusals of other words."""

    rules: list[str]
    names: list[str]
    refused: list[dict[str, Any]]


def _resolve_targets(c: Connection, rule_refs: Sequence[tuple[str, bool]]) -> SilenceTargets:
    """Resolve alert ids and names to what is silenced, each once."""
    rules = {row.name: row.id for row in definitions.list_slas(c)}
    words = [word for word, by_name in rule_refs if not by_name]
    known = _map_alerts(c, words)
    for word in {*words} - rules.keys() - known.keys():
        if rows := alerts.list_of_rule(c, word):  # the alert has no rule, but a name
            known[word] = rows[0]
    found: dict[str, None] = {}
    names: dict[str, None] = {}
    refused = []
    for word, by_name in dict.fromkeys(rule_refs):
        alert = None if by_name else known.get(word)
        try:
            if alert is not None and alert.sla_id is None:
                names[alert.name] = None
            elif alert is not None:
                found[next(name for name, key in rules.items() if key == alert.sla_id)] = None
            elif not by_name and word not in rules:
                raise _make_not_found(word, list(rules))
            else:
                found[slas.require_rule(c, word).name] = None
        except Problem as problem:
            refused.append(lookup.make_refusal(problem, word))
    return SilenceTargets(list(found), list(names), refused)
