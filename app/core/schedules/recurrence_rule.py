"""Recurrence rules of RFC 5545, such as the last weekday of each month.

A rule counts from the day on which its schedule begins, and fires at midnight unless it names an
hour. Its times are wall times. dateutil walks over every period since the beginning, so
`_move_start` moves the beginning forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice
from math import prod
from zoneinfo import ZoneInfo

from dateutil import rrule

from app.core.schedules.zones import resolve_wall_time
from app.core.text.sanitize import sanitize
from app.core.text.units import quote
from app.translation import tr

MAX_LENGTH = 1000
"""Characters of a rule."""
MAX_COUNT = 1000
"""Largest COUNT: all earlier fires are counted again for each next one."""
MAX_PER_DAY = 24
"""Fire times of a rule in a day."""
SHIFT = 7600
"""Years by which dates are moved ahead. dateutil examines each day up to the year 9999 before it
gives up a rule without a date: 130 ms instead of 2.6 s. The calendar repeats every 400 years."""
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_TIME_PARTS = ("BYHOUR", "BYMINUTE", "BYSECOND")
_DAY_PARTS = {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"}
_KNOWN_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH"} | {
    *_DAY_PARTS, *_TIME_PARTS
}  # fmt: skip


def normalize_rule(text: str, start: date) -> str:
    """Return a rule in capital letters without its prefix; `start` is its first day.

    Raise ValueError, also for a rule that never fires.
    """
    rule = check_rule(text)
    before = datetime.combine(start, datetime.min.time()) - timedelta(seconds=1)
    first = next(_iterate(_split(rule), start, before), None)
    # The zone is not known here: a day more cannot be told from a rule that fires once.
    if first is None or _is_over(_split(rule), first - timedelta(days=1), UTC):
        raise ValueError(tr("never fires: no date matches {said}", said=quote(text)))
    return rule


def check_rule(text: str, label: str = "") -> str:
    """Return a rule in capital letters without its prefix. Raise ValueError after `label`."""
    try:
        return _check_rule(text)
    except ValueError as error:
        raise ValueError(f"{label}{error}") from None


def _check_rule(text: str) -> str:
    rule = "".join(text.upper().split()).removeprefix("RRULE:")
    if len(rule) > MAX_LENGTH:
        raise ValueError(
            tr(
                "has {n:,} characters, but at most {max_length:,} are allowed",
                n=len(rule),
                max_length=MAX_LENGTH,
            )
        )
    parts = _split(rule)
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(
            tr(
                "must have FREQ={frequencies} or {last}, not {said}; for shorter"
                " intervals use --every or --cron",
                frequencies=", ".join(_FREQUENCIES[:-1]),
                last=_FREQUENCIES[-1],
                said=quote(text),
            )
        )
    if "UNTIL" in parts:
        _parse_until(parts["UNTIL"])
        if "COUNT" in parts:
            raise ValueError(tr("has either COUNT or UNTIL, not both"))
    if unknown := parts.keys() - _KNOWN_PARTS:
        raise ValueError(tr("has an unknown part {part}", part=quote(min(unknown))))
    _check_number(parts, "INTERVAL", 10_000)
    _check_number(parts, "COUNT", MAX_COUNT)
    per_day = prod(parts.get(name, "").count(",") + 1 for name in _TIME_PARTS)
    if per_day > MAX_PER_DAY:
        raise ValueError(
            tr(
                "fires {per_day:,} times a day, but at most {max_per_day} are allowed; use --cron",
                per_day=per_day,
                max_per_day=MAX_PER_DAY,
            )
        )
    try:
        _build(parts, datetime(2000, 1, 1))
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(tr("is wrong: {error}", error=sanitize(str(error)))) from None
    return rule


def find_next(rule: str, start: date, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first fire time strictly after `after`, of a rule that begins on `start`."""
    parts, wall = _split(rule), after.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    for found in _iterate(parts, start, wall):
        if _is_over(parts, found, zone):
            return None
        at = resolve_wall_time(found, zone)
        if at > after:
            return at
    return None


def _parse_until(text: str) -> datetime:
    """Return the last moment of a rule: in UTC if it ends in Z, else wall time."""
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%d"):
        with suppress(ValueError):
            found = datetime.strptime(text, form)
            return found.replace(tzinfo=UTC) if form.endswith("Z") else found
    raise ValueError(
        tr(
            "must have UNTIL=20271231, 20271231T180000 or 20271231T170000Z, not {said}",
            said=quote(text),
        )
    )


def _is_over(parts: dict[str, str], wall: datetime, zone: tzinfo) -> bool:
    """Return True if a wall time is after the end of a rule. A date is its midnight."""
    if "UNTIL" not in parts:
        return False
    until = _parse_until(parts["UNTIL"])
    return wall > until if until.tzinfo is None else wall.replace(tzinfo=zone) > until


def _split(rule: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in rule.split(";") if part]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise ValueError(
                tr("must be NAME=VALUE pairs with semicolons, not {rule}", rule=quote(rule))
            )
    parts = {name: value for name, _, value in pairs}
    if len(parts) < len(pairs):
        raise ValueError(tr("names a part twice: {rule}", rule=quote(rule)))
    return parts


def _check_number(parts: dict[str, str], name: str, most: int) -> None:
    value = parts.get(name, "1")
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= most):
        raise ValueError(
            tr(
                "must have {name}=1 to {most}, not {value}",
                name=name,
                most=most,
                value=quote(value),
            )
        )


def _build(parts: dict[str, str], start: datetime) -> Iterator[datetime]:
    """Return the wall times of a rule from `start` on, without its end."""
    ends = ("COUNT", "UNTIL")
    text = ";".join(f"{name}={value}" for name, value in parts.items() if name not in ends)
    times = rrule.rrulestr(text, dtstart=start.replace(year=start.year + SHIFT))
    return (at.replace(year=at.year - SHIFT) for at in times)


def _iterate(parts: dict[str, str], start: date, after: datetime) -> Iterator[datetime]:
    """Return an iterator over the wall times after `after`."""
    first = datetime.combine(start, datetime.min.time())
    if "COUNT" in parts:
        times = islice(_build(parts, first), int(parts["COUNT"]))
    else:
        times = _build(*_move_start(parts, first, after))
    return (at for at in times if at > after and at >= first)


def _move_start(
    parts: dict[str, str], start: datetime, after: datetime
) -> tuple[dict[str, str], datetime]:
    """Return an equal rule that begins shortly before `after`, in step with INTERVAL.

    Parts that follow from the start, such as the day of the month, are added first.
    """
    interval = int(parts.get("INTERVAL", "1"))
    frequency, is_free = parts["FREQ"], not _DAY_PARTS & parts.keys()
    days = max(0, (after - start).days)
    if frequency in ("DAILY", "WEEKLY"):
        if frequency == "WEEKLY" and is_free:
            parts = {**parts, "BYDAY": _WEEKDAYS[start.weekday()]}
        step = interval * (7 if frequency == "WEEKLY" else 1)
        return parts, start + timedelta(days=max(0, days // step - 1) * step)
    if is_free:
        parts = {**parts, "BYMONTHDAY": str(start.day)}
        if frequency == "YEARLY" and "BYMONTH" not in parts:
            parts["BYMONTH"] = str(start.month)
    if frequency == "MONTHLY":
        months = (after.year - start.year) * 12 + after.month - start.month
        ahead = start.month - 1 + max(0, months // interval - 1) * interval
        return parts, start.replace(year=start.year + ahead // 12, month=ahead % 12 + 1, day=1)
    years = max(0, (after.year - start.year) // interval - 1) * interval
    return parts, start.replace(year=start.year + years, month=1, day=1)
