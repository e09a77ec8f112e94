"""Time formatting from UNIX seconds."""

from __future__ import annotations

from datetime import UTC, date, datetime

from app.core.text import units
from app.translation import tr, tr_noop


def format_wall_time(at: float, now: float, seconds: bool = False, zone: str = "") -> str:
    """Format local time: `10:42`, with seconds `10:42:07`; on other days with the date.

    The time of a zone whose clock differs has its offset.
    """
    text = units.format_clock_time(
        datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC), seconds, zone
    )
    day, gap, time = text.partition(" ")
    return f"{tr(day)}{gap}{time}" if day in WEEKDAYS else text


def format_time_and_age(at: float, now: float) -> str:
    """Format a time with its age: `10:31:02, 11m old`."""
    return tr(
        "{time}, {age} old",
        time=format_wall_time(at, now, seconds=True),
        age=units.format_age(max(0.0, now - at)),
    )


WEEKDAYS = (
    tr_noop("Mon"), tr_noop("Tue"), tr_noop("Wed"), tr_noop("Thu"), tr_noop("Fri"),
    tr_noop("Sat"), tr_noop("Sun"),
)  # fmt: skip


def format_weekday(day: date) -> str:
    """Return the name of a day: `Mon`."""
    return tr(WEEKDAYS[day.weekday()])


def format_elapsed(seconds: float) -> str:
    """Format a running duration in whole seconds, so that it does not flicker."""
    return f"{max(0, int(seconds))}s" if seconds < 10 else units.format_duration(seconds)


def format_age_ago(at: float, now: float) -> str:
    """Format an age: `2m ago`, or `<1m ago` so that a list is not redrawn every second."""
    return tr("{age} ago", age=units.format_age(now - at) if now - at >= 60 else "<1m")


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
        return tr("today {time}", time=text)
    if (day - today).days == 1:
        return tr("tomorrow {time}", time=text.partition(" ")[2])
    return text
