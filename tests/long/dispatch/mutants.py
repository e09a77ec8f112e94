"""Faults of the plan that the worlds must find, each as a patch of the product."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any

from app.core.scheduling import bookings, devices, limits, plan
from app.core.scheduling.booked_waits import BookedWait
from app.core.scheduling.bookings import BookingBound
from app.core.scheduling.limits import LimitBudget, LimitKey
from app.core.scheduling.plan import FreeAmounts
from app.core.scheduling.resources import GPU
from app.service.scheduling import ageing

_has, _assign, _order = FreeAmounts.has, devices.assign_devices, plan.order_tasks
_try_start, _make_budgets, _reserve = plan._try_start, plan.make_budgets, plan.PoolBudget.reserve
_sort_key = plan.get_sort_key
_get_need, _list_bounds, _list_sets = BookingBound.get_need, plan.list_bounds, bookings._list_sets
_get_total, _occupy = limits.get_total, LimitBudget.occupy
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


def _ignore_timeouts(bound: Any, task: Any, pool: str, until: float) -> float:
    return _get_need(bound, task, pool, inf)


def _ignore_tags(bound: Any, task: Any, *more: Any) -> float:
    return _get_need(bound, replace(task, subjects=()), *more)


def _never_end(booked: Sequence[Any], *more: Any) -> Any:
    return _list_bounds([replace(one, ends_in=inf) for one in booked], *more)


def _take_one_by_one(booked: Sequence[Any], *more: Any) -> Iterator[Any]:
    return (chosen for chosen in _list_sets(booked, *more) if len(chosen) == 1)


def _is_of_group(key: Any) -> bool:
    return isinstance(key, LimitKey) and key.subject.startswith("=")


def _change_groups(change: int) -> Callable[..., float]:
    return lambda known, key: _get_total(known, key) + change * _is_of_group(key)


def _forget_runs_of_groups(budget: Any, run: Any, *more: Any) -> None:
    own = tuple(one for one in run.subjects if not one.startswith("="))
    is_run = hasattr(run, "ends_in")
    _occupy(budget, replace(run, subjects=own) if is_run else run, *more)


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
    "ignores reservations": (BookingBound, "get_need", lambda *facts: 0.0),
    "keeps out what ends before a reservation": (BookingBound, "get_need", _ignore_timeouts),
    "keeps a tag out of its reservation": (BookingBound, "get_need", _ignore_tags),
    "adds no reservations of one time up": (bookings, "_list_sets", _take_one_by_one),
    "ends no reservation": (plan, "list_bounds", _never_end),
    "lets nothing pass a task that a reservation stops": (
        BookedWait, "lets_pass", lambda *facts: False,
    ),
    "starts one more of a group": (limits, "get_total", _change_groups(1)),
    "starts one less of a group": (limits, "get_total", _change_groups(-1)),
    "forgets runs of groups": (LimitBudget, "occupy", _forget_runs_of_groups),
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
