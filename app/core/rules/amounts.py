"""Values of metrics as typed and as shown, by unit."""

from __future__ import annotations

import math
import re

from app.core.rules import catalog
from app.core.text import units
from app.core.text.units import quote

_EXAMPLES = {
    catalog.SECONDS: "a duration such as 30m",
    catalog.MIB: "a size such as 512M",
    catalog.RATIO: "a ratio such as 0.9 or 90%",
    catalog.COUNT: "a number such as 100",
    catalog.HOURS: "hours, or a duration such as 24h",
    catalog.RATE: "a number per minute such as 0.5",
}
_NUMBER = re.compile(r"[-+]?[0-9]{1,12}(\.[0-9]{1,9})?")


def parse_amount(unit: str, value: object) -> float:
    """Return a value of a unit, typed as a number or a text.

    Raise ValueError with the rest of a sentence.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be {_EXAMPLES[unit]}")
    if not isinstance(value, str):
        if not math.isfinite(value):
            raise ValueError(f"must be {_EXAMPLES[unit]}")
        return float(value)
    try:
        return _parse_text(unit, value.strip())
    except ValueError:
        raise ValueError(f"must be {_EXAMPLES[unit]}, not {quote(value)}") from None


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
        raise ValueError("must be a duration such as 10m")
    if not isinstance(value, str):
        return units.parse_duration(str(value)) if value >= 0 else float(value)
    word = value.strip()
    # The units of a duration are small letters: 64M would be read as minutes.
    if word[-1:] in ("K", "M", "G", "T", "B"):
        raise ValueError(f"must be a duration such as 10m, not {quote(value)}")
    return -units.parse_duration(word[1:]) if word[:1] == "-" else units.parse_duration(word)


def _parse_number(word: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise ValueError(word)
    return float(word)


def format_amount(unit: str, value: float) -> str:
    """Format a value of a unit: `30m`, `512M`, `90%`, `100`."""
    if not math.isfinite(value):
        return "never"
    if unit == catalog.SECONDS:
        return format_seconds(value)
    if unit == catalog.MIB:
        return units.format_memory(value)
    if unit == catalog.RATIO:
        return f"{value * 100:.1f}%".replace(".0%", "%")
    if unit == catalog.HOURS:
        return f"{value:.1f}h".replace(".0h", "h")
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def format_value(unit: str, value: float) -> str:
    """Format a measured value; a duration of 10 seconds and more in whole seconds."""
    is_long = unit == catalog.SECONDS and math.isfinite(value) and value >= 10
    return format_amount(unit, math.floor(value) if is_long else value)


def format_seconds(value: float) -> str:
    """Format a duration as typed: `30m`, `1h30m`, `2d`, `1m05s`."""
    if value < 0:
        return f"-{format_seconds(-value)}"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= length and value % length == 0:
            return f"{int(value / length)}{unit}"
    return units.format_duration_setting(value)
