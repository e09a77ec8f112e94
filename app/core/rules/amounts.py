"""Values of metrics as typed and as shown, by unit."""

from __future__ import annotations

import math
import re
from typing import Any

from app.core.rules import catalog
from app.core.text import units
from app.core.text.units import quote
from app.translation import tr, tr_noop

_EXAMPLES = {
    catalog.SECONDS: tr_noop("a duration such as 30m"),
    catalog.MIB: tr_noop("a size such as 512M"),
    catalog.RATIO: tr_noop("a ratio such as 0.9 or 90%"),
    catalog.COUNT: tr_noop("a number such as 100"),
    catalog.HOURS: tr_noop("hours, or a duration such as 24h"),
    catalog.RATE: tr_noop("a number per minute such as 0.5"),
}
_PLAIN = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_DURATION = (
    rf"(?=[0-9])(?:{_PLAIN}[wW])?(?:{_PLAIN}[dD])?(?:{_PLAIN}[hH])?(?:{_PLAIN}m)?(?:{_PLAIN}[sS])?(?:{_PLAIN}ms)?"
    rf"|{_PLAIN}|(?:[0-9]{{1,4}}-)?[0-9]{{1,6}}:[0-5][0-9]:[0-5][0-9]"
)
_SIGNED = rf"[-+]?{_PLAIN}"
_FORMS = {
    catalog.SECONDS: rf"{_SIGNED}|-?(?:{_DURATION})",
    catalog.HOURS: rf"{_SIGNED}|-?(?:{_DURATION})",
    catalog.MIB: rf"{_SIGNED}|{_PLAIN}[kmgtKMGT](?:[iI]?[bB])?",
    catalog.RATIO: rf"{_SIGNED}\s*%?",
    catalog.COUNT: _SIGNED,
    catalog.RATE: _SIGNED,
}
"""Texts that each unit accepts."""
WEEK = 7 * 86400
"""Seconds of a week."""
MAX_SECONDS = 3653 * 86400
"""Longest duration: 10 years."""
MAX_VALUE = 1e15
"""Largest value of any unit."""
_NUMBER = re.compile(_SIGNED)


def parse_amount(unit: str, value: object) -> float:
    """Return a value of a unit, typed as a number or a text.

    Raise ValueError with the rest of a sentence.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(tr("must be {example}", example=tr(_EXAMPLES[unit])))
    if not isinstance(value, str):
        if not -MAX_VALUE <= value <= MAX_VALUE:  # neither is a value that is no number
            raise ValueError(tr("must be {example}", example=tr(_EXAMPLES[unit])))
        return float(value)
    try:
        if not re.fullmatch(_FORMS[unit], value.strip()):
            raise ValueError(value)
        return _parse_text(unit, value.strip())
    except ValueError:
        raise ValueError(
            tr("must be {example}, not {value}", example=tr(_EXAMPLES[unit]), value=quote(value))
        ) from None


def _parse_text(unit: str, word: str) -> float:
    if unit == catalog.RATIO and word.endswith("%"):
        return _parse_number(word[:-1].strip()) / 100
    if _NUMBER.fullmatch(word):
        return float(word)
    if unit == catalog.SECONDS:
        return parse_seconds(word)
    if unit == catalog.HOURS:
        return parse_seconds(word) / 3600
    if unit == catalog.MIB:
        return units.parse_size(word)
    return _parse_number(word)


def parse_seconds(value: object) -> float:
    """Return a duration in seconds, typed as a number or as `30m`; it may be negative.

    Raise ValueError with the rest of a sentence.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(tr("must be a duration such as 10m"))
    if not isinstance(value, str):
        if not -MAX_SECONDS <= value <= MAX_SECONDS:  # neither is a value that is no number
            raise ValueError(
                tr("must be a duration of at most 10 years, not {value}", value=quote(str(value)))
            )
        return float(value)
    word = value.strip()
    # The units of a duration are small letters: 64M would be read as minutes.
    if not re.fullmatch(rf"-?(?:{_DURATION})", word):
        raise ValueError(
            tr("must be a duration such as 30s, 10m or 1h30m, not {value}", value=quote(value))
        )
    return -_parse_weeks(word[1:]) if word[:1] == "-" else _parse_weeks(word)


def _parse_weeks(word: str) -> float:
    """Return a duration that may begin with weeks, as rules of other programs have them."""
    weeks, letter, rest = word.lower().partition("w")
    if not letter:
        return units.parse_duration(word)
    seconds = float(weeks) * WEEK + (units.parse_duration(rest) if rest else 0.0)
    if seconds > MAX_SECONDS:
        raise ValueError(tr("must be a duration of at most 10 years, not {word}", word=quote(word)))
    return seconds


def make_schema(unit: str, most: float = MAX_VALUE) -> dict[str, Any]:
    """Return the JSON Schema of a value of a unit, as a number up to `most`."""
    number = {"type": "number", "minimum": -most, "maximum": most}
    text = {"type": "string", "pattern": rf"^\s*(?:{_FORMS[unit]})\s*$"}
    return {"anyOf": [number, text, {"type": "null"}], "description": f"{_EXAMPLES[unit]}."}


def make_duration_schema(least: float, most: float) -> dict[str, Any]:
    """Return the JSON Schema of a duration, as a number of seconds from `least` to `most`."""
    number = {"type": "number", "minimum": least, "maximum": most}
    sign = "-?" if least < 0 else ""
    text = {"type": "string", "pattern": rf"^\s*{sign}(?:{_DURATION})\s*$"}
    return {"anyOf": [number, text]}


def _parse_number(word: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise ValueError(word)
    return float(word)


def format_amount(unit: str, value: float) -> str:
    """Format a limit of a unit: `30m`, `512M`, `90%`, `100`."""
    if not math.isfinite(value):
        return "never"
    if unit == catalog.SECONDS:
        return format_seconds(value)
    if unit == catalog.MIB:
        return _format_size(value)
    if unit == catalog.RATIO:
        return f"{value * 100:.1f}%".replace(".0%", "%")
    if unit == catalog.HOURS:
        return f"{value:.1f}h".replace(".0h", "h")
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def format_value(unit: str, value: float) -> str:
    """Format a measured value; a duration of 10 seconds and more in whole seconds."""
    if unit == catalog.SECONDS and math.isfinite(value) and value >= 0:
        return units.format_duration_setting(math.floor(value) if value >= 10 else value)
    if unit == catalog.MIB and value >= 0:
        return units.format_memory(value)
    return format_amount(unit, value)


def _format_size(mib: float) -> str:
    """Format MiB as typed: `4G`, `1500M`, `100K`."""
    if mib < 0:
        return f"-{_format_size(-mib)}"
    for unit, size in (("T", 1024**2), ("G", 1024), ("M", 1), ("K", 1 / 1024)):
        if mib >= size and mib % size == 0:
            return f"{mib / size:.0f}{unit}"
    return units.format_memory(mib)


def format_seconds(value: float) -> str:
    """Format a duration as typed: `30m`, `1h30m`, `2d`, `0.25s`."""
    if value < 0:
        return f"-{format_seconds(-value)}"
    if value % 1:
        exact = f"{value:.3f}".rstrip("0")
        return f"{exact}s" if value < 10 else units.format_duration_setting(value)
    left, text = int(value), ""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
