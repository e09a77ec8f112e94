"""Formatting of stored times (`2026-11-25T10:42:07.123456Z`).

A damaged time is shown unchanged and excluded from calculations.
"""

from __future__ import annotations

import time

from app.core.text import units
from app.core.text.sanitize import sanitize
from app.core.times import to_unix_or_none
from app.translation import ENGLISH, get_language, tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


_DAYS = (
    tr_noop("Mon"),
    tr_noop("Tue"),
    tr_noop("Wed"),
    tr_noop("Thu"),
    tr_noop("Fri"),
    tr_noop("Sat"),
    tr_noop("Sun"),
)


def name_day(at: datetime) -> str:
    """Return the day of the week, in the current language."""
    return tr(_DAYS[at.weekday()])


def _parse_or_none(text: str | None) -> float | None:
    """Return UNIX seconds of a stored time, or None if missing or damaged."""
    try:
        return to_unix_or_none(text)
    except ValueError:
        return None


def seconds_since(text: str | None, now: float | None = None) -> float | None:
    """Return seconds from a stored time to `now` (UNIX seconds)."""
    start_time = _parse_or_none(text)
    return (
        None if start_time is None else max(0.0, (time.time() if now is None else now) - start_time)
    )


def seconds_between(start: str | None, end: str | None, now: float | None = None) -> float | None:
    """Return seconds from `start` to `end`, or to now without an end."""
    if not end:
        return seconds_since(start, now)
    start_time, ended = _parse_or_none(start), _parse_or_none(end)
    return None if start_time is None or ended is None else max(0.0, ended - start_time)


def format_clock(text: str | None, seconds: bool = False, zone: str = "") -> str:
    """Return a stored time as short local time, or as that of a zone."""
    if not text:
        return units.MISSING
    try:
        shown = units.format_clock_time(to_local(text), get_local_now(), seconds, zone)
    except ValueError:
        return sanitize(text)
    day, space, rest = shown.partition(" ")
    return f"{tr(day)}{space}{rest}" if day in _DAYS else shown


def format_future(text: str, zone: str = "", seconds: bool = False) -> str:
    """Return a future time as `Sat 18:09 (in 23h)`, or an empty string for a past time."""
    left = (to_local(text) - get_local_now()).total_seconds()
    shown = format_clock(text, seconds, zone)
    return (
        tr("{time} (in {wait})", time=shown, wait=units.format_upper_bound(left))
        if left > 0
        else ""
    )


def format_moment(text: str, zone: str = "") -> str:
    """Return a stored time as `Wed 25 Nov 10:30:00`, local or that of a zone."""
    try:
        local, place = to_local(text), units.find_zone(zone)
    except ValueError:
        return sanitize(text)
    at, offset = local.astimezone(place), units.format_other_offset(local, place)
    if get_language() != ENGLISH:
        same_year = at.year == get_local_now().year
        return (
            f"{at.month} 月 {at.day} 日 {name_day(at)} {at:%H:%M:%S}"
            if same_year
            else f"{at.year} 年 {at.month} 月 {at.day} 日 {at:%H:%M}"
        ) + offset
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[
        at.month - 1
    ]
    return (
        f"{name_day(at)} {at.day} {month} {at:%H:%M:%S}"
        if at.year == get_local_now().year
        else f"{at.day} {month} {at:%Y %H:%M}"
    ) + offset


def to_local(text: str) -> datetime:
    """Return a stored time in the local zone."""
    from datetime import datetime

    return datetime.fromisoformat(text).astimezone()


def get_local_now() -> datetime:
    """Return the present time in the local zone."""
    from datetime import datetime

    return datetime.now().astimezone()
