"""Fire rules of a stored schedule, and the values that follow from its definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from app.core.schedules import fire_plan
from app.core.schedules.definition import ScheduleDefinition
from app.core.schedules.fire_plan import FireRules
from app.core.schedules.recurrence import Recurrence
from app.core.text.units import format_duration_setting
from app.translation import tr
from db import timestamps
from db.rows import ScheduleRow


def get_recurrence(row: ScheduleRow) -> Recurrence:
    """Return the recurrence of a schedule."""
    return Recurrence(row.kind, row.expression, row.zone, timestamps.parse_time(row.start))


def build_rules(row: ScheduleRow, calendars: Mapping[str, Sequence[str]]) -> FireRules:
    """Return the fire rules of a schedule. A calendar that is gone excludes nothing."""
    days = {date.fromisoformat(day) for name in row.exclude for day in calendars.get(name, ())}
    within = row.missed_within
    return FireRules(
        get_recurrence(row),
        row.missed,
        None if within is None else timedelta(seconds=within),
        fire_plan.compute_jitter(row.name, row.jitter),
        timestamps.parse_time(row.until) if row.until else None,
        frozenset(days),
    )


def is_paused(row: ScheduleRow, now: datetime) -> bool:
    """Return True for a paused schedule whose pause has not ended."""
    until = row.paused_until
    return row.status == "paused" and not (until and timestamps.parse_time(until) <= now)


def find_next(rules: FireRules, after: datetime) -> tuple[str | None, str | None]:
    """Return the next fire time and when it is due, as stored; (None, None) if none follows."""
    return format_next(rules, fire_plan.find_next_fire(rules, after))


def find_next_unless_paused(
    row: ScheduleRow, rules: FireRules, after: datetime
) -> tuple[str | None, str | None]:
    """Return the next fire time and when it is due, as stored; none until a pause ends."""
    if row.status == "paused":
        if row.paused_until is None:
            return None, None
        after = max(after, timestamps.parse_time(row.paused_until) - timedelta(seconds=1))
    return find_next(rules, after)


def format_next(rules: FireRules, found: datetime | None) -> tuple[str | None, str | None]:
    """Return a fire time and when it is due, as stored."""
    if found is None:
        return None, None
    return timestamps.format_time(found), timestamps.format_time(found + rules.delay)


def describe_jitter_hint(row: ScheduleRow, now: datetime) -> str | None:
    """Return a hint if the jitter may be longer than the time between two fire times."""
    times = islice(fire_plan.iterate_fires(build_rules(row, {}), now), _COMPARED)
    shortest = min((later - at for at, later in pairwise(times)), default=None)
    if shortest is None or row.jitter <= shortest.total_seconds():
        return None
    longer, gap = map(format_duration_setting, (row.jitter, shortest.total_seconds()))
    return tr(
        "a jitter of {longer} is longer than the {gap} between two fire times.",
        longer=longer,
        gap=gap,
    )


_COMPARED = 10
"""Next fire times between which the shortest interval is sought."""
COLUMNS = (
    "kind", "expression", "zone", "start", "task", "overlap", "missed", "missed_within", "jitter",
    "until", "exclude", "description",
)  # fmt: skip
"""Columns that a definition sets."""


def to_columns(definition: ScheduleDefinition, now: datetime, start: datetime) -> dict[str, Any]:
    """Return the columns of a definition that counts from `start`. Raise ValueError."""
    recurrence = definition.make_recurrence(start)
    until = definition.get_until(now)
    return {
        "kind": recurrence.kind,
        "expression": recurrence.expression,
        "zone": recurrence.zone,
        "start": timestamps.format_time(recurrence.start),
        "task": definition.make_task(),
        "overlap": definition.overlap,
        "missed": definition.missed,
        "missed_within": definition.missed_within,
        "jitter": definition.jitter,
        "until": timestamps.format_time(until) if until else None,
        "exclude": definition.exclude,
        "description": definition.description,
    }
