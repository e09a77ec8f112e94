"""Periodic duties of the runtime on APScheduler.

A duty is a short transaction or a wake-up, never a wait.

APScheduler's default misfire grace is one second; here the grace is unlimited and missed runs
coalesce. A running duty is not started again. When the clock is set ahead, APScheduler iterates
over every missed run; when it is set back, jobs wait until the old time returns.
`SkippingIntervalTrigger` and `watch_clock` prevent both. A failed duty is logged and runs again at
its next time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from app import paths
from app.core.text.sanitize import sanitize
from app.errors import Problem, Storage, find_process_limit
from app.home.clock_guard import ClockGuard, find_last_sample
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.dispatch.dispatcher import HALT_REASONS, Dispatcher, describe_value_halt
from app.runtime.duties.backup_schedule import BackupScheduler
from app.runtime.duties.disk_usage import find_largest
from app.runtime.duties.replicator import Replicator
from app.runtime.duties.rule_probes import RuntimeProbes
from app.runtime.duties.search_indexer import SearchIndexer
from app.runtime.duties.usage import (
    UsageSampler,
    find_disk_trouble,
    get_trouble_kind,
    is_disk_space_short,
)
from app.runtime.gpus.monitor import GpuMonitor
from app.runtime.messages.hook_runner import HookRunner
from app.runtime.messages.notifier import Notifier
from app.service import history, sla_evaluation
from app.service.database import cleanup, replica
from app.service.rules.evaluation.engine import RuleEngine
from app.service.scheduling.start_forecasts import ForecastRecorder
from app.service.tasks.submission import bulk
from app.translation import tr
from db import defaults as db_defaults
from db import engine, statement_timer, timestamps
from db.engine import Connection, Database
from db.maintenance import slow_queries
from db.maintenance.integrity import describe_missing_default
from db.queries import reads, schedules
from db.queries.history import operations, samples
from db.queries.rules import alerts
from db.queries.scheduling import loads, resources
from db.queries.tasks import transitions
from db.queries.tasks.outer_runs import list_active_outer

log = logging.getLogger(__name__)

LATE_AFTER = 5.0
"""Seconds after which a duty is late, or its interval if longer."""

CLEAR_AFTER = 60.0
"""Seconds without lateness that clear the report."""

LARGEST_INTERVAL = 60.0
"""Seconds between searches for the largest entries on a full disk."""

SCHEDULE_ALERT_PREFIX = "schedule-"
"""Prefix of alerts about schedules whose latest task was refused."""

METRIC_ALERT_PREFIX = "figure-"
"""Prefix of alerts about unreadable metrics."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A function that runs at an interval in seconds."""

    name: str
    every: int
    run: Callable[[], Awaitable[None]]


class SkippingIntervalTrigger(IntervalTrigger):
    """Interval trigger that skips missed runs, of which there may be millions."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the first regular time after both arguments."""
        # super() returns None only after an end date, which this interval does not have
        found = super().get_next_fire_time(previous_fire_time, now) or now
        return found + max(0, (now - found) // self.interval + 1) * self.interval


CLOCK_CHECK_INTERVAL = 1.0
"""Seconds between checks of the clock."""


async def watch_clock(
    scheduler: AsyncIOScheduler, on_set_back: Callable[[], None] = lambda: None
) -> None:
    """Reschedule duties whenever the clock has been set back, forever."""
    last = timestamps.utcnow()
    while True:
        await asyncio.sleep(CLOCK_CHECK_INTERVAL)
        reschedule_jobs(scheduler)
        if (now := timestamps.utcnow()) < last:
            on_set_back()
        last = now


def reschedule_jobs(scheduler: AsyncIOScheduler) -> None:
    """Reschedule duties that are further ahead than one interval."""
    now = datetime.now(UTC)
    for job in scheduler.get_jobs():
        is_periodic = isinstance(job.trigger, IntervalTrigger)
        if is_periodic and job.next_run_time - now > job.trigger.interval:
            job.modify(next_run_time=now + job.trigger.interval)


CHECKED_AT_START = frozenset({"nothing-starts", "dispatcher", "config", "empty"})
"""Alerts of Taskdeck itself that are right before the first duty has run."""
CHECK_EVERY = 60
"""Seconds between two runs of the rarest duty that finds a problem."""
READER_WAIT = 1.0
"""Most seconds that a reading verb waits for a pass of the rules."""


class Duties:
    """All duties of the runtime."""

    def __init__(
        self,
        db: Database,
        dispatcher: Dispatcher,
        usage: UsageSampler,
        settings: ConfigWatcher | None = None,
        steady: ClockGuard | None = None,
    ) -> None:
        self.db, self.dispatcher, self.usage = db, dispatcher, usage
        self._rules_or_alerts = engine.WatchedRead(db, sla_evaluation.has_rules_or_alerts)
        self._refusals = engine.WatchedRead(db, schedules.map_refusals)
        self._published = engine.WatchedRead(db, bulk.map_published)
        self._measurable_runs = engine.WatchedRead(db, reads.list_measurable)
        self._outer_runs = engine.WatchedRead(db, list_active_outer)
        self.rules = RuleEngine(db, RuntimeProbes(usage, dispatcher))
        self.indexer = SearchIndexer(db)
        self.forecasts = ForecastRecorder(db)
        self.replicator = Replicator(db, dispatcher.home)
        self.backups = BackupScheduler(db, Path(usage.home))
        self.notifier: Notifier | None = None
        self.hook_runner: HookRunner | None = None
        self.gpus = GpuMonitor(db, dispatcher)
        dispatcher.poll_gpus = self.gpus.poll
        self.settings = settings or ConfigWatcher(paths.get_config_path())
        self._clock_guard = steady or ClockGuard()
        self._log_folders = cycle(cleanup.FOLDERS)
        self._last_dispatch = time.monotonic()
        self._problems: dict[str, str] = {}
        self._stored_problems: tuple[dict[str, str], frozenset[str]] | None = None
        self._earlier: frozenset[str] | None = None
        """Alerts of an earlier runtime, which stay until the duties have run; None if not read."""
        self._late_at: dict[str, float] = {}
        self._largest_found_at = float("-inf")
        self._is_write_failure_logged = False
        """True if a failure to store alerts has been logged."""
        self._reader_passes: set[asyncio.Task[object]] = set()
        self._not_run = {duty.name for duty in self.list_duties() if duty.every <= CHECK_EVERY}

    def list_duties(self) -> tuple[Duty, ...]:
        """Return all duties."""
        return (
            Duty("dispatch", 1, self.wake_dispatcher),
            Duty("timeouts", 1, self.dispatcher.stop_overdue),
            Duty("outputs", 1, self.dispatcher.copier.run),
            Duty("slas", 1, self.evaluate_slas),
            Duty("refusals", 5, self.check_refusals),
            Duty("usage", 2, self.measure),
            Duty("gpus", 3, self.gpus.check),
            Duty("room", 2, self.find_largest),
            Duty("submissions", 2, self.finish_submissions),
            Duty("reconcile", 30, self.reconcile),
            Duty("samples", 60, self.store_sample),
            Duty("history", 60, self.update_history),
            Duty("forecasts", 60, self.record_forecasts),
            Duty("replica", 30, self.run_replication),
            Duty("search", 2, self.indexer.catch_up),
            Duty("cleanup", 600, self.run_cleanup),
            Duty("rules", 60, self.check_rules),
            Duty("logs", 60, self.sweep_logs),
            Duty("backup", 60, self.run_backup),
            Duty("slow", 10, self.store_slow_statements),
            Duty("figures", 10, self.check_metrics),
        )

    def make_scheduler(self) -> AsyncIOScheduler:
        """Return a scheduler with every duty, not yet started."""
        # otherwise each late duty logs a line per second
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler = AsyncIOScheduler(job_defaults=defaults, timezone=UTC)
        # Duties with a common start are due together, and one timer wakes an idle runtime for all.
        start = datetime.now(UTC)
        for duty in self.list_duties():
            scheduler.add_job(
                self._run_duty,
                SkippingIntervalTrigger(seconds=duty.every, start_date=start, timezone=UTC),
                args=[duty],
                id=duty.name,
            )
        return scheduler

    async def prepare(self) -> None:
        """Measure once and store existing backups, for the first board.

        A full disk does not prevent the runtime from starting.
        """
        self.db.slow.threshold = self.settings.maintenance.slow.threshold
        with suppress(Problem):  # a duty reports the problem
            self._clock_guard.begin(await self.db.read(find_last_sample))
            self._set_problem("empty", await self.db.read(_describe_missing_rows))
            await self.forecasts.drop_pending()
        await self._run_duty(Duty("usage", 2, self.measure))
        await self._run_duty(Duty("submissions", 2, self.finish_submissions))
        await self._run_duty(Duty("gpus", 3, self.gpus.check))
        await self.backups.store_existing(self.settings.maintenance.backup)

    async def _run_duty(self, duty: Duty) -> None:
        """Run a duty. A failure is logged and raises an alert; the next run tries again."""
        problem, began = f"duty-{duty.name}", time.monotonic()
        try:
            with statement_timer.set_caller(f"duty {duty.name}"):
                await duty.run()
            self._problems.pop(problem, None)
        # not a fault of the duty: nothing can be written, so nothing may start
        except Storage as trouble:
            if self.dispatcher.halted is None:
                self._set_halt(HALT_REASONS.get(trouble.code, "disk trouble"))
        except Exception as error:
            if limit := find_process_limit(error):
                log.warning("duty %s: %s", duty.name, limit)
                self._problems[problem] = f"the duty {duty.name} failed: {limit}"
                return await self._store_alerts()
            self.dispatcher.counts.errors[duty.name] += 1
            if not await self.dispatcher.find_unreadable(halts=True):
                log.exception("duty %s failed", duty.name)
                self._problems[problem] = (
                    f"the duty {duty.name} failed ({type(error).__name__}); see run/runtime.log"
                )
        self._check_time(duty, time.monotonic() - began)
        self._not_run.discard(duty.name)
        await self._store_alerts()

    def _check_time(self, duty: Duty, took: float) -> None:
        """Report a duty that took too long, until it has been on time for a while."""
        problem, now = f"late-{duty.name}", time.monotonic()
        if took > max(LATE_AFTER, duty.every):
            if problem not in self._problems:
                log.warning("duty %s took %.1f s", duty.name, took)
            load, cores = os.getloadavg()[0], os.cpu_count() or 1
            self._problems.setdefault(
                problem,
                tr(
                    "the periodic job {name} took {took:.0f} s, at load {load:.1f} of {cores}"
                    " cores; slow statements: B in the deck",
                    name=duty.name,
                    took=took,
                    load=load,
                    cores=cores,
                ),
            )
            self._late_at[problem] = now
        elif now - self._late_at.get(problem, now) > CLEAR_AFTER:
            self._problems.pop(problem, None)
            del self._late_at[problem]

    def _set_halt(self, trouble: str | None) -> None:
        """Halt dispatching with a reason and its time, or resume if `trouble` is None."""
        was = self.dispatcher.halted
        if trouble is None:
            self.dispatcher.halted = None
            if was:
                log.warning("tasks start again; they were halted: %s", was)
                self.dispatcher.wake()
            return
        same = was is not None and get_trouble_kind(was) == get_trouble_kind(trouble)
        since = was.rpartition(" since ")[2] if was and " since " in was else time.strftime("%H:%M")
        self.dispatcher.halted = f"{trouble} since {since}"
        if not same:
            log.warning("nothing starts: %s", self.dispatcher.halted)

    async def _store_alerts(self) -> None:
        """Store alerts about the runtime itself: failures, and why nothing starts."""
        halted = {"nothing-starts": self.dispatcher.halted} if self.dispatcher.halted else {}
        trouble = (
            {"dispatcher": self.dispatcher.internal_error} if self.dispatcher.internal_error else {}
        )
        wrong = {"config": self.settings.problem} if self.settings.problem else {}
        unsent = self.notifier.problems if self.notifier else {}
        silent = self.dispatcher.outer.find_alert()
        problems = (
            self._problems
            | self.gpus.problems
            | self.backups.problems
            | unsent
            | (self.hook_runner.problems if self.hook_runner else {})
            | ({"slurm-silent": silent} if silent else {})
            | halted
            | trouble
            | wrong
        )
        if not self._not_run:
            self._earlier = frozenset()
        try:
            if self._earlier is None:
                found = await self.db.read(alerts.map_system_alerts)
                self._earlier = frozenset(found) - CHECKED_AT_START
            kept = self._earlier - problems.keys()
            if (problems, kept) == self._stored_problems:
                return
            mild = ("config",) if self.settings.is_mild else ()
            channel = self.settings.notifications.problems
            await self.db.write(alerts.set_system_alerts, problems, mild, channel, kept)
            self._stored_problems, self._is_write_failure_logged = (problems, kept), False
        except Problem as problem:
            if not self._is_write_failure_logged:
                log.error("%s", problem)
            self._is_write_failure_logged = True

    def _set_problem(self, name: str, problem: str | None) -> None:
        """Set or clear a problem, which becomes an alert."""
        self._problems.pop(name, None)
        if problem:
            self._problems[name] = problem

    async def wake_dispatcher(self) -> None:
        """Wake the dispatcher and measure the delay of this duty."""
        now = time.monotonic()
        self.dispatcher.tick_lag = max(0.0, now - self._last_dispatch - 1.0)
        self._last_dispatch = now
        self.dispatcher.wake()

    async def evaluate_slas(self) -> None:
        """Evaluate SLA rules. An alert fires within a second of its deadline."""
        if not await self._rules_or_alerts.read():
            return
        await sla_evaluation.evaluate_if_due(self.db)
        await self.rules.run_if_due()

    async def evaluate_for_reader(self) -> None:
        """Run a pass of the rules of the general form if it has work, and wait for it briefly.

        The duty reports the failure of a pass.
        """
        task = asyncio.create_task(self.rules.run_if_due())
        self._reader_passes.add(task)
        task.add_done_callback(self._end_reader_pass)
        await asyncio.wait({task}, timeout=READER_WAIT)

    def _end_reader_pass(self, task: asyncio.Task[object]) -> None:
        self._reader_passes.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.debug("a pass of the rules for a reader failed: %s", problem)

    async def close(self) -> None:
        """Cancel the passes that readers began, and the looks at the GPUs."""
        await self.gpus.close()
        for task in (passes := [*self._reader_passes]):
            task.cancel()
        await asyncio.gather(*passes, return_exceptions=True)

    async def measure(self) -> None:
        """Measure runs and host, stop runs with too much output, and check the disk."""
        runs = await self._measurable_runs.read()
        await asyncio.to_thread(self.usage.measure, [(run.runid, run.pid) for run in runs])
        await self._check_disk(touch=bool(runs) or self.dispatcher.halted is not None)
        logging = [*runs, *await self._outer_runs.read()]
        for runid in self.usage.find_over_limit([(run.runid, run.log_limit) for run in logging]):
            await self.dispatcher.stop_run(runid, "log limit")

    async def find_largest(self) -> None:
        """Find the largest entries of the home while disk space is short."""
        if not is_disk_space_short(self.dispatcher.halted):
            self.usage.largest, self._largest_found_at = (), float("-inf")
        elif time.monotonic() - self._largest_found_at >= LARGEST_INTERVAL:
            self._largest_found_at = time.monotonic()
            self.usage.largest = await asyncio.to_thread(find_largest, self.usage.home)

    async def _check_disk(self, touch: bool) -> None:
        """Halt or resume dispatching. Dispatching resumes only after a successful test write."""
        trouble = await asyncio.to_thread(find_disk_trouble, self.usage.home, touch)
        if trouble is None and self.dispatcher.halted:
            trouble = await self._find_write_problem()
        self._set_halt(trouble)

    async def _find_write_problem(self) -> str | None:
        """Return why the database cannot be read or written, or None after a test write."""
        if self.dispatcher.unreadable and (found := await self.dispatcher.find_unreadable()):
            return describe_value_halt(found)
        try:
            await self.db.write(engine.test_write)
            await self.forecasts.drop_pending()
        except Storage as problem:
            return HALT_REASONS.get(problem.code, "disk trouble")
        return None

    async def finish_submissions(self) -> None:
        """Complete large submissions that a crash interrupted, or remove what is left of them."""
        home = Path(self.usage.home)
        if await self._published.read() or bulk.list_files(home):
            await bulk.finish_interrupted(self.db, home)

    async def reconcile(self) -> None:
        """Repair loads that differ from the runs; report missing rows."""
        await self.db.write(_repair_loads)
        self._set_problem("empty", await self.db.read(_describe_missing_rows))

    async def store_sample(self) -> None:
        """Store a sample of the past minute for each queue and pool."""
        tallies, self.dispatcher.tallies = self.dispatcher.tallies, {}
        measured_use = {runid: (run.cpu, run.memory) for runid, run in self.usage.runs.items()}
        figures = {
            name: (tally.started, tally.ended, tally.failed) for name, tally in tallies.items()
        }
        await self.db.write(_take_sample, figures, measured_use)

    async def update_history(self) -> None:
        """Aggregate past minutes into the history.

        After an interruption, the next run continues.
        """
        with suppress(asyncio.CancelledError):
            await history.count_minutes(self.db)

    async def record_forecasts(self) -> None:
        """Record the forecasts of some waiting tasks, or drop them while nothing starts."""
        if self.dispatcher.halted or self.dispatcher.draining:
            await self.forecasts.drop_pending()
        else:
            await self.forecasts.record()

    async def store_slow_statements(self) -> None:
        """Store slow statements; report a growing WAL and lock waits."""
        self.db.slow.threshold = self.settings.maintenance.slow.threshold
        await slow_queries.store_slow_statements(self.db)
        found = slow_queries.find_problems(self.db)
        self._problems = {
            name: message
            for name, message in self._problems.items()
            if name not in slow_queries.PROBLEMS
        } | found

    async def check_metrics(self) -> None:
        """Report unreadable metrics of SLA rules; their alerts stay unchanged."""
        found = await self.db.read(sla_evaluation.find_unreadable_metrics, timestamps.utcnow())
        said = {
            name: tr("{name} {why}; its rules keep their state", name=name, why=why)
            for name, why in found.items()
        }
        self._replace_problems(METRIC_ALERT_PREFIX, said)

    async def check_refusals(self) -> None:
        """Report schedules whose latest task could not be submitted, until one is."""
        found = await self._refusals.read()
        said = {
            name: tr(
                "schedule {name} submitted nothing: {reason} See: taskdeck schedule show {word}",
                name=sanitize(name),
                reason=reason,
                word=sanitize(shlex.quote(name)),
            )
            for name, reason in found.items()
        }
        self._replace_problems(SCHEDULE_ALERT_PREFIX, said)

    def _replace_problems(self, prefix: str, found: Mapping[str, str]) -> None:
        """Replace the problems whose names begin with a prefix."""
        others = {
            name: text for name, text in self._problems.items() if not name.startswith(prefix)
        }
        self._problems = others | {f"{prefix}{name}": text for name, text in found.items()}

    async def run_backup(self) -> None:
        """Take a due backup. While the clock is in doubt, remove none."""
        settings = self.settings.maintenance.backup
        await self.backups.take_if_due(
            settings if self._clock_guard.is_trusted() else replace(settings, keep=None)
        )

    async def run_replication(self) -> None:
        """Update the replica and report it if it is late."""
        found = replica.to_dict(await self.replicator.sync())
        age = (
            tr("{lag:.0f} s old", lag=found["lag"])
            if found["lag"] is not None
            else tr("not made yet")
        )
        cause = found["problem"] or "the sync takes long"
        problem = tr(
            "the replica is {age}: {cause}; see: taskdeck db replica", age=age, cause=cause
        )
        self._set_problem("replica", problem if found["late"] else None)

    async def run_cleanup(self) -> None:
        """Apply the retention rules, in batches that hold the writer only briefly.

        After an interruption, the next run continues. While settings or clock are in doubt, nothing
        is removed.
        """
        if self._clock_guard.is_trusted() and not self.settings.maintenance.retention_fault:
            with suppress(asyncio.CancelledError):
                await cleanup.clean(self.db, self.usage.home, self.settings.maintenance)

    async def check_rules(self) -> None:
        """Report retention rules for unknown names, which may be misspelled."""
        odd = await cleanup.find_unknown_names(self.db, self.settings.maintenance)
        self._set_problem(
            "rules",
            tr("in config.toml {odd}; see: taskdeck db cleanup --dry-run", odd="; ".join(odd))
            if odd
            else None,
        )

    async def sweep_logs(self) -> None:
        """Remove logs of unknown runs, one folder at a time."""
        await cleanup.sweep(self.db, self.usage.home, next(self._log_folders))


def _repair_loads(c: Connection) -> None:
    wrong = loads.recount_loads(c)
    if wrong:
        log.error("loads were wrong and have been repaired: %s", ", ".join(wrong))
        operations.record(c, transitions.SYSTEM, "reconcile", "loads", before=wrong)


def _describe_missing_rows(c: Connection) -> str | None:
    lacking = db_defaults.list_missing(c)
    return (
        tr(
            "{lack}; to have one made: taskdeck db check --repair",
            lack=describe_missing_default(lacking[0]),
        )
        if lacking
        else None
    )


def _take_sample(
    c: Connection,
    tallies: dict[str, tuple[int, int, int]],
    measured_use: dict[str, tuple[float, float]],
) -> None:
    now = timestamps.now()
    minute = now[:16] + ":00.000000Z"
    counted = reads.read_counters(c)
    rows = [
        {"kind": "queue", "name": q.name, "minute": minute, "running": q.current_load,
        "waiting": counted.get((q.name, "queued"), 0),
         **dict(zip(samples.COUNT_COLUMNS, tallies.get(q.name, (0, 0, 0)), strict=True)),
         "used_cpu": None, "used_memory": None, "measured_cpu": None, "measured_memory": None,
         "resources": None, "created_at": now, "updated_at": now}
        for q in reads.list_queues(c)
    ]  # fmt: skip
    held = resources.sum_held(c)
    measured: dict[str, tuple[float, float]] = {}
    for run in reads.list_active(c):
        cpu, memory = measured.get(run.pool, (0.0, 0.0))
        more_cpu, more_memory = measured_use.get(run.runid, (0.0, 0.0))
        measured[run.pool] = (cpu + more_cpu, memory + more_memory)
    rows += [
        {"kind": "pool", "name": p.name, "minute": minute, "running": 0, "waiting": 0, "started": 0,
        "ended": 0, "failed": 0,
         "used_cpu": p.used_cpu, "used_memory": p.used_memory,
         "measured_cpu": measured.get(p.name, (0.0, 0.0))[0],
         "measured_memory": measured.get(p.name, (0.0, 0.0))[1],
         "resources": resources.to_text(held.get(p.name)), "created_at": now,
         "updated_at": now}
        for p in reads.list_pools(c)
    ]  # fmt: skip
    samples.store_samples(c, rows)
