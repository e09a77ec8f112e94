"""A clock that tests set, and shortcuts for schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.service.context import Call
from app.service.schedules import firing, verbs
from db import timestamps

START = datetime(2026, 11, 30, 6, 0, tzinfo=UTC)


class ManualClock:
    """The clock of stored times: it moves only when told to."""

    def __init__(self) -> None:
        self.now = START

    def get_time(self) -> datetime:
        """Return the time, and let a microsecond pass, as the real clock does."""
        self.now += timedelta(microseconds=1)
        return self.now

    def advance(self, **much: float) -> None:
        self.now += timedelta(**much)


class ScheduleDesk:
    """Shortcuts for verbs on schedules, and for the passes of the runtime."""

    def __init__(self, call: Call, clock: ManualClock, worker: Any) -> None:
        self.call, self.clock, self.worker = call, clock, worker

    async def create(self, name: str = "s", **values: Any) -> dict[str, Any]:
        """Create a schedule, by default an hourly one of `true`."""
        kinds = {"cron", "every", "at", "rrule", "at_boot"}
        given = {} if kinds & values.keys() else {"every": "1h"}
        given |= {} if {"template", "script"} & values.keys() else {"argv": ["true"]}
        return await verbs.create(self.call, name=name, **{"timezone": "UTC"} | given | values)

    async def fire(self, **later: float) -> None:
        """Let time pass, then submit what is due."""
        self.clock.advance(**later)
        await firing.fire_due(self.call.db)

    async def list_fires(self, name: str = "s") -> list[tuple[str, str]]:
        """Return (`HH:MM`, outcome) of the handled fire times, oldest first."""
        found = await verbs.show(self.call, name=name)
        return [(fire["fire_time"][11:16], fire["outcome"]) for fire in found["fires"]][::-1]

    async def get_next(self, name: str = "s") -> str | None:
        """Return the next fire time as `HH:MM`, or None."""
        found = (await verbs.show(self.call, name=name))["next_fire"]
        return found and found[11:16]

    async def end_tasks(self, code: int = 0) -> None:
        """Run every queued task of all schedules to its end."""
        rows = await self.call.db.read(
            lambda c: c.exec_driver_sql(
                "SELECT number FROM tasks WHERE status = 'queued' ORDER BY number"
            ).all()
        )
        for (number,) in rows:
            await self.worker.run(number, code)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Return the clock of stored times."""
    manual = ManualClock()
    monkeypatch.setattr(timestamps, "utcnow", manual.get_time)
    return manual


@pytest.fixture
def desk(clock: ManualClock, call: Call, worker: Any) -> ScheduleDesk:
    """Return shortcuts on a new home."""
    return ScheduleDesk(call, clock, worker)
