"""The one clock. Times are UTC; in the database they are fixed-width text that sorts as time does."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Now, aware, in UTC. Tests replace this one function."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """`2026-11-25T10:42:07.123456Z`: 27 characters whatever the moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> str:
    """`utcnow` as it is stored."""
    return format_time(utcnow())


def from_unix(seconds: float) -> str:
    """A UNIX time as it is stored."""
    return format_time(datetime.fromtimestamp(seconds, UTC))


def parse_time(text: str) -> datetime:
    """The moment that a stored text means."""
    return datetime.fromisoformat(text)


TIME_GLOB = f"[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].{'[0-9]' * 6}Z"
"""A stored text as SQLite's GLOB knows it. What does not look so sorts anywhere."""


def is_time(value: object) -> bool:
    """Whether `value` is a moment as it is stored: one that only means the same sorts elsewhere, and is never reached."""
    try:
        return isinstance(value, str) and format_time(parse_time(value)) == value
    except (ValueError, OverflowError):
        return False


def to_unix(text: str) -> float:
    """A stored text as UNIX seconds."""
    return parse_time(text).timestamp()
