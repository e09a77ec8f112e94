"""Submission of the tasks of schedules that are due.

The fire times to submit are decided outside the transaction. The transaction stores tasks, fire
times and the next fire time together, unless the schedule has changed meanwhile. So each fire time
is handled exactly once, even if the runtime is killed in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.core.ids import make_uuid7
from app.core.schedules.fire_plan import ON_TIME, FirePlan, FireRules, find_next_fire, plan_fires
from app.core.schedules.zones import get_zone
from app.core.task_spec import TaskSpec
from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, Problem, Storage
from app.service.schedules import rules as schedule_rules
from app.service.tasks.submission import number_file
from app.service.tasks.submission.batch_dependencies import DependencyEdge
from app.service.tasks.submission.resolution import (
    Resolutions,
    TemplateChangedError,
    resolve,
    run_resolved,
)
from app.service.tasks.submission.submit import Origin, SubmitBatch
from db import timestamps
from db.engine import Connection, Database
from db.queries import schedules
from db.queries.history import operations
from db.queries.tasks import transitions
from db.rows import ScheduleRow

log = logging.getLogger(__name__)

FAULTS = (ValueError, LookupError, TypeError, AttributeError)
"""Errors of stored values that make no sense."""
PAGE = 50
"""Schedules handled between two looks at the clock."""
MAX_TASKS = 50
"""Tasks that one transaction submits, unless a single schedule has more."""
MISSED_PER_TASK = 20
"""Missed fire times that take as long to record as a task to submit."""
NO_UUID = "00000000-0000-7000-8000-000000000000"
"""Id of a task that is only checked."""
VERB = "set aside"
"""Verb in the operation log for a schedule that cannot be read."""
MAY_HAVE_RUN = "It may have run before the clock was set back."
FIRE_TIME, PREVIOUS_SUCCESS = "TASKDECK_FIRE_TIME", "TASKDECK_PREVIOUS_SUCCESS"
"""Variables with the fire time of a task, and of the latest one before it that succeeded."""


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule that is due, its rules, and the decision about its fire times."""

    row: ScheduleRow
    rules: FireRules
    plan: FirePlan


async def fire_due(
    db: Database, own: Callable[[], None] | None = None, dispatch: Callable[[], None] | None = None
) -> str | None:
    """Handle everything that is due, and return when the next schedule is, as stored.

    What is handled sends all wake-ups but `own`, and `dispatch` only for new tasks. Raise Storage
    if the database cannot be written; nothing is lost then.
    """
    while True:
        due, faulty, following = await db.read(_plan_due, timestamps.utcnow())
        for row, reason in faulty:
            await db.write(_pause_faulty, row, reason)
        if not due and not faulty:
            return following
        resolutions = await resolve(db, list(_iterate_specs(one.row for one in due)))
        with suppress(TemplateChangedError):  # read again what is due
            for part in _split(due):
                numbers, following = await db.write_except(
                    (own, dispatch), _handle_all, part, resolutions
                )
                if numbers and dispatch:
                    dispatch()
                await _raise_mark(db, numbers)
            if following is None or following > timestamps.now():
                return following


def _iterate_specs(rows: Iterable[ScheduleRow]) -> Iterator[TaskSpec]:
    """Yield the tasks of schedules, without those of faulty schedules."""
    for row in rows:
        with suppress(*FAULTS):
            yield make_spec(row)


async def recompute_after_set_back(db: Database) -> None:
    """Compute the next fire times again of schedules that were handled at a time after now.

    The clock was set back since, so their next fire times may be years ahead. A fire time that was
    handled before is left out when it comes again.
    """
    await fire_due(db)
    now = timestamps.now()
    if names := await db.read(schedules.list_changed_after, now):
        await db.write(schedules.request_next, names)
        await fire_due(db)


async def fire_at_boot(db: Database, boot_id: str) -> None:
    """Submit what is scheduled at boot, once for each boot."""
    for row in await db.read(schedules.list_boot, boot_id):
        specs, now = list(_iterate_specs([row])), timestamps.utcnow()
        numbers = await run_resolved(
            db,
            specs,
            lambda found, row=row, now=now: db.write(_fire_at_boot, row, now, boot_id, found),
        )
        await _raise_mark(db, numbers)


async def _raise_mark(db: Database, numbers: Sequence[int]) -> None:
    """Note the highest number, so that it is not given again after a restore."""
    if numbers:
        await number_file.raise_mark(db.path.parent, max(numbers))


def _plan_due(
    c: Connection, now: datetime
) -> tuple[list[DueSchedule], list[tuple[ScheduleRow, str]], str | None]:
    """Return the schedules that are due, those that make no sense, and when the next one is due."""
    following, stored = schedules.find_next_due(c), timestamps.format_time(now)
    rows = schedules.list_due(c, stored, PAGE) if following and following <= stored else []
    calendars = schedules.map_calendars(c) if any(row.exclude for row in rows) else {}
    due: list[DueSchedule] = []
    faulty: list[tuple[ScheduleRow, str]] = []
    for row in rows:
        try:
            make_origin(row)
            make_spec(row)
            planned = _plan(row, schedule_rules.build_rules(row, calendars), now)
            due.append(_pass_over_handled(c, planned) if row.next_fire is None else planned)
        except FAULTS as error:
            log.error("schedule %s: %s", row.name, error)
            faulty.append((row, _describe_fault(error)))
    return due, faulty, following


def _describe_fault(error: Exception) -> str:
    first = truncate(sanitize(str(error).partition("\n")[0]), 200)
    return f"Its definition cannot be read ({first})."


def _pause_faulty(c: Connection, row: ScheduleRow, reason: str) -> None:
    """Pause a schedule that cannot be read, unless it has changed meanwhile."""
    if not schedules.move_next(c, row, None, None):
        return
    if row.next_fire is not None:
        schedules.record_fires(c, row.name, [(row.next_fire, "refused", reason, None)])
    schedules.pause_unreadable(c, row.name, reason)
    thing = f"schedule {row.name}"
    operations.record(c, transitions.SYSTEM, VERB, thing, None, {"reason": reason})


def _plan(row: ScheduleRow, rules: FireRules, now: datetime) -> DueSchedule:
    if row.next_fire is None or schedule_rules.is_paused(row, now):  # `request_next` asks for it
        following = schedule_rules.find_next_unless_paused(row, rules, now)[0]
        found = timestamps.parse_time(following) if following else None
        return DueSchedule(row, rules, FirePlan((), (), False, found))
    return DueSchedule(row, rules, plan_fires(rules, timestamps.parse_time(row.next_fire), now))


def _pass_over_handled(c: Connection, due: DueSchedule) -> DueSchedule:
    """Make the next fire time one that was not handled before the clock was set back."""
    if (at := due.plan.next_fire) is None:
        return due
    handled = schedules.list_handled_from(c, due.row.name, timestamps.format_time(at))
    while at is not None and timestamps.format_time(at) in handled:
        at = find_next_fire(due.rules, at)
    return replace(due, plan=due.plan._replace(next_fire=at))


def _split(due: Sequence[DueSchedule]) -> list[list[DueSchedule]]:
    """Split schedules into parts of at most `MAX_TASKS` tasks."""
    parts: list[list[DueSchedule]] = [[]]
    total = 0
    for one in due:
        count = len(one.plan.submit) + len(one.plan.missed) // MISSED_PER_TASK
        if parts[-1] and total + count > MAX_TASKS:
            parts.append([])
            total = 0
        parts[-1].append(one)
        total += count
    return parts


def _handle_all(
    c: Connection, due: Sequence[DueSchedule], resolutions: Resolutions | None = None
) -> tuple[list[int], str | None]:
    """Return the numbers of new tasks, and when the next schedule is due."""
    numbers = [number for one in due for number in _handle(c, one, resolutions)]
    return numbers, schedules.find_next_due(c)


def _handle(c: Connection, due: DueSchedule, resolutions: Resolutions | None) -> list[int]:
    row, plan = due.row, due.plan
    values: dict[str, str | None] = {}
    if plan.submit:
        values = {"last_success": schedules.find_last_success(c, row.name) or row.last_success}
        if row.status == "paused":
            values |= {"status": "active", "paused_until": None}
    next_fire, due_at = schedule_rules.format_next(due.rules, plan.next_fire)
    if not schedules.move_next(c, row, next_fire, due_at, **values):
        return []  # changed meanwhile: the next pass reads the new row
    late = timestamps.utcnow() - due.rules.delay - ON_TIME
    handled = _settle_handled(c, row.name, sorted((*plan.submit, *plan.missed)), late)
    recorded = [_describe_missed(at, plan, n) for n, at in enumerate(plan.missed)]
    schedules.record_fires(c, row.name, [fire for fire in recorded if fire[0] not in handled])
    times = [at for at in plan.submit if timestamps.format_time(at) not in handled]
    return submit_fires(c, row, times, values.get("last_success"), resolutions)


def _settle_handled(
    c: Connection, name: str, times: Sequence[datetime], late: datetime
) -> set[str]:
    """Return those fire times, in order, that were handled before the clock was set back.

    The records of old ones are removed. Those before `late` and the latest record are recorded as
    skipped, since they may have run.
    """
    if not times:
        return set()
    stored = [timestamps.format_time(at) for at in times]
    handled = schedules.list_handled_times(c, name, stored[0], stored[-1])
    if times[0] < late:
        end = min(schedules.find_latest_fire(c, name) or "", timestamps.format_time(late))
        unsure = [at for at in stored if at <= end and at not in handled]
        schedules.record_fires(c, name, [(at, "skipped", MAY_HAVE_RUN, None) for at in unsure])
        handled |= {*unsure}
    return handled


def _describe_missed(at: datetime, plan: FirePlan, n: int) -> tuple[str, str, str, None]:
    more = " So were earlier fire times." if plan.has_more and n == 0 else ""
    return timestamps.format_time(at), "missed", f"No runtime was up.{more}", None


def submit_fires(
    c: Connection,
    row: ScheduleRow,
    times: Sequence[datetime],
    success: str | None,
    resolutions: Resolutions | None = None,
) -> list[int]:
    """Submit a task for each fire time and record it; return the numbers.

    With the rule `skip`, a fire time is skipped while an earlier task has not ended. Several fire
    times at once, as after downtime, run one after the other. A task that cannot be submitted
    is recorded as refused.
    """
    unfinished, numbers = schedules.find_unfinished_task(c, row.name), list[int]()
    previous = unfinished[0] if unfinished else None
    for at in times:
        stored = timestamps.format_time(at)
        if unfinished and row.overlap == "skip":
            reason = f"#{unfinished[1]} had not ended."
            schedules.record_fires(c, row.name, [(stored, "skipped", reason, None)])
            continue
        try:
            uuid, number = submit_one(c, row, at, success, previous, resolutions)
        except Storage:
            raise
        except Problem as problem:
            log.warning("schedule %s: %s", row.name, problem)
            reason = problem.message.removesuffix(f" {NOT_SUBMITTED}")
            schedules.record_fires(c, row.name, [(stored, "refused", reason, None)])
            schedules.set_refusal(c, row.name, reason)
        else:
            schedules.record_fires(c, row.name, [(stored, "submitted", None, uuid)])
            if row.refusal is not None:
                schedules.set_refusal(c, row.name, None)
            previous = uuid
            numbers.append(number)
    return numbers


def submit_one(
    c: Connection,
    row: ScheduleRow,
    at: datetime,
    success: str | None,
    previous: str | None,
    resolutions: Resolutions | None = None,
) -> tuple[str, int]:
    """Store one task, after the end of `previous`; return uuid and number. Raise Problem."""
    batch = SubmitBatch(c, make_origin(row), make_uuid7(), resolutions)
    batch.add(make_spec(row, at, success))
    edges = [DependencyEdge(0, previous, "any")] if previous else []
    numbers = batch.insert(edges)
    return next(iter(numbers.items()))


def make_origin(row: ScheduleRow) -> Origin:
    """Return the submitter and the shell context of a schedule's tasks."""
    context = row.context
    return Origin(
        f"schedule {row.name}", context["cwd"], context["umask"], context.get("env") or {}
    )


def make_spec(row: ScheduleRow, at: datetime | None = None, success: str | None = None) -> TaskSpec:
    """Return the task of a fire time, which its environment names."""
    times = {FIRE_TIME: at, PREVIOUS_SUCCESS: timestamps.parse_time(success) if success else None}
    zone = get_zone(row.zone)
    variables = {
        name: moment.astimezone(zone).isoformat() for name, moment in times.items() if moment
    }
    task = row.task
    return TaskSpec.model_validate(
        {**task, "name": task.get("name") or row.name, "env": {**task.get("env", {}), **variables}}
    )


def _fire_at_boot(
    c: Connection, row: ScheduleRow, now: datetime, boot_id: str, resolutions: Resolutions
) -> list[int]:
    success = schedules.find_last_success(c, row.name) or row.last_success
    moved = schedules.move_next(c, row, None, None, boot_id=boot_id, last_success=success)
    if not moved or schedule_rules.is_paused(row, now):
        return []
    return submit_fires(c, row, [_find_free_second(c, row.name, now)], success, resolutions)


def _find_free_second(c: Connection, name: str, now: datetime) -> datetime:
    """Return the first second without a record: without a clock, each boot is at the same time."""
    at = now.replace(microsecond=0)
    while schedules.list_handled_times(c, name, *[timestamps.format_time(at)] * 2):
        at += timedelta(seconds=1)
    return at
