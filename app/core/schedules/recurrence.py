"""Recurrence of a schedule: its kind, its expression, and the fire times that follow.

Fire times are whole seconds, in UTC: aware times of one zone compare by the wall clock, which
repeats an hour in autumn. `every` counts real seconds from the start, so the clock
change does not shift it; `cron`, `at` and `rrule` follow the wall clock of the zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import floor
from typing import NamedTuple

from app.core.schedules import cron, recurrence_rule
from app.core.schedules.zones import get_zone
from app.core.text.units import format_exact_duration, parse_duration, parse_time, quote
from app.translation import tr

KINDS = ("cron", "every", "at", "rrule", "boot")
MIN_INTERVAL = 1.0
"""Seconds of the shortest `every`."""
_LAST = datetime(9000, 1, 1, tzinfo=UTC)


class Recurrence(NamedTuple):
    """When a schedule fires.

    `expression` is normalized: the five fields of `cron`, the seconds of `every`, the ISO time with
    offset of `at`, the parts of `rrule`, nothing for `boot`. `every` and `rrule` count from
    `start`.
    """

    kind: str
    expression: str
    zone: str
    start: datetime


def parse_recurrence(kind: str, text: str, zone: str, start: datetime) -> Recurrence:
    """Return the recurrence that a person typed. Raise ValueError that can follow the kind."""
    get_zone(zone)
    start = start.replace(microsecond=0)
    return Recurrence(kind, _normalize(kind, text, zone, start), zone, start)


def _normalize(kind: str, text: str, zone: str, start: datetime) -> str:
    if kind == "cron":
        return cron.normalize_cron(text)
    if kind == "every":
        return _parse_every(text)
    if kind == "at":
        return parse_time(text, start, get_zone(zone)).replace(microsecond=0).isoformat()
    if kind == "rrule":
        return recurrence_rule.normalize_rule(text, start.astimezone(get_zone(zone)).date())
    return ""


def _parse_every(text: str) -> str:
    seconds = parse_duration(text)
    if seconds < MIN_INTERVAL:
        raise ValueError(tr("must be at least 1s, not {said}", said=quote(text)))
    if seconds % 1:
        raise ValueError(tr("must be whole seconds, not {said}", said=quote(text)))
    return str(int(seconds))


def find_next(recurrence: Recurrence, after: datetime) -> datetime | None:
    """Return the first fire time strictly after `after`, or None if none follows."""
    kind, expression, zone = recurrence.kind, recurrence.expression, get_zone(recurrence.zone)
    if kind == "boot" or after >= _LAST:
        return None
    if kind == "at":
        at = datetime.fromisoformat(expression).astimezone(UTC)
        return at if at > after else None
    if kind == "every":
        step = int(expression)
        passed = (after - recurrence.start).total_seconds()
        at = recurrence.start + timedelta(seconds=max(1, floor(passed / step) + 1) * step)
        return at.astimezone(UTC)
    if kind == "cron":
        return cron.find_next(expression, after, zone)
    return recurrence_rule.find_next(
        expression, recurrence.start.astimezone(zone).date(), after, zone
    )


def iterate(recurrence: Recurrence, after: datetime) -> Iterator[datetime]:
    """Yield the fire times strictly after `after`, in order."""
    at = find_next(recurrence, after)
    while at is not None:
        yield at
        at = find_next(recurrence, at)


def describe_recurrence(recurrence: Recurrence) -> str:
    """Return a recurrence in words: `at 02:00 every day`, `every 10m`."""
    kind, expression = recurrence.kind, recurrence.expression
    if kind == "cron":
        return cron.describe_cron(expression)
    if kind == "every":
        return tr("every {duration}", duration=format_exact_duration(float(expression)))
    if kind == "at":
        return tr("once, at {time}", time=expression[:16].replace("T", " "))
    return (
        tr("by the rule {expression}", expression=expression)
        if kind == "rrule"
        else tr("at each boot of this machine")
    )
