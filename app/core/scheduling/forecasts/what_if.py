"""What-if: the forecast of a view before and after changes to pools, queues and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

from app.core.scheduling.bookings import Booking
from app.core.scheduling.forecasts.forecast import Horizon, RunTimes, simulate_runs
from app.core.scheduling.forecasts.run_times import SAMPLES
from app.core.scheduling.limits import Limits
from app.core.scheduling.plan import (
    ActiveRun,
    Amounts,
    DispatchView,
    LaterTask,
    QueuedTask,
    QueueView,
    get_sort_key,
    split_view,
)

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class ViewChanges:
    """Changes to a view: totals of pools by name, fields of queues by name, tasks by number.

    `tasks` replace the tasks of the same number; `queued` and `later` are new tasks. `bookings`
    and `limits` replace all of them, unless they are None.
    """

    pools: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    shared: Amounts = field(default_factory=dict[str, float])
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    tasks: Mapping[int, QueuedTask] = field(default_factory=dict[int, QueuedTask])
    queued: tuple[QueuedTask, ...] = ()
    later: tuple[LaterTask, ...] = ()
    cancelled: frozenset[int] = frozenset()
    bookings: tuple[Booking, ...] | None = None
    limits: Limits | None = None


def change_view(view: DispatchView, changes: ViewChanges) -> DispatchView:
    """Return the view with the changes, and with changed tasks that are queued beyond it."""
    later = [_change_later(one, changes) for one in (*view.later, *changes.later)]
    waits_later = {one.task.number for one in later}
    known = {task.number: task for queue in view.queues for task in queue.waiting}
    moved = {n: task for n, task in changes.tasks.items() if n not in waits_later}
    waiting = {**known, **moved, **{task.number: task for task in changes.queued}}
    return replace(
        view,
        pools=tuple(
            replace(pool, totals=changes.pools.get(pool.name, pool.totals)) for pool in view.pools
        ),
        shared={**view.shared, **changes.shared},
        bookings=view.bookings if changes.bookings is None else changes.bookings,
        limits=view.limits if changes.limits is None else changes.limits,
        queues=tuple(
            _change_queue(queue, waiting.values(), known, changes) for queue in view.queues
        ),
        active=tuple(run for run in view.active if run.number not in changes.cancelled),
        later=tuple(one for one in later if one.task.number not in changes.cancelled),
    )


def _change_later(one: LaterTask, changes: ViewChanges) -> LaterTask:
    task = changes.tasks.get(one.task.number, one.task)
    parents, leaders = (
        tuple(number for number in numbers if number not in changes.cancelled)
        for numbers in (one.parents, one.leaders)
    )
    return replace(one, task=task, parents=parents, leaders=leaders)


def _change_queue(
    queue: QueueView,
    waiting: Iterable[QueuedTask],
    known: Mapping[int, QueuedTask],
    changes: ViewChanges,
) -> QueueView:
    here = [t for t in waiting if t.queue == queue.name and t.number not in changes.cancelled]
    kept = {task.number for task in here}
    gone = sum(task.number not in kept for task in queue.waiting)
    came = sum(known.get(task.number, task).queue != queue.name for task in here)
    came += sum(task.queue == queue.name for task in changes.queued)
    return replace(
        queue,
        waiting=tuple(sorted(here, key=get_sort_key)),
        waiting_total=max(len(here), queue.waiting_total - gone + came),
        **changes.queues.get(queue.name, {}),
    )


class TaskForecast(NamedTuple):
    """Expected start and end of a task, in seconds from now; None is unknown.

    `has_bound_start` and `has_bound_end` are true if a timeout decides: at the latest then.
    """

    start: float | None
    end: float | None
    has_bound_start: bool = False
    has_bound_end: bool = False


UNKNOWN = TaskForecast(None, None)


class PoolForecast(NamedTuple):
    """Hours of each resource that the runs of a pool hold from now on, and the last end.

    `drained_in` is None if a run has no expected start or end. The hours leave such runs out.
    """

    name: str
    totals: Amounts
    hours: Amounts
    drained_in: float | None

    def get_ratio(self, resource: str) -> float | None:
        """Return the share of a resource in use until the last end, or None."""
        total = self.totals.get(resource, 0.0)
        if not self.drained_in or not total or total == inf:
            return None
        return self.hours.get(resource, 0.0) * HOUR / (total * self.drained_in)


@dataclass(frozen=True, slots=True)
class ViewForecast:
    """Forecast of a view: tasks by number, and pools."""

    tasks: Mapping[int, TaskForecast]
    pools: tuple[PoolForecast, ...]

    @property
    def drained_in(self) -> float | None:
        """Seconds until the last end, 0 if nothing runs or waits, or None if unknown."""
        ends = [pool.drained_in for pool in self.pools]
        return None if None in ends else max((end for end in ends if end is not None), default=0.0)


def forecast_view(view: DispatchView, horizon: Horizon) -> ViewForecast:
    """Simulate a view and return the middle of all simulations."""
    tasks: dict[int, TaskForecast] = {}
    pools: list[PoolForecast] = []
    for part in split_view(view):
        runs = simulate_runs(part, horizon)
        members = _list_members(part, horizon.depth)
        tasks |= {task.number: _merge_runs(task.number, runs) for task in members}
        pools += _sum_pools(part, members, tasks, runs)
    return ViewForecast(tasks, tuple(pools))


def _list_members(part: DispatchView, depth: int) -> list[ActiveRun | QueuedTask]:
    """Return the runs and tasks of a part that a simulation may start."""
    queued = [task for queue in part.queues for task in queue.waiting[:depth]]
    return [*part.active, *queued, *(one.task for one in part.later)]


def _merge_runs(number: int, simulations: Sequence[Mapping[int, RunTimes]]) -> TaskForecast:
    found = [runs[number] for runs in simulations if number in runs]
    if len(found) < SAMPLES:
        return UNKNOWN
    start = sorted(one.start for one in found)[SAMPLES // 2]
    end = sorted(one.end for one in found)[SAMPLES // 2]
    is_known = all(one.end < inf for one in found)
    return TaskForecast(
        start,
        end if is_known else None,
        any(one.has_bound_start for one in found),
        any(one.has_bound_end for one in found),
    )


def _sum_pools(
    part: DispatchView,
    members: Sequence[ActiveRun | QueuedTask],
    tasks: Mapping[int, TaskForecast],
    simulations: Sequence[Mapping[int, RunTimes]],
) -> list[PoolForecast]:
    pool_of = {queue.name: queue.pool for queue in part.queues}
    hours: dict[str, dict[str, float]] = {pool.name: {} for pool in part.pools}
    lasts: dict[str, list[float] | None] = {pool.name: [0.0] * SAMPLES for pool in part.pools}
    for task in members:
        pool = pool_of[task.queue]
        if tasks[task.number].end is None:
            lasts[pool] = None
            continue
        runs = [found[task.number] for found in simulations]
        took = sum(run.end - run.start for run in runs) / SAMPLES / HOUR
        for name, amount in task.needs.items():
            hours[pool][name] = hours[pool].get(name, 0.0) + amount * took
        if (before := lasts[pool]) is not None:
            lasts[pool] = [max(last, run.end) for last, run in zip(before, runs, strict=True)]
    return [
        PoolForecast(
            pool.name,
            {**part.shared, **pool.totals},
            hours[pool.name],
            None if (ends := lasts[pool.name]) is None else sorted(ends)[SAMPLES // 2],
        )
        for pool in part.pools
    ]


def summarize_waits(
    outcome: ViewForecast, numbers: Iterable[int]
) -> tuple[float | None, float | None, int]:
    """Return mean and longest seconds until the start of tasks, and how many have none."""
    starts = [outcome.tasks.get(number, UNKNOWN).start for number in numbers]
    known = [start for start in starts if start is not None]
    unknown = len(starts) - len(known)
    return (sum(known) / len(known), max(known), unknown) if known else (None, None, unknown)
