"""Starts of tasks that bookings stop, from the ends of bookings and runs, and what fits beside.

The first task that a booking stops keeps its place, as the reserved task of a pool does. Later
tasks that need the same resource start if they end before that task could start, or leave enough.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import EPSILON, can_fit
from app.core.scheduling.bookings import BookingBound, BookingKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.core.scheduling.bookings import Bounded
    from app.core.scheduling.plan import QueuedTask

Place = tuple[str | None, str]
"""A booked resource of a pool, or of no pool if all pools share the resource."""
Ends = list[tuple[float, float]]
"""Seconds until runs end (inf: unknown), and the amounts that they free."""


@dataclass(slots=True)
class BookedWait:
    """The time until a stopped task could start, and the amounts that stay free beside it."""

    starts_in: float
    spare: dict[Place, float]

    def lets_pass(self, task: QueuedTask, key: BookingKey, need: float) -> bool:
        """Return True if a later task does not delay the stopped one."""
        return self._ends_before(task.expected) or can_fit(
            need, self.spare.get((key.pool, key.resource), -1.0)
        )

    def deduct(self, ends_in: float, uses: Iterable[tuple[Place, float]]) -> None:
        """Deduct a task that may still run when the stopped one could start."""
        if not self._ends_before(ends_in):
            for place, need in uses:
                if place in self.spare:
                    self.spare[place] -= need

    def _ends_before(self, seconds: float | None) -> bool:
        return seconds is not None and seconds <= self.starts_in < inf


class BookedPlaces:
    """Booked resources with what runs hold of them, during planning."""

    def __init__(self, bounds: Sequence[BookingBound]) -> None:
        self._bounds: dict[Place, list[BookingBound]] = {}
        for bound in bounds:
            self._bounds.setdefault((bound.key.pool, bound.key.resource), []).append(bound)
        self._ends: dict[Place | BookingKey, Ends] = {}

    def list_uses(self, task: Bounded, pool: str) -> list[tuple[Place, float]]:
        """Return what a task of a pool takes of each booked resource."""
        return [
            (place, need)
            for place in self._bounds
            if place[0] in (None, pool) and (need := task.needs.get(place[1], 0.0)) > 0
        ]

    def hold(
        self, ends_in: float, uses: Iterable[tuple[Place, float]],
        bound: Iterable[tuple[BookingKey, float]],
    ) -> None:  # fmt: skip
        """Note a run: its end, and what it takes of resources and beside bookings."""
        for key, need in (*uses, *bound):
            self._ends.setdefault(key, []).append((ends_in, need))

    def sum_freed(self, key: BookingKey, until: float) -> float:
        """Return what runs give back of an amount beside bookings until a time."""
        return sum(need for ends_in, need in self._ends.get(key, ()) if ends_in <= until)

    def find_wait(self, task: Bounded, pool: str, seconds: float) -> BookedWait:
        """Return the wait of a task that may run for so many seconds.

        A run with an unknown end may end next. So what is spare is spare then, too.
        """
        uses = self.list_uses(task, pool)
        starts_in, spare = self._find_start(task, uses, seconds)
        _, early = self._find_start(task, uses, seconds, unknown_end=0.0)
        return BookedWait(starts_in, {place: min(spare[place], early[place]) for place in spare})

    def _find_start(
        self, task: Bounded, uses: Sequence[tuple[Place, float]], seconds: float,
        unknown_end: float = inf,
    ) -> tuple[float, Mapping[Place, float]]:  # fmt: skip
        """Return the first time at which all is free, and what is free beside the task then."""
        lines = {
            place: _FreeOverTime(self._list_steps(place, task, unknown_end), need, seconds)
            for place, need in uses
        }
        at = 0.0
        while at < inf:
            later = max((line.find_start(at) for line in lines.values()), default=at)
            if later == at:
                return at, {place: line.get_spare(at) for place, line in lines.items()}
            at = later
        return inf, dict.fromkeys(lines, -1.0)

    def _list_steps(self, place: Place, task: Bounded, unknown_end: float) -> list[_Steps]:
        """Return the free amounts over time: of the whole, and beside the bookings of others."""
        bounds = [one for one in self._bounds[place] if not one.tags.intersection(task.subjects)]
        found = [(place, self._bounds[place][0].whole, -inf, inf)]
        found += [(one.key, one.total, one.begins_in, one.ends_in) for one in bounds]
        return [
            _make_steps(self._ends.get(key, []), total, begins, ends, unknown_end)
            for key, total, begins, ends in found
        ]


class _Steps(NamedTuple):
    """An amount that grows as runs end, and the time in which the amount counts."""

    moments: Sequence[float]
    amounts: Sequence[float]
    begins_in: float
    ends_in: float

    def get(self, at: float) -> float:
        return self.amounts[bisect_right(self.moments, at)]


def _make_steps(
    ends: Ends, total: float, begins_in: float, ends_in: float, unknown_end: float
) -> _Steps:
    known = sorted((unknown_end if at == inf else at, need) for at, need in ends)
    free = total - sum(need for _, need in known)
    amounts = list(accumulate((need for _, need in known), initial=free))
    return _Steps([at for at, _ in known], amounts, begins_in, ends_in)


class _FreeOverTime:
    """Free amounts of one resource for a task over time."""

    def __init__(self, steps: Sequence[_Steps], need: float, seconds: float) -> None:
        self._steps, self._need, self._seconds = steps, need, seconds
        moments = {at for one in steps for at in (*one.moments, one.ends_in) if at < inf}
        self._moments = sorted(moments)

    def get_spare(self, at: float) -> float:
        """Return what is free beside the task if the task starts at a time."""
        last = at + self._seconds
        free = (one.get(at) for one in self._steps if one.begins_in < last and at < one.ends_in)
        return min(free, default=inf) - self._need

    def find_start(self, after: float) -> float:
        """Return the first time from a time on at which the task fits, or inf."""
        later = self._moments[bisect_right(self._moments, after) :]
        return next((at for at in (after, *later) if self.get_spare(at) >= -EPSILON), inf)
