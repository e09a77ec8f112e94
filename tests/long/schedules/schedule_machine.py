"""State machine over schedules: any order of fires, kills, clock changes and requests."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db import timestamps
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
})  # fmt: skip
KILL = st.none() | st.tuples(st.integers(0, 2), st.sampled_from(KILLS))
NAME = st.sampled_from(NAMES)
FORWARD = (1, 30, 299, 300, 3600, 6 * 3600, 86400)
BACK = (1, 300, 3600, 5 * 3600, 86400)


class ScheduleMachine(RuleBasedStateMachine):
    """A state machine over the database of a new home."""

    template: Path
    checked = 0

    @initialize(start=st.sampled_from(START_TIMES))
    def begin(self, start: datetime) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="td-", dir=_get_fast_folder())
        path = Path(shutil.copy(self.template, Path(self.folder.name) / "taskdeck.db"))
        self.clock = MovableClock(start)
        self.patch = mock.patch.object(timestamps, "utcnow", self.clock)
        self.patch.start()
        self.world = ScheduleWorld(path, self.clock)

    def _known(self, name: str) -> str | None:
        names = sorted(self.world.models)
        return name if name in names else next(iter(names), None)

    @precondition(lambda self: len(self.world.models) < len(NAMES))
    @rule(which=st.sampled_from(RECURRENCES), rules=RULES, kill=KILL)
    def create(self, which: dict[str, Any], rules: dict[str, Any], kill: Any) -> None:
        name = next(name for name in NAMES if name not in self.world.models)
        self.world.create(name, kill, **which, **rules)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, kill=KILL)
    def remove(self, name: str, kill: Any) -> None:
        self.world.remove(self._known(name) or "", kill)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, minutes=st.none() | st.sampled_from([10, 90, 2000]), kill=KILL)
    def pause(self, name: str, minutes: int | None, kill: Any) -> None:
        end = self.clock.now.replace(microsecond=0)
        until = None if minutes is None else end + timedelta(minutes=minutes)
        self.world.pause(self._known(name) or "", until, kill)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, kill=KILL)
    def resume(self, name: str, kill: Any) -> None:
        self.world.resume(self._known(name) or "", kill)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, which=st.sampled_from(RECURRENCES[:8]), kill=KILL)
    def change_recurrence(self, name: str, which: dict[str, Any], kill: Any) -> None:
        found = self._known(name) or ""
        if self.world.find(found).kind != "boot":
            self.world.change(found, kill, **which)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, rules=RULES, kill=KILL)
    def change_rules(self, name: str, rules: dict[str, Any], kill: Any) -> None:
        self.world.change(self._known(name) or "", kill, **rules)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, kill=KILL)
    def skip_next(self, name: str, kill: Any) -> None:
        self.world.skip_next(self._known(name) or "", kill)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, kill=KILL)
    def run_now(self, name: str, kill: Any) -> None:
        self.world.run_now(self._known(name) or "", kill)
        self.clock.now += timedelta(seconds=1)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME, hours=st.sampled_from([0.2, 3, 20]), kill=KILL)
    def backfill(self, name: str, hours: float, kill: Any) -> None:
        self.world.backfill(self._known(name) or "", hours, kill)

    @rule()
    def fire(self) -> None:
        self.world.fire()

    @rule(kill=st.tuples(st.integers(0, 2), st.sampled_from(KILLS)))
    def fire_and_be_killed(self, kill: Any) -> None:
        self.world.fire(kill)

    @precondition(lambda self: self.world.models)
    @rule(name=NAME)
    def fire_while_paused(self, name: str) -> None:
        self.world.fire_while_paused(self._known(name) or "")

    @rule(is_new=st.booleans(), kill=KILL)
    def boot(self, is_new: bool, kill: Any) -> None:
        self.world.boot(is_new, kill)
        self.clock.now += timedelta(seconds=1)

    @rule(code=st.sampled_from([0, 0, 1]))
    def tasks_end(self, code: int) -> None:
        self.world.end_tasks(code)

    @rule(seconds=st.sampled_from(FORWARD))
    def time_goes_on(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(minutes=st.integers(1, 8))
    def time_goes_on_in_small_steps(self, minutes: int) -> None:
        for _ in range(minutes):
            self.clock.now += timedelta(seconds=60)
            self.world.fire()

    @rule(seconds=st.sampled_from(BACK), kill=KILL)
    def the_clock_is_set_back(self, seconds: int, kill: Any) -> None:
        self.world.set_back(timedelta(seconds=seconds), kill)

    @invariant()
    def each_fire_time_is_handled_at_most_once(self) -> None:
        self.world.check_no_doubles()

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.fire()
                self.world.check_no_doubles()
                ScheduleMachine.checked += self.world.checked
        finally:
            self.world.close()
            self.patch.stop()
            self.folder.cleanup()


def _get_fast_folder() -> str | None:
    """Return a folder in memory if there is one, since each transaction is flushed."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run_machine(template: Path, steps: int, is_random: bool = False) -> int:
    """Run the machine on copies of an empty database; return the fire times compared.

    Raise AssertionError for a fire time that was lost or handled twice.
    """
    how = settings(
        max_examples=max(1, steps // STEPS), stateful_step_count=STEPS, deadline=None,
        database=None, derandomize=not is_random, print_blob=False, report_multiple_bugs=False,
        phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large,
        ],
    )  # fmt: skip
    machine = type("BoundMachine", (ScheduleMachine,), {"template": template})
    before = ScheduleMachine.checked
    run_state_machine_as_test(machine, settings=how)
    return ScheduleMachine.checked - before
