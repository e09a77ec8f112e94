"""Limits of tags and groups: what all running tasks of one tag may take together.

A task that a limit stops is skipped without a reservation, so it holds no place and delays nobody
else. Only tasks that need the same amount of the same limit wait behind it, in order. Of the tasks
behind one that bookings stop, those that do not delay it start (see `booked_waits`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import Amounts, can_fit
from app.core.scheduling.booked_waits import BookedPlaces, BookedWait
from app.core.scheduling.bookings import BookingBound, BookingKey
from app.translation import tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.core.scheduling.bookings import Bounded
    from app.core.scheduling.explanations.waiting_task import TaskState
    from app.core.scheduling.plan import QueuedTask

RUNNING = tr_noop("running tasks")
"""The amount of which each task takes one. No resource has a space in its name."""

Limits = Mapping[str, Amounts]
"""{name: {resource: most}}. A name is a tag `KEY=VALUE`, a tag name for each value, or a group."""


class LimitKey(NamedTuple):
    """One amount that a limit bounds: the tag or group of the tasks, and the resource."""

    subject: str
    resource: str


BoundKey = LimitKey | BookingKey
"""One amount that tasks share: of a limit, or beside bookings."""
LimitUses = list[tuple[LimitKey, float]]
"""Amounts that a task takes of limits."""


def make_group_subject(number: int) -> str:
    """Return the subject of a group; no tag begins with `=`."""
    return f"=g{number}"


def format_subject(subject: str) -> str:
    """Return a subject, not sanitized, as users write it: `team=a`, `g12`."""
    return subject.removeprefix("=")


def find_name(limits: Limits, subject: str) -> str | None:
    """Return the name of the limit that holds for a tag or group: its own, or that of the key."""
    if subject in limits:
        return subject
    key = subject.partition("=")[0]
    return key if key in limits else None


def list_subjects(
    limits: Limits, tags: Mapping[str, str], booked: Container[str] = ()
) -> tuple[str, ...]:
    """Return the tags of a task, as `KEY=VALUE`, that a limit bounds or a booking is for."""
    found = (f"{key}={value}" for key, value in tags.items())
    return tuple(one for one in found if one in booked or find_name(limits, one) is not None)


def list_uses(limits: Limits, task: Bounded | TaskState) -> LimitUses:
    """Return what a task takes of each limit that bounds it."""
    return [use for subject in task.subjects for use in _list_uses_of(limits, subject, task.needs)]


def _list_uses_of(limits: Limits, subject: str, needs: Amounts) -> LimitUses:
    name = find_name(limits, subject)
    found = [
        (LimitKey(subject, resource), 1.0 if resource == RUNNING else needs.get(resource, 0.0))
        for resource in (limits[name] if name is not None else ())
    ]
    return [use for use in found if use[1] > 0]


def _list_keys(limits: Limits, subjects: Iterable[str]) -> list[LimitKey]:
    """Return the amounts of the limits that hold for tags and groups."""
    names = ((subject, find_name(limits, subject)) for subject in subjects)
    return [
        LimitKey(subject, resource)
        for subject, name in names
        if name is not None
        for resource in limits[name]
    ]


def list_excess(
    limits: Limits, tags: Mapping[str, str], needs: Amounts
) -> list[tuple[LimitKey, float]]:
    """Return the amounts of limits, with their totals, that a task exceeds by itself."""
    return [
        (key, total)
        for subject in list_subjects(limits, tags)
        for key, need in _list_uses_of(limits, subject, needs)
        if not can_fit(need, total := get_total(limits, key))
    ]


def get_total(limits: Limits, key: LimitKey) -> float:
    """Return the most that the tasks of a tag or group may take of a resource."""
    name = find_name(limits, key.subject)
    return inf if name is None else limits[name].get(key.resource, inf)


class LimitBudget:
    """Amounts of limits, and beside bookings, that tasks may still take during planning."""

    def __init__(
        self,
        limits: Limits,
        beside: Sequence[BookingBound] = (),
        uses: dict[int, LimitUses] | None = None,
    ) -> None:
        """Begin with the whole amounts; `beside` are bounds of tasks without the booked tags.

        `uses` keeps what tasks take of the limits, by number, for other budgets of these limits.
        """
        self.limits, self.beside, self._uses = limits, beside, {} if uses is None else uses
        self.firsts: dict[BoundKey, QueuedTask] = {}
        """The first task that each exhausted amount stops. Later tasks wait behind this task."""
        self._keys: dict[tuple[str, ...], list[LimitKey]] = {}
        """Amounts of limits by the tags and groups of a task."""
        self._totals = {bound.key: bound.total for bound in beside}
        self._places = BookedPlaces(beside) if beside else None
        self._waits: dict[str, BookedWait] = {}
        """Waits of the first tasks that bookings stop, by UUID."""
        self._free: dict[BoundKey, float] = {}
        self._kept: dict[BoundKey, tuple[float, float]] = {}
        """Amounts that reserved tasks will take, and the seconds until the first of them starts."""

    def list_uses(
        self, task: Bounded, pool: str, until: float | None = None
    ) -> list[tuple[BoundKey, float]]:
        """Return what a task takes of each limit and beside each booking, within its timeout.

        `until` is in seconds, from the timeout if it is None.
        """
        known = self._uses.get(task.number)
        if known is None:
            known = self._uses[task.number] = self._list_uses_of_limits(task)
        found: list[tuple[BoundKey, float]] = [*known]
        if self.beside:
            if until is None:
                until = _get_latest_end(task)
            found += [
                (bound.key, need)
                for bound in self.beside
                if (need := bound.get_need(task, pool, until)) > 0
            ]
        return found

    def _list_uses_of_limits(self, task: Bounded) -> LimitUses:
        """Return `list_uses` of the limits, fast for many tasks of the same tags and groups."""
        keys = self._keys.get(task.subjects)
        if keys is None:
            keys = self._keys[task.subjects] = _list_keys(self.limits, task.subjects)
        needs = task.needs
        return [
            (key, need)
            for key in keys
            if (need := 1.0 if key.resource == RUNNING else needs.get(key.resource, 0.0)) > 0
        ]

    def get_total(self, key: BoundKey) -> float:
        """Return the whole of an amount."""
        return self._totals[key] if isinstance(key, BookingKey) else get_total(self.limits, key)

    def get_bound(self, key: BookingKey) -> BookingBound:
        """Return the bound of a set of bookings."""
        return next(bound for bound in self.beside if bound.key == key)

    def get_free(self, key: BoundKey) -> float:
        """Return what is free of an amount."""
        return self._free[key] if key in self._free else self.get_total(key)

    def occupy(
        self, task: Bounded, pool: str, ends_in: float = inf, until: float | None = None
    ) -> None:
        """Deduct what a run takes, which probably ends in some seconds (inf: unknown)."""
        found = self.list_uses(task, pool, until)
        for key, need in found:
            self._free[key] = self.get_free(key) - need
        if self._places is not None:
            uses = self._places.list_uses(task, pool)
            bound = [(key, need) for key, need in found if isinstance(key, BookingKey)]
            self._places.hold(ends_in, uses, bound)
            for wait in self._waits.values():
                wait.deduct(ends_in, uses)

    def find_lacking(self, task: QueuedTask, pool: str) -> list[BoundKey]:
        """Return the amounts that stop a task: too little is free, or an earlier task waits."""
        return [
            key
            for key, need in self.list_uses(task, pool)
            if not can_fit(need, self.get_free(key)) or self.has_to_wait(task, pool, key, need)
        ]

    def has_to_wait(self, task: QueuedTask, pool: str, key: BoundKey, need: float) -> bool:
        """Return True if a task would delay the first one that an amount stops."""
        first = self.firsts.get(key)
        if first is None or first.uuid == task.uuid:
            return False
        if self._places is None or not isinstance(key, BookingKey):
            return True
        wait = self._waits.get(first.uuid)
        return wait is None or not wait.lets_pass(task, key, need)

    def find_wait(self, key: BookingKey) -> BookedWait | None:
        """Return the wait of the first task that a booking stops, if a task was stopped."""
        first = self.firsts.get(key)
        return self._waits.get(first.uuid) if first else None

    def has_no_first(self, lacking: Iterable[BoundKey]) -> bool:
        """Return True if no task waits for one of these amounts yet."""
        return any(key not in self.firsts for key in lacking)

    def add_first(self, task: QueuedTask, pool: str, lacking: Iterable[BoundKey]) -> None:
        """Let later tasks wait behind a stopped one, unless it needs more than the whole."""
        needs = dict(self.list_uses(task, pool))
        for key in lacking:
            if can_fit(needs[key], self.get_total(key)):
                first = self.firsts.setdefault(key, task)
                if self._places is not None and isinstance(key, BookingKey) and first is task:
                    self._note_wait(self._places, task, pool)

    def _note_wait(self, places: BookedPlaces, task: QueuedTask, pool: str) -> None:
        if task.uuid not in self._waits:
            self._waits[task.uuid] = places.find_wait(task, pool, _get_latest_end(task))

    def list_exhausted(self) -> list[BoundKey]:
        """Return the amounts of which nothing is free."""
        return [key for key, free in self._free.items() if not can_fit(1e-3, free)]

    def keep(self, task: QueuedTask, pool: str, starts_in: float) -> None:
        """Keep what a task with a reservation will take."""
        for key, need in self.list_uses(task, pool):
            kept, soonest = self._kept.get(key, (0.0, inf))
            self._kept[key] = kept + need, min(soonest, starts_in)

    def can_admit(self, task: QueuedTask, pool: str) -> bool:
        """Return True if a task delays no reserved one: enough is left, or it ends in time."""
        return all(
            can_fit(need + kept, self.get_free(key) + self._sum_freed(key, soonest))
            or (task.limit is not None and task.limit <= soonest < inf)
            for key, need in (self.list_uses(task, pool) if self._kept else ())
            for kept, soonest in (self._kept.get(key, (-inf, inf)),)
        )

    def _sum_freed(self, key: BoundKey, until: float) -> float:
        """Return what runs give back of an amount beside bookings until a time."""
        if self._places is None or not isinstance(key, BookingKey) or until == inf:
            return 0.0
        return self._places.sum_freed(key, until)


def _get_latest_end(task: Bounded) -> float:
    """Return the seconds after which the timeout ends a task, inf without one."""
    return inf if task.limit is None or task.limit <= 0 else task.limit
