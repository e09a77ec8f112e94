"""Clock guard: suspends retention for 24 hours after the clock jumps ahead by more than a day.

A wrong clock and a machine that was off for long look alike, so both cause the delay.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from app.core.maintenance_settings import DAY
from app.core.text import units
from db import timestamps
from db.engine import Connection
from db.queries.history import samples

log = logging.getLogger(__name__)


class ClockGuard:
    """Comparison of clock time and machine time between checks."""

    def __init__(self) -> None:
        self._last_check: tuple[datetime, float] | None = None
        """Clock time and boot seconds at the last check."""
        self._trusted_from = 0.0
        """Boot seconds from which the clock is trusted."""
        self._lead = 0.0
        """Seconds of the jump since the clock was last trusted."""

    def begin(self, stored: str | None) -> None:
        """Start from the last stored time of the previous runtime, or from now."""
        self._last_check = (
            timestamps.utcnow() if stored is None else timestamps.parse_time(stored),
            _read_boot_seconds(),
        )

    def is_trusted(self) -> bool:
        """Return True if the clock has not jumped by more than a day in the last day."""
        now, seconds = timestamps.utcnow(), _read_boot_seconds()
        at, since = self._last_check or (now, seconds)
        ahead = (now - at).total_seconds() - (seconds - since)
        if ahead > DAY:
            self._trusted_from, self._lead = (
                seconds + DAY,
                ahead + (self._lead if seconds < self._trusted_from else 0),
            )
            message = (
                "the clock is %s ahead of the last stored time and may be wrong; nothing is removed"
                " for a day: taskdeck doctor"
            )
            log.warning(message, units.format_age(ahead))
        self._last_check = (now, seconds)
        return seconds >= self._trusted_from

    def get_lead(self) -> float:
        """Return the seconds that the clock may be ahead, 0 if trusted."""
        return 0.0 if self.is_trusted() else self._lead

    def explain_doubt(self) -> str:
        """Return why ages by the clock are in doubt, or an empty string."""
        return (
            f"the clock was {units.format_age(ahead)} ahead of the last stored time, and may be"
            " wrong."
            if (ahead := self.get_lead())
            else ""
        )


def find_last_sample(c: Connection) -> str | None:
    """Return the minute when a runtime was last up.

    If the clock jumped ahead within the last day of samples, return the last minute before the
    jump. A new runtime then doubts the clock as the previous one did.
    """
    if (last := _find_last_before(c, AFTER_ALL_TIMES)) is None:
        return None
    day = timedelta(seconds=DAY)
    begin = timestamps.format_time(timestamps.parse_time(last) - day)
    if (before := _find_last_before(c, begin)) is None:
        return last
    first = samples.find_first_from(c, begin) or last
    return before if first > timestamps.format_time(timestamps.parse_time(before) + day) else last


AFTER_ALL_TIMES = "~"
"""Sorts after all stored times."""


def _find_last_before(c: Connection, time: str) -> str | None:
    """Return the last valid stored minute before `time`."""
    found = samples.find_last_before(c, time)
    return found if found is None or timestamps.is_time(found) else _find_last_before(c, found)


def _read_boot_seconds() -> float:
    """Return the seconds since boot, including sleep.

    Clock changes do not affect them.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
