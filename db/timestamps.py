"""UTC timestamps.

The database stores times as fixed-width text, so text order is time order.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def utcnow() -> datetime:
    """Return the current time as an aware UTC datetime.

    The only function that reads the clock; tests replace it.
    """
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Return a moment as stored text of 27 characters: `2026-11-25T10:42:07.123456Z`."""
    # A tenth of the time of strftime.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def now() -> str:
    """Return the current time as stored text."""
    return format_time(utcnow())


def from_unix(seconds: float) -> str:
    """Return a UNIX time as stored text."""
    return format_time(datetime.fromtimestamp(seconds, UTC))


def parse_time(text: str) -> datetime:
    """Return the datetime of a stored text."""
    return datetime.fromisoformat(text)


TIME_GLOB = (
    f"[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].{'[0-9]' * 6}Z"
)
"""GLOB pattern of stored text. Text that does not match sorts arbitrarily."""


def is_time(value: object) -> bool:
    """Return True if `value` is a time in exactly the stored format, not before the year 1000.

    Any other notation of the same time sorts wrongly, so the time would never be reached.
    """
    try:
        return (
            isinstance(value, str)
            and not value.startswith("0")
            and format_time(parse_time(value)) == value
        )
    except (ValueError, OverflowError):
        return False


@lru_cache(maxsize=4096)
def to_unix(text: str) -> float:
    """Return the UNIX seconds of a stored text."""
    return parse_time(text).timestamp()
