"""Days and hours in which a rule applies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.core.schedules.zones import resolve_wall_time
from app.core.text.sanitize import find_nearest
from app.core.text.units import quote
from app.translation import tr

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GROUPS = {"workdays": range(5), "weekdays": range(5), "weekend": range(5, 7), "daily": range(7)}


_HOUR = r"(?:(?:[01]?[0-9]|2[0-3]):[0-5]?[0-9](?::[0-5]?[0-9])?|24:00?(?::00?)?)"
_NAMES = "|".join("".join(f"[{c}{c.upper()}]" for c in word) for word in _GROUPS)
_DAY = f"(?:{'|'.join(''.join(f'[{c}{c.upper()}]' for c in day) for day in DAYS)})[a-zA-Z]*"
_WORD = f"(?:{_NAMES}|{_DAY}(?:-{_DAY})?)"
CLOCK_PATTERN = rf"^\s*{_HOUR}\s*$"
DAYS_PATTERN = rf"^[\s,]*{_WORD}(?:[\s,]+{_WORD})*[\s,]*$"
PERIOD_PATTERN = rf"^\s*(?:{_HOUR}-{_HOUR}|{_WORD}(?:[\s,]+{_WORD})*,?(?:\s+{_HOUR}-{_HOUR})?)\s*$"
"""Patterns for JSON Schema: a time of day, days, and both."""


class ActivePeriod(NamedTuple):
    """Hours on some days: seconds since midnight. An end before the start is on the next day."""

    days: frozenset[int]
    start: int
    end: int
    zone: ZoneInfo


def parse_days(value: object) -> frozenset[int]:
    """Return weekdays, 0 for Monday, of `mon-fri`, `workdays` or a list of names.

    Raise ValueError with the nearest name.
    """
    given: list[object] = [value] if isinstance(value, str) else []
    if isinstance(value, (list, tuple)):
        given = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    words = [str(one).lower().replace(",", " ").split() for one in given]
    if not words or not all(words):
        raise ValueError(tr('must be days such as "mon-fri" or ["sat", "sun"]'))
    return frozenset(day for some in words for word in some for day in _parse_word(word))


def _parse_word(word: str) -> Sequence[int]:
    if word in _GROUPS:
        return _GROUPS[word]
    first, dash, last = word.partition("-")
    begin, end = _find_day(first), _find_day(last if dash else first)
    return [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]


def _find_day(word: str) -> int:
    if word.isascii() and word.isalpha():
        for number, day in enumerate(DAYS):
            if word[:3] == day:
                return number
    near = find_nearest(word, (*DAYS, *_GROUPS))
    raise ValueError(tr("must be days such as mon-fri, not {word}", word=quote(word)) + _hint(near))


def _hint(near: str | None) -> str:
    return f". Nearest: {near}" if near else ""


def parse_clock(value: object) -> int:
    """Return the seconds since midnight of `HH:MM` or `HH:MM:SS`; `24:00` is the end of a day."""
    if not isinstance(value, str):  # YAML reads 18:00 without quotes as a number
        raise ValueError(tr('must be a time of day in quotes, such as "06:00"'))
    parts = value.strip().split(":")
    if len(parts) not in (2, 3) or not all(
        part.isascii() and part.isdigit() and len(part) <= 2 for part in parts
    ):
        raise ValueError(tr("must be a time of day such as 06:00, not {value}", value=quote(value)))
    hours, minutes, seconds = [*map(int, parts), 0][:3]
    total = hours * 3600 + minutes * 60 + seconds
    if minutes > 59 or seconds > 59 or total > 86400:
        raise ValueError(tr("must be a time of day such as 06:00, not {value}", value=quote(value)))
    return total


def is_active(periods: Sequence[ActivePeriod], now: float) -> bool:
    """Return whether a rule applies at a UNIX time. Without periods it always does."""
    return not periods or any(
        begin <= now < end for period in periods for begin, end in list_spans(period, now)
    )


def find_next_change(periods: Sequence[ActivePeriod], now: float) -> float | None:
    """Return the next start or end of a period after a UNIX time."""
    edges = [
        edge
        for period in periods
        for span in list_spans(period, now)
        for edge in span
        if edge > now
    ]
    return min(edges, default=None)


def list_spans(period: ActivePeriod, now: float) -> list[tuple[float, float]]:
    """Return the periods from yesterday until a week ahead as UNIX times."""
    today = datetime.fromtimestamp(now, UTC).astimezone(period.zone).date()
    days = [today + timedelta(days=ahead) for ahead in range(-1, 8)]
    return [_make_span(period, day) for day in days if day.weekday() in period.days]


def _make_span(period: ActivePeriod, day: date) -> tuple[float, float]:
    later = 86400 if period.end <= period.start else 0
    return (to_unix(day, period.start, period.zone), to_unix(day, period.end + later, period.zone))


def to_unix(day: date, clock: int, zone: ZoneInfo) -> float:
    """Return the UNIX time of a wall time, in seconds since the midnight of a day."""
    whole, rest = divmod(clock, 86400)
    wall = datetime.combine(day, time()) + timedelta(days=whole, seconds=rest)
    return resolve_wall_time(wall, zone).timestamp()
