"""Texts of alerts that fire, also of those that a pass leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import cast

from app.core.rules.alert_state import SubjectState
from app.core.rules.amounts import format_seconds
from app.core.rules.evaluate import SubjectTimes, evaluate, format_date
from app.core.rules.rule_plan import RulePlan
from app.core.text.sanitize import sanitize
from app.service.rules.evaluation.levels import SHORT, AlertText
from app.service.rules.evaluation.rule_changes import Change, get_finite
from app.service.rules.facts.snapshot import Snapshot
from app.service.rules.facts.subjects import Subject
from app.service.rules.facts.values import SubjectValues
from app.service.schedules.rules import is_paused
from db import timestamps
from db.engine import Connection
from db.queries import reads, schedules
from db.queries.tasks import known_names
from db.rows import FireRow, ScheduleRow
from db.states import ENDED, TaskStatus

_IS_LATE = re.compile(r"no success |failed [A-Z][a-z]{2} ")
"""Start of a text about a name or schedule that has not succeeded in time."""
_REASON = ": "
MAX_EXPLAINED = 100
"""Alerts of a pass that get a reason, some 0.2 ms each."""


def describe_steady(plan: RulePlan, subject: Subject, now: float) -> AlertText:
    """Return the text of an alert about an instance that has not changed since it was judged."""
    # The only metric of a steady rule is an age of the instance: it needs no more than the time.
    values = SubjectValues(cast(Snapshot, SimpleNamespace(now=now)), subject, 0.0)
    verdict = evaluate(plan.conditions.when, values.read, SubjectTimes(), now)
    text = verdict.text + describe_wait(plan)
    return AlertText(text, get_finite(verdict.value))


def describe_wait(plan: RulePlan) -> str:
    """Return how long the condition of a rule holds before it fires, or ""."""
    return f" for {format_seconds(plan.timing.wait)}" if plan.timing.wait else ""


def describe_success(
    snapshot: Snapshot, plan: RulePlan, subject: Subject, state: SubjectState
) -> str:
    """Return the success that ended an alert: `; succeeded Mon 30 Nov 06:20`, or ""."""
    if not plan.has_times and not any(ref.metric in _OF_SUCCESS for ref in plan.refs):
        return ""
    word, at = "succeeded", None
    if subject.kind == "task":
        at = snapshot.find_last_success(subject.name)
        if at is not None and at == snapshot.checkins.get(subject.name):
            word = "checked in"
    elif subject.kind == "schedule":
        found = snapshot.get_schedule_success(subject.name)
        at = timestamps.to_unix(found[1]) if found else None
    return f"; {word} {format_date(at)}" if at is not None and at >= state.since else ""


_OF_SUCCESS = (
    "task.seconds_since_success", "task.consecutive_failures", "schedule.seconds_since_success",
)  # fmt: skip

# --- reasons ----------------------------------------------------------------------------


def add_reasons(c: Connection, changes: Sequence[Change]) -> list[Change]:
    """Return the changes; new alerts about a missing success say why there was none."""
    late = [one for one in changes if one.action == "fire" and _IS_LATE.match(one.alert["text"])]
    subjects = {one.subject for one in late[:MAX_EXPLAINED]}
    rows = schedules.list_all(c) if subjects else []
    return [
        _add_reason(c, one, rows) if one in late and one.subject in subjects else one
        for one in changes
    ]


def keep_reason(stored: str, text: str) -> str:
    """Return the present text of an alert with the reason of its stored text."""
    reason = stored.partition(_REASON)[2]
    return f"{text}{_REASON}{reason}" if reason and _IS_LATE.match(stored) else text


def _add_reason(c: Connection, change: Change, rows: Sequence[ScheduleRow]) -> Change:
    kind, _, name = change.subject.partition(":")
    if kind == "schedule":
        found = [row for row in rows if row.name == name]
    elif kind == "name":
        found = [row for row in rows if (row.task.get("name") or row.name) == name]
    else:
        return change
    task = (found[0].task.get("name") or found[0].name) if found else name
    has_failed = change.alert["text"].startswith("failed ")
    reason = next(_list_reasons(c, [] if has_failed else found, task))
    text = f"{change.alert['text']}{_REASON}{sanitize(reason)}"
    return change._replace(alert={**change.alert, "text": text, "short": text[:SHORT]})


def _list_reasons(c: Connection, rows: Sequence[ScheduleRow], name: str) -> Iterator[str]:
    """Yield what may explain that nothing has succeeded, the most probable reason first."""
    now = timestamps.utcnow()
    for row in rows:
        if is_paused(row, now):
            by = f" by {row.status_by}" if row.status_by else ""
            since = f" since {_format_stored(row.status_at)}" if row.status_at else ""
            yield f"schedule {row.name} is paused{by}{since}"
    task = known_names.find_latest_task(c, name)
    for fire in _list_latest_fires(c, rows):
        if fire.outcome != "submitted" and (task is None or fire.fire_time > task.created_at):
            reason = f", {fire.reason.rstrip('.')}" if fire.reason else ""
            at = _format_stored(fire.fire_time)
            yield f"schedule {fire.schedule} {fire.outcome} {at}{reason}"
    if task is None:
        yield "nothing was submitted"
        return
    about = f"#{task.number}"
    if task.status == TaskStatus.SUCCEEDED:
        yield f"nothing was submitted since {about}"
    word = task.status.replace("_", " ")
    if task.status in ENDED:
        run = reads.map_last_runs(c, [task.uuid]).get(task.uuid)
        code = f", exit {run.exit_code}" if run and run.exit_code else ""
        yield f"{about} {word}{code}"
    yield f"{about} is {word} since {_format_stored(task.started_at or task.created_at)}"


def _list_latest_fires(c: Connection, rows: Sequence[ScheduleRow]) -> list[FireRow]:
    """Return the latest fire time of each schedule that was handled."""
    latest = schedules.list_fires(c, [row.name for row in rows], 1, until=timestamps.now())
    return [fires[0] for fires in latest.values() if fires]


def _format_stored(at: str) -> str:
    return format_date(timestamps.to_unix(at))
