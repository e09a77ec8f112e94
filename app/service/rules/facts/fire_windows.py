"""Fire times from which a success counts for a fixed deadline of a name with a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from app.core.schedules import fire_plan
from app.service.schedules import rules as schedule_rules
from db import timestamps
from db.engine import Connection
from db.queries import schedules
from db.rows import ScheduleRow

FindStart = Callable[[float], float | None]
"""Function that returns the earliest submission that counts for a due time, in UNIX time.

None if no deadline counts yet, since the schedule has had no fire time before.
"""
MAX_KNOWN = 20_000
"""Fire times that are kept between passes."""
_STEP = timedelta(seconds=1)


class FireWindows:
    """Latest fire times before due times. `known` keeps them while the schedule is the same."""

    def __init__(
        self, c: Connection, known: dict[tuple[str, float], tuple[str, float | None]]
    ) -> None:
        self._c, self._known = c, known
        self._calendars: Mapping[str, Sequence[str]] | None = None

    def make_finder(self, rows: Sequence[ScheduleRow]) -> FindStart | None:
        """Return the finder of a name with these schedules; None if none fires at times."""
        timed = [row for row in rows if row.kind != "boot"]
        if not timed:
            return None

        def find(due: float) -> float | None:
            starts = [self._find(row, due) for row in timed]
            return max((start for start in starts if start is not None), default=None)

        return find

    def _find(self, row: ScheduleRow, due: float) -> float | None:
        version, start = self._known.get((row.name, due), ("", None))
        if version != row.updated_at:
            start = self._read(row, due)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[row.name, due] = row.updated_at, start
        return start

    def _read(self, row: ScheduleRow, due: float) -> float | None:
        """Return the latest fire time before a due time that nobody skipped in advance.

        Fire times that are over come from their records, since the times of a schedule may change.
        """
        handled = schedules.find_latest_fire(self._c, row.name, timestamps.from_unix(due))
        try:
            coming = self._find_coming(row, handled, due)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            coming = None  # a damaged schedule, which an alert of its own tells
        if coming is not None:
            return coming.timestamp()
        return timestamps.to_unix(handled) if handled else None

    def _find_coming(self, row: ScheduleRow, handled: str | None, due: float) -> datetime | None:
        """Return the latest fire time that is not handled; a pause does not move it."""
        if row.next_fire is not None and row.status != "paused":
            after = timestamps.parse_time(row.next_fire) - _STEP
        else:
            after = timestamps.parse_time(max(handled or "", row.created_at))
        if self._calendars is None:
            self._calendars = schedules.map_calendars(self._c)
        rules = schedule_rules.build_rules(row, self._calendars)
        last = datetime.fromtimestamp(due, UTC) - timedelta(milliseconds=1)
        while last > after:
            found = fire_plan.find_latest(rules, after, last)
            if found is None or not self._is_skipped(row, found):
                return found
            last = found - _STEP
        return None

    def _is_skipped(self, row: ScheduleRow, at: datetime) -> bool:
        return schedules.is_skipped(self._c, row.name, timestamps.format_time(at))
