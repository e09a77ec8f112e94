"""Evaluation of presets: tasks that are late or failed, and metrics that are too high.

The other rules have conditions, and `app/service/rules` evaluates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core import sla
from app.core.rules.evaluate import format_date
from app.errors import Storage
from app.service import sla_metrics
from app.service.context import Call
from app.translation import run_in_english
from db import timestamps
from db.engine import Connection, Database
from db.queries import definitions
from db.queries.rules import alerts, sla_cursor
from db.rows import SlaRow
from db.states import ENDED, FAILED, TaskStatus

MAX_ALERTS = 500
"""Approximate number of alerts fired or resolved in one evaluation."""


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Result of one evaluation.

    `next_due` is the UNIX time of the next useful evaluation, None until the next submission.
    """

    fired: int
    resolved: int
    next_due: float | None


async def evaluate_for_reader(call: Call) -> None:
    """Evaluate the rules, so that a reader sees the alert of a task that has just failed.

    Without a runtime, or on a disk that cannot be written, the alerts stay as they are. A deck
    reads again after each pass, so it waits for none of the rules of the general form.
    """
    if call.live is None:
        return
    with suppress(Storage):
        has_presets, has_general = await call.db.read(_find_work, timestamps.utcnow())
        if has_presets:
            await call.db.write(evaluate, timestamps.utcnow())
        if has_general and getattr(call.by, "source", "cli") != "deck":
            await call.live.evaluate_rules()


def _find_work(c: Connection, moment: datetime) -> tuple[bool, bool]:
    """Return whether `evaluate` has work, and whether a rule of the general form is on."""
    rows = [row for row in definitions.list_slas(c) if row.enabled]
    presets = [row for row in rows if not sla.is_general(row.conditions)]
    return _has_preset_work(c, presets, moment.timestamp()), len(presets) < len(rows)


async def evaluate_if_due(db: Database) -> None:
    """Evaluate the rules if there is work."""
    if await db.read(has_work, timestamps.utcnow()):
        await db.write(evaluate, timestamps.utcnow())


def evaluate(c: Connection, moment: datetime) -> EvaluationResult:
    """Fire and resolve alerts as of an aware time, in the caller's transaction.

    One call handles a page or two of alerts; if more are left, `next_due` is now. Alerts keep their
    text, so it is English.
    """
    return run_in_english(_evaluate, c, moment.timestamp())


def _evaluate(c: Connection, now: float) -> EvaluationResult:
    rows = _list_preset_rules(c)
    resolved, failures, more = _follow_events(c, rows, now)
    figures = sla_metrics.find_changes(c, rows, now)
    alerts.fire_alerts(c, figures.fired)
    alerts.resolve_alerts(c, figures.over)
    fired, dues = failures, [now] if more else []
    for row in rows:
        if not sla_metrics.is_metric(row):
            late, due = _evaluate_rule(c, row, now, MAX_ALERTS - fired)
            fired += late
            dues += [due] if due is not None else []
    return EvaluationResult(
        fired + len(figures.fired), resolved + len(figures.over), min(dues, default=None)
    )


def _list_preset_rules(c: Connection) -> list[SlaRow]:
    """Return the enabled rules that are not of the general form."""
    rows = definitions.list_slas(c)
    return [row for row in rows if row.enabled and not sla.is_general(row.conditions)]


def has_rules_or_alerts(c: Connection) -> bool:
    """Return whether there is a rule to evaluate, or an alert to resolve."""
    return definitions.has_enabled_sla(c) or alerts.has_open_alerts(c)


def has_work(c: Connection, moment: datetime) -> bool:
    """Return whether `evaluate` has work.

    The function only reads, so an idle runtime writes nothing.
    """
    return _has_preset_work(c, _list_preset_rules(c), moment.timestamp())


def _has_preset_work(c: Connection, rows: Sequence[SlaRow], now: float) -> bool:
    on_tasks = [row for row in rows if not sla_metrics.is_metric(row)]
    return (
        _has_events(c, bool(on_tasks))
        or any(_has_due_tasks(c, row, now) for row in on_tasks)
        or bool(sla_metrics.find_changes(c, rows, now))
    )


def find_unreadable_metrics(c: Connection, moment: datetime) -> dict[str, str]:
    """Return {metric: why it cannot be read} for the metrics of all rules."""
    return sla_metrics.find_unreadable(c, _list_preset_rules(c), moment.timestamp())


def _has_events(c: Connection, has_rules: bool) -> bool:
    cursor, last_event = sla_cursor.read_event_span(c)
    return last_event > cursor and (
        last_event - cursor > sla_cursor.MAX_LAG
        or (has_rules and sla_cursor.has_changed(c, cursor, last_event))
        or (alerts.has_open_alerts(c) and bool(alerts.list_to_resolve(c, cursor, last_event, 1)))
    )


def _has_due_tasks(c: Connection, row: SlaRow, now: float) -> bool:
    put_off = sla_cursor.find_next_due(c, row.id)
    if put_off is not None and put_off <= now:
        return True
    last_number = sla_cursor.find_last_created(
        c, timestamps.from_unix(now - sla.parse_conditions(row.conditions).value)
    )
    return last_number > sla_cursor.read_cursor(c, row.id)


def to_facts(task: sla_cursor.SlaTask) -> sla.TaskTimes:
    """Return a task's times, and how it failed, as an SLA rule needs them."""
    ended = task.ended_at if task.status in ENDED else None
    return sla.TaskTimes(
        timestamps.to_unix(task.created_at),
        _parse_unix(task.not_before),
        _parse_unix(task.first_start),
        _parse_unix(ended),
        failure=_describe_failure(task) if _is_failure(task) else "",
    )


def _is_failure(task: sla_cursor.SlaTask) -> bool:
    return task.status in FAILED or bool(task.orphaned)


def is_broken_by(rule: sla.SlaRule, task: sla_cursor.SlaTask) -> bool:
    """Return whether the task broke the rule because it failed, in time or not."""
    return rule.is_finish_rule and _is_failure(task)


def _describe_failure(task: sla_cursor.SlaTask) -> str:
    word = task.status.replace("_", " ")
    return f"{word}: {task.reason}" if task.reason else word


def _parse_unix(text: str | None) -> float | None:
    return timestamps.to_unix(text) if text else None


def _follow_events(c: Connection, rows: Sequence[SlaRow], now: float) -> tuple[int, int, bool]:
    """Resolve alerts and report failures, according to the events since the last evaluation.

    Return the number of alerts resolved, the number fired, and True if more events are left.
    """
    cursor, last_event = sla_cursor.read_event_span(c)
    if last_event == cursor:
        return 0, 0, False
    on_tasks = [row for row in rows if not sla_metrics.is_metric(row)]
    if not on_tasks and not alerts.has_open_alerts(c):
        sla_cursor.move_event_cursor(c, last_event)
        return 0, 0, False
    until = sla_cursor.find_page_end(c, cursor, last_event)
    found = alerts.list_to_resolve(c, cursor, until, MAX_ALERTS + 1)
    closed = [_close_alert(open_alert, now) for open_alert in found[:MAX_ALERTS]]
    alerts.resolve_alerts(c, closed)
    if len(found) > MAX_ALERTS:
        return len(closed), 0, True
    fired = sum(_judge_changed(c, row, cursor, until, now) for row in on_tasks)
    sla_cursor.move_event_cursor(c, until)
    return len(found), fired, until < last_event


def _judge_changed(c: Connection, row: SlaRow, after: int, until: int, now: float) -> int:
    """Judge the tasks that failed or came back in these events; return the number of new alerts."""
    scope = sla_cursor.build_scope(c, row.id, row.conditions.get("match", {}))
    rule = sla.parse_conditions(row.conditions)
    found = sla_cursor.read_changed(c, row.id, scope, after, until, row.updated_at)
    at = sla_cursor.read_cursor(c, row.id) if found else 0  # later tasks are judged when due
    tasks = [
        task
        for task in found
        if (is_broken_by(rule, task) if task.status in ENDED else task.number <= at)
    ]
    late = _judge(c, row, rule, tasks, now)
    alerts.fire_alerts(c, late)
    return len(late)


def _close_alert(alert: alerts.AlertDetail, now: float) -> dict[str, Any]:
    """Return the final values of an alert, as of the time its task met the rule."""
    row = alert.alert
    as_it_was = {"key": row.id, "text": row.text, "short": row.short, "value": row.value}
    rule = sla.parse_conditions(alert.conditions) if alert.conditions is not None else None
    verdict = sla.judge_task(rule, to_facts(alert.task), now) if rule and alert.task else None
    if verdict is None or verdict.done is None:
        return as_it_was | {"resolved_at": timestamps.from_unix(now)}
    as_it_was |= {"resolved_at": timestamps.from_unix(verdict.done)}
    if not verdict.late:
        # The alert reports a failure, and a later attempt succeeded in time.
        if alert.task and alert.task.status == TaskStatus.SUCCEEDED:
            as_it_was["text"] += f"; succeeded {format_date(verdict.done)}"
        return as_it_was
    return as_it_was | {"text": verdict.text,
    "short": verdict.short,
                        "value": verdict.took}  # fmt: skip


def _evaluate_rule(c: Connection, row: SlaRow, now: float, room: int) -> tuple[int, float | None]:
    """Evaluate one rule on tasks whose time is up.

    Return the number of alerts fired, and when the next task is due.
    """
    if room <= 0:
        return 0, now
    rule, scope = (
        sla.parse_conditions(row.conditions),
        sla_cursor.build_scope(c, row.id, row.conditions.get("match", {})),
    )
    due = [*sla_cursor.take_due(c, row.id, scope, now), *_take_new(c, row, rule, scope, now)]
    # `_follow_events` reports each failure once: a second alert would need a new acknowledgement.
    late = _judge(c, row, rule, [task for task in due if not is_broken_by(rule, task)], now)
    alerts.fire_alerts(c, late)
    return len(late), find_next_due(c, row, rule, scope, now)


def _take_new(
    c: Connection, row: SlaRow, rule: sla.SlaRule, scope: sla_cursor.TaskScope, now: float
) -> list[sla_cursor.SlaTask]:
    """Return the next page of due tasks and advance the cursor."""
    at = sla_cursor.read_cursor(c, row.id)
    last_number = min(
        sla_cursor.find_last_created(c, timestamps.from_unix(now - rule.value)),
        at + sla_cursor.SPAN,
    )
    if last_number <= at:
        return []
    found = sla_cursor.read_page(c, scope, at, last_number, row.updated_at)
    sla_cursor.move_cursor(
        c, row.id, found[-1].number if len(found) == sla_cursor.PAGE else last_number
    )
    return found


def _judge(
    c: Connection, row: SlaRow, rule: sla.SlaRule, tasks: Sequence[sla_cursor.SlaTask], now: float
) -> list[dict[str, Any]]:
    """Return alerts for late tasks and postpone tasks that are not due yet.

    A task on hold need not start; it is judged again once it is released.
    """
    tasks = [task for task in tasks if rule.is_finish_rule or task.status != TaskStatus.HELD]
    verdicts = [(task, sla.judge_task(rule, to_facts(task), now)) for task in tasks]
    waiting = [
        (verdict.due, task.number)
        for task, verdict in verdicts
        if verdict.done is None and not verdict.late
    ]
    sla_cursor.defer_tasks(c, row.id, waiting)
    return [_make_alert(row, rule, task, verdict) for task, verdict in verdicts if verdict.late]


def _make_alert(
    row: SlaRow, rule: sla.SlaRule, task: sla_cursor.SlaTask, verdict: sla.SlaVerdict
) -> dict[str, Any]:
    status = "firing" if verdict.done is None else "resolved"
    since = timestamps.from_unix(verdict.since)
    return {
        "sla_id": row.id, "name": row.name, "severity": sla.get_severity(row.priority),
        "status": status,
        "task_id": task.uuid, "object": f"#{task.number} {task.name}", "text": verdict.text,
        "short": verdict.short,
        "value": verdict.took, "limit": rule.value, "fired_at": since,
        "resolved_at": timestamps.from_unix(verdict.done) if verdict.done is not None else None,
    }  # fmt: skip


def find_next_due(
    c: Connection, row: SlaRow, rule: sla.SlaRule, scope: sla_cursor.TaskScope, now: float
) -> float | None:
    """Return when the next task may be late, or `now` if more tasks are left."""
    found = sla_cursor.find_next_created(c, scope, sla_cursor.read_cursor(c, row.id))
    times = [
        timestamps.to_unix(found) + rule.value if found else None,
        sla_cursor.find_next_due(c, row.id),
    ]
    coming = [at for at in times if at is not None]
    return max(now, min(coming)) if coming else None
