"""Bookings: amounts of a pool that only the tasks of a tag get, from a time to a time.

A task without the tag that may run into a booking takes part of what the booking leaves. Tasks
without any tag of a set of overlapping bookings share what the whole set leaves. So each set is one
more total, and the plan treats this total like a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import Amounts
from app.core.text.sanitize import find_name_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.core.scheduling.plan import ActiveRun, PoolView, QueuedTask

    Bounded = ActiveRun | QueuedTask

MAX_OVERLAPPING = 4
"""Maximum number of bookings of a resource of a pool at a time; n have 2^n - 1 sets."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Amounts of a pool for the tasks of a tag (`KEY=VALUE`), in seconds from now."""

    name: str
    pool: str
    tag: str
    needs: Amounts
    begins_in: float
    ends_in: float


class BookingKey(NamedTuple):
    """One resource beside a set of bookings; no pool is a resource that all pools share."""

    pool: str | None
    names: tuple[str, ...]
    resource: str


@dataclass(frozen=True, slots=True)
class BookingBound:
    """The total of a resource that tasks without the booked tags share, from a time on."""

    key: BookingKey
    total: float
    tags: frozenset[str]
    begins_in: float
    ends_in: float
    whole: float
    """The amount without any booking."""

    def get_need(self, task: Bounded, pool: str, until: float) -> float:
        """Return what a task of a pool takes of this total if it may run for so many seconds."""
        need = task.needs.get(self.key.resource, 0.0)
        if need <= 0 or until <= self.begins_in or self.key.pool not in (None, pool):
            return 0.0
        return 0.0 if self.tags.intersection(task.subjects) else need


def is_booked_tag(text: str) -> bool:
    """Return True for a tag `KEY=VALUE` that a booking may be for."""
    key, _, value = text.partition("=")
    return bool(key.strip() and value) and not find_name_error(text.replace("/", "_"))


def list_bounds(
    bookings: Sequence[Booking], pools: Iterable[PoolView], shared: Amounts, now: float = 0.0
) -> tuple[BookingBound, ...]:
    """Return the totals beside each set of bookings that hold at the same time."""
    coming = [one for one in bookings if one.ends_in > now]
    if not coming:
        return ()
    totals = {pool.name: pool.totals for pool in pools}
    return tuple(
        BookingBound(
            BookingKey(pool, tuple(one.name for one in chosen), resource),
            total - sum(one.needs[resource] for one in chosen),
            frozenset(one.tag for one in chosen),
            max(0.0, *(one.begins_in - now for one in chosen)),
            min(one.ends_in for one in chosen) - now,
            total,
        )
        for pool, resource, total, found in _list_booked(coming, totals, shared)
        for chosen in _list_sets(found)
    )


def _list_booked(
    bookings: Sequence[Booking], totals: Mapping[str, Amounts], shared: Amounts
) -> Iterator[tuple[str | None, str, float, list[Booking]]]:
    """Yield each booked resource of a pool, or of all pools, with its total and its bookings."""
    for pool, resource in sorted({(one.pool, name) for one in bookings for name in one.needs}):
        own = [one for one in bookings if one.pool == pool and one.needs.get(resource)]
        if own and resource in totals.get(pool, {}):
            yield pool, resource, totals[pool][resource], own
    for resource in sorted({name for one in bookings for name in one.needs} & shared.keys()):
        of_all = [one for one in bookings if one.needs.get(resource)]
        if of_all:
            yield None, resource, shared[resource], of_all


def _list_sets(
    bookings: Sequence[Booking],
    chosen: tuple[Booking, ...] = (),
    begins: float = -inf,
    ends: float = inf,
) -> Iterator[tuple[Booking, ...]]:
    """Yield the sets of bookings that hold at the same time."""
    for at, one in enumerate(bookings):
        first, last = max(begins, one.begins_in), min(ends, one.ends_in)
        if first < last:
            yield (*chosen, one)
            yield from _list_sets(bookings[at + 1 :], (*chosen, one), first, last)


def find_next_end(bookings: Iterable[Booking], after: float = 0.0) -> float:
    """Return when the next booking ends after a time, or inf."""
    return min((one.ends_in for one in bookings if one.ends_in > after), default=inf)
