"""Time formatting from UNIX seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from app.core.text import units


def format_wall_time(at: float, now: float, seconds: bool = False, zone: str = "") -> str:
    """Format local time: `10:42`, with seconds `10:42:07`; on other days with the date.

    The time of a zone whose clock differs has its offset.
    """
    return units.format_clock_time(
        datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC), seconds, zone
    )


def format_time_and_age(at: float, now: float) -> str:
    """Format a time with its age: `10:31:02, 11m old`."""
    return f"{format_wall_time(at, now, seconds=True)}, {units.format_age(max(0.0, now - at))} old"


def format_elapsed(seconds: float) -> str:
    """Format a running duration in whole seconds, so that it does not flicker."""
    return f"{max(0, int(seconds))}s" if seconds < 10 else units.format_duration(seconds)


def format_age_ago(at: float, now: float) -> str:
    """Format an age: `2m ago`, or `<1m ago` so that a list is not redrawn every second."""
    return f"{units.format_age(now - at) if now - at >= 60 else '<1m'} ago"


def format_fire_time(at: float, now: float, zone: str = "", *, words: bool = True) -> str:
    """Return the time of a zone: `today 14:00`, `Tue 02:00 +09:00`, and `14:00` without words.

    Seconds are shown within a day, if they are not zero, and the offset if it is not the local one.
    """
    text = format_wall_time(at, now, bool(int(at) % 60) and abs(at - now) < 86_400, zone)
    if not words:
        return text
    place = units.find_zone(zone)
    day, today = (datetime.fromtimestamp(t, UTC).astimezone(place).date() for t in (at, now))
    if day == today:
        return f"today {text}"
    if (day - today).days == 1:
        return f"tomorrow {text.partition(' ')[2]}"
    return text
