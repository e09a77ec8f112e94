"""Cron expressions with the meaning they have in Debian's cron."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from app.core.text.units import quote

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
    ("day of the month", "1 to 31, L or LW"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
)
_CRONSIM_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
MAX_LENGTH = 1000
_HOUR = 3600
_EPOCH = datetime(2000, 1, 1)


class _CronTimes(CronSim):
    """Fire times of an expression, also where the clock changes by half an hour."""

    def tick(self, seconds: int = 1) -> None:
        before = self.dt
        super().tick(seconds)
        if seconds == _HOUR and self.dt.minute and self.dt.tzinfo is not None:
            # After the change, steps of an hour would pass over the first half of each hour.
            whole = self.dt.replace(minute=0).astimezone(UTC)
            is_real = whole.astimezone(self.dt.tzinfo).minute == 0
            if is_real and whole > before.astimezone(UTC):
                self.dt = whole.astimezone(self.dt.tzinfo)


def normalize_cron(text: str) -> str:
    """Return an expression with single blanks and without macros.

    Raise ValueError with the name of the wrong field.
    """
    words = text.split()
    shown = quote(text)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text):,} characters, but at most {MAX_LENGTH:,} are allowed")
    if len(words) == 1 and words[0].startswith("@"):
        return _expand_macro(words[0])
    if len(words) != len(_FIELDS):
        note = "; seconds cannot be given" if len(words) == 6 else ""
        raise ValueError(
            "must have 5 fields (minute, hour, day of the month, month, day of the week), but"
            f" {shown} has {len(words)}{note}"
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
        raise ValueError(f"never fires: no date matches {shown}")
    return expression


def _has_date(expression: str) -> bool:
    try:
        return next(CronSim(expression, _EPOCH), None) is not None
    except CronSimError:
        return False


def _expand_macro(word: str) -> str:
    if word.lower() == "@reboot":
        raise ValueError("@reboot is no time; use --at-boot")
    try:
        return MACROS[word.lower()]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(MACROS)}, not {quote(word)}") from None


def _describe_fault(message: str, words: list[str]) -> str:
    at = _CRONSIM_FIELDS.index(message.removeprefix("Bad "))
    name, allowed = _FIELDS[at]
    if _has_falling_range(at, words[at]):
        allowed += ", and no range goes down"
    return f"has a wrong {name}: {quote(words[at])} (allowed: {allowed})"


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
    try:
        for found in _CronTimes(expression, after.astimezone(zone)):
            # cronsim counts fixed times by the wall clock, which repeats an hour in autumn
            if (at := found.astimezone(UTC)) > after:
                return at
    except CronSimError as error:  # a stored expression is damaged, or 50 years pass without one
        raise ValueError(str(error)) from None
    return None


@lru_cache(maxsize=4096)
def describe_cron(expression: str) -> str:
    """Return an expression in words: `at 02:00 every day`."""
    try:
        words = CronSim(expression, _EPOCH).explain()
    except CronSimError as error:
        raise ValueError(str(error)) from None
    return words[:1].lower() + words[1:]
