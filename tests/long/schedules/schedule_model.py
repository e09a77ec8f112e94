"""Model of what schedules must have done, beside a real database with a clock that tests move.

The model knows of each schedule until when its fire times are settled. A pass must record exactly
the fire times that came due since then, all of a schedule or none of them if the process is killed.
Each of them must have its task, and the next fire time must follow.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from app.core.schedules import fire_plan, recurrence
from app.core.schedules.recurrence import Recurrence
from app.errors import Problem, Storage
from app.service.context import Call
from app.service.schedules import firing, verbs
from app.service.schedules import rules as schedule_rules
from db import raw_sql, timestamps
from db.engine import create_write_engine
from db.queries import schedules
from db.rows import ScheduleRow
from tests.db.builders import TaskBuilder

SECOND, TICK = timedelta(seconds=1), timedelta(microseconds=1)
KILLS = ("before", "inside", "after")
"""Moments of a kill: before a transaction, before its COMMIT, and before the answer."""
SKIPPED, RUN, BACKFILLED = "Skipped by ann.", "Run by ann.", "Submitted by a backfill."
"""Reasons of fire times that a person decided about."""
READ_FIRES = "SELECT schedule, fire_time, outcome, reason, task_id FROM fires"
DECIDED = (SKIPPED, RUN, BACKFILLED)
Kill = tuple[int, str] | None
"""Transaction at which the process is killed, counted from 0, and the moment."""


class Killed(Exception):  # noqa: N818
    """The end of the process in the middle of its work."""


class MovableClock:
    """Clock that only tests move. Its microseconds differ from those of fire times."""

    def __init__(self, start: datetime) -> None:
        self.now = start.replace(microsecond=123_457)

    def __call__(self) -> datetime:
        return self.now


class KillableDatabase:
    """Copy of a database, whose process can be killed at one of its next transactions.

    One connection reads and writes: threads would take most of the time of a step.
    """

    def __init__(self, template: Path, path: Path) -> None:
        self.path = Path(shutil.copy(template, path))
        self.engine = create_write_engine(self.path)
        self.connection = self.engine.connect()
        driver = cast(sqlite3.Connection, self.connection.connection.driver_connection)
        driver.execute("PRAGMA synchronous=OFF")  # no process is really killed
        self.kill_at: Kill = None
        self.between: Callable[[], Awaitable[Any]] | None = None
        """What another client does before the next transaction."""

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()

    def read_now(self, fn: Callable[..., Any], *args: Any) -> Any:
        with self.connection.begin():
            return fn(self.connection, *args)

    async def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.read_now(fn, *args)

    async def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        if self.between is not None:
            between, self.between = self.between, None
            await between()
        moment = self._get_moment()
        if moment == "before":
            raise Killed
        with self.connection.begin():
            answer = fn(self.connection, *args)
            if moment == "inside":
                raise Killed
        if moment == "after":
            raise Killed
        return answer

    async def write_except(self, _wakes: Any, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.write(fn, *args)

    def _get_moment(self) -> str | None:
        if self.kill_at is None:
            return None
        count, moment = self.kill_at
        self.kill_at = (count - 1, moment)
        return moment if count == 0 else None


class Fire(NamedTuple):
    """A handled fire time as stored."""

    outcome: str
    reason: str | None
    task: str | None


class NewTask(NamedTuple):
    """A task that was just submitted: by whom, and the fire time in its environment."""

    by: str
    fire_time: datetime


@dataclass
class ScheduleModel:
    """What one schedule must have handled.

    Fire times up to `settled` are handled, or nobody wants them; None if no other one follows.
    `touched` is when the schedule last moved on.
    """

    name: str
    recurrence: Recurrence
    jitter: float
    settled: datetime | None
    touched: datetime
    boot_id: str | None
    fires: dict[str, Fire] = field(default_factory=dict[str, Fire])

    @property
    def delay(self) -> timedelta:
        return fire_plan.compute_jitter(self.name, self.jitter)

    def find_next(self) -> str | None:
        """Return the next fire time, as stored."""
        at = None if self.settled is None else recurrence.find_next(self.recurrence, self.settled)
        return None if at is None else timestamps.format_time(at)

    def list_due(self, now: datetime) -> set[str]:
        """Return the fire times that a pass must record: the newest of those that are due."""
        if self.settled is None:
            return set()
        due = list(_iterate(self.recurrence, self.settled, now - self.delay))
        newest = {timestamps.format_time(at) for at in due[-fire_plan.MAX_CATCH_UP :]}
        return newest - self.fires.keys()

    def settle(self, now: datetime) -> None:
        """Note that a pass has handled what is due."""
        if self.settled is None or self.settled >= now - self.delay:
            return
        before = self.find_next()
        self.settled = now - self.delay
        if self.find_next() != before:
            self.touched = now

    def list_range(self, first: datetime, last: datetime) -> list[str]:
        """Return the fire times of a range, for `every` also those before its start."""
        found = self.recurrence
        if found.kind == "every":
            step = timedelta(seconds=int(found.expression))
            found = found._replace(start=found.start - step * ((found.start - first) // step + 2))
        return [timestamps.format_time(at) for at in _iterate(found, first - SECOND, last)]


def _iterate(found: Recurrence, after: datetime, last: datetime) -> Iterator[datetime]:
    return takewhile(lambda at: at <= last, recurrence.iterate(found, after))


class ScheduleWorld:
    """Schedules of one database, with the model of each."""

    def __init__(self, template: Path, folder: Path, clock: MovableClock) -> None:
        self.clock = clock
        self.runner = asyncio.Runner()
        self.db = KillableDatabase(template, folder / "taskdeck.db")
        self.call = Call(self.db, "ann", folder)  # pyright: ignore[reportArgumentType]
        self.models: dict[str, ScheduleModel] = {}
        self.boot_id = "boot-0"
        self.checked = 0
        """Fire times compared so far."""
        self.last_task = 0

    def close(self) -> None:
        self.db.close()
        self.runner.close()

    # What a person does

    def create(self, name: str, kill: Kill, **keys: Any) -> None:
        self._attempt(verbs.create(self.call, name=name, argv=["true"], **keys), kill, passes=False)
        if (row := self.find(name)) is not None:
            now, found = self.clock.now, schedule_rules.get_recurrence(row)
            model = ScheduleModel(name, found, row.jitter, now, now, row.boot_id)
            self._check_next(model, row)
            self.models[name] = model

    def remove(self, name: str, kill: Kill) -> None:
        self._attempt(verbs.rm(self.call, name=name), kill, passes=False)
        if self.find(name) is None:
            del self.models[name]

    def pause(self, name: str, until: datetime | None, kill: Kill) -> None:
        text = until.isoformat() if until else None
        self._attempt(verbs.pause(self.call, name=name, until=text), kill, name, self._change_times)

    def resume(self, name: str, kill: Kill) -> None:
        was_paused = schedule_rules.is_paused(self.require(name), self.clock.now)
        effect = self._change_times if was_paused else None
        self._attempt(verbs.resume(self.call, name=name), kill, name, effect)

    def change(self, name: str, kill: Kill, **keys: Any) -> None:
        def effect(model: ScheduleModel) -> None:
            row, before, jitter = self.require(name), model.recurrence, model.jitter
            model.jitter, model.recurrence = row.jitter, schedule_rules.get_recurrence(row)
            if model.recurrence != before or (model.settled is None and model.jitter != jitter):
                self._change_times(model)

        self._attempt(verbs.set_(self.call, name=name, **keys), kill, name, effect)

    def skip_next(self, name: str, kill: Kill) -> None:
        model = self.models[name]
        after_pass = replace(model)
        after_pass.settle(self.clock.now + TICK)
        skipped = after_pass.find_next()
        if skipped is not None:
            after_pass.settled = timestamps.parse_time(skipped)

        def effect(model: ScheduleModel) -> None:
            model.settled = after_pass.settled

        decided = self._attempt(
            verbs.skip_next(self.call, name=name), kill, name, effect,
            is_done=lambda: skipped is not None
            and self.require(name).next_fire == after_pass.find_next(),
        )  # fmt: skip
        assert decided <= {skipped}, f"{name}: {sorted(decided)} skipped, not {skipped}"
        assert kill or not skipped or skipped in model.fires, f"{name}: {skipped} not skipped"

    def run_now(self, name: str, kill: Kill) -> None:
        decided = self._attempt(verbs.run(self.call, name=name), kill, name, passes=False)
        now = timestamps.format_time(self.clock.now)
        assert decided == {now} or (kill and not decided), f"{name}: {sorted(decided)}, not {now}"

    def backfill(self, name: str, hours: float, kill: Kill) -> None:
        end = self.clock.now + TICK
        begin = end - timedelta(hours=hours)
        model = self.models[name]
        wanted = [
            at for at in model.list_range(begin, end)
            if at not in model.fires or model.fires[at].outcome != "submitted"
        ]  # fmt: skip
        work = verbs.backfill(self.call, name=name, since=begin.isoformat(), until=end.isoformat())
        decided = self._attempt(work, kill, name, passes=False)
        count = len(decided) if kill else len(wanted)
        wrong = sorted(decided ^ {*wanted[:count]})[:3]
        assert not wrong, f"{name}: {wrong} in a backfill from {begin}"

    # What the runtime and its tasks do

    def fire(self, kill: Kill = None) -> None:
        """Run one pass."""
        self._attempt(firing.fire_due(self.call.db), kill)

    def fire_while_paused(self, name: str) -> None:
        """Run one pass that another client overtakes with a pause."""
        other = Call(self.call.db, "bob", self.call.home)

        async def pause() -> None:
            self.clock.now += TICK
            await verbs.pause(other, name=name)

        self.db.between = pause
        self._attempt(firing.fire_due(self.call.db), None, name, self._begin_anew)
        self.db.between = None

    def boot(self, is_new: bool, kill: Kill = None) -> None:
        """Start the runtime, after a boot of the machine or not."""
        if is_new:
            self.boot_id = f"boot-{int(self.boot_id.removeprefix('boot-')) + 1}"
        self._attempt(
            firing.fire_at_boot(self.call.db, self.boot_id), kill, passes=False, is_boot=True
        )
        self.fire(kill)

    def set_back(self, by: timedelta, kill: Kill) -> None:
        """Set the clock back; the runtime notices, after a kill when it starts again."""
        self.clock.now -= by
        if kill is not None:
            self._attempt(firing.recompute_after_set_back(self.call.db), kill, is_set_back=True)
        self._attempt(firing.recompute_after_set_back(self.call.db), is_set_back=True)

    def end_tasks(self, code: int) -> None:
        """Run all tasks that wait for nothing to their end."""

        def end(c: Connection) -> None:
            tasks = TaskBuilder(c)
            for row in raw_sql.fetch_rows(c, "SELECT uuid FROM tasks WHERE status = 'queued'"):
                tasks.complete_run(row.uuid, code)

        self.runner.run(self.db.write(end))

    # Comparison of the model with the database

    def _attempt(
        self, work: Coroutine[Any, Any, Any], kill: Kill = None, name: str | None = None,
        effect: Callable[[ScheduleModel], None] | None = None, *, passes: bool = True,
        is_boot: bool = False, is_set_back: bool = False,
        is_done: Callable[[], bool] | None = None,
    ) -> set[str]:  # fmt: skip
        """Run a verb or a pass, and compare what it did with what it should do.

        `effect` changes the model of the schedule `name` if the verb did its work: if it recorded
        an operation, or by `is_done`. Return the fire times that a person decided about.
        """
        self.clock.now += TICK
        began, operations = self.clock.now, self._count_operations()
        is_whole = self._run_until_killed(work, kill)
        has_effect = is_done() if is_done else self._count_operations() > operations
        rows, fires, tasks = self.db.read_now(self._read_all, began)
        decided = set[str]()
        for model in self.models.values():
            if (row := rows.get(model.name)) is None:
                continue  # removed just now
            is_changed = has_effect and model.name == name
            written = self._find_written(model, fires)
            decided |= {at for at, fire in written.items() if fire.reason in DECIDED}
            recorded = {at for at, fire in written.items() if fire.reason not in DECIDED}
            if row.kind == "boot":
                self._check_boot(model, row, recorded, is_whole and is_boot)
            elif passes:
                self._check_pass(model, row, recorded, is_whole or is_changed)
            else:
                assert not recorded, f"{model.name}: unexpected {sorted(recorded)}"
            self._check_tasks(model, written, tasks)
            model.fires |= written
            self.checked += len(written)
            if is_changed and effect:
                effect(model)
                model.touched = self.clock.now
            if is_set_back and is_whole:
                self._follow_set_back(model, row)
            if is_whole or not is_set_back:
                self._check_next(model, row)
        assert not tasks, f"tasks without a fire time: {tasks}"
        return decided

    def _run_until_killed(self, work: Coroutine[Any, Any, Any], kill: Kill) -> bool:
        """Return whether the work was done: it may be killed, or refused."""
        self.db.kill_at = kill
        try:
            self.runner.run(work)
        except Storage:
            raise
        except (Killed, Problem):
            return False
        finally:
            self.db.kill_at = None
        return True

    def _check_pass(
        self, model: ScheduleModel, row: Any, recorded: set[str], must_pass: bool
    ) -> None:
        """Check that a pass recorded what was due, all or nothing."""
        if must_pass or recorded or row.next_fire != model.find_next():
            now, expected = self.clock.now, model.list_due(self.clock.now)
            left, extra = sorted(expected - recorded)[:3], sorted(recorded - expected)[:3]
            assert not left, f"{model.name}: nothing was done about {left} at {now}"
            assert not extra, f"{model.name}: unexpected {extra} at {now}"
            model.settle(now)

    def _check_boot(
        self, model: ScheduleModel, row: Any, recorded: set[str], must_fire: bool
    ) -> None:
        """Check that a schedule at boot has fired once for each boot, unless it is paused."""
        assert not must_fire or row.boot_id == self.boot_id, f"{model.name} did not fire at boot"
        has_fired = row.boot_id != model.boot_id
        is_wanted = has_fired and not schedule_rules.is_paused(row, self.clock.now)
        assert len(recorded) == is_wanted, f"{model.name}: {sorted(recorded)} at boot"
        model.boot_id = row.boot_id

    def _check_tasks(
        self, model: ScheduleModel, written: Mapping[str, Fire], tasks: dict[str, NewTask]
    ) -> None:
        """Check that each submitted fire time has a task of its own, and take it from `tasks`."""
        for at, fire in written.items():
            assert (fire.task is not None) == (fire.outcome == "submitted"), f"{at}: {fire}"
            if fire.task is not None:
                task = tasks.pop(fire.task, None)
                assert task is not None, f"{model.name}: no task for {at}"
                assert task == NewTask(f"schedule {model.name}", timestamps.parse_time(at)), at

    def _follow_set_back(self, model: ScheduleModel, row: Any) -> None:
        """Begin again from now if what follows is later only because of the clock before.

        What follows already, and is delayed by the jitter, stays.
        """
        following, now = model.find_next(), self.clock.now
        if following is None or following <= timestamps.format_time(now):
            return
        if model.touched > now or row.next_fire != following:
            self._begin_anew(model)
            while (at := model.find_next()) and at in model.fires:
                model.settled = timestamps.parse_time(at)
            model.touched = now

    def _check_next(self, model: ScheduleModel, row: Any) -> None:
        """Check the stored next fire time."""
        following = model.find_next()
        assert row.next_fire == following, (
            f"{model.name}: next is {row.next_fire}, not {following} at {self.clock.now}"
        )
        if following is None:
            model.settled = None

    def check_records(self) -> None:
        """Check that the records of earlier fire times are as they were."""
        fires = self.db.read_now(raw_sql.fetch_rows, READ_FIRES)
        for model in self.models.values():
            assert not self._find_written(model, fires), f"{model.name}: a record has changed"
            count = sum(row.schedule == model.name for row in fires)
            assert count == len(model.fires), f"{model.name}: a record has gone"

    def _begin_anew(self, model: ScheduleModel) -> None:
        """Settle a schedule up to now, or to the end of its pause."""
        row, model.settled = self.require(model.name), self.clock.now
        if row.status == "paused":
            until = row.paused_until
            end = timestamps.parse_time(until) - SECOND if until else None
            model.settled = None if end is None else max(model.settled, end)

    def _change_times(self, model: ScheduleModel) -> None:
        """Settle a schedule up to now; fire times that a person skipped stay left out."""
        self._begin_anew(model)
        while (at := model.find_next()) and self._is_skipped_by_hand(model, at):
            model.settled = timestamps.parse_time(at)

    def _is_skipped_by_hand(self, model: ScheduleModel, at: str) -> bool:
        fire = model.fires.get(at)
        return fire is not None and (fire.reason or "").startswith("Skipped by ")

    # Queries

    def find(self, name: str) -> ScheduleRow | None:
        return self.db.read_now(schedules.find, name)

    def require(self, name: str) -> ScheduleRow:
        row = self.find(name)
        assert row is not None
        return row

    def list_paused(self) -> list[str]:
        """Return the schedules whose row says that they are paused, also if the pause has ended."""
        found = self.db.read_now(raw_sql.fetch_rows, "SELECT name, status FROM schedules")
        return sorted(row.name for row in found if row.status == "paused")

    def _find_written(self, model: ScheduleModel, fires: Sequence[Any]) -> dict[str, Fire]:
        """Return what the latest attempt recorded, which never changes a submission."""
        found = {row.fire_time: Fire(row.outcome, row.reason, row.task_id) for row in fires
                 if row.schedule == model.name}  # fmt: skip
        written = {at: fire for at, fire in found.items() if fire != model.fires.get(at)}
        for at in written.keys() & model.fires.keys():
            is_right = written[at].reason in DECIDED and model.fires[at].outcome != "submitted"
            assert is_right, f"{model.name} {at}: {model.fires[at]} became {written[at]}"
        return written

    def _read_all(
        self, c: Connection, began: datetime
    ) -> tuple[dict[str, Any], list[Any], dict[str, NewTask]]:
        """Return the schedules, the fire times recorded since a moment, and the new tasks."""
        rows = raw_sql.fetch_rows(
            c, "SELECT name, kind, next_fire, boot_id, status, paused_until FROM schedules"
        )
        ends = timestamps.format_time(began), timestamps.format_time(self.clock.now)
        fires = raw_sql.fetch_rows(c, f"{READ_FIRES} WHERE updated_at BETWEEN ? AND ?", ends)
        tasks = raw_sql.fetch_rows(
            c,
            "SELECT rowid AS at, uuid, submitted_by, env FROM tasks WHERE rowid > ? ORDER BY rowid",
            (self.last_task,),
        )
        self.last_task = tasks[-1].at if tasks else self.last_task
        new = {row.uuid: NewTask(row.submitted_by, _read_fire_time(row.env)) for row in tasks}
        return {row.name: row for row in rows}, fires, new

    def _count_operations(self) -> int:
        return self.db.read_now(raw_sql.fetch_value, "SELECT max(id) FROM operations", ()) or 0


def _read_fire_time(env: str) -> datetime:
    return datetime.fromisoformat(json.loads(env)[firing.FIRE_TIME])


START_TIMES = tuple(
    datetime(*day, tzinfo=UTC) for day in ((2026, 3, 28, 22), (2026, 10, 24, 22), (2026, 6, 1, 5))
)
"""Times shortly before the clock changes of Berlin, and one far from any."""
