"""Limits of tags and groups: what all running tasks of one tag may take together.

A task that a limit stops is skipped without a reservation, so it holds no place and delays nobody
else. Only tasks that need the same amount of the same limit wait behind it, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import Amounts, can_fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.core.scheduling.plan import ActiveRun, QueuedTask
    from app.core.scheduling.waiting_task import TaskState

RUNNING = "running tasks"
"""The amount of which each task takes one. No resource has a space in its name."""

Limits = Mapping[str, Amounts]
"""{name: {resource: most}}. A name is a tag `KEY=VALUE`, a tag name for each value, or a group."""


class LimitKey(NamedTuple):
    """One amount that a limit bounds: the tag or group of the tasks, and the resource."""

    subject: str
    resource: str


LimitUses = list[tuple[LimitKey, float]]
"""Amounts that a task takes of limits."""


def make_group_subject(number: int) -> str:
    """Return the subject of a group; no tag begins with `=`."""
    return f"=g{number}"


def format_subject(subject: str) -> str:
    """Return a subject as users write it: `team=a`, `g12`. It is not sanitized."""
    return subject.removeprefix("=")


def find_name(limits: Limits, subject: str) -> str | None:
    """Return the name of the limit that holds for a tag or group: its own, or that of the key."""
    if subject in limits:
        return subject
    key = subject.partition("=")[0]
    return key if key in limits else None


def list_subjects(limits: Limits, tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags of a task that a limit bounds, as `KEY=VALUE`."""
    found = (f"{key}={value}" for key, value in tags.items())
    return tuple(one for one in found if find_name(limits, one) is not None)


def list_uses(limits: Limits, task: ActiveRun | QueuedTask | TaskState) -> LimitUses:
    """Return what a task takes of each limit that bounds it."""
    return [use for subject in task.subjects for use in _list_uses_of(limits, subject, task.needs)]


def _list_uses_of(limits: Limits, subject: str, needs: Amounts) -> LimitUses:
    name = find_name(limits, subject)
    found = [
        (LimitKey(subject, resource), 1.0 if resource == RUNNING else needs.get(resource, 0.0))
        for resource in (limits[name] if name is not None else ())
    ]
    return [use for use in found if use[1] > 0]


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
    """Amounts that tasks may still take of limits during planning."""

    def __init__(self, limits: Limits, runs: Iterable[ActiveRun | QueuedTask] = ()) -> None:
        """Begin with what active runs leave."""
        self.limits = limits
        self.firsts: dict[LimitKey, QueuedTask] = {}
        """The first task that each exhausted amount stops; later ones wait behind it."""
        self._free: dict[LimitKey, float] = {}
        self._kept: dict[LimitKey, tuple[float, float]] = {}
        """Amounts that reserved tasks will take, and the seconds until the first of them starts."""
        for run in runs:
            self.occupy(run)

    def get_free(self, key: LimitKey) -> float:
        """Return what is free of an amount."""
        return self._free[key] if key in self._free else get_total(self.limits, key)

    def occupy(self, task: ActiveRun | QueuedTask) -> None:
        """Deduct what a run takes."""
        for key, need in list_uses(self.limits, task):
            self._free[key] = self.get_free(key) - need

    def find_lacking(self, task: QueuedTask) -> list[LimitKey]:
        """Return the amounts that stop a task: too little is free, or an earlier task waits."""
        return [
            key
            for key, need in list_uses(self.limits, task)
            if not can_fit(need, self.get_free(key)) or self.firsts.get(key, task) is not task
        ]

    def add_first(self, task: QueuedTask, lacking: Iterable[LimitKey]) -> None:
        """Let later tasks wait behind a stopped one, unless it needs more than the limit."""
        needs = dict(list_uses(self.limits, task))
        for key in lacking:
            if can_fit(needs[key], get_total(self.limits, key)):
                self.firsts.setdefault(key, task)

    def list_exhausted(self) -> list[LimitKey]:
        """Return the amounts of which nothing is free."""
        return [key for key, free in self._free.items() if not can_fit(1e-3, free)]

    def keep(self, task: QueuedTask, starts_in: float) -> None:
        """Keep what a task with a reservation will take."""
        for key, need in list_uses(self.limits, task):
            kept, soonest = self._kept.get(key, (0.0, inf))
            self._kept[key] = kept + need, min(soonest, starts_in)

    def can_admit(self, task: QueuedTask) -> bool:
        """Return True if a task delays no reserved one: enough is left, or it ends in time."""
        return all(
            can_fit(need + kept, self.get_free(key))
            or (task.limit is not None and task.limit <= soonest < inf)
            for key, need in (list_uses(self.limits, task) if self._kept else ())
            for kept, soonest in (self._kept.get(key, (-inf, inf)),)
        )
