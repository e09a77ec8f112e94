"""What the runtime does by the clock. APScheduler fires each duty; a duty is a short transaction or a wake-up, never a wait.

Its traps: a job's misfire grace is one second by default, so ours is unlimited and coalesced; a duty that is still running is not
started again. One that fails is written down and tried again at its next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection

from app import paths
from app.errors import Problem
from app.runtime.dispatcher import Dispatcher
from app.runtime.usage import Usage, no_room
from app.service import slas
from db import alerts, clock, moves, operations, reads, retention, schema
from db.engine import Database

log = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""How long ended runs are kept: the owner's rule."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something done every so many seconds."""

    name: str
    every: int
    run: Callable[[], Awaitable[None]]


class Duties:
    """The runtime's duties over its parts."""

    def __init__(self, db: Database, dispatcher: Dispatcher, usage: Usage) -> None:
        self.db, self.dispatcher, self.usage = db, dispatcher, usage
        self._tick = time.monotonic()
        self._problems: dict[str, str] = {}
        self._told: dict[str, str] | None = None

    def table(self) -> tuple[Duty, ...]:
        """All of them."""
        return (
            Duty("dispatch", 1, self.dispatch),
            Duty("timeouts", 1, self.dispatcher.stop_overdue),
            Duty("slas", 1, self.slas),
            Duty("usage", 2, self.measure),
            Duty("reconcile", 30, self.reconcile),
            Duty("samples", 60, self.sample),
            Duty("cleanup", 600, self.cleanup),
        )

    def scheduler(self) -> AsyncIOScheduler:
        """APScheduler with every duty in it, not yet started."""
        scheduler = AsyncIOScheduler(job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
        for duty in self.table():
            scheduler.add_job(self._guarded, IntervalTrigger(seconds=duty.every), args=[duty], id=duty.name)
        return scheduler

    async def _guarded(self, duty: Duty) -> None:
        """Do a duty; one that fails is written down, told as an alert, and tried again at its next time."""
        problem = f"duty-{duty.name}"
        try:
            await duty.run()
            self._problems.pop(problem, None)
        except Exception as error:
            log.exception("duty %s failed", duty.name)
            self._problems[problem] = f"the duty {duty.name} failed ({type(error).__name__}); see run/runtime.log"
        await self._tell()

    async def _tell(self) -> None:
        """Alerts about the runtime itself: what fails, and why nothing starts."""
        halted = {"nothing-starts": self.dispatcher.halted} if self.dispatcher.halted else {}
        trouble = {"dispatcher": self.dispatcher.trouble} if self.dispatcher.trouble else {}
        problems = self._problems | halted | trouble
        if problems == self._told:
            return
        try:
            await self.db.write(alerts.system, problems)
            self._told = problems
        except Problem as problem:
            log.error("%s", problem)

    async def dispatch(self) -> None:
        """The dispatcher's heartbeat, and how late it comes."""
        now = time.monotonic()
        self.dispatcher.tick_lag = max(0.0, now - self._tick - 1.0)
        self._tick = now
        self.dispatcher.wake()

    async def slas(self) -> None:
        """Alerts fire and resolve. Every second, so that one is told within a second of being due."""
        if await self.db.read(slas.due, clock.utcnow()):
            await self.db.write(slas.evaluate, clock.utcnow())

    async def measure(self) -> None:
        """CPU and memory of what runs; stop what writes too much; start nothing when the disk is nearly full."""
        runs = await self.db.read(_measurable)
        await asyncio.to_thread(self.usage.look, [(runid, pid) for runid, pid, _ in runs])
        for runid in self.usage.over_limit([(runid, limit) for runid, _, limit in runs]):
            await self.dispatcher.stop_run(runid, "log limit")
        was, self.dispatcher.halted = self.dispatcher.halted, no_room(self.usage.home)
        if was and not self.dispatcher.halted:
            self.dispatcher.wake()

    async def reconcile(self) -> None:
        """Loads against the active runs; drift is repaired and told."""
        await self.db.write(_repair)

    async def sample(self) -> None:
        """A row for each queue and pool, of the minute that ended."""
        tallies, self.dispatcher.tallies = self.dispatcher.tallies, {}
        used = {runid: (run.cpu, run.memory) for runid, run in self.usage.runs.items()}
        figures = {name: (tally.started, tally.ended, tally.failed) for name, tally in tallies.items()}
        await self.db.write(_sample, figures, used)

    async def cleanup(self) -> None:
        """What ended over thirty days ago goes, in batches that hold the writer for moments only."""
        before = clock.stamp(clock.utcnow() - KEPT)
        while True:
            gone = await self.db.write(retention.prune, before)
            for runid in gone.runids:
                paths.log_path(self.usage.home, runid).unlink(missing_ok=True)
            if not gone.more:
                return
            await asyncio.sleep(0)


def _measurable(c: Connection) -> list[tuple[str, int, float | None]]:
    rows = c.exec_driver_sql(
        "SELECT i.runid, i.pid, t.log_limit FROM instances i JOIN tasks t ON t.uuid = i.task_id "
        "WHERE i.status IN ('starting', 'running', 'paused', 'stopping') AND i.pid IS NOT NULL"
    )
    return [(row.runid, row.pid, row.log_limit) for row in rows]


def _repair(c: Connection) -> None:
    wrong = moves.recount(c)
    if wrong:
        log.error("loads were wrong and are mended: %s", ", ".join(wrong))
        operations.record(c, moves.SYSTEM, "reconcile", "loads", before=wrong)


def _sample(c: Connection, tallies: dict[str, tuple[int, int, int]], used: dict[str, tuple[float, float]]) -> None:
    now = clock.now()
    minute = now[:16] + ":00.000000Z"
    counted = reads.counters(c)
    rows = [
        {"kind": "queue", "name": q.name, "minute": minute, "running": q.current_load, "waiting": counted.get((q.name, "queued"), 0),
         **dict(zip(("started", "ended", "failed"), tallies.get(q.name, (0, 0, 0)), strict=True)),
         "used_cpu": None, "used_memory": None, "measured_cpu": None, "measured_memory": None, "created_at": now, "updated_at": now}
        for q in reads.queues(c)
    ]  # fmt: skip
    measured: dict[str, tuple[float, float]] = {}
    for run in reads.active(c):
        cpu, memory = measured.get(run.pool, (0.0, 0.0))
        more_cpu, more_memory = used.get(run.runid, (0.0, 0.0))
        measured[run.pool] = (cpu + more_cpu, memory + more_memory)
    rows += [
        {"kind": "pool", "name": p.name, "minute": minute, "running": 0, "waiting": 0, "started": 0, "ended": 0, "failed": 0,
         "used_cpu": p.used_cpu, "used_memory": p.used_memory, "measured_cpu": measured.get(p.name, (0.0, 0.0))[0],
         "measured_memory": measured.get(p.name, (0.0, 0.0))[1], "created_at": now, "updated_at": now}
        for p in reads.pools(c)
    ]  # fmt: skip
    c.execute(schema.samples.insert().prefix_with("OR REPLACE"), rows)
