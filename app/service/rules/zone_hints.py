"""Hints about time zones: a deadline in one zone, its schedule in another.

A time such as `06:00` is wall time in the zone of the rule; the default is that of the machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from app.core import sla
from app.core.rules.conditions import (
    Conditions,
    DeadlineNode,
    FixedReference,
    ForecastNode,
    parse_conditions,
    walk,
)
from app.core.rules.rule_plan import is_any_match
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.text.sanitize import sanitize
from app.service.context import Call
from app.translation import tr
from db import timestamps
from db.queries import schedules
from db.rows import ScheduleRow

HALF_YEAR = timedelta(days=182)
"""Zones that agree now and half a year later have the same clock for most purposes."""


async def note_zone(call: Call, name: str, conditions: Any) -> None:
    """Tell the caller if a rule has a time of day in another zone than its schedule."""
    if sla.is_general(conditions):
        rows, form = await call.db.read(schedules.list_all), parse_conditions(conditions)
        if hint := _find_hint(name, form, rows, timestamps.utcnow()):
            call.note(hint)


def _find_hint(rule: str, form: Conditions, rows: Iterable[ScheduleRow], now: datetime) -> str:
    """Return the hint for a rule that names a schedule in another zone; "" if there is none."""
    zone = _find_zone(form)
    if zone is None:
        return ""
    for schedule in rows:
        if _names_schedule(form, schedule) and _has_other_clock(zone, schedule.zone, now):
            word = sanitize(shlex.quote(rule))
            return tr(
                "the deadline of {rule} is in {zone}, but the schedule {name} is in"
                " {schedule_zone}. To use that zone: taskdeck sla set {word} --tz {schedule_zone}",
                rule=sanitize(rule),
                zone=zone,
                name=sanitize(schedule.name),
                schedule_zone=schedule.zone,
                word=word,
            )
    return ""


def _find_zone(form: Conditions) -> str | None:
    """Return the zone of the first time of day in a rule."""
    for node in walk(form.when):
        if isinstance(node, (DeadlineNode, ForecastNode)):
            due = node.deadline if isinstance(node, DeadlineNode) else node.forecast
            if isinstance(due.reference, FixedReference):
                return due.reference.tz or get_local_zone_name()
    return None


def _names_schedule(form: Conditions, schedule: ScheduleRow) -> bool:
    """Return whether a rule names a schedule, or the tasks that it submits."""
    if form.match.schedule is not None:
        return is_any_match(schedule.name, form.match.schedule)
    if form.match.task is not None:
        return is_any_match(schedule.task.get("name") or schedule.name, form.match.task)
    return False


def _has_other_clock(one: str, other: str, now: datetime) -> bool:
    try:
        zones = get_zone(one), get_zone(other)
    except ValueError:  # the data of this machine lack a zone that was stored
        return False
    moments = now, now + HALF_YEAR
    clocks = [[moment.astimezone(zone).utcoffset() for moment in moments] for zone in zones]
    return clocks[0] != clocks[1]
