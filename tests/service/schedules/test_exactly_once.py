"""Each fire time is handled exactly once: random changes, failures and clock jumps over DST.

A model in plain Python follows the schedule: it knows until when fire times are handled, and lists
the fire times of each span by the rules of that moment.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.schedules.fire_plan import iterate_fires
from app.errors import Refused, Storage
from app.service.context import Call
from app.service.schedules import firing, verbs
from app.service.schedules.rules import build_rules
from db import timestamps
from db.queries import schedules
from tests.service.calls import execute_sql, open_call
from tests.service.schedules.conftest import ManualClock

ZONE = "Europe/Berlin"
NAME = "report"
"""Name whose jitter is half of its limit."""
SPRING = datetime(2026, 3, 28, 20, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)
RECURRENCES = (
    {"cron": "30 2 * * *"}, {"cron": "*/50 * * * *"}, {"cron": "0,50 * * * *"}, {"every": "47m"},
    {"rrule": "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=15"},
)  # fmt: skip

STEPS = st.one_of(
    st.tuples(st.just("advance"), st.integers(1, 40 * 3600)),
    st.tuples(st.just("advance"), st.integers(1, 3600)),
    st.tuples(st.just("set_back"), st.integers(1, 20 * 3600)),
    st.tuples(st.just("fail"), st.integers(0, 4)),
    st.tuples(st.just("pause"), st.none()),
    st.tuples(st.just("pause_until"), st.integers(60, 20 * 3600)),
    st.tuples(st.just("resume"), st.none()),
    st.tuples(st.just("skip_next"), st.none()),
    st.tuples(st.just("change"), st.sampled_from(RECURRENCES)),
    st.tuples(st.just("jitter"), st.sampled_from(["", "40m"])),
    st.tuples(st.just("timeout"), st.integers(1, 9)),
    st.tuples(st.just("end_tasks"), st.none()),
)


class ScheduleModel:
    """A schedule, driven by steps, and the fire times that must have been handled."""

    def __init__(self, call: Call, clock: ManualClock, worker: Any) -> None:
        self.call, self.clock, self.worker = call, clock, worker
        self.expected: set[str] = set()
        self.handled: dict[str, tuple[str, str | None]] = {}
        """Outcome and task of each fire time, which never change."""
        self.cursor = clock.now
        """Moment until which fire times are handled, or left out by a pause."""

    async def step(self, name: str, value: Any) -> None:
        """Take one step, then let the runtime submit what is due."""
        await getattr(self, name)(value)
        await self.fire()
        await self.check()

    async def fire(self) -> None:
        row = await self.call.db.read(verbs.require_schedule, NAME)
        is_paused = row.status == "paused" and row.paused_until is None
        rules, end = build_rules(row, {}), self.clock.now
        await firing.fire_due(self.call.db)
        if is_paused:
            return
        for at in iterate_fires(rules, self.cursor):
            if at > end - rules.delay:
                break
            self.expected.add(timestamps.format_time(at))
        self.cursor = max(self.cursor, end - rules.delay)

    async def check(self) -> None:
        rows = await execute_sql(self.call, "SELECT fire_time, outcome, task_id FROM fires")
        handled = {row[0]: (row[1], row[2]) for row in rows}
        assert handled.keys() == self.expected
        assert {at: handled[at] for at in self.handled} == self.handled
        self.handled = handled
        tasks = await execute_sql(self.call, "SELECT uuid FROM tasks")
        assert sorted(row[0] for row in tasks) == sorted(
            row[2] for row in rows if row[1] == "submitted"
        )

    async def advance(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    async def set_back(self, seconds: int) -> None:
        self.clock.advance(seconds=-seconds)

    async def fail(self, after: int) -> None:
        """Let a day pass, and the transaction fail at a later statement."""
        self.clock.advance(days=1)
        left, record = [after], schedules.record_fires

        def fail_late(*args: Any) -> None:
            record(*args)
            left[0] -= 1
            if left[0] < 0:
                raise Storage("disk full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schedules, "record_fires", fail_late)
            try:
                await self.fire()
            except Storage:
                pass

    async def pause(self, _: None) -> None:
        await verbs.pause(self.call, name=NAME)

    async def pause_until(self, seconds: int) -> None:
        row = await self.call.db.read(verbs.require_schedule, NAME)
        until = self.clock.now + timedelta(seconds=seconds)
        await verbs.pause(self.call, name=NAME, until=until.isoformat())
        changed = await self.call.db.read(verbs.require_schedule, NAME)
        if changed.paused_until != row.paused_until:
            end = timestamps.parse_time(changed.paused_until or "")
            self.cursor = end - timedelta(seconds=1)

    async def resume(self, _: None) -> None:
        row = await self.call.db.read(verbs.require_schedule, NAME)
        await verbs.resume(self.call, name=NAME)
        if row.status == "paused":
            self.cursor = self.clock.now

    async def skip_next(self, _: None) -> None:
        row = await self.call.db.read(verbs.require_schedule, NAME)
        try:
            await verbs.skip_next(self.call, name=NAME)
        except Refused:
            return
        self.expected.add(row.next_fire or "")
        if self.handled.get(row.next_fire or "", ("",))[0] == "missed":  # by a clock set back
            del self.handled[row.next_fire or ""]

    async def change(self, values: dict[str, str]) -> None:
        row = await self.call.db.read(verbs.require_schedule, NAME)
        await verbs.set_(self.call, name=NAME, **values)
        changed = await self.call.db.read(verbs.require_schedule, NAME)
        if (row.kind, row.expression) != (changed.kind, changed.expression):
            self.cursor = self.clock.now
            if changed.paused_until is not None:
                end = timestamps.parse_time(changed.paused_until)
                self.cursor = max(self.cursor, end - timedelta(seconds=1))

    async def jitter(self, value: str) -> None:
        await verbs.set_(self.call, name=NAME, jitter=value)

    async def timeout(self, minutes: int) -> None:
        await verbs.set_(self.call, name=NAME, timeout=f"{minutes}m")

    async def end_tasks(self, _: None) -> None:
        rows = await execute_sql(
            self.call, "SELECT number FROM tasks WHERE status = 'queued' ORDER BY number"
        )
        for (number,) in rows:
            await self.worker.run(number)


async def run_steps(
    start: datetime, rules: dict[str, str], steps: list[tuple[str, Any]], worker_class: Any
) -> None:
    clock = ManualClock()
    clock.now = start
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr(timestamps, "utcnow", clock.get_time)
        async with open_call(Path(home)) as call:
            await verbs.create(
                call, name=NAME, cron="*/50 * * * *", timezone=ZONE, argv=["true"], **rules
            )
            model = ScheduleModel(call, clock, worker_class(call.db))
            for name, value in steps:
                await model.step(name, value)


@settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    start=st.sampled_from([SPRING, AUTUMN]),
    rules=st.fixed_dictionaries({
        "missed": st.sampled_from(["run-once", "run-all", "skip"]),
        "overlap": st.sampled_from(["skip", "queue"]),
    }),
    steps=st.lists(STEPS, min_size=12, max_size=30),
)  # fmt: skip
def test_each_fire_time_is_handled_exactly_once(
    start: datetime, rules: dict[str, str], steps: list[tuple[str, Any]]
):
    from tests.service.conftest import Worker

    asyncio.run(run_steps(start, rules, steps, Worker))
