"""The verb `forecast`: waits and ends of tasks before and after supposed changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.core.scheduling.forecasts.forecast import Horizon
from app.core.scheduling.forecasts.what_if import (
    UNKNOWN,
    TaskForecast,
    ViewChanges,
    ViewForecast,
    change_view,
    forecast_view,
    summarize_waits,
)
from app.core.scheduling.open_times import ALWAYS, list_windows
from app.core.scheduling.plan import ActiveRun, DispatchView, QueuedTask, leave_out_outer
from app.core.scheduling.resources import make_amounts
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Usage
from app.service.context import Call
from app.service.scheduling import dispatch_view, limit_view
from app.service.scheduling.dispatch_view import get_cache
from app.service.tasks import lookup
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.tasks.places import Place, get_totals, read_places, read_shared
from app.service.tasks.submission.resolution import Resolutions, run_resolved
from app.service.what_if import bookings, limits, rules, submissions
from app.service.what_if.rules import Rules, RuleSubject
from app.service.what_if.settings import (
    NOT_DONE,
    RESOURCES,
    Settings,
    SettingStep,
    list_steps,
    parse_settings,
)
from app.service.what_if.submissions import FIRST_NUMBER, NewTasks
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.scheduling import resources
from db.queries.scheduling.resources import parse_named
from db.rows import TaskRow
from db.states import ENDED, TaskStatus

MAX_TASKS = 400
"""Queued tasks that are simulated, of all queues together; 0.9 s in all where they compete."""
MIN_DEPTH = 20
"""Tasks that are simulated of each queue, however many queues there are."""


@dataclass(frozen=True, slots=True)
class Case:
    """Views before and after the changes, and what the answer says beside the forecasts."""

    before: DispatchView
    after: DispatchView
    horizon: Horizon
    waiting: int
    changed: frozenset[int]
    cancelled: frozenset[int]
    new: NewTasks
    steps: Sequence[SettingStep]
    rules: Rules
    subjects: Mapping[int, RuleSubject]
    changed_subjects: Mapping[int, RuleSubject]


async def forecast_changes(
    call: Call,
    *,
    settings: Sequence[str] = (),
    cancel: Sequence[str | int] = (),
    lines: str | None = None,
) -> dict[str, Any]:
    """Forecast waits and ends before and after supposed changes.

    `settings` are `KEY=VALUE` texts, `cancel` tasks, `lines` new tasks as JSON lines. Times are in
    seconds from now. In `tasks`, `before` or `after` is None for a task that is not there;
    `start_at_most` and `end_at_most` are true if only timeouts tell. `steps` are the verbs that
    would make the changes, without the submission.
    """
    case = await _read_case(call, settings, cancel, lines)
    found = await asyncio.to_thread(_compare, case)
    numbers = [row["number"] for row in found["tasks"] if row["number"] is not None]
    known = await call.db.read(reads.map_by_number, numbers)
    found["tasks"] = [
        row | (views.format_asks(known[row["number"]]) if row["number"] in known else {})
        for row in found["tasks"]
    ]
    return {"now": timestamps.now(), "halted": views.get_halt_reason(call), **found}


def _compare(case: Case) -> dict[str, Any]:
    before, after = (
        forecast_view(case.before, case.horizon), forecast_view(case.after, case.horizon)
    )  # fmt: skip
    rows = _list_tasks(case, before, after)
    numbers = [row["number"] for row in rows]
    was_missed = _list_missed(case.rules, case.subjects, before, case.before)
    missed = _list_missed(case.rules, case.changed_subjects, after, case.after)
    simulated = sum(len(queue.waiting) for queue in case.before.queues) + len(case.before.later)
    return {
        "waiting": case.waiting,
        "simulated": simulated,
        "held": case.new.held,
        "tasks": [_to_public(row) for row in rows],
        "before": _summarize(before, [n for n in numbers if n < FIRST_NUMBER], was_missed),
        "after": _summarize(after, [n for n in numbers if n not in case.cancelled], missed),
        "steps": [step._asdict() | {"command": list(step.command)} for step in case.steps],
    }


async def _read_case(
    call: Call, texts: Sequence[str], cancel: Sequence[str | int], lines: str | None
) -> Case:
    given = parse_settings(texts)
    if lines is None:
        return await call.db.read(_build_case, call, given, cancel, (), None)
    specs = await asyncio.to_thread(submissions.parse_lines, lines)
    build = partial(_build_case, call=call, given=given, cancel=cancel, lines=specs)
    return await run_resolved(
        call.db,
        [spec for _, spec in specs],
        lambda resolved: call.db.read(lambda c: build(c, resolutions=resolved)),
    )


def _build_case(
    c: Connection,
    call: Call,
    given: Settings,
    cancel: Sequence[str | int],
    lines: Sequence[Any],
    resolutions: Resolutions | None,
) -> Case:
    counters = reads.read_counters(c)
    busy = sum(n > 0 for (_, status), n in counters.items() if status == TaskStatus.QUEUED)
    depth = max(MIN_DEPTH, MAX_TASKS // max(1, busy))
    cache = get_cache(c)
    view = dispatch_view.read_view(c, cache, ahead=depth)
    _note_outer(call, view)
    view = leave_out_outer(view)
    pools, queues = _change_pools(c, given), _change_queues(c, given, view.now or 0.0)
    booked = bookings.read_changed(c, given.bookings, pools, given.resources, view.now or 0.0)
    places = _change_places(c, given, pools)
    new = NewTasks()
    if resolutions is not None:
        booked_tags = {one.tag for one in view.bookings}
        new = submissions.make_tasks(c, call, cache, lines, resolutions, places, booked_tags)
    cancelled = _find_cancelled(c, cancel)
    changed = _change_tasks(c, call, view, given, places)
    changes = ViewChanges(
        pools, given.resources, queues, changed, new.queued, new.later, cancelled, booked,
        limits.change_limits(view.limits, given.limits),
    )  # fmt: skip
    longest = max([len(queue.waiting) for queue in view.queues] + [depth])
    total = longest + len(new.queued) + len(changed)
    after = change_view(view, changes)
    subjects = _read_subjects(c, view, {})
    moved = {number: task.queue for number, task in changed.items()}
    return Case(
        view,
        after,
        Horizon(total, 5 * total),
        sum(n for (_, status), n in counters.items() if status in _WAITING),
        frozenset(changed),
        cancelled,
        new,
        _list_all_steps(c, view, given, cancel),
        rules.read_rules(c),
        subjects,
        {
            **_read_subjects(c, after, moved),
            **rules.make_new_subjects(c, new.rows, FIRST_NUMBER, view.now or 0.0),
        },
    )


_WAITING = (TaskStatus.QUEUED, TaskStatus.SCHEDULED, TaskStatus.BLOCKED, TaskStatus.RETRYING)


def _list_all_steps(
    c: Connection, view: DispatchView, given: Settings, cancel: Sequence[str | int]
) -> list[SettingStep]:
    """Return the verbs that make the supposed changes."""
    steps = [*list_steps(given), *limits.list_steps(view.limits, given.limits)]
    steps += bookings.list_steps(c, given.bookings)
    if cancel:
        words = [str(task) for task in cancel]
        steps.append(SettingStep("cancel", {"ids": list(cancel)}, ("taskdeck", "cancel", *words)))
    return steps


def _note_outer(call: Call, view: DispatchView) -> None:
    """Note the queues whose waiting tasks Slurm starts when it has room."""
    outer = view.list_outer_queues()
    names = [queue.name for queue in view.queues if queue.name in outer and queue.waiting_total]
    if names:
        call.note(
            tr(
                "Slurm decides when tasks of {names} start: they are not simulated.",
                names=sanitize(", ".join(names)),
            )
        )


def _read_subjects(
    c: Connection, view: DispatchView, moved: Mapping[int, str]
) -> dict[int, RuleSubject]:
    began = {number: None for number in _map_tasks(view) if number < FIRST_NUMBER}
    return rules.read_subjects(
        c, {**began, **{run.number: run.began for run in view.active}}, moved
    )


def _list_missed(
    known: Rules, subjects: Mapping[int, RuleSubject], found: ViewForecast, view: DispatchView
) -> list[dict[str, Any]]:
    missed = rules.list_missed(known, subjects, found.tasks, view.now or 0.0)
    return [
        {"rule": name, "number": number if number < FIRST_NUMBER else None}
        for name, number in missed
    ]


def _find_cancelled(c: Connection, cancel: Sequence[str | int]) -> frozenset[int]:
    """Return the numbers of tasks and of those that depend on their success. Raise Problem.

    A word may name a group. Tasks that have ended are left alone, if others are left.
    """
    if not cancel:
        return frozenset()
    known = [*reads.map_states(c, lookup.find_all(c, cancel)).values()]
    rows = [row for row in known if row.status not in ENDED]
    if not rows:
        raise Conflict(actions.describe_ended(known[0], "cancel"))
    dependents = reads.list_waiting_dependents(c, [row.uuid for row in rows])
    return frozenset(row.number for row in (*rows, *dependents))


def _change_pools(c: Connection, given: Settings) -> dict[str, Mapping[str, float]]:
    """Return the totals of the changed pools. Raise NotFound."""
    pools = {row.name: row for row in reads.list_pools(c)}
    least = read_shared(c).least
    found: dict[str, Mapping[str, float]] = {}
    for name, values in given.pools.items():
        if name not in pools:
            raise lookup.make_unknown_name("pool", name, list(pools))
        if pools[name].kind is not None:
            raise Usage(
                "pool {name} is of kind slurm, which no forecast simulates. {not_done}",
                name=sanitize(name),
                not_done=tr(NOT_DONE),
            )
        named = {**parse_named(pools[name].resources), **values.get(RESOURCES, {})}
        kept = {resource: amount for resource, amount in named.items() if amount}
        own = get_totals(pools[name])
        plain = make_amounts(values.get("cpu", own["cpu"]), values.get("memory", own["memory"]),
                             kept)  # fmt: skip
        found[name] = {**least, **plain}
    return found


def _change_queues(c: Connection, given: Settings, now: float) -> dict[str, dict[str, Any]]:
    """Return the changed fields of queues; `now` is in UNIX seconds. Raise NotFound."""
    known = [row.name for row in reads.list_queues(c)]
    pools = [row.name for row in reads.list_pools(c)] if given.queues else []
    for name, values in given.queues.items():
        if name not in known:
            raise lookup.make_unknown_queue(name, known)
        if values.get("pool") is not None and values["pool"] not in pools:
            raise lookup.make_unknown_name("pool", values["pool"], pools)
    return {name: _add_windows(values, now) for name, values in given.queues.items()}


def _add_windows(values: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the fields of a queue with the windows of its opening hours, if these change."""
    if "open" not in values:
        return values
    hours = None if values["open"] == ALWAYS else values["open"]
    return values | {"open": hours, "windows": list_windows(hours, now) if hours else None}


def _change_places(
    c: Connection, given: Settings, pools: Mapping[str, Mapping[str, float]]
) -> dict[str, Place]:
    """Return {queue: its pool as a place} with the changes."""
    found = read_places(c)
    known = {place.pool: place for place in found.values()}
    for row in reads.list_pools(c):
        shared = read_shared(c)[0]
        place = Place(row.name, get_totals(row), shared, is_outer=row.kind is not None)
        known.setdefault(row.name, place)
    changed = {
        name: one._replace(own=pools.get(name, one.own), shared={**one.shared, **given.resources})
        for name, one in known.items()
    }
    return {
        queue: changed[given.queues.get(queue, {}).get("pool", place.pool)]
        for queue, place in found.items()
    }


def _change_tasks(
    c: Connection, call: Call, view: DispatchView, given: Settings, places: Mapping[str, Place]
) -> dict[int, QueuedTask]:
    """Return the changed tasks by number. Raise Problem as `taskdeck set` does."""
    found: dict[int, QueuedTask] = {}
    later = {one.task.number for one in view.later}
    for ident, values in given.tasks.items():
        row = lookup.find_task(c, ident)
        columns = {name: value for name, value in values.items() if name != RESOURCES}
        actions.make_settable_check(c, values, places)(row)
        if row.status == TaskStatus.RUNNING:
            raise Conflict(
                "#{number} is running: a change applies to its next attempt only.",
                number=row.number,
            )
        if row.status != TaskStatus.QUEUED and row.number not in later:
            call.note(
                tr(
                    "#{number} is {status}: the forecast leaves it out.",
                    number=row.number,
                    status=tr(row.status),
                )
            )
            continue
        named = {**parse_named(row.resources), **values.get(RESOURCES, {})}
        changed: TaskRow = row._replace(**columns, resources=resources.to_text(named))
        policy = view.get_policy(changed.queue)
        bounds = dispatch_view.get_bounds(view)
        subjects = limit_view.map_subjects(c, bounds, [row.uuid]).get(row.uuid, ())
        task = dispatch_view.to_waiting(c, get_cache(c), changed, policy, subjects=subjects)
        found[row.number] = task
    return found


def _list_tasks(case: Case, before: ViewForecast, after: ViewForecast) -> list[dict[str, Any]]:
    """Return the rows of waiting, cancelled and new tasks, by their start after the changes."""
    old, new = _map_tasks(case.before), _map_tasks(case.after)
    running = {run.number for run in case.before.active}
    numbers = [n for n in {**new, **old} if n not in running or n in case.cancelled]
    rows = [
        {
            "number": number,
            "name": (new.get(number) or old[number]).name,
            "queue": (new.get(number) or old[number]).queue,
            "is_running": number in running,
            "change": _describe_change(case, number),
            "before": _to_times(before.tasks.get(number, UNKNOWN)) if number in old else None,
            "after": _to_times(after.tasks.get(number, UNKNOWN)) if number in new else None,
        }
        for number in numbers
    ]
    return sorted(rows, key=_get_order)


def _map_tasks(view: DispatchView) -> dict[int, QueuedTask | ActiveRun]:
    waiting = [task for queue in view.queues for task in queue.waiting]
    found = [*view.active, *waiting, *(one.task for one in view.later)]
    return {task.number: task for task in found}


def _describe_change(case: Case, number: int) -> str | None:
    if number >= FIRST_NUMBER:
        return "new"
    return "cancelled" if number in case.cancelled else "set" if number in case.changed else None


def _to_times(one: TaskForecast) -> dict[str, Any]:
    return {
        "start": one.start,
        "end": one.end,
        "start_at_most": one.has_bound_start,
        "end_at_most": one.has_bound_end,
    }


def _get_order(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    start = (row["after"] or row["before"])["start"]
    return start is None, start or 0.0, row["number"]


def _to_public(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"number": row["number"] if row["number"] < FIRST_NUMBER else None}


def _summarize(
    outcome: ViewForecast, numbers: Sequence[int], missed: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    mean, longest, unknown = summarize_waits(outcome, numbers)
    hours: dict[str, float] = {}
    for pool in outcome.pools:
        for name, amount in pool.hours.items():
            hours[name] = hours.get(name, 0.0) + amount
    return {
        "tasks": len(numbers),
        "unknown": unknown,
        "mean_wait": mean,
        "longest_wait": longest,
        "drained_in": outcome.drained_in,
        "missed": missed,
        "hours": hours,
        "use": {
            pool.name: {name: pool.get_ratio(name) for name in pool.totals}
            for pool in outcome.pools
        },
    }
