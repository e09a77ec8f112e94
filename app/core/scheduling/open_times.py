"""Times at which a queue starts tasks: `mon-fri 18:00-08:00, sat-sun`, in local time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from app.core.rules.active_time import DAYS, ActivePeriod, list_spans, parse_clock, parse_days
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.text.units import quote
from app.translation import tr

ALWAYS = "always"
WHOLE_DAY = 86400
_ALL_DAYS = frozenset(range(7))

Windows = tuple[tuple[float, float], ...]
"""Times in which a queue starts tasks, in seconds from now, in order and apart: (begin, end)."""


def normalize_open(text: object) -> str | None:
    """Return the periods in their stored form, None for `always`, or raise ValueError."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(tr('must be hours such as 22:00-06:00, or "always"'))
    if text.strip().lower() == ALWAYS:
        return None
    found = [_parse_period(part) for part in text.split(",")]
    if all(start == 0 and end == WHOLE_DAY and days == _ALL_DAYS for days, start, end in found):
        return None
    return ", ".join(_format_period(*period) for period in found)


def _parse_period(text: str) -> tuple[frozenset[int], int, int]:
    words = text.split()
    hours = [word for word in words if ":" in word]
    days = [word for word in words if ":" not in word]
    if not words or len(hours) > 1:
        raise ValueError(
            tr(
                "must be days and hours such as mon-fri 18:00-08:00, not {windows}; a comma"
                " separates several",
                windows=quote(text.strip()),
            )
        )
    if not hours:
        return parse_days(days), 0, WHOLE_DAY
    begin, dash, end = hours[0].partition("-")
    if not dash:
        raise ValueError(
            tr("must be hours such as 22:00-06:00, not {hours}", hours=quote(hours[0]))
        )
    start, stop = parse_clock(begin), parse_clock(end)
    if start in (stop, WHOLE_DAY):
        raise ValueError(
            tr("{hours} has no length; write 00:00-24:00 for the whole day", hours=hours[0])
        )
    return parse_days(days) if days else _ALL_DAYS, start, stop


def _format_period(days: frozenset[int], start: int, end: int) -> str:
    hours = f"{_format_clock(start)}-{_format_clock(end)}"
    if days == _ALL_DAYS:
        return hours
    named = _format_days(sorted(days))
    return named if (start, end) == (0, WHOLE_DAY) else f"{named} {hours}"


def _format_days(days: Sequence[int]) -> str:
    """Return weekdays as `mon-fri` or `mon wed`."""
    parts: list[list[int]] = []
    for day in days:
        if parts and day == parts[-1][-1] + 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    return " ".join(
        DAYS[part[0]] if len(part) == 1 else f"{DAYS[part[0]]}-{DAYS[part[-1]]}" for part in parts
    )


def _format_clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")


def list_windows(text: str, now: float) -> Windows:
    """Return the windows of a stored form from now to a week ahead; `now` is in UNIX seconds."""
    return tuple(
        (begin - now, end - now) for begin, end in _list_spans(text, int(now // 3600)) if end > now
    )


@lru_cache(maxsize=256)
def _list_spans(text: str, hour: int) -> tuple[tuple[float, float], ...]:
    """Return the windows around an hour since 1970 as UNIX times, those that meet joined."""
    zone = get_zone(get_local_zone_name())
    periods = [ActivePeriod(*_parse_period(part), zone) for part in text.split(",")]
    joined: list[tuple[float, float]] = []
    for begin, end in sorted(span for one in periods for span in list_spans(one, hour * 3600.0)):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        elif end > begin:
            joined.append((begin, end))
    return tuple(joined)


def is_inside(windows: Windows | None, at: float = 0.0) -> bool:
    """Return True if a queue may start tasks at a time; without windows it always may."""
    return windows is None or any(begin <= at < end for begin, end in windows)


def find_opening(windows: Windows | None, after: float = 0.0) -> float | None:
    """Return when a closed queue opens next after a time, or None."""
    return next((begin for begin, _ in windows or () if begin > after), None)
