"""Dispatch loop: one transaction per round, for any number of runs.

A round collects the keeper's events, stores them, plans with the freed resources, claims and
commits. Only then does it send the orders to the keeper: spawn claimed runs, forget stored ones,
and stop, pause and resume as the database says. Orders are level-triggered, so the next round
repeats those lost in a crash.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from app import engines, paths
from app.core import early_signal, task_groups
from app.core.ids import make_uuid7
from app.core.output_file import expand_pattern
from app.core.runtime_counts import RuntimeCounts
from app.core.scheduling.devices import make_variables
from app.core.scheduling.enforcement import make_limits
from app.core.scheduling.plan import QueuedTask
from app.core.scheduling.resources import CPU, MEMORY, get_named
from app.errors import Problem, Storage
from app.outer.slurm.client import SlurmClient
from app.runtime.dispatch import first_tasks
from app.runtime.dispatch.keeper_client import KeeperClient
from app.runtime.dispatch.oom_kills import OomKills
from app.runtime.dispatch.outer_runs import OuterPlace, OuterRuns
from app.runtime.dispatch.output_copier import OutputCopier
from app.runtime.dispatch.run_verdict import judge_run
from app.service import enforced_limits, gpus
from app.service.database import integrity, journal
from app.service.scheduling import dispatch_view
from app.service.tasks.submission import number_file
from db import statement_timer, timestamps
from db.engine import Connection, Database, WatchedRead
from db.errors import DamagedDatabase
from db.queries import reads
from db.queries.scheduling import dispatch, loads, resources
from db.queries.tasks import outer_runs, pending_parents, task_numbers, transitions
from db.queries.tasks.run_end import Judge, RunFacts, RunVerdict, measure_run
from db.restore import adopt_runs
from db.schema import to_os_text
from db.states import RunStatus

log = logging.getLogger(__name__)

KEPT_LOG_BYTES = 16 * 1024
"""Maximum bytes of a log that its row keeps: of a larger log, the end."""

MAX_ENVIRONMENTS = 64

MAX_EVENTS = 500
"""Starts and ends stored by one round, 70 µs each: all at once after a time without a runtime."""

MAX_CLOCK_ADJUSTMENT = 1.0
"""Seconds that the clock may lose between two rounds without counting as set back."""

SEARCH_INTERVAL = 60.0
"""Seconds until the database is searched again for a value that cannot be read."""

GRACE = 5.0
"""Seconds between TERM and KILL for a run whose row cannot be written."""

HALT_REASONS = {
    "disk-full": "disk full",
    "read-only": "disk read-only",
    "busy-database": "database held by another program",
    "damaged-database": "database damaged",
    "gone-database": "database gone",
}
"""Halt reasons by problem code."""

UNREADABLE_HOLDER = "taskdeck: its launch data cannot be read"
"""Holder of a task that cannot be started as it is stored."""

NO_STREAMS = "a Slurm pool has no --stdin, --split or --error: move the task to another queue"


def describe_value_halt(value: str) -> str:
    """Return the halt reason for a value of the database that cannot be read."""
    return f"{HALT_REASONS[DamagedDatabase.code]} ({value}; see: taskdeck db check)"


_SAFE_END_KEYS = {
    "run",
    "code",
    "signal",
    "stop",
    "lost",
    "again",
    "started_at",
    "at",
    "run_seconds",
}
"""Keys of an end event that are safe to store: numbers and constants."""


@dataclass(slots=True)
class KeeperEvents:
    """Keeper events since the last round."""

    started: list[dict[str, Any]] = field(default_factory=list)
    ended: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    hello: dict[str, Any] | None = None


class ClaimedRun(NamedTuple):
    """A run created in this round."""

    runid: str
    attempt: int
    queue: str
    task: Any
    """The row of `dispatch.map_startable`."""
    devices: Sequence[str] | None = None
    """GPUs of the run; None in a pool without any."""
    first: int | None = None
    """Number of the first task of its group, if a name of a file or a batch script has it."""
    outer: OuterPlace | None = None
    """Pool and needs of a run that another engine runs."""
    limits: dict[str, float | None] | None = None
    """KiB and cores that the kernel enforces."""


class EndedRun(NamedTuple):
    """A run that ended in this round; `seconds` is None if its duration is not known."""

    queue: str
    status: RunStatus
    seconds: float | None


@dataclass(slots=True)
class RoundOrders:
    """Decisions of a round, sent to the keeper after the commit."""

    claimed: list[ClaimedRun] = field(default_factory=list)
    ended: list[EndedRun] = field(default_factory=list)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    wanted: list[Any] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    next_due: float | None = None
    has_pending_parents: bool = False
    clock_offset: float = 0.0

    def judge_end(self, run: RunFacts, event: dict[str, Any]) -> RunVerdict:
        """Return the verdict on an ended run and remember its end."""
        verdict = judge_run(run, event)
        took = None if verdict.status == RunStatus.LOST else measure_run(run, event)
        self.ended.append(EndedRun(run.queue, verdict.status, took))
        return verdict


@dataclass(slots=True)
class QueueTally:
    """Starts and ends of one queue since the last sample."""

    started: int = 0
    ended: int = 0
    failed: int = 0


class Dispatcher:
    """Connection between the runs in the database and the keeper."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db = db
        self.home = home
        self.run_times = dispatch_view.RunTimeCache()
        self.copier = OutputCopier(db, home)
        self.oom_kills = OomKills()
        self._run_limits = WatchedRead(db, dispatch.map_run_limits)
        self.halted: str | None = None
        self.draining = False
        self.internal_error: str | None = None
        """Internal error of the last round."""
        self.unreadable: str | None = None
        """Value of the database that could not be read at the last search."""
        self._searched_at = -math.inf
        self.tick_lag: float | None = None
        self.tallies: dict[str, QueueTally] = {}
        self.counts = RuntimeCounts()
        self.greeted = asyncio.Event()
        self._wake = asyncio.Event()
        self._events = KeeperEvents()
        self._sent_signals: dict[str, tuple[KeeperClient | SlurmClient, str]] = {}
        """Last signal of each run, and its receiver: a new client of Slurm knows of no signal."""
        self._spawned: set[str] = set()
        self._told_early: set[str] = set()
        """Runs for which the keeper was told to send the early signal."""
        self._started_at: dict[str, float] = {}
        self._boot_id: str | None = None
        self._clock_offset = math.inf
        """Clock time less seconds since boot, as of the last committed round."""
        self._environments: dict[str, dict[str, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.keeper: KeeperClient | None = None
        self.outer = OuterRuns(db, home, self.handle_event, self.wake)
        self.poll_gpus: Callable[[], None] | None = None
        """Look at the GPUs soon, then wake; None if nothing looks at them."""
        self._needs_gpu_poll = False

    def wake(self) -> None:
        """Request a round."""
        self._wake.set()

    def handle_event(self, event: dict[str, Any]) -> None:
        """Handle one event of the keeper, in order."""
        kind = event.get("is")
        self.outer.note_event(event)
        if kind == "hello":
            self.greeted.set()
            # a keeper of an earlier version says nothing of cgroups
            enforced_limits.set_cgroups(event.get("cgroups") or {})
            self._events.hello, self._boot_id = event, event.get("boot")
            self._spawned.clear()
            self._sent_signals.clear()
            self._told_early.clear()
            for run in event["runs"]:
                self.handle_event(run)
        elif kind == "started":
            self._started_at[event["run"]] = event["boot_at"]
            boot = None if self.outer.has(event["run"]) else self._boot_id
            self._events.started.append({**event, "boot": boot, "pid": event["pid"] or None})
        elif kind == "ended":
            self._started_at.pop(event["run"], None)
            self._spawned.discard(event["run"])
            self._told_early.discard(event["run"])
            self._events.ended.append(event)
        elif kind == "stopping":
            self._events.overdue.append(event["run"])
        elif kind == "refused":
            self._spawned.discard(event["run"])
            self._events.refused.append(event["run"])
        elif kind == "error":
            self._handle_error(event)
        self.wake()

    def _handle_error(self, event: dict[str, Any]) -> None:
        """Handle an order that the keeper could not execute. Nothing ran."""
        log.warning("keeper: %s: %s", event["code"], event["message"])
        if event["run"] is None:
            return
        self._spawned.discard(event["run"])
        if event["code"] in ("no-space", "no-process"):
            self._halt(f"the keeper cannot start processes ({event['message']})")
        if event["code"] == "no-cgroup":
            enforced_limits.note_failure(event["message"])
            asyncio.get_running_loop().call_later(enforced_limits.RETRY, self.wake)
        if event["code"] == "bad-request":
            self._events.ended.append(
                {"run": event["run"], "code": 126, "reason": event["message"], "at": time.time()}
            )
        else:
            self._events.refused.append(event["run"])

    def _halt(self, why: str) -> None:
        """Stop dispatching.

        The first reason is kept, because it has the time and says most.
        """
        self.halted = self.halted or f"{why} since {time.strftime('%H:%M')}"

    async def run(self) -> None:
        """Run a round after each wake-up, forever."""
        statement_timer.current_caller.set("dispatcher")
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.run_round()

    async def run_round(self) -> None:
        """Run one round. If storage fails, keep the events for the next round."""
        began = time.monotonic()
        try:
            await self._run_round()
        finally:
            self.counts.rounds.add(time.monotonic() - began)

    async def _run_round(self) -> None:
        events = self._take_events()
        if events.ended:
            ended = {event["run"] for event in events.ended}
            await self.copier.copy_ends(ended)
        try:
            orders = await self.db.write_except((self.wake,), self._decide, events)
        except Storage as problem:
            return await self._handle_storage_problem(events, problem)
        except Exception as error:
            self.counts.errors["dispatch"] += 1
            if await self.find_unreadable(halts=True):
                return self._requeue_events(events)
            log.exception("a round failed")
            self.internal_error = (
                f"a round of the dispatcher failed ({type(error).__name__}); see run/runtime.log"
            )
            await self._store_individually(events)
            return
        self.internal_error = None
        self._send_orders(events, orders)
        if orders.has_pending_parents:
            await self._update_children()

    def _take_events(self) -> KeeperEvents:
        """Return the events of a round; leave those that would make its transaction too long."""
        events, self._events = self._events, KeeperEvents()
        for taken, left in (
            (events.started, self._events.started),
            (events.ended, self._events.ended),
        ):
            left += taken[MAX_EVENTS:]
            del taken[MAX_EVENTS:]
        if self._events.started or self._events.ended:
            self.wake()
        return events

    async def _update_children(self) -> None:
        """Update children that the end of their parents left. The commit wakes the next round."""
        try:
            await self.db.write(transitions.continue_propagation)
        except Storage as problem:
            await self._handle_storage_problem(KeeperEvents(), problem)
        except Exception:
            if not await self.find_unreadable(halts=True):
                log.exception("the children of ended tasks could not be updated")

    async def find_unreadable(self, halts: bool = False) -> str | None:
        """Return the value of the database that explains an unexpected error, or None.

        With `halts`, such a value halts dispatching until it can be read. The search may read
        every row, so a result lasts for `SEARCH_INTERVAL`.
        """
        if time.monotonic() - self._searched_at >= SEARCH_INTERVAL:
            try:
                found = await self.db.read(integrity.find_unreadable_value)
            except Storage as problem:
                log.error("%s", problem)
                return None
            if found and found != self.unreadable:
                log.error("%s", found)
            self.unreadable, self._searched_at = found, time.monotonic()
        if halts and self.unreadable:
            self._halt(describe_value_halt(self.unreadable))
        return self.unreadable

    async def _store_individually(self, events: KeeperEvents) -> None:
        """Store each event in its own transaction.

        An event that cannot be stored must not prevent others from being stored.
        """
        single_events = [KeeperEvents(started=[e]) for e in events.started] + [
            KeeperEvents(overdue=[r]) for r in events.overdue
        ]
        single_events += [KeeperEvents(ended=[e]) for e in events.ended] + [
            KeeperEvents(refused=[r]) for r in events.refused
        ]
        for event in [
            *single_events,
            *([KeeperEvents(hello=events.hello)] if events.hello else []),
        ]:
            if not await self._store_events(event) and event.ended:
                reduced_event = {
                    key: value for key, value in event.ended[0].items() if key in _SAFE_END_KEYS
                }
                await self._store_events(
                    KeeperEvents(
                        ended=[reduced_event | {"reason": "its end could not be stored in full"}]
                    )
                )

    async def _store_events(self, events: KeeperEvents) -> bool:
        """Run a round for these events; return False if they can never be stored."""
        try:
            orders = await self.db.write_except((self.wake,), self._decide, events)
        except Storage as problem:
            await self._handle_storage_problem(events, problem)
            return True
        except Exception:
            log.exception("not stored: %s", events)
            return False
        self._send_orders(events, orders)
        return True

    async def _handle_storage_problem(self, events: KeeperEvents, problem: Storage) -> None:
        """Halt dispatching and keep the events.

        A checkpoint may free enough space for the next round.
        """
        self._halt(HALT_REASONS.get(problem.code, "disk trouble"))
        self.counts.errors["storage"] += 1
        log.error("%s", problem)
        self._requeue_events(events)
        try:
            await self.db.checkpoint()
        except Storage:
            pass  # reported above
        except Exception:
            log.exception("the WAL could not be checkpointed")

    def _requeue_events(self, events: KeeperEvents) -> None:
        now, self._events = self._events, events
        self._events.started += now.started
        self._events.ended += now.ended
        self._events.refused += now.refused
        self._events.overdue += now.overdue
        self._events.hello = now.hello or events.hello

    # --- writer thread

    def _decide(self, c: Connection, events: KeeperEvents) -> RoundOrders:
        orders = RoundOrders()
        if events.hello is not None:
            self._adopt_unknown_runs(c, events.hello)
            pending_parents.start_again(c)
        ended_ids = {event["run"] for event in events.ended}
        if starts := [event for event in events.started if event["run"] not in ended_ids]:
            transitions.record_starts(c, starts)
        if events.overdue:
            transitions.stop(c, events.overdue, "timeout", transitions.SYSTEM)
        if events.ended:
            ends = [self.oom_kills.add_kill(self._attach_log(event)) for event in events.ended]
            transitions.record_ends(c, ends, orders.judge_end, recount=False)
        outer_runs.store_places(c, [*events.started, *events.ended])
        if events.hello is not None:
            orders.unknown = self._resolve_lost_runs(c, events.hello, orders.judge_end)
        if events.refused:
            transitions.unclaim(c, events.refused)
        orders.clock_offset = self._read_clock_offset()
        if events.hello or orders.clock_offset < self._clock_offset - MAX_CLOCK_ADJUSTMENT:
            dispatch.cap_retry_times(c)
        # a time that cannot be read must not keep ends from being stored
        orders.next_due = None if self.halted and self.unreadable else _queue_due_tasks(c)
        orders.claimed = [] if self.halted or self.draining else self._claim(c, orders)
        if events.ended or orders.claimed:
            loads.recount_loads(c)
        orders.wanted = dispatch.list_requested_states(c)
        orders.has_pending_parents = pending_parents.has_any(c)
        return orders

    def _read_clock_offset(self) -> float:
        """Return clock time less seconds since boot, which decreases if the clock is set back."""
        return timestamps.utcnow().timestamp() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def _attach_log(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an end event with the part of the log that its row keeps."""
        try:
            size, end = paths.read_log_end(
                paths.get_log_path(self.home, event["run"]), KEPT_LOG_BYTES
            )
            text = end.decode("utf-8", "replace").replace("\0", "\u2400")
        except OSError:
            size, text = 0, ""
        return {**event, "logs": text, "log_bytes": size}

    def _adopt_unknown_runs(self, c: Connection, hello: dict[str, Any]) -> None:
        """Adopt running processes that have no row, and raise the high-water mark.

        Both steps are needed if the database was replaced by other means than a restore.
        """
        if highest := number_file.read_numbers(self.home).highest:
            task_numbers.skip_numbers(c, highest)
        begun = {
            event["run"]: event
            for event in hello["runs"]
            if event["is"] == "started" and event["pid"]
        }
        for runid in sorted(adopt_runs.find_unknown(c, list(begun))) if begun else ():
            number = adopt_runs.adopt_run(
                c,
                journal.build_started_run(begun[runid]),
                transitions.SYSTEM,
                lambda: task_numbers.take_number(c),
            )
            if number is not None:
                task_numbers.skip_numbers(c, number)
            log.warning(
                "adopted run %s for %s", runid, "its task" if number is None else f"task #{number}"
            )
            loads.recount_loads(c)

    def _resolve_lost_runs(self, c: Connection, hello: dict[str, Any], judge: Judge) -> list[str]:
        """Resolve active runs unknown to the keeper, and return those that never started.

        The machine was restarted before the journal reached the disk, or the database was replaced.
        Nothing else explains such runs, because the keeper forgets a run only after its end is
        stored. The end comes from the journal. A run without an end there is lost; it may have
        succeeded, so it is not retried.
        """
        known = {run["run"] for run in hello["runs"]} | self._spawned
        active = [run for run in reads.list_active(c) if run.runid not in known]
        outer = outer_runs.list_outer_among(c, [run.runid for run in active])
        active = [run for run in active if run.runid not in outer]
        if not active:
            return []
        began, boots, now = (
            journal.make_started_check(self.home),
            reads.map_boot_ids(c, [run.runid for run in active]),
            time.time(),
        )
        unseen = {
            "lost": True,
            "again": False,
            "reason": "its keepers left no record of its end",
            "at": now,
        }
        restarted = {"lost": True, "reason": "host restarted", "at": now}
        ends = {
            run.runid: {"run": run.runid, **(unseen if boots.get(run.runid) in (None,
            hello.get("boot")) else restarted)}
            for run in active if run.start_time is not None or began(run.runid)
        }  # fmt: skip
        ends |= {
            runid: self._attach_log(end)
            for runid, end in journal.read_ends(self.home, [run.runid for run in active]).items()
        }
        transitions.record_ends(c, list(ends.values()), judge)
        return [run.runid for run in active if run.runid not in ends]

    def _claim(self, c: Connection, orders: RoundOrders) -> list[ClaimedRun]:
        """Plan with the free resources and create a run for each startable task."""
        seen, starts = dispatch_view.plan_starts(c, self.run_times)
        if (opening := dispatch_view.find_next_opening(seen)) is not None:
            orders.next_due = min(opening, orders.next_due or opening)
        if self.run_times.kept_lines.is_cut:
            orders.next_due = seen.now
        if not starts:
            return []
        rows = self._read_startable(c, orders, [task.uuid for task in starts])
        starts = [task for task in starts if task.uuid in rows]
        firsts = first_tasks.map_first_tasks(c, rows.values())
        pools = {queue.name: queue.pool for queue in seen.queues}
        places = _find_outer_places(c, seen, starts)
        choice = gpus.choose_devices(c, seen, starts, has_nvml=self.poll_gpus is not None)
        self._needs_gpu_poll = choice.is_stale
        devices, starts = choice.devices, [t for t in starts if t.uuid not in choice.lacking]
        limits = _map_run_limits(seen, starts)
        claims = [
            {"uuid": task.uuid, "runid": make_uuid7(), "queue": task.queue,
            "pool": pools[task.queue], "cpu": task.needs[CPU], "memory": task.needs[MEMORY],
            "resources": resources.to_text(get_named(task.needs)),
            "devices": json.dumps(devices[task.uuid]) if devices.get(task.uuid) else None,
            "outer_job": "" if task.uuid in places else None,
            "tags": rows[task.uuid].tags, "attempt": rows[task.uuid].attempts + 1}
            | _make_copy(rows[task.uuid], firsts.get(rows[task.uuid].group_number))
            for task in starts
        ]  # fmt: skip
        return [
            ClaimedRun(
                start["runid"],
                start["attempt"],
                start["queue"],
                rows[start["uuid"]],
                devices.get(start["uuid"]),
                firsts.get(rows[start["uuid"]].group_number),
                places.get(start["uuid"]),
                limits[start["uuid"]],
            )
            for start in transitions.claim(c, claims, recount=False)
        ]

    def _read_startable(
        self, c: Connection, orders: RoundOrders, uuids: list[str]
    ) -> dict[str, Any]:
        """Return the rows of tasks to start, and add their environments to the orders.

        Hold each task whose launch data or environment cannot be read, so that the others start.
        """
        rows = dispatch.map_startable(c, uuids)
        for env_id in {row.env_id for row in rows.values()} - self._environments.keys():
            with suppress(ValueError):
                orders.environments[env_id] = dispatch.get_environment(c, env_id)
        known = self._environments.keys() | orders.environments.keys()
        rows = {uuid: row for uuid, row in rows.items() if row.env_id in known}
        if lost := [uuid for uuid in uuids if uuid not in rows]:
            log.error("tasks held, since their launch data cannot be read: %d", len(lost))
            transitions.hold(c, lost, True, UNREADABLE_HOLDER)
        return rows

    # --- after the commit

    def _send_orders(self, events: KeeperEvents, orders: RoundOrders) -> None:
        self._clock_offset = orders.clock_offset
        if self._needs_gpu_poll and self.poll_gpus:
            self._needs_gpu_poll = False
            self.poll_gpus()
        self._count_tallies(orders)
        keeper = self.keeper
        if keeper is None:
            return
        self._environments |= orders.environments
        self.oom_kills.note_starts(run.runid for run in orders.claimed if run.task.retry_on_oom)
        self.copier.runs |= {
            run.runid for run in orders.claimed if run.task.output or run.task.error
        }
        for run in orders.claimed:
            self._spawn_run(keeper, run)
        while len(self._environments) > MAX_ENVIRONMENTS:
            self._environments.pop(next(iter(self._environments)))
        for runid in orders.unknown:
            keeper.refuse(runid)
        self.outer.drop(events.refused)
        if events.ended:
            ended = [event["run"] for event in events.ended]
            keeper.forget([runid for runid in ended if not self.outer.has(runid)])
            self.outer.forget(ended)
        self._send_signals(keeper, orders.wanted, greeted=events.hello is not None)
        self._schedule_wake(orders.next_due)

    def _count_tallies(self, orders: RoundOrders) -> None:
        """Count committed starts and ends for the samples and for monitoring."""
        for run in orders.claimed:
            self.tallies.setdefault(run.queue, QueueTally()).started += 1
            self.counts.add_start(run.queue, _measure_wait(run))
        for run in orders.ended:
            tally = self.tallies.setdefault(run.queue, QueueTally())
            tally.ended += 1
            tally.failed += run.status not in (RunStatus.SUCCEEDED, RunStatus.CANCELLED)
            self.counts.add_end(run.queue, run.status, run.seconds)

    def _schedule_wake(self, due: float | None) -> None:
        """Schedule a round for the next scheduled or retrying task."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            seconds = max(0.0, due - time.time()) + 0.001
            self._timer = asyncio.get_running_loop().call_later(min(seconds, 86400.0), self.wake)

    def _spawn_run(self, keeper: KeeperClient, run: ClaimedRun) -> None:
        """Order one run. A fault in one run must not affect others."""
        self._spawned.add(run.runid)
        try:
            if run.outer and (run.task.stdin or run.task.split):
                return self._fail_run(run.runid, NO_STREAMS)
            order = self._build_order(run)
        except Problem as problem:  # a secret is missing
            self._fail_run(run.runid, str(problem))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            log.exception("run %s of task #%d cannot be started", run.runid, run.task.number)
            self._fail_run(run.runid, "its launch data cannot be read")
        else:
            if run.outer is None:
                keeper.spawn(order)
            else:
                self.outer.hand_over(order, run.outer, run.task.name)

    def _fail_run(self, runid: str, reason: str) -> None:
        """End a run that cannot be started."""
        self.handle_event(
            {"is": "ended", "run": runid, "code": 126, "reason": reason, "at": time.time()}
        )

    def _build_order(self, run: ClaimedRun) -> dict[str, Any]:
        """Return the keeper's order for a claimed run."""
        task = run.task
        launch = task.launch
        visible = {} if run.devices is None else make_variables(run.devices, gpus.get_maker())
        base = (
            self._environments[task.env_id] | visible | first_tasks.make_variables(run) | task.env
        )
        env = engines.build_environment(launch, base) | {
            "TASKDECK_HOME": str(self.home),
            "TASKDECK_RUNID": run.runid,
            "TASKDECK_TASK": str(task.number),
            "TASKDECK_ATTEMPT": str(run.attempt),
        }
        if task.group_number is not None or task.group_index is not None:
            sweep = json.loads(task.sweep) if task.sweep else None
            env |= task_groups.make_variables(task.group_number, task.group_index, sweep)
        cwd = os.fsdecode(task.cwd) if isinstance(task.cwd, bytes) else task.cwd
        if "PWD" in base and "PWD" not in task.env:
            env["PWD"] = cwd  # as a shell that enters the directory of the task
        if not launch["argv"]:
            raise ValueError("nothing to run")
        return {
            "run": run.runid,
            "argv": launch["argv"],
            "cwd": cwd,
            "env": env,
            "umask": task.umask,
            "log": paths.get_log_path(self.home, run.runid),
            "timeout": task.timeout,
            "early": _build_early(task.early_signal),
            "grace": task.grace,
            **({"limits": run.limits} if run.limits else {}),
            **_build_streams(self.home, run.runid, task),
        }

    def _send_signals(
        self, keeper: KeeperClient, requested_states: Sequence[Any], greeted: bool
    ) -> None:
        """Send the signals that the database requires and the keeper has not received.

        A keeper that just started has received none. A job of Slurm stays suspended or resumed.
        """
        for row in requested_states:
            client = self.find_client(row.runid)
            if client is None:
                continue  # Slurm is not set up now
            receiver, word = self._sent_signals.get(row.runid, (client, ""))
            sent = word if receiver is client else ""
            # A stop with another grace is sent again: a user may lose patience, and the keeper only
            # shortens the grace.
            if row.status == RunStatus.STOPPING and sent != (stop := f"stop {row.grace}"):
                client.stop(row.runid, row.stop_reason or "cancel", row.grace)
                self._sent_signals[row.runid] = client, stop
            elif row.status == RunStatus.PAUSED and sent != "pause":
                client.signal(row.runid, signal.SIGSTOP)
                self._sent_signals[row.runid] = client, "pause"
            elif row.status == RunStatus.RUNNING and sent != "run":
                # A resume committed just before a crash may not have been sent, or may have been
                # lost with the keeper.
                if word == "pause" or (greeted and client is keeper):
                    client.signal(row.runid, signal.SIGCONT)
                self._sent_signals[row.runid] = client, "run"
        gone = self._sent_signals.keys() - {row.runid for row in requested_states}
        for runid in gone:
            del self._sent_signals[runid]

    # --- duties

    async def stop_overdue(self) -> None:
        """Stop runs past their limit, and let the keeper signal those shortly before it.

        The keeper itself knows only the limit at the start, which may be shorter by now. The clock
        is CLOCK_BOOTTIME, so a clock change ends no run early.
        """
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        late: list[str] = []
        for runid, (limit, early) in (await self._run_limits.read()).items():
            ran = now - self._started_at.get(runid, now)
            if ran >= max(0.001, limit):
                late.append(runid)
            elif early and ran >= limit - early_signal.parse_early_signal(early).lead:
                self._signal_early(runid)
        if late:
            await self.db.write(transitions.stop, late, "timeout", transitions.SYSTEM)

    def _signal_early(self, runid: str) -> None:
        if runid not in self._told_early and (client := self.find_client(runid)):
            client.signal_early(runid)
            self._told_early.add(runid)

    def find_client(self, runid: str) -> KeeperClient | SlurmClient | None:
        """Return the client that has a run, of the keeper or of Slurm; None while there is none."""
        return self.outer.client if self.outer.has(runid) else self.keeper

    async def stop_run(self, runid: str, reason: str) -> None:
        """Stop one run, even if the database cannot be written.

        This run may have filled the disk; the keeper remembers the reason.
        """
        try:
            await self.db.write(transitions.stop, [runid], reason, transitions.SYSTEM)
        except Storage:
            if client := self.find_client(runid):
                client.stop(runid, reason, GRACE)
            raise


def _measure_wait(run: ClaimedRun) -> float | None:
    """Return the seconds that a first attempt waited since it could have started."""
    if run.attempt != 1 or not timestamps.is_time(run.task.since):
        return None
    return timestamps.utcnow().timestamp() - timestamps.to_unix(run.task.since)


def _map_run_limits(
    seen: dispatch_view.DispatchView, starts: Sequence[QueuedTask]
) -> dict[str, dict[str, float | None] | None]:
    """Return {uuid: limits that the kernel enforces, or None} of tasks."""
    of_pool = {pool.name: pool.enforce for pool in seen.pools}
    enforced = {queue.name: of_pool.get(queue.pool) for queue in seen.queues}
    shares_cpu = enforced_limits.is_cpu_shared()
    return {task.uuid: make_limits(enforced[task.queue], task.needs, shares_cpu) for task in starts}


def _find_outer_places(
    c: Connection, seen: dispatch_view.DispatchView, starts: Sequence[QueuedTask]
) -> dict[str, OuterPlace]:
    """Return {uuid: where its run goes} of the tasks that another engine runs."""
    if not any(pool.is_outer for pool in seen.pools):
        return {}
    rows = {row.name: row for row in reads.list_pools(c) if row.kind is not None}
    pools = {queue.name: rows[queue.pool] for queue in seen.queues if queue.pool in rows}
    return {
        task.uuid: OuterPlace(pools[task.queue], task.needs, task.priority)
        for task in starts
        if task.queue in pools
    }


def _make_copy(task: Any, first: int | None) -> dict[str, Any]:
    """Return the column of the path to which the log of the next run is copied, if there is one."""
    patterns = {"copy_to": task.output, "copy_error_to": task.error}
    if not any(patterns.values()):
        return {}
    cwd = os.fsdecode(task.cwd) if isinstance(task.cwd, bytes) else task.cwd
    facts = cwd, task.number, task.name, task.attempts + 1, first
    return {
        column: to_os_text(expand_pattern(text, *facts))
        for column, text in patterns.items()
        if text is not None
    }


def _build_streams(home: Path, runid: str, task: Any) -> dict[str, Any]:
    """Return what the keeper needs for an input, or to mark error output, if a task asks."""
    if not (task.stdin or task.split):
        return {}
    index = paths.get_index_path(paths.get_log_path(home, runid)) if task.split else None
    companion = paths.get_companion_path(home, runid)
    return {"companion": companion, "input": bool(task.stdin), "errors": index}


def _build_early(text: str | None) -> list[float] | None:
    """Return the signal before the timeout as the keeper takes it: number and seconds."""
    return None if text is None else list(early_signal.parse_early_signal(text))


def _queue_due_tasks(c: Connection) -> float | None:
    """Queue due tasks; return the UNIX time at which the next one is due, or None."""
    due = dispatch.find_next_due(c)
    if due is not None and due <= timestamps.now():
        transitions.queue_due_tasks(c)
        due = dispatch.find_next_due(c)
    return None if due is None else timestamps.to_unix(due)
