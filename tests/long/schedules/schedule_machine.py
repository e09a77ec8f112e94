"""State machine over schedules: any order of fires, kills, clock changes and requests."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db import host, timestamps
from tests.long.schedules.schedule_model import KILLS, START_TIMES, MovableClock, ScheduleWorld

STEPS = 50
"""Steps of one example."""
NAMES = ("a", "b", "c")
RECURRENCES: tuple[dict[str, Any], ...] = (
    {"cron": "*/5 * * * *", "timezone": "Europe/Berlin"},
    {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"cron": "0 * * * *", "timezone": "Europe/Berlin"},
    {"cron": "15 1,2,3 * * *", "timezone": "America/New_York"},
    {"every": "7m", "timezone": "UTC"},
    {"every": "1h", "timezone": "Europe/Berlin"},
    {"at": "2026-03-29T02:30", "timezone": "Europe/Berlin"},
    {"at": "2030-01-01T00:00", "timezone": "UTC"},
    {"rrule": "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30", "timezone": "Europe/Berlin"},
    {"at_boot": True, "timezone": "UTC"},
)
RULES = st.fixed_dictionaries({
    "overlap": st.sampled_from(["skip", "queue"]),
    "missed": st.sampled_from(["run-once", "run-all", "skip"]),
    "jitter": st.sampled_from([0, 0, 90, 900]),
    "missed_within": st.sampled_from([None, None, "1h"]),
})  # fmt: skip
KILL = st.none() | st.none() | st.tuples(st.integers(0, 2), st.sampled_from(KILLS))
NAME = st.sampled_from(NAMES)
RECURRENCE = st.sampled_from([*RECURRENCES, {"at_boot": True, "timezone": "UTC"}])
FORWARD = (1, 30, 299, 300, 3600, 6 * 3600, 86400)
BACK = (1, 300, 3600, 5 * 3600, 86400)


def has_schedules(machine: Any) -> bool:
    return bool(machine.world.models)


class ScheduleMachine(RuleBasedStateMachine):
    """A state machine over the database of a new home."""

    template: Path
    checked = 0

    @initialize(
        start=st.sampled_from(START_TIMES), first=st.tuples(RECURRENCE, RULES),
        second=st.tuples(RECURRENCE, RULES),
    )  # fmt: skip
    def begin(self, start: datetime, first: Any, second: Any) -> None:
        self.clock = MovableClock(start)
        self.stack = ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="td-", dir=_get_fast_folder())
        path = Path(self.stack.enter_context(folder))
        self.world = ScheduleWorld(self.template, path, self.clock)
        self.stack.callback(self.world.close)
        self.stack.enter_context(mock.patch.object(timestamps, "utcnow", self.clock))
        self.stack.enter_context(
            mock.patch.object(host, "read_boot_id", lambda: self.world.boot_id)
        )
        for which, rules in (first, second):
            self.create(which, rules, None)

    def _get_known(self, name: str) -> str:
        return name if name in self.world.models else next(iter(self.world.models))

    @precondition(lambda self: len(self.world.models) < len(NAMES))
    @rule(which=RECURRENCE, rules=RULES, kill=KILL)
    def create(self, which: dict[str, Any], rules: dict[str, Any], kill: Any) -> None:
        name = next(name for name in NAMES if name not in self.world.models)
        self.world.create(name, kill, **which, **rules)

    @precondition(lambda self: len(self.world.models) == len(NAMES))
    @rule(name=NAME, kill=KILL)
    def remove(self, name: str, kill: Any) -> None:
        self.world.remove(name, kill)

    @precondition(has_schedules)
    @rule(name=NAME, minutes=st.sampled_from([None, 10, 90, 2000]), kill=KILL)
    def pause(self, name: str, minutes: int | None, kill: Any) -> None:
        end = self.clock.now.replace(microsecond=0)
        until = None if minutes is None else end + timedelta(minutes=minutes)
        self.world.pause(self._get_known(name), until, kill)

    @precondition(lambda self: self.world.list_paused())
    @rule(kill=KILL)
    def resume(self, kill: Any) -> None:
        self.world.resume(self.world.list_paused()[0], kill)

    @precondition(has_schedules)
    @rule(name=NAME, which=RECURRENCE, kill=KILL)
    def change_recurrence(self, name: str, which: dict[str, Any], kill: Any) -> None:
        found = self._get_known(name)
        if self.world.require(found).kind != "boot" and not which.get("at_boot"):
            self.world.change(found, kill, **which)

    @precondition(has_schedules)
    @rule(name=NAME, rules=RULES, kill=KILL)
    def change_rules(self, name: str, rules: dict[str, Any], kill: Any) -> None:
        self.world.change(self._get_known(name), kill, **rules)

    @precondition(has_schedules)
    @rule(name=NAME, kill=KILL)
    def skip_next(self, name: str, kill: Any) -> None:
        self.world.skip_next(self._get_known(name), kill)

    @precondition(has_schedules)
    @rule(name=NAME, kill=KILL)
    def run_now(self, name: str, kill: Any) -> None:
        self.world.run_now(self._get_known(name), kill)

    @precondition(has_schedules)
    @rule(name=NAME, hours=st.sampled_from([0.2, 3, 20]), kill=KILL)
    def backfill(self, name: str, hours: float, kill: Any) -> None:
        self.world.backfill(self._get_known(name), hours, kill)

    @rule(seconds=st.sampled_from(FORWARD), kill=KILL)
    def fire(self, seconds: int, kill: Any) -> None:
        self.clock.now += timedelta(seconds=seconds)
        self.world.fire(kill)

    @precondition(has_schedules)
    @rule(name=NAME, seconds=st.sampled_from(FORWARD))
    def fire_while_paused(self, name: str, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)
        self.world.fire_while_paused(self._get_known(name))

    @rule(minutes=st.integers(1, 8))
    def fire_each_minute(self, minutes: int) -> None:
        for _ in range(minutes):
            self.clock.now += timedelta(seconds=60)
            self.world.fire()

    @rule(is_new=st.booleans(), kill=KILL)
    def boot(self, is_new: bool, kill: Any) -> None:
        self.world.boot(is_new, kill)

    @rule(code=st.sampled_from([0, 0, 1]))
    def tasks_end(self, code: int) -> None:
        self.world.end_tasks(code)

    @rule(seconds=st.sampled_from(FORWARD))
    def time_goes_on(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from(BACK), kill=KILL)
    def the_clock_is_set_back(self, seconds: int, kill: Any) -> None:
        self.world.set_back(timedelta(seconds=seconds), kill)

    @rule(seconds=st.sampled_from(BACK), code=st.sampled_from([0, 1]))
    def time_comes_again(self, seconds: int, code: int) -> None:
        self.world.end_tasks(code)
        self.world.set_back(timedelta(seconds=seconds), None)
        for _ in range(3):
            self.clock.now += timedelta(seconds=seconds / 2)
            self.world.fire()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.stack:
            if sys.exc_info()[0] is None:  # no step has failed
                self.world.fire()
                self.world.check_records()
            ScheduleMachine.checked += self.world.checked


def _get_fast_folder() -> str | None:
    """Return a folder in memory if there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run_machine(template: Path, steps: int, number: int = 1) -> int:
    """Run the machine on copies of an empty database; return the fire times compared.

    `number` seeds the choices. Raise AssertionError for a fire time that was lost or handled twice.
    """
    how = settings(
        max_examples=max(1, steps // STEPS), stateful_step_count=STEPS, deadline=None,
        database=None, print_blob=False, report_multiple_bugs=False, phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large,
        ],
    )  # fmt: skip
    machine = type("BoundMachine", (ScheduleMachine,), {"template": template})
    before = ScheduleMachine.checked
    run_state_machine_as_test(seed(number)(machine), settings=how)
    return ScheduleMachine.checked - before
