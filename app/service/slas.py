"""SLAs: made and taken away by people, looked at by the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.core import sla
from app.core.clean import clean, cut, valid_name
from app.errors import Conflict, Usage
from app.service import find
from app.service.call import Call
from db import alerts, clock, looks, named, reads, schema
from db.rows import SlaRow
from db.states import ENDED

MOST_AT_ONCE = 500
"""Alerts fired or closed in one look, give or take a page."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one look did; `next_due` is when the next is worth it (UNIX seconds; None: after the next submission)."""

    fired: int
    resolved: int
    next_due: float | None


async def ls(call: Call) -> list[dict[str, Any]]:
    """All SLAs, the most severe first."""
    return [row._asdict() for row in await call.db.read(named.slas)]


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """One SLA."""
    return (await call.db.read(known, name))._asdict()


async def create(
    call: Call, *, name: str, preset: str, value: Any, template: str | None = None, queue: str | None = None,
    task: str | None = None, tag: Any = None, severity: str = "warning",
) -> dict[str, Any]:  # fmt: skip
    """A new SLA of one of the presets. Raises Conflict when there is one of that name."""
    if wrong := valid_name(name):
        raise Usage(f"name {wrong}. Nothing was changed.")
    match = {"template": template, "queue": queue, "task": task, "tag": tag}
    values = _values(preset, value, {key: word for key, word in match.items() if word}, severity)

    def create(c: Connection) -> None:
        if named.sla(c, name) is not None:
            raise Conflict(f"there is an SLA {clean(name)} already. Nothing was changed.")
        check_match(values["conditions"], named.template_names(c), [row.name for row in reads.queues(c)])
        named.create(c, schema.slas, name, values, call.by)

    await call.db.write(create)
    return await show(call, name=name)


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Take away an SLA that nothing refers to; its open alerts are closed, all keep its name."""

    def remove(c: Connection) -> None:
        row = known(c, name)
        find.unused("SLA", name, named.users_of_sla(c, row.id))
        alerts.forget_sla(c, row.id)
        named.remove(c, schema.slas, name, call.by)

    await call.db.write(remove)
    return {"name": name}


def known(c: Connection, name: str) -> SlaRow:
    """The SLA of that name. Raises NotFound with the nearest."""
    found = {row.name: row for row in named.slas(c)}
    if name not in found:
        raise find.named("sla", name, list(found))
    return found[name]


def check_match(conditions: dict[str, Any], templates: Sequence[str], queues: Sequence[str]) -> None:
    """What an SLA matches must exist. Raises NotFound: a rule with a typo would never be late."""
    match = conditions.get("match", {})
    for kind, names in (("template", templates), ("queue", queues)):
        if kind in match and match[kind] not in names:
            raise find.named(kind, match[kind], list(names))


def _values(preset: str, value: Any, match: dict[str, Any], severity: str) -> dict[str, Any]:
    if severity not in sla.SEVERITIES:
        raise Usage(f'severity must be critical, warning or info, not "{cut(clean(str(severity)), 40)}".')
    try:
        conditions = sla.normal({"preset": preset, "value": value, "match": match})
    except ValueError as error:
        raise Usage(f"{str(error).removeprefix('conditions: ')}. Nothing was changed.") from None
    return {"conditions": conditions, "actions": {}, "priority": sla.SEVERITIES[severity], "enabled": True}


# --- evaluation -----------------------------------------------------------------------------------------------------


def evaluate(c: Connection, moment: datetime) -> Evaluated:
    """Tell of tasks that are late and close what is no longer so, as of an aware time, in the caller's transaction.

    A page or two of each at most; when there is more to do `next_due` is now.
    """
    now = moment.timestamp()
    resolved, more = _resolve(c, now)
    fired, dues = 0, [now] if more else []
    for row in named.slas(c):
        if row.enabled:
            late, due = _look(c, row, now, MOST_AT_ONCE - fired)
            fired += late
            dues += [due] if due is not None else []
    return Evaluated(fired, resolved, min(dues, default=None))


def due(c: Connection, moment: datetime) -> bool:
    """Whether `evaluate` would find anything to do: reads only, so that an idle runtime writes nothing."""
    now = moment.timestamp()
    return _has_events(c) or any(_has_news(c, row, now) for row in named.slas(c) if row.enabled)


def _has_events(c: Connection) -> bool:
    if not alerts.any_open(c):
        return False
    seen, last = looks.events_seen(c), looks.last_event(c)
    return last - seen > looks.SPAN or bool(alerts.to_resolve(c, seen, last, 1))


def _has_news(c: Connection, row: SlaRow, now: float) -> bool:
    put_off = looks.next_due(c, row.id)
    if put_off is not None and put_off <= now:
        return True
    last = looks.last_created(c, clock.from_unix(now - sla.parse(row.conditions).value))
    return last > looks.cursor(c, row.id)


def facts(task: looks.Looked) -> sla.Facts:
    """A task as its rule sees it."""
    ended = task.ended_at if task.status in ENDED else None
    return sla.Facts(clock.unix(task.created_at), *map(_unix, (task.not_before, task.first_start, ended)))


def _unix(text: str | None) -> float | None:
    return clock.unix(text) if text else None


def _resolve(c: Connection, now: float) -> tuple[int, bool]:
    """Close alerts by what has happened since the last look: how many, and whether there is more to look at."""
    seen, last = looks.events_seen(c), looks.last_event(c)
    if last == seen:
        return 0, False
    until = min(last, seen + looks.SPAN) if alerts.any_open(c) else last
    found = alerts.to_resolve(c, seen, until, MOST_AT_ONCE)
    alerts.resolve(c, [_closed(open_alert, now) for open_alert in found])
    if len(found) == MOST_AT_ONCE:
        return len(found), True
    looks.see_events(c, until)
    return len(found), until < last


def _closed(found: alerts.OpenAlert, now: float) -> dict[str, Any]:
    """How an alert reads when it is over: as of the moment its task did what the rule asks."""
    row = found.alert
    as_it_was = {"key": row.id, "text": row.text, "short": row.short, "value": row.value}
    rule = sla.parse(found.conditions) if found.conditions is not None else None
    verdict = sla.judge(rule, facts(found.task), now) if rule and found.task else None
    if verdict is None or verdict.done is None:
        return as_it_was | {"resolved_at": clock.from_unix(now)}
    return as_it_was | {"resolved_at": clock.from_unix(verdict.done), "text": verdict.text, "short": verdict.short,
                        "value": verdict.took}  # fmt: skip


def _look(c: Connection, row: SlaRow, now: float, room: int) -> tuple[int, float | None]:
    """One SLA's look at the tasks whose time is up: how many alerts it fired, and when its next task is due."""
    if room <= 0:
        return 0, now
    rule, scope = sla.parse(row.conditions), looks.scope(c, row.id, row.conditions.get("match", {}))
    late = _judged(c, row, rule, looks.take_due(c, row.id, scope, now), now)
    late += _judged(c, row, rule, _fresh(c, row, rule, scope, now), now)
    alerts.fire(c, late)
    return len(late), _next(c, row, rule, scope, now)


def _fresh(c: Connection, row: SlaRow, rule: sla.Rule, scope: looks.Scope, now: float) -> list[looks.Looked]:
    """The next page of tasks submitted so long ago that their time is up; moves the cursor past them."""
    at = looks.cursor(c, row.id)
    last = min(looks.last_created(c, clock.from_unix(now - rule.value)), at + looks.SPAN)
    if last <= at:
        return []
    found = looks.page(c, scope, at, last, row.updated_at)
    looks.move_cursor(c, row.id, found[-1].number if len(found) == looks.PAGE else last)
    return found


def _judged(
    c: Connection, row: SlaRow, rule: sla.Rule, tasks: Sequence[looks.Looked], now: float
) -> list[dict[str, Any]]:
    """Alerts for those of these tasks that are late; those whose time is still to come are put off."""
    verdicts = [(task, sla.judge(rule, facts(task), now)) for task in tasks]
    waiting = [(verdict.due, task.number) for task, verdict in verdicts if verdict.done is None and not verdict.late]
    looks.put_off(c, row.id, waiting)
    return [_alert(row, rule, task, verdict) for task, verdict in verdicts if verdict.late]


def _alert(row: SlaRow, rule: sla.Rule, task: looks.Looked, verdict: sla.Verdict) -> dict[str, Any]:
    status = "firing" if verdict.done is None else "resolved"
    return {
        "sla_id": row.id, "name": row.name, "severity": sla.severity(row.priority), "status": status,
        "task_id": task.uuid, "object": f"#{task.number} {task.name}", "text": verdict.text, "short": verdict.short,
        "value": verdict.took, "limit": rule.value, "fired_at": clock.from_unix(verdict.due),
        "resolved_at": clock.from_unix(verdict.done) if verdict.done is not None else None,
    }  # fmt: skip


def _next(c: Connection, row: SlaRow, rule: sla.Rule, scope: looks.Scope, now: float) -> float | None:
    """When the next task in scope may be late: not before `now`, which says that there is more to look at."""
    found = looks.next_created(c, scope, looks.cursor(c, row.id))
    times = [clock.unix(found) + rule.value if found else None, looks.next_due(c, row.id)]
    coming = [at for at in times if at is not None]
    return max(now, min(coming)) if coming else None
