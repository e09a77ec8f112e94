"""Queued tasks behind those that limits and bookings stop.

Many tags or groups may each have many stopped tasks, and a round has no time to pass them all. So
it remembers the first stopped task of each, and the next round looks further.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from app.core.scheduling.limits import BoundKey, LimitBudget
from app.core.scheduling.plan import QueuedTask, QueueView, get_sort_key
from app.service.scheduling.limit_view import list_exclusions
from db import timestamps
from db.queries.scheduling.limits import Exclusion

MAX_SECONDS = 0.02
"""Time after which a round reads no further."""
MAX_AGE = 30.0
"""Seconds after which all is read again, since a task with a higher priority may have come."""

Finder = Callable[[Sequence[Exclusion]], Sequence[QueuedTask]]
"""Function that returns the first tasks of a queue without the excluded ones."""
Reader = Callable[[Sequence[str]], Sequence[QueuedTask]]
"""Function that returns those of some tasks that are still queued in the queue."""


class _Stopped(NamedTuple):
    """Tasks that stop others behind them, and since when they are remembered in UNIX seconds."""

    uuids: tuple[str, ...]
    began_at: float


class StoppedTasks:
    """First stopped tasks beyond the windows, by queue, remembered between rounds."""

    def __init__(self) -> None:
        self._found: dict[str, _Stopped] = {}
        self.is_cut = False
        """True if the last round had no time to read all, so that another one must follow."""

    def list_uuids(self, queue: str) -> tuple[str, ...]:
        """Return the tasks of a queue that the last rounds found stopped."""
        found, now = self._found.get(queue), timestamps.utcnow().timestamp()
        return found.uuids if found and 0 <= now - found.began_at < MAX_AGE else ()

    def remember(self, queue: str, uuids: Collection[str], is_new: bool) -> None:
        """Remember the stopped tasks of a queue; `is_new` if no earlier ones were known."""
        if not uuids:
            self._found.pop(queue, None)
            return
        began_at = timestamps.utcnow().timestamp() if is_new else self._found[queue].began_at
        self._found[queue] = _Stopped(tuple(uuids), began_at)


class _LimitedLine:
    """Tasks of a queue for the plan: those that may start, and the first stopped ones."""

    def __init__(self, budget: LimitBudget, pool: str) -> None:
        self._budget, self._pool = budget, pool
        self._known = set[str]()
        self._stopping = set[BoundKey]()
        self.startable = 0
        self.stopped: list[QueuedTask] = []
        """Stopped tasks behind which others wait, each for another reason."""

    def take(self, tasks: Sequence[QueuedTask]) -> list[QueuedTask]:
        """Return those of some tasks that are new, and count them."""
        new = [task for task in tasks if task.uuid not in self._known]
        self._known.update(task.uuid for task in new)
        return new

    def add(self, task: QueuedTask, lacking: Sequence[BoundKey]) -> bool:
        """Add a task that lacks some amounts; return True if the plan needs it."""
        if not lacking:
            self._budget.occupy(task, self._pool, inf if task.expected is None else task.expected)
            self.startable += 1
            return True
        if self._stopping.issuperset(lacking) and not self._budget.has_no_first(lacking):
            return False
        before = len(self._stopping) + len(self._budget.firsts)
        self._budget.add_first(task, self._pool, lacking)
        self._stopping.update(lacking)
        is_first = len(self._stopping) + len(self._budget.firsts) > before
        if is_first:
            self.stopped.append(task)
        return is_first

    def find_lacking(self, task: QueuedTask) -> list[BoundKey]:
        """Return the amounts that stop a task."""
        return self._budget.find_lacking(task, self._pool)

    def list_exclusions(self) -> list[Exclusion]:
        """Return the tasks that are stopped if those of the line start."""
        return list_exclusions(self._budget, self._pool, self._stopping)


def read_beyond(
    queue: QueueView, budget: LimitBudget, size: int, find: Finder, read: Reader, kept: StoppedTasks
) -> QueueView:
    """Return a queue with the tasks beyond its window, if too many in the window are stopped.

    `budget` is what active runs leave, and `size` the number of tasks that may start.
    """
    line, began = _LimitedLine(budget, queue.pool), time.perf_counter()
    for task in line.take(queue.waiting):
        line.add(task, line.find_lacking(task))
    if line.startable >= size:
        return queue
    uuids, seen = kept.list_uuids(queue.name), len(line.stopped)
    more = list[QueuedTask]()
    for task in sorted(read(uuids) if uuids else (), key=get_sort_key):
        if (lacking := line.find_lacking(task)) and line.take([task]) and line.add(task, lacking):
            more.append(task)  # one that may start now is found in order
    while line.startable < size and (excluded := line.list_exclusions()):
        found = line.take(find(excluded))
        more += [task for task in found if line.add(task, line.find_lacking(task))]
        if not found:
            break
        if time.perf_counter() - began > MAX_SECONDS:
            kept.is_cut = line.startable < size
            break
    kept.remember(queue.name, [task.uuid for task in line.stopped[seen:]], not uuids)
    if not more:
        return queue
    waiting = tuple(sorted((*queue.waiting, *more), key=get_sort_key))
    return replace(queue, waiting=waiting, first_gap=len(queue.waiting))
