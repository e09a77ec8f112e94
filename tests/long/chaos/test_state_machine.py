"""Model-based tests: any order of requests, rounds, exits and crashes keeps every promise.

Each of ten injected faults must be found.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
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
from sqlalchemy import Connection, Engine

import tests.long.chaos.runtime_model as world
from app.core.scheduling.plan import Plan
from db import raw_sql, timestamps
from db.engine import create_write_engine
from db.queries.scheduling import loads
from db.queries.tasks import transitions
from db.queries.tasks.run_end import RunVerdict
from db.states import RunStatus
from tests.long.chaos.runtime_model import ManualClock, RuntimeModel

AT = st.integers(0, 1_000_000)


class TaskMachine(RuleBasedStateMachine):
    """A state machine over one database, which each run leaves unchanged."""

    engine: Engine
    time: ManualClock

    def __init__(self) -> None:
        super().__init__()
        self.connection = self.engine.connect()
        self.transaction = self.connection.begin()
        self.world = RuntimeModel(self.connection, self.time)

    def _task(self, at: int) -> str:
        return self.world.submitted[at % len(self.world.submitted)]

    @initialize(many=st.integers(1, 3))
    def begin(self, many: int) -> None:
        for _ in range(many):
            self.world.submit([], False, 1, 1.0, 0.0)
        for part in (self.world.claim, self.world.send, self.world.run_keeper):
            part()

    @precondition(lambda self: len(self.world.submitted) < 7)
    @rule(
        parents=st.lists(AT, max_size=2), hold=st.sampled_from([False, False, True]),
        retries=st.sampled_from([0, 0, 1, 2]),
        cpu=st.sampled_from([0.0, 1.0, 2.0, 3.0]), memory=st.sampled_from([0.0, 40.0, 100.0]),
    )  # fmt: skip
    def submit(
        self, parents: list[int], hold: bool, retries: int, cpu: float, memory: float
    ) -> None:
        known = self.world.submitted
        self.world.submit(
            sorted({self._task(at) for at in parents} if known else ()), hold, retries, cpu, memory
        )

    @precondition(lambda self: self.world.submitted)
    @rule(at=AT)
    def cancel(self, at: int) -> None:
        self.world.cancel(self._task(at))

    @precondition(lambda self: self.world.submitted)
    @rule(at=AT, on=st.booleans())
    def hold(self, at: int, on: bool) -> None:
        self.world.hold(self._task(at), on)

    @precondition(lambda self: self.world.submitted)
    @rule(at=AT)
    def retry(self, at: int) -> None:
        self.world.retry(self._task(at))

    @precondition(lambda self: self.world.submitted)
    @rule(at=AT, on=st.booleans())
    def pause(self, at: int, on: bool) -> None:
        (transitions.pause if on else transitions.resume)(self.world.c, [self._task(at)], "ann")

    @precondition(lambda self: self.world.truth or self.world.list_active())
    @rule(at=AT)
    def timeout(self, at: int) -> None:
        """Time out a run that was overdue and may have ended since."""
        runs = sorted([*self.world.truth, *self.world.list_active()])
        transitions.stop(self.world.c, [runs[at % len(runs)]], "timeout", transitions.SYSTEM)

    @rule()
    def claim(self) -> None:
        self.world.claim()

    @rule()
    def claim_and_run(self) -> None:
        for part in (self.world.claim, self.world.send, self.world.run_keeper):
            part()

    @rule()
    def send(self) -> None:
        self.world.send()

    @rule()
    def work(self) -> None:
        self.world.run_keeper()

    @precondition(lambda self: self.world.list_active())
    @rule(at=AT, code=st.sampled_from([0, 0, 1, 7]))
    def job_ends(self, at: int, code: int) -> None:
        living = self.world.list_active()
        self.world.end_run(living[at % len(living)], code)

    @precondition(lambda self: self.world.list_active())
    @rule(at=AT, code=st.sampled_from([0, 0, 7]))
    def job_ends_and_is_cancelled_before_that_is_heard(self, at: int, code: int) -> None:
        living = self.world.list_active()
        runid = living[at % len(living)]
        self.world.end_run(runid, code)
        self.world.cancel(self.world.find_task_id(runid))

    @rule()
    def round(self) -> None:
        self.world.run_round()

    @rule(seconds=st.sampled_from([0.1, 2.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def crash_before_what_was_claimed_is_sent(self) -> None:
        for part in (self.world.claim, self.world.crash, self.world.send, self.world.run_keeper):
            part()

    @invariant()
    def promises_hold(self) -> None:
        self.world.check_invariants()

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.transaction.rollback()
            self.connection.close()


@pytest.fixture(scope="module")
def database_engine(
    fresh_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    engine = create_write_engine(
        Path(shutil.copy(fresh_database, tmp_path_factory.mktemp("machine") / "taskdeck.db"))
    )
    yield engine
    engine.dispose()


@pytest.fixture
def run_machine(database_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that runs the machine for some examples."""
    time = ManualClock()
    monkeypatch.setattr(timestamps, "utcnow", time)

    def run(examples: int) -> None:
        how = settings(
            max_examples=examples, stateful_step_count=30, deadline=None, database=None,
            derandomize=True,
            phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow,
            HealthCheck.filter_too_much], print_blob=False,
        )  # fmt: skip
        machine = type("BoundMachine", (TaskMachine,), {"engine": database_engine, "time": time})
        run_state_machine_as_test(machine, settings=how)

    return run


def test_any_order_of_events_keeps_every_promise(run_machine: Callable[[int], None]):
    assert run_machine(120) is None


def replace_function(
    name: str, replace: Callable[[Any], Any]
) -> Callable[[pytest.MonkeyPatch], None]:
    """Return a fault that replaces a function of the transitions module."""
    return lambda patch: patch.setattr(transitions, name, replace(getattr(transitions, name)))


def return_nothing(original: Any) -> Any:
    """Return a function that does nothing and returns an empty list."""
    return lambda *args, **more: []


def _move_unguarded(c: Connection, table: str, key: str, to: Any, rows: Any) -> Any:
    for row in rows:
        sets = "".join(f", {name} = :{name}" for name in row if name not in (key, "task_id"))
        raw_sql.execute_statements(
            c,
            f"UPDATE {table} SET status = :status{sets} WHERE {key} = :{key}",
            [{**row, "status": to.value}],
        )
    return list(rows)


def _prefer_clean_exits(original: Any) -> Any:
    return lambda c, events, judge: original(
        c,
        events,
        lambda run, e: (
            RunVerdict(RunStatus.SUCCEEDED, None) if e.get("code") == 0 else judge(run, e)
        ),
    )


def _drop_retries(original: Any) -> Any:
    return lambda c, ends: original(c, [end for end in ends if end[1].retry_in is None])


def _skip_recount(original: Any) -> Any:
    def replaced(*args: Any) -> Any:
        recount, loads.recount_loads = loads.recount_loads, lambda c: []
        try:
            return original(*args)
        finally:
            loads.recount_loads = recount

    return replaced


def _flatten_codes(original: Any) -> Any:
    return lambda c, events, judge: original(
        c, [{**event, "code": event.get("code") and 1} for event in events], judge
    )


def _ignore_hold(original: Any) -> Any:
    return lambda c, uuids, on, by: original(c, uuids, False, by)


def _plan_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        world,
        "make_plan",
        lambda seen: Plan(tuple(task for queue in seen.queues for task in queue.waiting), ()),
    )


FAULTS = {
    "moves are not guarded by the status of the task": replace_function(
        "_move", lambda was: _move_unguarded
    ),
    "an end does not release what its run reserved": replace_function("record_ends", _skip_recount),
    "a refusal does not release what its run reserved": replace_function("unclaim", _skip_recount),
    "a refused run stays unchanged": replace_function("unclaim", return_nothing),
    "a cancel does not reach the run": replace_function("stop", return_nothing),
    "a clean exit wins over a cancel in progress": replace_function(
        "record_ends", _prefer_clean_exits
    ),
    "a task with retries left stays running": replace_function("_end_tasks", _drop_retries),
    "an exit code is stored as another": replace_function("record_ends", _flatten_codes),
    "a hold has no effect": replace_function("hold", _ignore_hold),
    "tasks that wait for a failed task are not cancelled": replace_function(
        "propagate_to_children", return_nothing
    ),
    "the plan ignores the pool": _plan_everything,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_injected_fault_is_found(
    fault: str, run_machine: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
):
    FAULTS[fault](monkeypatch)

    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        run_machine(120)
