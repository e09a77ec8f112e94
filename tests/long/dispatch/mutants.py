"""Faults of the plan that the worlds must find, each as a patch of the product."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from app.core.scheduling import devices, plan
from app.core.scheduling.limits import LimitBudget
from app.core.scheduling.plan import FreeAmounts
from app.core.scheduling.resources import GPU
from app.service import ageing

_has, _assign, _order = FreeAmounts.has, devices.assign_devices, plan.order_tasks
_try_start, _make_budgets, _reserve = plan._try_start, plan.make_budgets, plan.PoolBudget.reserve
_sort_key = plan.get_sort_key
Patch = tuple[Any, str, Callable[..., Any]]


def _count_no_gpus(amounts: Any, needs: Mapping[str, float]) -> bool:
    return _has(amounts, {name: need for name, need in needs.items() if name != GPU})


def _keep_slots(task: Any, budget: Any, slots: dict[str, int], *more: Any) -> bool:
    before = dict(slots)
    started = _try_start(task, budget, slots, *more)
    slots.update(before)
    return started


def _reserve_too_late(budget: Any, task: Any, slots: int) -> None:
    _reserve(budget, task, slots)
    if budget.backfill is not None:
        budget.backfill.starts_in *= 2


def _give_again(wanted: Any, held: Any, known: Sequence[str] | None = None) -> Any:
    return _assign(wanted, (), None if known is None else sorted({*known, *held}))


def _reverse_numbers(task: Any) -> tuple[Any, ...]:
    *key, number = _sort_key(task)
    return (*key, -number)


def _shuffle(view: Any, *more: Any) -> Any:
    line = list(_order(view, *more))
    random.shuffle(line)
    return line


MUTANTS: Mapping[str, Patch] = {
    "counts no GPUs": (FreeAmounts, "has", _count_no_gpus),
    "counts no slots": (plan, "_try_start", _keep_slots),
    "admits what delays a reserved task": (
        plan.BackfillBudget, "can_admit", lambda budget, task, slots: True,
    ),
    "lets many small tasks delay a reserved one": (
        plan.BackfillBudget, "admit", lambda budget, task, is_own: None,
    ),
    "reserves too late": (plan.PoolBudget, "reserve", _reserve_too_late),
    "reserves nothing": (plan.PoolBudget, "reserve", lambda budget, task, slots: None),
    "starts in closed windows": (plan, "is_inside", lambda windows, at=0.0: True),
    "starts in draining queues": (plan, "is_open", lambda queue, pool: True),
    "ignores limits": (LimitBudget, "find_lacking", lambda budget, *facts: []),
    "gives withheld devices": (
        plan, "make_budgets", lambda pools, shared, withheld=(): _make_budgets(pools, shared),
    ),
    "starts the newest first": (plan, "get_sort_key", _reverse_numbers),
    "takes tasks in random order": (plan, "order_tasks", _shuffle),
    "gives a device twice": (devices, "assign_devices", _give_again),
    "lets no old task go first": (ageing, "_goes_before", lambda *facts: True),
}  # fmt: skip


@contextmanager
def apply_mutant(name: str) -> Iterator[None]:
    """Patch the product in the block."""
    place, attribute, fault = MUTANTS[name]
    before = getattr(place, attribute)
    setattr(place, attribute, fault)
    try:
        yield
    finally:
        setattr(place, attribute, before)
