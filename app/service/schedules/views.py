"""Schedules as sent to clients: in words, with their latest fire times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from statistics import median
from typing import Any

from app.core.schedules.fire_plan import find_next_fire, iterate_fires
from app.core.schedules.recurrence import describe_recurrence
from app.core.schema import secrets
from app.service.schedules import rules as schedule_rules
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import schedules
from db.rows import FireRow, ScheduleRow

MAX_FIRES = 20
"""Latest fire times sent with a schedule."""
UPCOMING = 5
"""Next fire times sent with a single schedule."""
MAX_TIMELINES = 100
"""Schedules of one timeline."""
MAX_CELLS = 500
"""Steps of one timeline."""
MAX_PAST_FIRES = 300
"""Latest fire times of a schedule on a timeline."""
_SHOWN = tuple(name for name in ScheduleRow._fields if name not in ("context", "boot_id"))


def build_all(c: Connection, rows: Sequence[ScheduleRow]) -> list[dict[str, Any]]:
    """Return schedules as sent to clients.

    Added to the columns are `cwd`, `words`, `state` (active, paused or ended), `fires` (the latest
    ones, newest first), `run_seconds` (the usual time of a run, or None), and `missed_count`, the
    number of `fires` that were missed. Secrets are masked.
    """
    fires = schedules.list_fires(c, [row.name for row in rows], MAX_FIRES)
    now = timestamps.utcnow()
    return [_build(row, fires[row.name], now) for row in rows]


def build_one(c: Connection, row: ScheduleRow) -> dict[str, Any]:
    """Return a schedule as sent to clients, with `upcoming`: its next fire times."""
    times = islice(_iterate_upcoming(row, schedules.map_calendars(c)), UPCOMING)
    return build_all(c, [row])[0] | {"upcoming": [timestamps.format_time(at) for at in times]}


def _iterate_upcoming(
    row: ScheduleRow, calendars: Mapping[str, Sequence[str]]
) -> Iterator[datetime]:
    """Yield the fire times that follow, without those during a pause."""
    if row.next_fire is not None:
        first = timestamps.parse_time(row.next_fire)
        rules = schedule_rules.build_rules(row, calendars)
        yield from iterate_fires(rules, first - timedelta(seconds=1))


def build_timelines(
    c: Connection, rows: Sequence[ScheduleRow], since: datetime, step: timedelta, cells: int
) -> list[dict[str, Any]]:
    """Return the fire times of schedules in `cells` steps from `since`.

    `fires` holds those handled, oldest first. `upcoming` holds the first one of each step. So a
    schedule that fires each second costs no more than one that fires in each step.
    """
    until, calendars = since + step * cells, schedules.map_calendars(c)
    names = [row.name for row in rows]
    past = schedules.list_fires(
        c, names, MAX_PAST_FIRES, timestamps.format_time(since), timestamps.format_time(until)
    )
    return [
        {
            "name": row.name,
            "run_seconds": _estimate_run(past[row.name]),
            "fires": [fire._asdict() for fire in reversed(past[row.name])],
            "upcoming": [
                timestamps.format_time(at)
                for at in _list_one_per_step(row, calendars, since, step, until)
            ],
        }
        for row in rows
    ]


def _list_one_per_step(
    row: ScheduleRow,
    calendars: Mapping[str, Sequence[str]],
    since: datetime,
    step: timedelta,
    until: datetime,
) -> list[datetime]:
    if row.next_fire is None:
        return []
    rules = schedule_rules.build_rules(row, calendars)
    found: list[datetime] = []
    at: datetime | None = timestamps.parse_time(row.next_fire)
    while at is not None and at < until:
        found.append(at)
        following = since + step * ((at - since) // step + 1) - timedelta(microseconds=1)
        at = find_next_fire(rules, max(at, following.replace(microsecond=0)))
    return found


def _build(row: ScheduleRow, fires: Sequence[FireRow], now: datetime) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in _SHOWN}
    return {
        **columns,
        "task": secrets.mask_record(row.task),
        "cwd": row.task.get("cwd") or row.context.get("cwd"),
        "words": _describe(row),
        "state": get_state(row, now),
        "fires": [fire._asdict() for fire in fires],
        "missed_count": sum(fire.outcome == "missed" for fire in fires),
        "run_seconds": _estimate_run(fires),
    }


def _describe(row: ScheduleRow) -> str:
    try:
        return describe_recurrence(schedule_rules.get_recurrence(row))
    except (ValueError, LookupError):
        return tr("its times cannot be read")


def get_state(row: ScheduleRow, now: datetime) -> str:
    """Return `active`, `paused`, or `ended` for a schedule without another fire time."""
    if schedule_rules.is_paused(row, now):
        return "paused"
    return "ended" if row.due_at is None and row.kind != "boot" else "active"


def _estimate_run(fires: Sequence[FireRow]) -> float | None:
    """Return the median time of the runs that succeeded, in seconds."""
    times = [
        timestamps.to_unix(fire.ended_at) - timestamps.to_unix(fire.started_at)
        for fire in fires
        if fire.status == "succeeded" and fire.started_at and fire.ended_at
    ]
    return median(times) if times else None
