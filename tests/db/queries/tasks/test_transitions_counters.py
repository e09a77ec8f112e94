"""Random sequences of transitions: kept counters and loads equal a count of the rows."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, literal, select

from db.engine import create_write_engine
from db.queries import reads
from db.queries.scheduling import loads
from db.queries.tasks import transitions
from db.schema import queues
from db.states import ENDED
from tests.db.builders import TaskBuilder
from tests.db.queries.home.pruning import make_rules, prune_all

CODES = st.sampled_from([0, 1])


class TransitionMachine(RuleBasedStateMachine):
    """Tasks and runs under random transitions, all in one transaction."""

    source: Path
    folder: Path

    tasks = Bundle("tasks")
    runs = Bundle("runs")

    @initialize()
    def open_database(self) -> None:
        path = shutil.copy(self.source, self.folder / "life.db")
        self.engine = create_write_engine(Path(path))
        self.c: Connection = self.engine.connect()
        self.transaction = self.c.begin()
        self.c.execute(queues.insert().from_select(*self._select_second_queue()))
        self.made = TaskBuilder(self.c)

    def _select_second_queue(self):
        columns = [column.name for column in queues.c]
        return columns, select(
            *(literal("other") if name == "name" else queues.c[name] for name in columns)
        )

    def teardown(self) -> None:
        if hasattr(self, "transaction"):
            self.transaction.rollback()
            self.c.close()
            self.engine.dispose()

    @rule(
        target=tasks,
        hold=st.booleans(),
        retries=st.integers(0, 1),
        queue=st.sampled_from(["default", "other"]),
    )
    def submit(self, hold: bool, retries: int, queue: str) -> str:
        return self.made.submit_task(
            hold=hold,
            held_by="ann" if hold else None,
            retries=retries,
            retry_delay=0.0,
            queue=queue,
            memory=1.5,
        )

    @rule(target=tasks, parent=tasks, kind=st.sampled_from(["after", "after_any"]))
    def submit_after(self, parent: str, kind: str) -> str:
        return (
            self.made.submit_task(**{kind: [parent]})
            if reads.list_by_uuid(self.c, [parent])
            else self.made.submit_task()
        )

    @rule(target=runs, task=tasks)
    def claim(self, task: str) -> str:
        return (
            (self.made.claim_tasks(task) or [""])[0] if reads.list_by_uuid(self.c, [task]) else ""
        )

    @rule(run=runs)
    def start(self, run: str) -> None:
        self.made.record_start(run)

    @rule(run=consumes(runs), code=CODES)
    def end(self, run: str, code: int) -> None:
        self.made.record_end(run, code)

    @rule(run=consumes(runs))
    def refuse(self, run: str) -> None:
        transitions.unclaim(self.c, [run])

    @rule(task=tasks)
    def cancel(self, task: str) -> None:
        transitions.cancel(self.c, [task], "ann")

    @rule(task=tasks, on=st.booleans())
    def hold(self, task: str, on: bool) -> None:
        transitions.hold(self.c, [task], on, "ann")

    @rule(task=tasks)
    def retry(self, task: str) -> None:
        transitions.retry(self.c, [task], "ann")

    @rule(task=tasks)
    def remove(self, task: str) -> None:
        listed = ", ".join(f"'{word}'" for word in ENDED)
        self.c.exec_driver_sql(
            f"UPDATE tasks SET deleted_at = 'now' WHERE uuid = ? AND status IN ({listed})", (task,)
        )

    @rule(task=tasks, queue=st.sampled_from(["default", "other"]))
    def requeue(self, task: str, queue: str) -> None:
        self.c.exec_driver_sql("UPDATE tasks SET queue = ? WHERE uuid = ?", (queue, task))

    @rule()
    def prune(self) -> None:
        prune_all(self.c, make_rules(before="2000"))

    @invariant()
    def counters_equal_rows(self) -> None:
        if not hasattr(self, "made"):
            return
        rows = self.c.exec_driver_sql(
            "SELECT queue, status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY 1, 2"
        )
        assert reads.read_counters(self.c) == {(queue, status): n for queue, status, n in rows}

    @invariant()
    def loads_equal_rows(self) -> None:
        if hasattr(self, "made"):
            assert loads.recount_loads(self.c) == []

    @invariant()
    def tasks_and_runs_agree(self) -> None:
        """Check that a running task has exactly one active run, any other task none."""
        if not hasattr(self, "made"):
            return
        wrong = self.c.exec_driver_sql(
            "SELECT t.number, t.status FROM tasks t WHERE (t.status = 'running') <> (SELECT"
            " count(*) FROM instances i WHERE i.task_id = t.uuid AND i.status IN ('starting',"
            " 'running', 'paused', 'stopping'))"
        ).all()
        assert wrong == []

    @invariant()
    def ended_tasks_have_an_end_time(self) -> None:
        if not hasattr(self, "made"):
            return
        listed = ", ".join(f"'{word}'" for word in ENDED)
        wrong = (
            "SELECT number, status FROM tasks WHERE (ended_at IS NOT NULL) <> (status IN"
            f" ({listed}))"
        )
        assert self.c.exec_driver_sql(wrong).all() == []


def test_random_transitions_keep_counters_loads_and_end_times_right(
    fresh_database: Path, home: Path
):
    TransitionMachine.source, TransitionMachine.folder = fresh_database, home
    patient = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    quick = settings(
        max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=patient
    )
    run_state_machine_as_test(TransitionMachine, settings=quick)
