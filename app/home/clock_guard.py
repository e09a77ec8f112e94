"""Whether the clock may say what is old. One that was set far ahead and a machine that was off for long look alike: both get a day."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.core.maintenance_settings import DAY
from app.core.text import units
from db import raw_sql, timestamps

log = logging.getLogger(__name__)


class ClockGuard:
    """Compares how far the clock went with how long the machine ran, from one look to the next."""

    def __init__(self) -> None:
        self._last_check: tuple[datetime, float] | None = None
        """The last look: what the clock said, and the machine's own seconds."""
        self._trusted_from = 0.0
        """The machine's own seconds from which on the clock is believed."""
        self._lead = 0.0
        """Seconds that it went ahead since it was believed last."""

    def begin(self, stored: str | None) -> None:
        """The runtime comes up; the last stored time of the one before, or the time that it is, is as a look just now."""
        self._last_check = (timestamps.utcnow() if stored is None else timestamps.parse_time(stored), _read_boot_seconds())

    def check(self) -> bool:
        """Whether the clock went ahead by no more than a day beyond what the machine did, for a day now."""
        now, seconds = timestamps.utcnow(), _read_boot_seconds()
        at, since = self._last_check or (now, seconds)
        ahead = (now - at).total_seconds() - (seconds - since)
        if ahead > DAY:
            self._trusted_from, self._lead = seconds + DAY, ahead + (self._lead if seconds < self._trusted_from else 0)
            said = "the clock is %s ahead of what was stored last; for a day nothing is removed, as it may be wrong: taskdeck doctor"
            log.warning(said, units.format_age(ahead))
        self._last_check = (now, seconds)
        return seconds >= self._trusted_from

    def get_lead(self) -> float:
        """Seconds that the clock may be ahead of what is so; 0 while it is believed."""
        return 0.0 if self.check() else self._lead

    def explain_doubt(self) -> str:
        """Why the clock may not say what is old; empty when it may."""
        return f"the clock was {units.format_age(ahead)} ahead of what was stored last, and may be wrong." if (ahead := self.get_lead()) else ""


def find_last_sample(c: Connection) -> str | None:
    """When a runtime was last up, to the minute; where the clock went ahead within the last day of samples, when one was before that:
    who comes up meanwhile is to doubt it as the one did that saw it."""
    if (last := _find_last_before(c, AFTER_ALL_TIMES)) is None:
        return None
    day = timedelta(seconds=DAY)
    begin = timestamps.format_time(timestamps.parse_time(last) - day)
    if (before := _find_last_before(c, begin)) is None:
        return last
    first = raw_sql.fetch_value(c, "SELECT min(minute) FROM samples WHERE minute >= ?", (begin,))
    return before if first > timestamps.format_time(timestamps.parse_time(before) + day) else last


AFTER_ALL_TIMES = "~"
"""Behind all times."""


def _find_last_before(c: Connection, time: str) -> str | None:
    """The last minute before a stored time that can be read as one."""
    found = raw_sql.fetch_value(c, "SELECT max(minute) FROM samples WHERE minute < ?", (time,))
    return found if found is None or timestamps.is_time(found) else _find_last_before(c, found)


def _read_boot_seconds() -> float:
    """Seconds since the machine was booted, also those in which it slept; no clock that is set changes them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
