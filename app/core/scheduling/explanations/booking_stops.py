"""Bookings that stop a waiting task, the task that goes first, and a timeout that would help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from app.core.scheduling.amounts import can_fit
from app.core.scheduling.bookings import BookingBound, BookingKey
from app.core.scheduling.explanations.waiting_task import WaitingTask
from app.core.scheduling.forecasts.run_stats import REQUEST_MARGIN
from app.core.scheduling.limits import LimitBudget
from app.core.scheduling.plan import QueuedTask, can_start, get_known_end, get_line_key
from app.core.text.units import format_age, parse_duration

MAX_STOPS = 5
"""Bookings that are told at most; a weekly one may stop a task without a timeout 50 times."""
RESERVATION_SHARE = 0.9
"""Share of the time until a reservation that a task which starts before it may use."""
MIN_EARLY_LIMIT = 60.0
"""Minimum seconds of a timeout that lets a task end before a booking begins."""


def find_booking_stops(case: WaitingTask) -> list[BookingBound]:
    """Return the totals beside bookings that stop a task of the view, at most one more than told.

    Those of which too little is free come first, then those that begin soon. A set of bookings is
    left out if some of them stop the task by themselves.
    """
    plan = case.context.limits
    if plan is None or not plan.beside or case.subject.uuid in case.context.starts:
        return []
    task = find_in_line(case)
    lacking = plan.find_lacking(task, case.queue.pool) if task else ()
    bounds = [plan.get_bound(key) for key in lacking if isinstance(key, BookingKey)]
    found = list[BookingBound]()
    for bound in sorted(bounds, key=lambda one: _get_rank(plan, one, case)):
        if len(found) <= MAX_STOPS and not _is_told(bound.key, found):
            found.append(bound)
    return found


def _get_rank(plan: LimitBudget, bound: BookingBound, case: WaitingTask) -> tuple[bool, float, int]:
    need = case.subject.needs.get(bound.key.resource, 0.0)
    has_enough = can_fit(need, plan.get_free(bound.key))
    return has_enough, bound.begins_in, len(bound.key.names)


def _is_told(key: BookingKey, found: Iterable[BookingBound]) -> bool:
    return any(
        one.key.resource == key.resource and set(one.key.names) <= set(key.names) for one in found
    )


def find_free_time(case: WaitingTask, bound: BookingBound) -> float | None:
    """Return the seconds until enough is free beside bookings, or until one of them ends.

    Return None if enough is free, so that only an earlier task stops this one.
    """
    plan, resource, pool = case.context.limits, bound.key.resource, case.queue.pool
    need, free = case.subject.needs.get(resource, 0.0), plan.get_free(bound.key) if plan else inf
    if plan is None or can_fit(need, free):
        return None
    runs = case.context.view.active if bound.key.pool is None else case.holders
    for run in sorted(runs, key=lambda run: get_known_end(run.ends_in)):
        free += dict(plan.list_uses(run, pool)).get(bound.key, 0.0)
        if can_fit(need, free):
            return min(get_known_end(run.ends_in), bound.ends_in)
    return bound.ends_in


def find_in_line(case: WaitingTask) -> QueuedTask | None:
    """Return a task as the plan sees it, or None if it is beyond the view."""
    return next((one for one in case.queue.waiting if one.uuid == case.subject.uuid), None)


def find_first(case: WaitingTask, key: BookingKey) -> QueuedTask | None:
    """Return the task before this one in the line that goes first to what bookings leave."""
    plan, task = case.context.limits, find_in_line(case)
    first = plan.firsts.get(key) if plan else None
    if plan is None or task is None or first is None:
        return None
    need, pool, queues = task.needs[key.resource], case.queue.pool, case.context.queues
    keys = [get_line_key(one, queues[one.queue].priority) for one in (first, task)]
    return first if keys[0] < keys[1] and plan.has_to_wait(task, pool, key, need) else None


def find_early_limit(case: WaitingTask, bound: BookingBound) -> float | None:
    """Return a timeout that ends a task before a booking begins.

    Return None if there is too little time, by the past runs of the task too.
    """
    limit = parse_duration(format_age(bound.begins_in * RESERVATION_SHARE))
    task = find_in_line(case)
    least = task.likely[-1] * REQUEST_MARGIN if task and task.likely else 0.0
    return limit if limit >= max(MIN_EARLY_LIMIT, least) else None


def can_start_within(case: WaitingTask, limit: float) -> bool:
    """Return True if a task would start now if it had this timeout."""
    task, context = find_in_line(case), case.context
    if task is None:
        return False
    shorter = replace(task, limit=limit, expected=min(limit, task.expected or inf))
    return can_start(shorter, case.budget, context.slots[case.queue.name], context.limits)
