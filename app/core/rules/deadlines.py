"""Due times of deadlines: a reference plus an offset, or a wall time on some days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.core.rules.active_time import to_unix

DAY = 86400.0
"""Seconds of a day."""


class FixedTime(NamedTuple):
    """A wall time on some days: seconds since midnight, weekdays (0 is Monday), time zone."""

    clock: int
    days: frozenset[int]
    zone: ZoneInfo


class FixedDue(NamedTuple):
    """A due time, and the earliest submission that counts for this due time."""

    due: float
    since: float


def find_last_due(fixed: FixedTime, offset: float, now: float) -> FixedDue | None:
    """Return the latest due time up to now.

    A success counts if it was submitted in the day before the due time. Its submission must not be
    before the previous due time.
    """
    dues = [due for due in _list_dues(fixed, offset, now) if due <= now]
    if not dues:
        return None
    before = dues[-2] if len(dues) > 1 else 0.0
    return FixedDue(dues[-1], max(before, dues[-1] - DAY))


def find_next_due(fixed: FixedTime, offset: float, now: float) -> FixedDue | None:
    """Return the first due time after now."""
    dues = _list_dues(fixed, offset, now)
    coming = [due for due in dues if due > now]
    if not coming:
        return None
    past = [due for due in dues if due <= now]
    return FixedDue(coming[0], max(past[-1] if past else 0.0, coming[0] - DAY))


@lru_cache(maxsize=64)
def _list_dues(fixed: FixedTime, offset: float, now: float) -> tuple[float, ...]:
    """Return the due times of the last and the next ten days.

    They are kept, because a pass judges thousands of subjects at the same moment.
    """
    shown = datetime.fromtimestamp(now - offset, UTC).astimezone(fixed.zone).date()
    days = [shown + timedelta(days=ahead) for ahead in range(-10, 11)]
    return tuple(
        to_unix(day, fixed.clock, fixed.zone) + offset
        for day in days
        if day.weekday() in fixed.days
    )
