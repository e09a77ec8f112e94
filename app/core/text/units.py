"""Parsing and formatting of numbers, durations, sizes and times.

The `parse_*` functions read user input and raise ValueError with a sentence that can follow
"--timeout: ". The `format_*` functions return short text for a screen, or `MISSING` for an unknown
value. Units: seconds, cores, MiB. Every command imports this module, so its imports are few.
"""

from __future__ import annotations

import math

from app.core.text.sanitize import sanitize, truncate
from app.translation import tr, tr_noop

TYPE_CHECKING = False  # importing typing costs a command 2 ms
if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo

MISSING = "–"

_DAY = 86400.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY}
_MIB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_MAX_DURATION = 3653 * _DAY
_MIN_YEAR, _MAX_YEAR = 1000, 9000
"""Four-digit years, with room to convert time zones and to add a limit."""
_NUMERIC = frozenset("0123456789.eE+-")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_NAMES = frozenset(
    name
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    for name in (day, day[:3])
)
_ORDINALS = (
    tr_noop("first"),
    tr_noop("second"),
    tr_noop("third"),
    tr_noop("fourth"),
    tr_noop("fifth"),
    tr_noop("sixth"),
    tr_noop("seventh"),
    tr_noop("eighth"),
    tr_noop("ninth"),
    tr_noop("tenth"),
)


def quote(text: str) -> str:
    """Return user input in quotes, sanitized and shortened for a message."""
    return f'"{truncate(sanitize(text), 40)}"'


def parse_duration(text: str) -> float:
    """Parse a duration and return seconds, 0 to 10 years.

    Accepts `30s`, `5m`, `2h`, `1d`, `1h30m`, `250ms`, `1:30:00` or a bare number of seconds.
    """
    word = text.strip().lower()
    seconds = _parse_clock_duration(word) if ":" in word else _parse_units(word)
    if seconds is None or math.isnan(seconds):
        raise ValueError(
            tr("must be a duration such as 30s, 5m or 1h30m, not {said}", said=quote(text))
        )
    return _check_range(seconds, _MAX_DURATION, "10 years", text)


def parse_positive_duration(text: str) -> float:
    """Parse a limit such as a timeout and return seconds.

    Raise ValueError, also for 0, which any run would exceed at once.
    """
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(tr("must be above 0, not {said}", said=quote(text)))
    return seconds


def _parse_clock_duration(word: str) -> float | None:
    """Return the seconds of `H:MM:SS` or `D-HH:MM:SS`, as Slurm writes a limit, or None."""
    days, _, clock = word.rpartition("-")
    parts = [days or "0", *clock.split(":")]
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        return None
    if any(len(part) != 2 or int(part) > 59 for part in parts[2:]) or len(word) > 16:
        return None
    count, hours, minutes, seconds = map(int, parts)
    return float(((count * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_size(text: str) -> float:
    """Parse a size and return MiB, 0 to 1e9.

    Accepts `512M`, `1.5G`, `100K`, `2T`, the endings `MiB`, `GB` and so on, or a bare number of
    MiB.
    """
    word = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = _MIB.get(word[-1:])
    mib = _parse_number(word[:-1] if unit else word)
    if mib is None or math.isnan(mib):
        raise ValueError(tr("must be a size such as 512M or 1.5G, not {said}", said=quote(text)))
    return _check_range(mib * (unit or 1.0), 1e9, "1000000G", text)


def parse_cpu(text: str) -> float:
    """Parse a number of cores, 0 to 100,000 with at most 3 decimals."""
    cores = _parse_number(text.strip())
    if cores is None or math.isnan(cores):
        raise ValueError(
            tr("must be a number of cores such as 2 or 0.5, not {said}", said=quote(text))
        )
    _check_range(cores, 100_000, "100,000", text)
    if abs(cores * 1000 - round(cores * 1000)) > 1e-6:
        raise ValueError(tr("must have at most 3 decimals, not {said}", said=quote(text)))
    return cores


def parse_int(text: str, low: int, high: int) -> int:
    """Parse a whole number from `low` to `high`."""
    word = text.strip()
    digits = word[1:] if word[:1] in ("-", "+") else word
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(tr("must be a whole number, not {said}", said=quote(text)))
    if len(digits) > 30 or not low <= int(word) <= high:
        raise ValueError(
            tr("must be {low:,} to {high:,}, not {said}", low=low, high=high, said=quote(text))
        )
    return int(word)


def parse_time(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Parse a time and return an aware datetime.

    Accepts ISO format, `23:30` (its next occurrence), `today 02:00`, `tomorrow 02:00`, `mon 09:00`
    (the next Monday), or a duration from `now`. A time without offset is wall time in `zone`, or
    local time.
    """
    word = text.strip().lower()
    try:
        found = (
            _parse_iso(word, zone)
            if word[4:5] == "-"
            else _parse_clock_time(word, now, zone)
            if ":" in word or word[:2] == "to" or word.partition(" ")[0] in _DAY_NAMES
            else None
        )
        found = found or _parse_delay(word, now)
        if not _MIN_YEAR <= found.year < _MAX_YEAR:
            raise ValueError(found.year)
        return found
    except (ValueError, OverflowError):
        raise ValueError(
            tr(
                'must be a time such as 2026-01-31T08:00, 23:30, "tomorrow 02:00", "mon 09:00"'
                " or 2h (from now), not {said}",
                said=quote(text),
            )
        ) from None


def parse_past_period(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Parse a past time and return its start and end as aware datetimes.

    Accepts what `db restore --at` does: `2h` or `2h ago`, `10:00` (its last occurrence), `now`,
    `today`, `yesterday 10:00`, and ISO format, local without a zone. A day ends where the next
    day starts; for any other time, both values are equal.
    """
    from datetime import datetime, time, timedelta

    word = " ".join(text.lower().split())
    try:
        day, clock = _split_day(word, now)
        if day is not None and not clock:
            begin, end = (datetime.combine(at, time()) for at in (day, day + timedelta(days=1)))
            return resolve_local_time(begin), resolve_local_time(end)
        is_clock = ":" in clock.partition("-")[0]  # 1-12:00:00 is a duration
        at = _parse_past_clock(day, clock, now) if is_clock else _parse_age(word, now)
        if not _MIN_YEAR <= at.year < _MAX_YEAR:
            raise ValueError(at.year)
    except (ValueError, OverflowError):
        raise ValueError(
            tr(
                'must be a time such as 2h (ago), 10:00, yesterday, "yesterday 10:00" or'
                " 2026-01-31T08:00, not {said}",
                said=quote(text),
            )
        ) from None
    return at, at


def parse_age(text: str, now: datetime) -> float:
    """Parse a past time and return the seconds since its start."""
    age = (now - parse_past_period(text, now)[0]).total_seconds()
    if age < 0:
        raise ValueError(tr("must be in the past, not {said}", said=quote(text)))
    return age


def resolve_local_time(at: datetime, zone: tzinfo | None = None) -> datetime:
    """Return a typed time as an aware one; without a zone it is in `zone`, or local.

    A time skipped by the clock change in spring moves forward by the length of the gap: 02:30 is
    03:30. Of a time that occurs twice in autumn, the first is taken.
    """
    from datetime import UTC, datetime

    if at.tzinfo is not None:
        return at.astimezone(zone)
    if zone is not None:
        return at.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)
    # `at.astimezone()` moves a skipped time back by an hour; `timestamp` moves it forward.
    seconds = at.replace(microsecond=0).timestamp()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=at.microsecond).astimezone()


def format_duration(seconds: float | None) -> str:
    """Format a duration: `0.4s` `31s` `12m07s` `3h18m` `6d03h` `27d`."""
    if _is_unknown(seconds):
        return MISSING
    seconds = max(0.0, seconds or 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds) if seconds < 10 else int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return _join_units(whole // 60, "m", whole % 60, "s")
    return _format_hours(whole)


def format_latency(seconds: float | None) -> str:
    """Format the short duration of a machine operation: `62ms` `1.24s`."""
    if _is_unknown(seconds):
        return MISSING
    seconds = max(0.0, seconds or 0.0)
    return f"{seconds * 1000:.0f}ms" if seconds < 0.9995 else f"{seconds:.2f}s"


def format_duration_setting(seconds: float | None) -> str:
    """Format a configured duration without a zero decimal: `2s` `1.5s` `10m`."""
    return format_duration(seconds).replace(".0s", "s")


def format_exact_duration(seconds: float) -> str:
    """Format a duration so that it is parsed back to the same value: `1h30m` `3601s`."""
    text = format_duration_setting(seconds)
    return text if parse_duration(text) == seconds else f"{seconds:.17g}s"


def format_age(seconds: float | None) -> str:
    """Format an age, with seconds in the first minute only: `3s` `41m` `2h12m`."""
    if _is_unknown(seconds):
        return MISSING
    whole = int(max(0.0, seconds or 0.0))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m" if whole < 3600 else _format_hours(whole)


def format_estimate(seconds: float | None) -> str:
    """Format an estimate, with one unit up to an hour: `~40s` `~6m` `~1h18m`."""
    if _is_unknown(seconds):
        return MISSING
    whole = max(1, round(seconds or 0.0))
    if whole < 60:
        return f"~{whole}s"
    minutes = round(whole / 60)
    return f"~{minutes}m" if minutes < 60 else f"~{_format_hours(minutes * 60)}"


NARROW_RATIO = 1.25
"""Maximum ratio of the ends of a range that is shown as one estimate."""


def format_estimate_range(first: float, last: float) -> str:
    """Format the range of an estimate: `~6m` if narrow, `<9m` without a start, else `4–9m`."""
    if first == 0 < last:
        return f"<{format_upper_bound(last)}"
    begin, end = format_estimate(first)[1:], format_estimate(last)[1:]
    if last <= first * NARROW_RATIO or begin == end:
        return format_estimate((first + last) / 2)
    same_unit = begin[-1] == end[-1] and begin[:-1].isdecimal() and end[:-1].isdecimal()
    return f"{begin[:-1] if same_unit else begin}–{end}"


def format_wait_range(first: float, last: float) -> str:
    """Format the range of a wait: `in ~6m`, `in 4–9m`, or `within 9m` without a start."""
    text = format_estimate_range(first, last)
    if text[0] == "<":
        return tr("within {time}", time=text[1:])
    return tr("in {time}", time=text)


def format_upper_bound(seconds: float) -> str:
    """Format an upper bound, rounded up: `40s` `7m` `1h19m`."""
    whole = max(1, math.ceil(seconds))
    return format_estimate(whole if whole < 60 else math.ceil(whole / 60) * 60)[1:]


def find_zone(name: str) -> tzinfo | None:
    """Return a time zone by name, or None, which is local time, if there is no such zone."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name) if name else None
    except (LookupError, OSError, ValueError):
        return None


def format_other_offset(at: datetime, zone: tzinfo | None) -> str:
    """Return the offset of a zone at a time, ` +01:00`; "" if the local clock shows the same."""
    there = at.astimezone(zone)
    same = zone is None or there.utcoffset() == at.astimezone().utcoffset()
    return "" if same else f" {there.isoformat()[-6:]}"


def format_clock_time(at: datetime, now: datetime, seconds: bool = False, zone: str = "") -> str:
    """Format wall-clock time, local or that of a zone.

    Today `10:42`, within a week `Tue 23:10`, within the year `11-03 23:10`, else `2025-11-03`. The
    time of a zone whose clock differs has its offset: `Tue 23:10 +01:00`.
    """
    place = find_zone(zone)
    local_time, today = at.astimezone(place), now.astimezone(place)
    time = f"{local_time:%H:%M:%S}" if seconds else f"{local_time:%H:%M}"
    time += format_other_offset(at, place)
    days = (local_time.date() - today.date()).days
    if days == 0:
        return time
    if abs(days) < 7:
        return f"{_WEEKDAYS[local_time.weekday()]} {time}"
    return (
        f"{local_time:%m-%d} {time}" if local_time.year == today.year else f"{local_time:%Y-%m-%d}"
    )


def format_time_range(first: datetime, last: datetime, now: datetime) -> str:
    """Format a range of wall-clock time: `10:43–10:55`."""
    begin, end = format_clock_time(first, now), format_clock_time(last, now)
    return begin if begin == end else f"{begin}–{end}"


def format_hours(hours: float) -> str:
    """Format hours, below 10 with two decimals, so that those of short tasks are not 0.0."""
    return f"{hours:,.2f}" if hours < 10 else f"{hours:,.1f}"


def format_memory(mib: float | None) -> str:
    """Format MiB: `84M` `1.2G` `12.0G` `1.0T`."""
    return (
        MISSING if _is_unknown(mib) else _format_binary(max(0.0, mib or 0.0) * 1024**2, small="M")
    )


def format_bytes(count: float | None) -> str:
    """Format bytes: `412B` `2.1K` `4.1M`."""
    return MISSING if _is_unknown(count) else _format_binary(max(0.0, count or 0.0), small="B")


def format_memory_pair(used: float | None, total: float | None) -> str:
    """Format used and total MiB with the unit of the total: `30.0/32G`."""
    if _is_unknown(used) or _is_unknown(total):
        return MISSING
    used, total = max(0.0, used or 0.0), max(0.0, total or 0.0)
    if total < 512:
        return f"{used:.0f}/{total:.0f}M"
    unit, by = ("G", 1024) if total < 999.5 * 1024 else ("T", 1024**2)
    return f"{_format_used(used / by)}/{_format_total(total / by)}{unit}"


def format_cpu(cores: float | None) -> str:
    """Format cores with one decimal: `5.1`."""
    return MISSING if _is_unknown(cores) else f"{cores:.1f}"


def format_cpu_pair(used: float | None, total: float | None) -> str:
    """Format used and total cores: `2.9/4`."""
    return (
        MISSING
        if _is_unknown(used) or _is_unknown(total)
        else f"{used:.1f}/{format_number(total or 0.0)}"
    )


def format_number(number: float) -> str:
    """Format a number as a person types it: `2`, `0.5`, `1.25`."""
    return f"{number:.3f}".rstrip("0").rstrip(".")


def format_count(number: float | None) -> str:
    """Format a count: `9,999` `12.4k` `124k` `1.2M`."""
    if _is_unknown(number):
        return MISSING
    number = number or 0
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    value, unit = (number / 1e3, "k") if abs(number) < 999_500 else (number / 1e6, "M")
    return f"{value:.1f}{unit}" if abs(value) < 99.95 else f"{value:,.0f}{unit}"


def format_percent(part: float | None, whole: float | None) -> str:
    """Format a share. Never `100%` before completion; `>999%` above that."""
    if _is_unknown(part) or _is_unknown(whole) or not whole:
        return MISSING
    value = int((part or 0.0) * 100 / whole + 1e-9)
    if value >= 100 and (part or 0.0) < whole:
        return "99%"
    return ">999%" if value > 999 else f"{max(0, value)}%"


def format_ordinal(number: int) -> str:
    """Format an ordinal: `first` `second` … `tenth`, `11th`, `22nd`."""
    return tr(_ORDINALS[number - 1]) if 1 <= number <= 10 else format_short_ordinal(number)


def format_short_ordinal(number: int) -> str:
    """Format an ordinal: `1st` `2nd` … `11th`."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return tr(_ENDINGS.get(last, tr_noop("{number}th")), number=f"{number:,}")


_ENDINGS = {1: tr_noop("{number}st"), 2: tr_noop("{number}nd"), 3: tr_noop("{number}rd")}


def _is_unknown(number: float | None) -> bool:
    return number is None or not math.isfinite(number)


def _parse_number(word: str) -> float | None:
    """Parse a decimal number, "nan" or "inf"; return None for other text.

    The caller rejects "nan" and "inf" with its own message.
    """
    if len(word) > 500 or not (
        set(word) <= _NUMERIC or word.lstrip("+-").lower() in ("nan", "inf", "infinity")
    ):
        return None
    try:
        return float(word)
    except ValueError:
        return None


def _check_range(value: float, high: float, shown: str, text: str) -> float:
    if value < 0 or math.copysign(1.0, value) < 0:
        raise ValueError(tr("must be 0 or more, not {said}", said=quote(text)))
    if value > high:
        raise ValueError(tr("must be at most {shown}, not {said}", shown=shown, said=quote(text)))
    return value


def _parse_units(word: str) -> float | None:
    """Parse `1h30m`: each unit once, in descending order. Return None for other text."""
    if not word or word[-1] not in _SECONDS:
        return _parse_number(word)
    total, begin, last, at = 0.0, 0, math.inf, 0
    while at < len(word):
        letters = "ms" if word.startswith("ms", at) else word[at]
        end = at + len(letters)
        if letters in _SECONDS:
            value, unit = _parse_number(word[begin:at]), _SECONDS[letters]
            if value is None or unit >= last:
                return None
            total, begin, last = total + value * unit, end, unit
        at = end
    return total


def _parse_iso(word: str, zone: tzinfo | None = None) -> datetime:
    from datetime import datetime

    return resolve_local_time(datetime.fromisoformat(word.upper()), zone)


def _parse_clock_time(word: str, now: datetime, zone: tzinfo | None) -> datetime:
    """Parse `23:30`, `today 23:30`, `tomorrow`, `tomorrow 02:00` or `mon 09:00` as wall time."""
    from datetime import datetime, time, timedelta

    day, _, hour = word.partition(" ") if word[:1].isalpha() else ("", "", word)
    today = now.astimezone(zone).date()
    at = time.fromisoformat(hour.zfill(5)) if hour else time()
    if day[:3].title() in _WEEKDAYS and day in _DAY_NAMES:
        ahead = (_WEEKDAYS.index(day[:3].title()) - today.weekday()) % 7
        found = resolve_local_time(datetime.combine(today + timedelta(days=ahead), at), zone)
        again = today + timedelta(days=ahead + 7)
        return found if found > now else resolve_local_time(datetime.combine(again, at), zone)
    if day not in ("", "today", "tomorrow"):
        raise ValueError(word)
    found = resolve_local_time(
        datetime.combine(today + timedelta(days=day == "tomorrow"), at), zone
    )
    return (
        resolve_local_time(datetime.combine(today + timedelta(days=1), at), zone)
        if not day and found <= now
        else found
    )


def _split_day(word: str, now: datetime) -> tuple[date | None, str]:
    """Return the day that a past time begins with, and the rest."""
    from datetime import date, timedelta

    first, _, rest = word.partition(" ")
    if first in ("today", "yesterday"):
        return now.astimezone().date() - timedelta(days=first == "yesterday"), rest
    if word[4:5] == "-" and word[10:11] in ("", " ", "t"):
        return date.fromisoformat(word[:10]), word[11:]
    return None, word


def _parse_past_clock(day: date | None, clock: str, now: datetime) -> datetime:
    """Return a clock time on a day, or its last occurrence."""
    from datetime import datetime, time, timedelta

    at = time.fromisoformat(("0" + clock if clock[1:2] == ":" else clock).upper())
    today = now.astimezone().date()
    found = resolve_local_time(datetime.combine(day or today, at))
    if day is None and found > now:
        found = resolve_local_time(datetime.combine(today - timedelta(days=1), at))
    return found


def _parse_age(word: str, now: datetime) -> datetime:
    from datetime import timedelta

    if word == "now":
        return now
    return now - timedelta(seconds=parse_duration(word.removesuffix(" ago").replace(" ", "")))


def _parse_delay(word: str, now: datetime) -> datetime:
    from datetime import timedelta

    return (now + timedelta(seconds=parse_duration(word))).astimezone()


def _join_units(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small:02d}{small_unit}" if small else f"{large}{large_unit}"


def _format_hours(whole: int) -> str:
    hours = whole // 3600
    if hours < 24:
        return _join_units(hours, "h", whole % 3600 // 60, "m")
    return _join_units(hours // 24, "d", hours % 24, "h") if hours < 240 else f"{hours // 24}d"


def _format_binary(count: float, small: str) -> str:
    """Format bytes in steps of 1024, with up to three digits.

    `small` is the smallest unit.
    """
    units = "BKMGTPE"
    step = units.index(small)
    value = count / 1024**step
    while value >= 999.5 and step < len(units) - 1:
        value, step = value / 1024, step + 1
    if step == 0 or value == 0:
        return f"{value:.0f}{units[step]}"
    decimals = 1 if value < 9.95 or (step > 2 and value < 99.95) else 0
    return f"{value:.{decimals}f}{units[step]}"


def _format_used(value: float) -> str:
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _format_total(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
