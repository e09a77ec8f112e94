"""Model of a runtime and its keeper on top of the real transitions, which checks the promises.

The model sends an order after the commit that decided it, and a crash drops unsent and unread
messages. The keeper starts a run once and reports its state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from app.core.ids import make_uuid7
from app.core.scheduling.plan import make_plan
from app.runtime.dispatch.run_verdict import judge_run
from app.service.scheduling import dispatch_view
from db import raw_sql
from db.queries import reads
from db.queries.scheduling import dispatch
from db.queries.tasks import transitions
from db.states import ENDED, RUN_ENDED, WAITING
from tests.db.builders import make_task_row

ACTIVE = "('starting', 'running', 'paused', 'stopping')"


class ManualClock:
    """Clock that moves only on demand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class RunModel:
    """Run as the keeper knows it."""

    starts: int = 0
    """Starts that `run_keeper` has not counted yet."""
    is_running: bool = False
    refused: bool = False
    stop: str | None = None
    code: int | None = None
    signal: int | None = None


@dataclass(slots=True)
class KeeperModel:
    """Keeper that handles requests in order and answers."""

    runs: dict[str, RunModel] = field(default_factory=dict)
    inbox: list[tuple[str, str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def handle_requests(self, now: float) -> None:
        inbox, self.inbox = self.inbox, []
        for do, runid, more in inbox:
            known = self.runs.get(runid)
            if do == "spawn" and not known:
                self.runs[runid] = RunModel(starts=1, is_running=True)
            elif do == "refuse" and not known:
                self.runs[runid] = RunModel(refused=True)
            elif do == "stop" and known and known.is_running:
                known.stop, known.is_running, known.signal = more, False, 15
            elif do == "forget" and known and not known.is_running:
                del self.runs[runid]
                continue
            if runid in self.runs and do in ("spawn", "refuse", "stop"):
                self.events.append(self.make_event(runid, now))

    def end_run(self, runid: str, code: int, now: float) -> None:
        """End a job by itself."""
        run = self.runs[runid]
        run.is_running, run.code = False, code
        self.events.append(self.make_event(runid, now))

    def make_event(self, runid: str, now: float) -> dict[str, Any]:
        """Return the event with a run's state."""
        run = self.runs[runid]
        about = {"run": runid, "at": now}
        if run.refused:
            return {"is": "refused", **about}
        if run.is_running:
            return {"is": "started", **about, "pid": 4242, "ticks": 17, "boot": "b" * 36}
        return {
            "is": "ended",
            **about,
            "code": run.code,
            "signal": run.signal,
            "stop": run.stop,
            "started_at": now,
        }


class RuntimeModel:
    """Database, keeper, and a runtime between them that may crash at any moment."""

    def __init__(self, c: Connection, clock: ManualClock) -> None:
        self.c, self.clock, self.keeper = c, clock, KeeperModel()
        self.orders: list[tuple[str, str, Any]] = []
        self.sent_stops: dict[str, str] = {}
        self.submitted: list[str] = []
        self.held_tasks: set[str] = set()
        self.cancelled: set[str] = set()
        self.executions: dict[str, int] = {}
        self.truth: dict[str, tuple[int | None, int | None]] = {}
        self.closed: dict[str, tuple[Any, ...]] = {}
        self.allowed: dict[str, int] = {}
        raw_sql.execute_statement(
            c, "UPDATE pools SET total_cpu = 3, total_memory = 100 WHERE name = 'default'"
        )
        raw_sql.execute_statement(c, "UPDATE queues SET capacity = 4 WHERE name = 'default'")

    @property
    def now(self) -> float:
        return self.clock().timestamp()

    # -- requests

    def submit(
        self, parents: list[str], hold: bool, retries: int, cpu: float, memory: float
    ) -> None:
        made = make_task_row(
            hold=hold,
            held_by="ann" if hold else None,
            retries=retries,
            retry_delay=1.0,
            cpu=cpu,
            memory=memory,
        )
        links = [
            {"task_id": made["uuid"], "parent_id": parent, "kind": "success"} for parent in parents
        ]
        for _ in range(2):  # resent, as after an answer lost in a crash
            transitions.submit(self.c, [dict(made)], links, "ann")
        self.submitted.append(made["uuid"])
        self.allowed[made["uuid"]] = 1 + retries
        if hold:
            self.held_tasks.add(made["uuid"])

    def cancel(self, uuid: str) -> None:
        if self.get_status(uuid) not in ENDED:
            self.cancelled.add(uuid)
        transitions.cancel(self.c, [uuid], "ann")

    def hold(self, uuid: str, on: bool) -> None:
        transitions.hold(self.c, [uuid], on, "ann")
        (self.held_tasks.add if on else self.held_tasks.discard)(uuid)

    def retry(self, uuid: str) -> None:
        if self.get_status(uuid) in ENDED:
            self.cancelled.discard(uuid)
            self.allowed[uuid] += 1 + self.get_task(uuid).retries
        transitions.retry(self.c, [uuid], "ann")

    # -- the runtime

    def claim(self) -> None:
        """Plan and claim; keep the orders until `send`."""
        starts = make_plan(
            dispatch_view.read_view(self.c, dispatch_view.RunTimeCache(), closed=False)
        ).starts
        rows = dispatch.map_startable(self.c, [start.uuid for start in starts])
        chosen = [
            {"uuid": s.uuid, "runid": make_uuid7(), "queue": s.queue, "pool": "default",
            "cpu": s.needs["cpu"], "memory": s.needs["memory"],
             "tags": json.dumps({}), "attempt": rows[s.uuid].attempts + 1}
            for s in starts
        ]  # fmt: skip
        for start in transitions.claim(self.c, chosen):
            assert start["uuid"] not in self.held_tasks, "a held task was started"
            self.orders.append(("spawn", start["runid"], None))

    def send(self) -> None:
        """Send the orders of committed rounds, and the wanted state of each run."""
        for row in dispatch.list_requested_states(self.c):
            if row.status == "stopping" and self.sent_stops.get(row.runid) != "stop":
                self.orders.append(("stop", row.runid, row.stop_reason))
                self.sent_stops[row.runid] = "stop"
        self.keeper.inbox += self.orders
        self.orders = []

    def store_events(self, said: list[dict[str, Any]]) -> None:
        """Store the keeper's events, as one round does."""
        ended = [event for event in said if event["is"] == "ended"]
        transitions.record_starts(self.c, [event for event in said if event["is"] == "started"])
        transitions.record_ends(self.c, ended, judge_run)
        if refused := [event["run"] for event in said if event["is"] == "refused"]:
            transitions.unclaim(self.c, refused)
        transitions.queue_due_tasks(self.c)
        self.orders += [("forget", event["run"], None) for event in ended]

    def run_round(self) -> None:
        said, self.keeper.events = self.keeper.events, []
        self.store_events(said)

    def crash(self) -> None:
        """Crash, start again and adopt; unsent orders, unread answers and requests are lost."""
        self.orders, self.keeper.inbox, self.keeper.events, self.sent_stops = [], [], [], {}
        self.store_events([self.keeper.make_event(runid, self.now) for runid in self.keeper.runs])
        for run in reads.list_active(self.c):
            if run.runid not in self.keeper.runs:
                assert run.start_time is None, "a started run is not known to its keeper"
                self.orders.append(("refuse", run.runid, None))

    # -- the keeper and its jobs

    def run_keeper(self) -> None:
        self.keeper.handle_requests(self.now)
        for runid, run in self.keeper.runs.items():
            self.executions[runid] = self.executions.get(runid, 0) + run.starts
            run.starts = 0
            if not run.is_running and not run.refused:
                self.truth[runid] = (run.code, run.signal)

    def end_run(self, runid: str, code: int) -> None:
        self.keeper.end_run(runid, code, self.now)
        self.truth[runid] = (code, None)

    def list_active(self) -> list[str]:
        return sorted(runid for runid, run in self.keeper.runs.items() if run.is_running)

    def find_task_id(self, runid: str) -> str:
        return raw_sql.fetch_value(
            self.c, "SELECT task_id FROM instances WHERE runid = ?", (runid,)
        )

    # -- promises

    def get_task(self, uuid: str) -> Any:
        (row,) = reads.list_by_uuid(self.c, [uuid])
        return row

    def get_status(self, uuid: str) -> str:
        return self.get_task(uuid).status

    def check_invariants(self) -> None:
        self._check_counters()
        self._check_runs()
        self._check_holds()
        self._check_executions()

    def _check_counters(self) -> None:
        sums = (
            "SELECT count(*), coalesce(sum(cpu), 0), coalesce(sum(memory), 0) FROM instances WHERE"
            " status IN " + ACTIVE
        )
        ((load, cpu, memory),) = raw_sql.fetch_rows(self.c, sums)
        ((capacity, counted),) = raw_sql.fetch_rows(
            self.c, "SELECT capacity, current_load FROM queues WHERE name = 'default'"
        )
        ((has_cpu, has_memory, used, taken),) = raw_sql.fetch_rows(
            self.c,
            "SELECT total_cpu, total_memory, used_cpu, used_memory FROM pools WHERE name ="
            " 'default'",
        )
        assert (counted, used, taken) == (load, round(cpu, 3), round(memory, 3)), (
            "counters differ from reality"
        )
        assert load <= capacity and cpu <= has_cpu and memory <= has_memory, (
            "a pool or queue goes over"
        )

    def _check_runs(self) -> None:
        """Check that only running tasks have an active run, and that ended runs never change."""
        odd = raw_sql.fetch_rows(
            self.c,
            "SELECT t.number, t.status, (SELECT count(*) FROM instances i WHERE i.task_id = t.uuid"
            f" AND i.status IN {ACTIVE}) AS n FROM tasks t WHERE (t.status = 'running') <> (n = 1)"
            " OR n > 1",
        )
        assert not odd, f"a task and its run disagree: {odd}"
        columns = "runid, task_id, status, exit_code, signal, end_time, attempt"
        rows = {
            row[0]: tuple(row)
            for row in raw_sql.fetch_rows(self.c, f"SELECT {columns} FROM instances")
        }
        for runid, row in self.closed.items():
            assert rows.get(runid) == row, "an ended run changed"
        self.closed |= {runid: row for runid, row in rows.items() if row[2] in RUN_ENDED}
        for runid, row in self.closed.items():
            assert row[3:5] == self.truth[runid], "an exit code is not that of the job"

    def _check_holds(self) -> None:
        waiting = raw_sql.fetch_rows(
            self.c,
            "SELECT uuid, status FROM tasks WHERE status IN"
            f" ({', '.join(map(repr, map(str, WAITING)))})",
        )
        odd = [
            status for uuid, status in waiting if (uuid in self.held_tasks) != (status == "held")
        ]
        assert not odd, f"a hold is not kept: {odd}"

    def _check_executions(self) -> None:
        """Check that running jobs are known as active, and that no task runs twice."""
        active = dict(
            raw_sql.fetch_rows(
                self.c, f"SELECT runid, task_id FROM instances WHERE status IN {ACTIVE}"
            )
        )
        living = self.list_active()
        assert set(living) <= active.keys(), "a job runs that has no active run"
        owners = [active[runid] for runid in living]
        assert len(owners) == len(set(owners)), "a task runs twice at once"
        assert all(many <= 1 for many in self.executions.values()), "a run was started twice"

    # -- the end

    def finish(self) -> None:
        """Let everything end, and check the outcomes."""
        for uuid in list(self.held_tasks):
            self.hold(uuid, False)
        for _ in range(12 * (len(self.submitted) + 1)):
            self.clock.advance(2.0)
            for part in (self.run_round, self.claim, self.send, self.run_keeper):
                part()
                self.check_invariants()
            for at, runid in enumerate(self.list_active()):
                self.end_run(runid, (0, 7, 0)[at % 3])
            if (
                all(self.get_status(uuid) in ENDED for uuid in self.submitted)
                and not self.keeper.events
            ):
                break
        self._check_outcomes()

    def _check_outcomes(self) -> None:
        for uuid in self.submitted:
            row, runs = self.get_task(uuid), reads.list_runs(self.c, uuid)
            assert row.status in ENDED, f"a task never ends: {row.status}"
            if uuid in self.cancelled:
                assert row.status == "cancelled", "a cancel was forgotten"
            elif row.status in ("succeeded", "failed"):
                code, signal = self.truth[runs[-1].runid]
                assert (row.status == "succeeded") == (code == 0 and signal is None), (
                    "a state does not fit the exit code"
                )
            assert len(runs) == row.attempts <= self.allowed[uuid], "attempts are not counted right"
