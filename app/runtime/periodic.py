"""What the runtime does by the clock. APScheduler fires each duty; a duty is a short transaction or a wake-up, never a wait.

Its traps: a job's misfire grace is one second by default, so ours is unlimited and coalesced; a duty that is still running is not
started again; a clock that is set ahead has it go through all the times that were missed, and one that is set back has it wait until the
time is there again (`Every`, `mind_clock`). One that fails is written down and tried again at its next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert as upsert

from app import paths
from app.errors import Problem, Storage
from app.home.clock_guard import Steady, last_sample
from app.runtime.backup_schedule import Backing
from app.runtime.config_watcher import Settings
from app.runtime.disk_usage import largest
from app.runtime.dispatcher import WORDS, Dispatcher
from app.runtime.replicator import Replicating
from app.runtime.search_indexer import Indexing
from app.runtime.usage import Usage, disk_trouble, kind, needs_room
from app.service import history
from app.service.database import cleanup, replica
from app.service.definitions import slas
from db import defaults as db_defaults
from db import engine, raw_sql, schema, statement_timer, timestamps
from db.engine import Database
from db.maintenance import quarantine, slow_queries
from db.maintenance.integrity import none_at_all
from db.queries import alerts, operations, reads, transitions
from db.states import ACTIVE_SQL

log = logging.getLogger(__name__)

LATE = 5.0
"""Seconds that a duty may take, or as long as the time between two of it, before it is told as late."""

CALM = 60.0
"""Seconds without another that end what is told of a duty that was late."""

COUNTED = 60.0
"""Seconds for which it is known what takes the room on a full disk."""

FIGURE = "figure-"
"""What the alerts about figures that cannot be read begin with."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something done every so many seconds."""

    name: str
    every: int
    run: Callable[[], Awaitable[None]]


class Every(IntervalTrigger):
    """Every so many seconds. Times that were missed are passed over: of a second each there may be millions."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first time of its own after both."""
        found = super().get_next_fire_time(previous_fire_time, now) or now  # there is no end to it
        return found + max(0, (now - found) // self.interval + 1) * self.interval


LOOK_AT_CLOCK = 1.0
"""Seconds between two looks whether it was set back."""


async def mind_clock(scheduler: AsyncIOScheduler) -> None:
    """Let no duty wait for a time that was there already, for good."""
    while True:
        await asyncio.sleep(LOOK_AT_CLOCK)
        follow_clock(scheduler)


def follow_clock(scheduler: AsyncIOScheduler) -> None:
    """Have each duty be due by the clock as it is now, where that was set back."""
    now = datetime.now(UTC)
    for job in scheduler.get_jobs():
        if job.next_run_time - now > job.trigger.interval:
            job.modify(next_run_time=now + job.trigger.interval)


class Duties:
    """The runtime's duties over its parts."""

    def __init__(
        self, db: Database, dispatcher: Dispatcher, usage: Usage, settings: Settings | None = None, steady: Steady | None = None
    ) -> None:
        self.db, self.dispatcher, self.usage = db, dispatcher, usage
        self.indexing = Indexing(db)
        self.replicating = Replicating(db, dispatcher.home)
        self.backing = Backing(db, Path(usage.home))
        self.settings = settings or Settings(paths.config_file())
        self._steady = steady or Steady()
        self._folders = cycle(cleanup.FOLDERS)
        self._tick = time.monotonic()
        self._problems: dict[str, str] = {}
        self._told: dict[str, str] | None = None
        self._late: dict[str, float] = {}
        self._counted_at = float("-inf")
        self._silent = False
        """Alerts cannot be written, which has been said."""

    def table(self) -> tuple[Duty, ...]:
        """All of them."""
        return (
            Duty("dispatch", 1, self.dispatch),
            Duty("timeouts", 1, self.dispatcher.stop_overdue),
            Duty("slas", 1, self.slas),
            Duty("usage", 2, self.measure),
            Duty("room", 2, self.count_room),
            Duty("reconcile", 30, self.reconcile),
            Duty("samples", 60, self.sample),
            Duty("history", 60, self.count),
            Duty("replica", 30, self.replicate),
            Duty("search", 2, self.indexing.catch_up),
            Duty("cleanup", 600, self.cleanup),
            Duty("rules", 60, self.rules),
            Duty("logs", 60, self.sweep),
            Duty("backup", 60, self.backup),
            Duty("slow", 10, self.slow),
            Duty("figures", 10, self.figures),
        )

    def scheduler(self) -> AsyncIOScheduler:
        """APScheduler with every duty in it, not yet started."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # else a line each second for a duty that is late
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler = AsyncIOScheduler(job_defaults=defaults, timezone=UTC)
        for duty in self.table():
            scheduler.add_job(self._guarded, Every(seconds=duty.every, timezone=UTC), args=[duty], id=duty.name)
        return scheduler

    async def begin(self) -> None:
        """Measure once and look what backups there are, for the first board. A disk that is full keeps no runtime from coming up."""
        self.db.slow.mind(self.settings.upkeep.slow.threshold)
        with suppress(Problem):  # a duty tells of it
            self._steady.begin(await self.db.read(last_sample))
            self._tell_of("empty", await self.db.read(_empty))
            self._tell_of("aside", await self.db.read(_aside))
        await self._guarded(Duty("usage", 2, self.measure))
        await self.backing.remember(self.settings.upkeep.backup)

    async def _guarded(self, duty: Duty) -> None:
        """Do a duty; one that fails is written down, told as an alert, and tried again at its next time."""
        problem, began = f"duty-{duty.name}", time.monotonic()
        try:
            with statement_timer.asked_by(f"duty {duty.name}"):
                await duty.run()
            self._problems.pop(problem, None)
        except Storage as trouble:  # no fault of the duty's: nothing can be written, which stops the starting
            if self.dispatcher.halted is None:
                self._halt(WORDS.get(trouble.code, "disk trouble"))
        except Exception as error:
            log.exception("duty %s failed", duty.name)
            if not await self.dispatcher.aside.anywhere():
                self._problems[problem] = f"the duty {duty.name} failed ({type(error).__name__}); see run/runtime.log"
        self._time(duty, time.monotonic() - began)
        await self._tell()

    def _time(self, duty: Duty, took: float) -> None:
        """Remember a duty that took too long; it is told until it has been in time for a while."""
        problem, now = f"late-{duty.name}", time.monotonic()
        if took > max(LATE, duty.every):
            if problem not in self._problems:
                log.warning("duty %s took %.1f s", duty.name, took)
            self._problems.setdefault(problem, f"the duty {duty.name} took {took:.0f} s; to see why: taskdeck doctor")
            self._late[problem] = now
        elif now - self._late.get(problem, now) > CALM:
            self._problems.pop(problem, None)
            del self._late[problem]

    def _halt(self, trouble: str | None) -> None:
        """Let nothing start for this reason, since the time at which it began; None lets it go on."""
        was = self.dispatcher.halted
        if trouble is None:
            self.dispatcher.halted = None
            if was:
                log.warning("starting goes on; it was halted: %s", was)
                self.dispatcher.wake()
            return
        same = was is not None and kind(was) == kind(trouble)
        since = was.rpartition(" since ")[2] if was and " since " in was else time.strftime("%H:%M")
        self.dispatcher.halted = f"{trouble} since {since}"
        if not same:
            log.warning("nothing starts: %s", self.dispatcher.halted)

    async def _tell(self) -> None:
        """Alerts about the runtime itself: what fails, and why nothing starts."""
        halted = {"nothing-starts": self.dispatcher.halted} if self.dispatcher.halted else {}
        trouble = {"dispatcher": self.dispatcher.trouble} if self.dispatcher.trouble else {}
        wrong = {"config": self.settings.problem} if self.settings.problem else {}
        problems = self._problems | self.backing.problems | halted | trouble | wrong
        if problems == self._told:
            return
        try:
            await self.db.write(alerts.system, problems, ("config",) if self.settings.mild else ())
            self._told, self._silent = problems, False
        except Problem as problem:
            if not self._silent:
                log.error("%s", problem)
            self._silent = True

    def _tell_of(self, name: str, problem: str | None) -> None:
        """Let there be an alert of that name as long as there is a problem."""
        self._problems.pop(name, None)
        if problem:
            self._problems[name] = problem

    async def dispatch(self) -> None:
        """The dispatcher's heartbeat, and how late it comes."""
        now = time.monotonic()
        self.dispatcher.tick_lag = max(0.0, now - self._tick - 1.0)
        self._tick = now
        self.dispatcher.wake()

    async def slas(self) -> None:
        """Alerts fire and resolve. Every second, so that one is told within a second of being due."""
        if await self.db.read(slas.due, timestamps.utcnow()):
            await self.db.write(slas.evaluate, timestamps.utcnow())

    async def measure(self) -> None:
        """CPU and memory of what runs; stop what writes too much; start nothing while the disk does not take it."""
        runs = await self.db.read(_measurable)
        await asyncio.to_thread(self.usage.look, [(runid, pid) for runid, pid, _ in runs])
        await self._look_at_disk(touch=bool(runs) or self.dispatcher.halted is not None)
        for runid in self.usage.over_limit([(runid, limit) for runid, _, limit in runs]):
            await self.dispatcher.stop_run(runid, "log limit")

    async def count_room(self) -> None:
        """What takes the room, while there is too little of it."""
        if not needs_room(self.dispatcher.halted):
            self.usage.largest, self._counted_at = (), float("-inf")
        elif time.monotonic() - self._counted_at >= COUNTED:
            self._counted_at = time.monotonic()
            self.usage.largest = await asyncio.to_thread(largest, self.usage.home)

    async def _look_at_disk(self, touch: bool) -> None:
        """Halt the starting, or let it go on. What was halted goes on once a row could be written, and not before."""
        trouble = await asyncio.to_thread(disk_trouble, self.usage.home, touch)
        if trouble is None and self.dispatcher.halted:
            trouble = await self._refused()
        self._halt(trouble)

    async def _refused(self) -> str | None:
        """Why the database cannot be written, or None when it could be just now."""
        try:
            await self.db.write(engine.try_out)
        except Storage as problem:
            return WORDS.get(problem.code, "disk trouble")
        return None

    async def reconcile(self) -> None:
        """Loads against the active runs; drift is repaired and told. So is that no task can be submitted."""
        await self.db.write(_repair)
        self._tell_of("empty", await self.db.read(_empty))
        self._tell_of("aside", await self.db.read(_aside))

    async def sample(self) -> None:
        """A row for each queue and pool, of the minute that ended."""
        tallies, self.dispatcher.tallies = self.dispatcher.tallies, {}
        used = {runid: (run.cpu, run.memory) for runid, run in self.usage.runs.items()}
        figures = {name: (tally.started, tally.ended, tally.failed) for name, tally in tallies.items()}
        await self.db.write(_sample, figures, used)

    async def count(self) -> None:
        """What began and ended in the minutes that are over. A runtime that stops meanwhile leaves the rest to the next one."""
        with suppress(asyncio.CancelledError):
            await history.count(self.db)

    async def slow(self) -> None:
        """What was slow is written down; a log that grows, or waits for the lock, are told."""
        self.db.slow.mind(self.settings.upkeep.slow.threshold)
        found = await slow_queries.keep(self.db)
        self._problems = {name: said for name, said in self._problems.items() if name not in slow_queries.PROBLEMS} | found

    async def figures(self) -> None:
        """What rules are held against and cannot be read is told; those rules stay as they are."""
        found = await self.db.read(slas.unreadable, timestamps.utcnow())
        others = {name: said for name, said in self._problems.items() if not name.startswith(FIGURE)}
        self._problems = others | {f"{FIGURE}{name}": f"{name} {why}; the rules on it stay as they are" for name, why in found.items()}

    async def backup(self) -> None:
        """A backup when it is due. What is wrong with it is told, and stops nothing. None goes by a clock that may be wrong."""
        chosen = self.settings.upkeep.backup
        await self.backing.look(chosen if self._steady.look() else replace(chosen, keep=None))

    async def replicate(self) -> None:
        """Bring the copy on another disk or host up to date; one that is late is told."""
        found = replica.told(await self.replicating.sync())
        age = f"{found['lag']:.0f} s old" if found["lag"] is not None else "not made yet"
        problem = f"the replica is {age}: {found['problem'] or 'it takes long'}; see: taskdeck db replica"
        self._tell_of("replica", problem if found["late"] else None)

    async def cleanup(self) -> None:
        """What is old goes by the rules, in batches that hold the writer for moments only. One that is cut short leaves the rest to the
        next. While it is not known what may go, or how old it is, nothing does."""
        if self._steady.look() and not self.settings.upkeep.doubt:
            with suppress(asyncio.CancelledError):
                await cleanup.clean(self.db, self.usage.home, self.settings.upkeep)

    async def rules(self) -> None:
        """Rules of cleanup for what is not there are told: their names may be misspelt, and what was meant goes by another rule."""
        odd = await cleanup.unknown(self.db, self.settings.upkeep)
        self._tell_of("rules", f"in config.toml {'; '.join(odd)}; see: taskdeck db cleanup --dry-run" if odd else None)

    async def sweep(self) -> None:
        """Logs of runs that nobody knows, of one folder after the other."""
        await cleanup.sweep(self.db, self.usage.home, next(self._folders))


def _measurable(c: Connection) -> list[tuple[str, int, float | None]]:
    rows = raw_sql.rows(
        c,
        "SELECT i.runid, i.pid, t.log_limit FROM instances i JOIN tasks t ON t.uuid = i.task_id "
        f"WHERE i.status IN {ACTIVE_SQL} AND i.pid IS NOT NULL",
    )
    return [(row.runid, row.pid, row.log_limit) for row in rows]


def _repair(c: Connection) -> None:
    wrong = transitions.recount(c)
    if wrong:
        log.error("loads were wrong and are mended: %s", ", ".join(wrong))
        operations.record(c, transitions.SYSTEM, "reconcile", "loads", before=wrong)


def _empty(c: Connection) -> str | None:
    lacking = raw_sql.column(c, db_defaults.LACKING)
    return f"{none_at_all(lacking[0])}; to have one made: taskdeck db check --repair" if lacking else None


def _aside(c: Connection) -> str | None:
    held = quarantine.held(c)
    more = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
    cure = "cancel and submit anew, or see what a backup has: taskdeck db restore --dry-run"
    return f"task #{held[0]}{more} cannot be read as it was stored, and is held; {cure}" if held else None


def _sample(c: Connection, tallies: dict[str, tuple[int, int, int]], used: dict[str, tuple[float, float]]) -> None:
    now = timestamps.now()
    minute = now[:16] + ":00.000000Z"
    counted = reads.counters(c)
    rows = [
        {"kind": "queue", "name": q.name, "minute": minute, "running": q.current_load, "waiting": counted.get((q.name, "queued"), 0),
         **dict(zip(_COUNTED, tallies.get(q.name, (0, 0, 0)), strict=True)),
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
    _store_samples(c, rows)


_COUNTED = ("started", "ended", "failed")


def _store_samples(c: Connection, rows: list[dict[str, Any]]) -> None:
    """Two samples in one minute, of a runtime that was replaced or of a clock that drifts, are its latest levels and all counts."""
    table = upsert(schema.samples)
    levels = ("running", "waiting", "used_cpu", "used_memory", "measured_cpu", "measured_memory", "created_at", "updated_at")
    fresh = {name: table.excluded[name] for name in levels}
    more = {name: schema.samples.c[name] + table.excluded[name] for name in _COUNTED}
    c.execute(table.on_conflict_do_update(index_elements=["kind", "name", "minute"], set_=fresh | more), rows)
