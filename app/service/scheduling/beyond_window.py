"""Tasks beyond the window of a queue that fit what a decision leaves free.

A round plans with the first tasks of each queue. Behind many tasks that wait for GPUs, a task that
needs none must not wait. So the round reads tasks that none of the known causes stops, and plans
again with these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, log2
from typing import Any

from app.core.scheduling.amounts import EPSILON
from app.core.scheduling.plan import (
    DispatchDecision,
    DispatchView,
    PoolBudget,
    QueuedTask,
    QueueView,
    decide,
    get_sort_key,
)
from app.core.scheduling.resources import CPU, MEMORY
from app.core.scheduling.stops import Stop, find_stop
from app.service.scheduling import limit_view
from db.queries.scheduling.limits import MAX_EXCLUSIONS, Exclusion

MAX_TURNS = 6
"""Maximum number of decisions after the first one; each reads twice as many tasks of a queue."""
FIRST_LIMIT = 64

Reader = Callable[[QueueView, int, Sequence[Exclusion]], Sequence[QueuedTask]]
"""Function that returns the first tasks of a queue without the excluded ones, at most a number."""
BriefFinder = Callable[[float], tuple[str, ...]]
"""Function that returns the templates whose tasks usually end within a time in seconds."""


class BeyondWindow:
    """Search of one round for the tasks beyond the windows of its queues."""

    def __init__(self, read: Reader, find_brief: BriefFinder) -> None:
        self._read, self._find_brief = read, find_brief
        self._done = set[str]()
        """Queues of which all tasks that fit are known."""
        self._made: dict[tuple[str, Sequence[Stop]], Sequence[Sequence[Exclusion]]] = {}
        """Exclusions of a decision by pool and stops, since many queues have the same."""
        self._stops: dict[tuple[Any, ...], Stop | None] = {}
        """Causes that stop tasks in a decision, by pool and what they ask for."""

    def plan(
        self, view: DispatchView, decision: DispatchDecision
    ) -> tuple[DispatchView, DispatchDecision]:
        """Return the view with the tasks that fit, and the decision on it."""
        for turn in range(MAX_TURNS):
            self._made.clear()
            self._stops.clear()
            started = {task.uuid for task in decision.starts}
            queues = [
                self._extend(decision, queue, started, FIRST_LIMIT << turn)
                if _may_hide_tasks(queue, decision) and queue.name not in self._done
                else queue
                for queue in view.queues
            ]
            if all(new is old for new, old in zip(queues, view.queues, strict=True)):
                break
            view = replace(view, queues=tuple(queues))
            decision = decide(view)
        return view, decision

    def _extend(
        self, decision: DispatchDecision, queue: QueueView, started: set[str], limit: int
    ) -> QueueView:
        """Return a queue with more of its tasks; note it as done if no others fit."""
        for excluded in self._list_exclusions(decision, queue, started):
            found = self._read(queue, limit, excluded)
            known = {task.uuid for task in queue.waiting} if found else ()
            more = [task for task in found if task.uuid not in known]
            if len(found) < limit:
                self._done.add(queue.name)
            if more:
                line = tuple(sorted((*queue.waiting, *more), key=get_sort_key))
                gap = len(queue.waiting) if queue.first_gap is None else queue.first_gap
                return replace(queue, waiting=line, first_gap=gap)
            if len(found) < limit:
                break
        self._done.add(queue.name)
        return queue

    def _list_exclusions(
        self, decision: DispatchDecision, queue: QueueView, started: set[str]
    ) -> Sequence[Sequence[Exclusion]]:
        """Return the tasks of a queue that known causes stop; none if these stop all or none.

        They may be given in two ways: first those that stay the same while little changes.
        """
        budget, slots = decision.budgets[queue.pool], decision.slots[queue.name]
        found = dict.fromkeys(
            self._find_stop(budget, slots, task)
            for task in queue.waiting
            if task.uuid not in started
        )
        stops = tuple(stop for stop in found if stop)
        if not stops or any(stop.is_total for stop in stops):
            return ()  # without stops, the window reaches beyond the tasks that only limits stop
        made = self._made.get((queue.pool, stops))
        if made is None:
            made = self._made[queue.pool, stops] = self._make_exclusions(
                decision, queue.pool, stops
            )
        return made

    def _find_stop(self, budget: PoolBudget, slots: int, task: QueuedTask) -> Stop | None:
        """Return the cause that stops a task, found once for tasks that ask for the same."""
        kept = budget.backfill
        is_timed = kept is not None or bool(budget.shared.totals)
        is_last = slots < 2 and kept is not None and kept.task.queue == task.queue
        times = (task.expected, task.limit, is_last) if is_timed else ()
        asked = budget.pool.name, tuple(task.needs.items()), times
        if asked not in self._stops:
            self._stops[asked] = find_stop(budget, slots, task)
        return self._stops[asked]

    def _make_exclusions(
        self, decision: DispatchDecision, pool: str, stops: Sequence[Stop]
    ) -> Sequence[Sequence[Exclusion]]:
        limits = limit_view.list_exclusions(decision.limits, pool) if decision.limits else []
        causes = sorted(map(self._to_exclusion, stops), key=repr)  # the same for kept lines
        exact = [*causes, *limits][:MAX_EXCLUSIONS]
        lasting = list(map(_widen, exact))
        return (lasting, exact) if any(map(_is_moving, exact)) else (lasting,)

    def _to_exclusion(self, stop: Stop) -> Exclusion:
        time = stop.longer_than
        brief = () if time is None or stop.by_timeout else self._find_brief(time)
        return Exclusion((), (), stop.resource, stop.above + EPSILON, time, brief=brief)


def _may_hide_tasks(queue: QueueView, decision: DispatchDecision) -> bool:
    """Return True if a task beyond the window of a queue may start.

    In a pool without free CPU, tasks of 0 cores are not searched for: passing 100,000 rows of an
    ordinary queue takes 30 ms.
    """
    return (
        bool(queue.waiting)
        and len(queue.waiting) < queue.waiting_total
        and not queue.storing
        and decision.slots[queue.name] >= 1
        and decision.budgets[queue.pool].free.get(CPU) > EPSILON
    )


def _widen(one: Exclusion) -> Exclusion:
    """Return an exclusion of fewer tasks that stays the same while little changes."""
    is_measured = one.resource in (CPU, MEMORY)
    above = _round_up(one.above) if is_measured else one.above
    time = one.longer_than
    return one._replace(
        above=above, longer_than=None if time is None else _round_up(time), is_lasting=True
    )


def _is_moving(one: Exclusion) -> bool:
    """Return True if `_widen` changes an exclusion."""
    return _widen(one)._replace(is_lasting=False) != one


def _round_up(amount: float) -> float:
    """Return the next power of two, with a margin for sums."""
    if amount <= 2 * EPSILON:
        return amount
    return 2.0 ** ceil(log2(amount - 2 * EPSILON)) + EPSILON
