"""Independent sums of what tasks take beside bookings, and of the running tasks of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import inf

from app.core.scheduling.bookings import Booking
from tests.long.dispatch.world import Job, World, get_end

SLACK = 1e-6
Place = tuple[str | None, str]
"""A resource of a pool, or of no pool if all pools share the resource."""


class BookedShares:
    """What bookings leave to tasks without their tags."""

    def __init__(self, world: World) -> None:
        self.world = world

    def find_excess(self, jobs: Sequence[Job]) -> str | None:
        """Return which jobs may take what is booked, now or later, if each takes all its time."""
        for at in self._list_moments():
            alive = [job for job in jobs if job.get_last(self.world.now) > at]
            held = [one for one in self.world.bookings if one.begins_in <= at < one.ends_in]
            for count in range(1, len(held) + 1):
                for chosen in combinations(held, count):
                    if found := self._find_excess_beside(alive, chosen):
                        return f"{found} at {at}"
        return None

    def find_start(self, job: Job, started: Sequence[Job]) -> float:
        """Return in how many seconds bookings let a task start at the earliest, inf if unknown.

        The runs that have just `started` do not count: they may have passed it.
        """
        world, now = self.world, self.world.now
        runs = [one for one in world.running if one not in started]
        moments = {one.ends_in for one in world.bookings} | {get_end(one) for one in runs}
        try:
            for at in sorted(at for at in {now, *moments} if now <= at < inf):
                world.now = at
                if not self.find_excess([*(one for one in runs if get_end(one) > at), job]):
                    return at - now
        finally:
            world.now = now
        return inf

    def list_taken(self, job: Job) -> set[Place]:
        """Return the booked amounts of which a job takes part if it starts now or runs."""
        now, last = self.world.now, job.get_last(self.world.now)
        return {
            place
            for one in self.world.bookings
            if one.ends_in > now and last > one.begins_in and one.tag not in job.task.subjects
            for place, _ in self._list_places(one)
            if self._count([job], place)
        }

    def _list_moments(self) -> list[float]:
        now = self.world.now
        return [now, *(one.begins_in for one in self.world.bookings if one.begins_in > now)]

    def _find_excess_beside(self, alive: Iterable[Job], chosen: Sequence[Booking]) -> str | None:
        """Return which total the jobs with none of the tags exceed beside bookings of one time."""
        tags = {one.tag for one in chosen}
        others = [job for job in alive if tags.isdisjoint(job.task.subjects)]
        booked = Counter[Place]()
        for one in chosen:
            booked.update(dict(self._list_places(one)))
        for place, amount in booked.items():
            pool, name = place
            total = self.world.shared[name] if pool is None else self._get_total(pool, name)
            if (used := self._count(others, place)) > max(0.0, total - amount) + SLACK:
                return f"{used:g} {name} beside {amount:g} of {total:g} for {sorted(tags)}"
        return None

    def _list_places(self, booking: Booking) -> Iterator[tuple[Place, float]]:
        for name, amount in booking.needs.items():
            yield (booking.pool, name), amount
            if name in self.world.shared:
                yield (None, name), amount

    def _get_total(self, pool: str, name: str) -> float:
        return self.world.pools[pool].totals[name]

    def _count(self, jobs: Iterable[Job], place: Place) -> float:
        pool, name = place
        queues = self.world.queues
        inside = (job for job in jobs if pool in (None, queues[job.task.queue].pool))
        return sum(job.task.needs.get(name, 0.0) for job in inside)


def count_groups(jobs: Iterable[Job]) -> Counter[int]:
    """Return how many jobs each group has."""
    return Counter(job.group for job in jobs if job.group is not None)
