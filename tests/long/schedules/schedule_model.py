"""Model of what schedules must have done, beside a real database with a clock that tests move.

A schedule must handle each fire time of its windows once: from its creation, or the end of a pause,
to a pause or another recurrence. The model lists these times itself, and compares them with the
rows and the tasks that the runtime has stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.core.schedules import fire_plan, recurrence
from app.core.schedules.recurrence import Recurrence
from app.errors import Problem
from app.service.context import Call
from app.service.schedules import firing, verbs
from app.service.schedules import rules as schedule_rules
from db import raw_sql, timestamps
from db.engine import Database, open_database
from db.queries import schedules
from db.rows import ScheduleRow
from tests.db.builders import TaskBuilder

SECOND = timedelta(seconds=1)
KILLS = ("before", "inside", "after")
"""Moments of a kill: before a transaction, before its COMMIT, and before the answer."""


class Killed(Exception):  # noqa: N818
    """The end of the process in the middle of its work."""


class MovableClock:
    """Clock that only tests move. Its microseconds differ from those of fire times."""

    def __init__(self, start: datetime) -> None:
        self.now = start.replace(microsecond=123_457)

    def __call__(self) -> datetime:
        return self.now


class KillableDatabase:
    """Database whose process can be killed at one of its next transactions."""

    def __init__(self, db: Database) -> None:
        self.db, self.path = db, db.path
        self.kill_at: tuple[int, str] | None = None
        self.between: Callable[[], Awaitable[Any]] | None = None
        """What another client does before the next transaction."""

    async def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.db.read(fn, *args)

    async def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        if self.between is not None:
            between, self.between = self.between, None
            await between()
        moment = self._get_moment()
        if moment == "before":
            raise Killed
        if moment == "inside":
            return await self.db.write(_run_and_die, fn, args)
        answer = await self.db.write(fn, *args)
        if moment == "after":
            raise Killed
        return answer

    def _get_moment(self) -> str | None:
        if self.kill_at is None:
            return None
        count, moment = self.kill_at
        self.kill_at = (count - 1, moment)
        return moment if count == 0 else None


def _run_and_die(c: Connection, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    fn(c, *args)
    raise Killed


@dataclass
class Window:
    """Fire times of one recurrence after a moment, up to and with another one.

    Those up to `upto` must be handled, and those up to `closed` may be: the jitter lies between.
    `times` are those found so far. `dropped` are those that were not recorded, because the
    schedule had missed more than it records.
    """

    recurrence: Recurrence
    after: datetime
    upto: datetime | None = None
    closed: datetime | None = None
    times: list[datetime] = field(default_factory=list[datetime])
    dropped: set[datetime] = field(default_factory=set[datetime])

    def list_due(self, last: datetime) -> list[datetime]:
        """Return the fire times up to `last`, oldest first."""
        return self._list_until(last, self.upto)

    def list_possible(self, last: datetime) -> list[datetime]:
        """Return the fire times that may have been handled by `last`."""
        return self._list_until(last, self.closed)

    def _list_until(self, last: datetime, end: datetime | None) -> list[datetime]:
        last = last if end is None else min(last, end)
        while (at := self._find_next()) is not None and at <= last:
            self.times.append(at)
        return [at for at in self.times if at <= last]

    def _find_next(self) -> datetime | None:
        return recurrence.find_next(self.recurrence, self.times[-1] if self.times else self.after)


@dataclass
class ScheduleModel:
    """What one schedule must have handled. `explained` are times that a person decided about."""

    name: str
    windows: list[Window]
    jitter: float = 0.0
    explained: set[str] = field(default_factory=set[str])
    boots: int = 0
    tasks_before: int = 0

    @property
    def delay(self) -> timedelta:
        return fire_plan.compute_jitter(self.name, self.jitter)

    def close(self, now: datetime) -> None:
        """End the windows: what is due by now stays to be handled."""
        for window in self.windows:
            last = now - self.delay
            window.upto = last if window.upto is None else min(last, window.upto)
            window.closed = now if window.closed is None else max(now, window.closed)

    def list_due(self, now: datetime) -> set[datetime]:
        return {at for window in self.windows for at in window.list_due(now - self.delay)}


class ScheduleWorld:
    """Schedules of one database, with the model of each."""

    def __init__(self, path: Path, clock: MovableClock) -> None:
        self.clock = clock
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.real: Database = self.run(
            self.stack.enter_async_context(open_database(path, writable=True))
        )
        self.db = KillableDatabase(self.real)
        self.call = Call(self.db, "ann", path.parent)  # pyright: ignore[reportArgumentType]
        self.models: dict[str, ScheduleModel] = {}
        self.boot_id = "boot-0"
        self.checked = 0
        """Fire times compared so far."""
        self.counts: dict[str, int] = {}

    def close(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Any:
        return self.runner.run(_await(work))

    def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.run(self.real.read(fn, *args))

    def attempt(self, work: Coroutine[Any, Any, Any], kill: tuple[int, str] | None = None) -> bool:
        """Run a verb that may be refused or killed; return True if it recorded an operation."""
        before = self._count_operations()
        self.db.kill_at = kill
        try:
            with suppress(Killed, Problem):
                self.run(work)
        finally:
            self.db.kill_at = None
            self._note_dropped()
        return self._count_operations() > before

    # What a person does

    def create(self, name: str, kill: tuple[int, str] | None, **keys: Any) -> None:
        before = self._count_tasks(name)
        if self.attempt(verbs.create(self.call, name=name, argv=["true"], **keys), kill):
            row = self.find(name)
            window = Window(schedule_rules.get_recurrence(row), self.clock.now)
            self.models[name] = ScheduleModel(
                name, [window], row.jitter, boots=0, tasks_before=before
            )

    def remove(self, name: str, kill: tuple[int, str] | None) -> None:
        if self.attempt(verbs.rm(self.call, name=name), kill):
            del self.models[name]
            self.counts.pop(name, None)

    def pause(self, name: str, until: datetime | None, kill: tuple[int, str] | None) -> None:
        model, text = self.models[name], until.isoformat() if until else None
        if self.attempt(verbs.pause(self.call, name=name, until=text), kill):
            self._close(model)
            if until is not None:
                self._open(model, until - SECOND)

    def resume(self, name: str, kill: tuple[int, str] | None) -> None:
        model, was_paused = self.models[name], self.is_paused(name)
        if self.attempt(verbs.resume(self.call, name=name), kill) and was_paused:
            self._close(model)
            self._open(model, self.clock.now)

    def change(self, name: str, kill: tuple[int, str] | None, **keys: Any) -> None:
        model, before = self.models[name], self.find(name)
        if not self.attempt(verbs.set_(self.call, name=name, **keys), kill):
            return
        row = self.find(name)
        if schedule_rules.get_recurrence(before) != schedule_rules.get_recurrence(row):
            self._close(model)
            self._open_unless_paused(model, row)
        model.jitter = row.jitter

    def skip_next(self, name: str, kill: tuple[int, str] | None) -> None:
        before = self._read_fires(name)
        self.attempt(verbs.skip_next(self.call, name=name), kill)
        found = self._read_fires(name)
        self.models[name].explained |= {
            at for at in found if at not in before and found[at][1] == "Skipped by ann."
        }

    def run_now(self, name: str, kill: tuple[int, str] | None) -> None:
        self.attempt(verbs.run(self.call, name=name), kill)
        now = timestamps.format_time(self.clock.now)
        self.models[name].explained |= self._read_fires(name).keys() & {now}

    def backfill(self, name: str, hours: float, kill: tuple[int, str] | None) -> None:
        begin = (self.clock.now - timedelta(hours=hours)).isoformat()
        end = self.clock.now.isoformat()
        self.attempt(verbs.backfill(self.call, name=name, since=begin, until=end), kill)
        found = self._read_fires(name)
        self.models[name].explained |= {
            at for at in found if found[at][1] == "Submitted by a backfill."
        }

    # What the runtime and its tasks do

    def fire(self, kill: tuple[int, str] | None = None) -> None:
        """Run one pass, and check that it left nothing out unless it was killed."""
        self.attempt(firing.fire_due(self.call.db), kill)
        if kill is None:
            self.check_nothing_is_left()

    def fire_while_paused(self, name: str) -> None:
        """Run one pass that another client overtakes with a pause."""
        call = Call(self.real, "bob", self.call.home)
        self.db.between = lambda: verbs.pause(call, name=name)
        self.attempt(firing.fire_due(self.call.db))
        if self.db.between is None:
            self._close(self.models[name])
        self.db.between = None
        self.check_nothing_is_left()

    def boot(self, is_new: bool, kill: tuple[int, str] | None = None) -> None:
        """Start the runtime, after a boot of the machine or not."""
        if is_new:
            self.boot_id = f"boot-{int(self.boot_id.removeprefix('boot-')) + 1}"
        before = {name: self.find(name) for name in self.models}
        self.attempt(firing.fire_at_boot(self.call.db, self.boot_id), kill)
        for name, row in before.items():
            done = self.find(name).boot_id == self.boot_id != row.boot_id
            self.models[name].boots += done and not schedule_rules.is_paused(row, self.clock.now)
        self.fire(kill)

    def end_tasks(self, code: int) -> None:
        """Run all tasks that wait for nothing to their end."""

        def end(c: Connection) -> None:
            tasks = TaskBuilder(c)
            for row in raw_sql.fetch_rows(c, "SELECT uuid FROM tasks WHERE status = 'queued'"):
                tasks.complete_run(row.uuid, code)

        self.run(self.real.write(end))

    def set_back(self, by: timedelta, kill: tuple[int, str] | None) -> None:
        """Set the clock back. What was dropped of a time that comes again is due again."""
        self.clock.now -= by - timedelta(microseconds=1)  # no moment comes exactly twice
        for name, model in self.models.items():
            for window in model.windows:
                window.dropped = {at for at in window.dropped if at <= self.clock.now}
            row = self.find(name)
            if row.status == "active" or row.paused_until:
                self._open_unless_paused(model, row)
        self.attempt(firing.recompute_after_set_back(self.call.db), kill)
        if kill is not None:  # the runtime starts again
            self.attempt(firing.recompute_after_set_back(self.call.db))
        self.check_nothing_is_left()

    # Checks

    def check_nothing_is_left(self) -> None:
        """Check that each fire time that is due was handled."""
        for name, model in self.models.items():
            dropped = {at for window in model.windows for at in window.dropped}
            left = [at for at in self._list_missing(model) if at not in dropped]
            assert not left, f"{name}: nothing was done about {left} at {self.clock.now}"

    def _list_missing(self, model: ScheduleModel) -> list[datetime]:
        """Return the fire times that are due and have no row."""
        found, due = self._read_fires(model.name), sorted(model.list_due(self.clock.now))
        return [at for at in due if timestamps.format_time(at) not in found]

    def _note_dropped(self) -> None:
        """Note what a pass may leave out: all but the newest of many missed fire times."""
        for model in self.models.values():
            due = sorted(model.list_due(self.clock.now))
            if len(due) > fire_plan.MAX_CATCH_UP:
                oldest = due[-fire_plan.MAX_CATCH_UP]
                missing = {at for at in self._list_missing(model) if at < oldest}
                for window in model.windows:
                    window.dropped |= missing

    def check_no_doubles(self) -> None:
        """Check that each row has a reason, and that each submitted one has its task."""
        for name, model in self.models.items():
            found = self._read_fires(name)
            self.checked += len(found) - self.counts.get(name, 0)
            self.counts[name] = len(found)
            possible = {
                timestamps.format_time(at)
                for window in model.windows
                for at in window.list_possible(self._latest())
            }
            extra = found.keys() - possible - model.explained
            if self.find(name).kind == "boot":
                assert len(extra) == model.boots, f"{name}: {sorted(extra)}, {model.boots} boots"
            else:
                assert not extra, f"{name}: unexpected {sorted(extra)} at {self.clock.now}"
            submitted = {at: task for at, (outcome, _, task) in found.items() if task}
            assert len(set(submitted.values())) == len(submitted)
            count = self._count_tasks(name) - model.tasks_before
            assert count == len(submitted), f"{name}: {count} tasks for {len(submitted)} fires"
            self._check_environment(name, submitted)

    def _check_environment(self, name: str, submitted: dict[str, str]) -> None:
        texts = json.dumps(list(submitted.values()))
        rows = self.read(
            raw_sql.fetch_rows,
            "SELECT uuid, env FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))",
            (texts,),
        )
        times = {
            row.uuid: datetime.fromisoformat(json.loads(row.env)[firing.FIRE_TIME]) for row in rows
        }
        for at, task in submitted.items():
            assert times[task] == timestamps.parse_time(at), f"{name}: {at} has another fire time"

    def _latest(self) -> datetime:
        """Return the latest moment at which a pass may have run."""
        self.high = max(getattr(self, "high", self.clock.now), self.clock.now)
        return self.high

    # Queries

    def find(self, name: str) -> ScheduleRow:
        row = self.read(schedules.find, name)
        assert row is not None
        return row

    def is_paused(self, name: str) -> bool:
        return schedule_rules.is_paused(self.find(name), self.clock.now)

    def _close(self, model: ScheduleModel) -> None:
        """End the windows. What was handled under a later clock keeps its reason."""
        if self.find(model.name).kind != "boot":
            model.explained |= self._read_fires(model.name).keys()
        model.close(self.clock.now)

    def _open(self, model: ScheduleModel, after: datetime) -> None:
        found = schedule_rules.get_recurrence(self.find(model.name))
        model.windows.append(Window(found, after))

    def _open_unless_paused(self, model: ScheduleModel, row: ScheduleRow) -> None:
        if row.status == "paused" and row.paused_until is None:
            return
        after = self.clock.now
        if row.status == "paused" and row.paused_until:
            after = max(after, timestamps.parse_time(row.paused_until) - SECOND)
        self._open(model, after)

    def _read_fires(self, name: str) -> dict[str, tuple[str, str | None, str | None]]:
        rows = self.read(
            raw_sql.fetch_rows,
            "SELECT fire_time, outcome, reason, task_id FROM fires WHERE schedule = ?",
            (name,),
        )
        return {row.fire_time: (row.outcome, row.reason, row.task_id) for row in rows}

    def _count_operations(self) -> int:
        return self.read(raw_sql.fetch_value, "SELECT count(*) FROM operations", ())

    def _count_tasks(self, name: str) -> int:
        return self.read(
            raw_sql.fetch_value,
            "SELECT count(*) FROM tasks WHERE submitted_by = ?",
            (f"schedule {name}",),
        )


async def _await(work: Awaitable[Any]) -> Any:
    return await work


START_TIMES = tuple(
    datetime(*day, tzinfo=UTC) for day in ((2026, 3, 28, 22), (2026, 10, 24, 22), (2026, 6, 1, 5))
)
"""Times shortly before the clock changes of Berlin, and one far from any."""
