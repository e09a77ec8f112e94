"""Times as the deck writes them, from UNIX seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from app.core.text import units


def wall(at: float, now: float, seconds: bool = False) -> str:
    """Local wall time: `10:42`, with seconds `10:42:07`, on other days with the day."""
    return units.clock(datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC), seconds)


def old(at: float, now: float) -> str:
    """When it was, and how long ago: `10:31:02, 11m old`."""
    return f"{wall(at, now, seconds=True)}, {units.age(max(0.0, now - at))} old"


def elapsed(seconds: float) -> str:
    """A duration that counts up on screen: whole seconds, so that it does not flicker."""
    return f"{max(0, int(seconds))}s" if seconds < 10 else units.duration(seconds)


def ago(at: float, now: float) -> str:
    """`2m ago`; `<1m ago` in the first minute, so that a list of what ended is not drawn every second."""
    return f"{units.age(now - at) if now - at >= 60 else '<1m'} ago"
