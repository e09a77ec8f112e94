"""Cron expressions with the meaning they have in Debian's cron."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.explain import Expression

from app.core.text.units import quote
from app.translation import tr, tr_noop

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    (tr_noop("day of the month"), tr_noop("1 to 31, L or LW")),
    ("month", tr_noop("1 to 12 or JAN to DEC")),
    (tr_noop("day of the week"), tr_noop("0 to 7 or SUN to SAT")),
)
_CRONSIM_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
MAX_LENGTH = 1000
"""Characters of an expression."""
LONGEST_CHANGE = timedelta(hours=3)
"""A time longer than any clock change: the largest are two hours."""
_NONE = timedelta()
_EPOCH = datetime(2000, 1, 1)


def normalize_cron(text: str) -> str:
    """Return an expression with single blanks and without macros.

    Raise ValueError with the name of the wrong field.
    """
    words = text.split()
    shown = quote(text)
    if len(text) > MAX_LENGTH:
        raise ValueError(
            tr(
                "has {n:,} characters, but at most {max_length:,} are allowed",
                n=len(text),
                max_length=MAX_LENGTH,
            )
        )
    if len(words) == 1 and words[0].startswith("@"):
        return _expand_macro(words[0])
    if len(words) != len(_FIELDS):
        note = tr("; seconds cannot be given") if len(words) == 6 else ""
        raise ValueError(
            tr(
                "must have 5 fields (minute, hour, day of the month, month, day of the week),"
                " but {shown} has {n}{note}",
                shown=shown,
                n=len(words),
                note=note,
            )
        )
    expression = " ".join(words)
    try:
        CronSim(
            " ".join([*words[:3], "*", *words[4:]]), _EPOCH
        )  # without months that are too short
        CronSim(f"* * * {words[3]} *", _EPOCH)
    except CronSimError as error:
        raise ValueError(_describe_fault(str(error), words)) from None
    if not _has_date(expression):
        raise ValueError(tr("never fires: no date matches {shown}", shown=shown))
    return expression


def _has_date(expression: str) -> bool:
    try:
        return next(CronSim(expression, _EPOCH), None) is not None
    except CronSimError:
        return False


def _expand_macro(word: str) -> str:
    if word.lower() == "@reboot":
        raise ValueError(tr("@reboot is no time; use --at-boot"))
    try:
        return MACROS[word.lower()]
    except KeyError:
        raise ValueError(
            tr("must be one of {macros}, not {word}", macros=", ".join(MACROS), word=quote(word))
        ) from None


def _describe_fault(message: str, words: list[str]) -> str:
    at = _CRONSIM_FIELDS.index(message.removeprefix("Bad "))
    name, allowed = _FIELDS[at]
    if _has_falling_range(at, words[at]):
        allowed += tr(", and no range goes down")
    return tr(
        "has a wrong {name}: {words} (allowed: {allowed})",
        name=name,
        words=quote(words[at]),
        allowed=allowed,
    )


def _has_falling_range(at: int, field: str) -> bool:
    """Return True for a range such as `22-2`, whose ends are fine."""
    ends = [part.partition("/")[0].split("-") for part in field.split(",")]
    pairs = [pair for pair in ends if len(pair) == 2]
    return bool(pairs) and all(_is_valid(at, end) for pair in pairs for end in pair)


def _is_valid(at: int, field: str) -> bool:
    try:
        CronSim(" ".join(field if index == at else "*" for index in range(5)), _EPOCH)
    except CronSimError:
        return False
    return True


def find_next(expression: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first fire time strictly after `after`, in UTC, or None."""
    minute, hour = expression.split(" ")[:2]
    is_wild = "*" in (minute[:1], hour[:1])
    find = _find_matching_minute if is_wild else _find_fixed_time
    try:
        return find(expression, after, zone)
    except CronSimError as error:  # a stored expression is damaged, or 50 years pass without one
        raise ValueError(str(error)) from None


def _find_fixed_time(expression: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the next time of day: moved behind a gap, and only the first if repeated."""
    for found in CronSim(expression, after.astimezone(zone)):
        # cronsim counts fixed times by the wall clock, which repeats an hour in autumn
        if (at := found.astimezone(UTC)) > after:
            return at
    return None


def _find_matching_minute(expression: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the next minute whose wall time matches: not in a gap, and each if repeated.

    cronsim loses minutes of such expressions where clocks change at midnight, or not by an hour.
    """
    shown = after.astimezone(zone)
    best: datetime | None = None
    begin, later = shown.replace(tzinfo=None), (after + LONGEST_CHANGE).astimezone(zone)
    is_repeated = (later.utcoffset() or _NONE) < (shown.utcoffset() or _NONE)
    for wall in CronSim(expression, begin - LONGEST_CHANGE if is_repeated else begin):
        times = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        if best is not None and times[0] >= best:
            break
        coming = [at for at in times if at > after and _is_shown(at, wall, zone)]
        best = min(coming if best is None else [best, *coming], default=None)
        if best is not None and not is_repeated:
            break
    return best


def _is_shown(at: datetime, wall: datetime, zone: ZoneInfo) -> bool:
    return at.astimezone(zone).replace(tzinfo=None) == wall


@lru_cache(maxsize=4096)
def describe_cron(expression: str) -> str:
    """Return an expression in words: `at 02:00 every day`."""
    try:
        cron = CronSim(expression, _EPOCH)
    except CronSimError as error:
        raise ValueError(str(error)) from None
    words = cron.explain() if cron.day_and else _describe_either_day(cron.parts)
    return words[:1].lower() + words[1:]


def _describe_either_day(parts: list[str]) -> str:
    """Return the words for two day fields of which either suffices, as neither begins with `*`.

    cronsim joins them with "and", and leaves out a field with every day, as if `*` stood there.
    """
    fields = Expression(parts)
    if fields.day.star or fields.dow.star:
        return Expression([*parts[:3], "*", parts[4], "*"]).explain()
    month = "" if fields.month.star else f" {fields.month}"
    return f"{fields.translate_time()[0]}{month} {fields.day} or {fields.dow}"
