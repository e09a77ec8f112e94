"""Causes that stop tasks after a decision, as conditions on what tasks ask for.

A round looks at the first tasks of a queue. If these wait, tasks far behind may fit. A search for
them passes over all tasks that a known cause stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import can_fit
from app.core.scheduling.plan import BackfillBudget, FreeAmounts, PoolBudget, QueuedTask
from app.core.scheduling.resources import CPU, MEMORY


class Stop(NamedTuple):
    """Tasks that cannot start: they need more than `above` of a resource, or are any task.

    With `longer_than`, only those that may run for longer, in seconds. Timeouts tell that with
    `by_timeout`, else the expected times.
    """

    resource: str | None
    above: float
    longer_than: float | None = None
    by_timeout: bool = False

    @property
    def is_total(self) -> bool:
        """True if no task can start."""
        return self.resource is None and self.longer_than is None


def find_stop(budget: PoolBudget, slots: int, task: QueuedTask) -> Stop | None:
    """Return a cause other than limits that stops a task after a decision, or None.

    `slots` are the free ones of its queue.
    """
    return next(_list_stops(budget, slots, task), None)


def _list_stops(budget: PoolBudget, slots: int, task: QueuedTask) -> Iterator[Stop]:
    shared, kept = budget.shared, budget.backfill
    for name in _find_excess(task, budget.free, shared.free):
        yield Stop(name, max(0.0, _get_least(name, budget.free, shared.free)))
    if kept and kept.task.queue == task.queue and slots < 2:
        if not kept.can_admit(task, slots):
            yield Stop(None, 0.0, _get_time(kept), by_timeout=True)
    elif kept and not kept.can_admit(task, slots):
        yield from _list_delays(kept, task, kept.free, kept.shared)
    for one in shared.list_backfills_beside(budget, task.needs):
        if not one.can_share(task):
            yield from _list_delays(one, task, one.shared)


def _list_delays(kept: BackfillBudget, task: QueuedTask, *free: FreeAmounts) -> Iterator[Stop]:
    """Yield the amounts by which a task would delay a reserved one."""
    for name in _find_excess(task, *free):
        yield Stop(name, max(0.0, _get_least(name, *free)), _get_time(kept))


def _get_time(kept: BackfillBudget) -> float | None:
    """Return the seconds that a task may run before a reserved one starts, or None."""
    return kept.starts_in if kept.starts_in < inf else None


def _find_excess(task: QueuedTask, *free: FreeAmounts) -> Iterator[str]:
    """Yield the resources of which a task needs more than is free, the rarest kinds first."""
    found = [n for n, need in task.needs.items() if not can_fit(need, _get_least(n, *free))]
    yield from sorted(found, key=lambda name: (name in (CPU, MEMORY), name))


def _get_least(name: str, *free: FreeAmounts) -> float:
    return min(one.get(name) for one in free)
