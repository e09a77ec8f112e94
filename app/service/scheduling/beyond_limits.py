"""Queued tasks behind those that limits and bookings stop.

Many tags or groups may each have many stopped tasks, and a round has no time to pass them all. So
rounds remember the amounts that stopped tasks. A round reads the tasks of the amounts that have
become free, and passes the tasks of all others together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Protocol

from app.core.scheduling.amounts import can_fit
from app.core.scheduling.limits import BoundKey, LimitBudget, LimitKey
from app.core.scheduling.plan import QueuedTask, QueueView, get_sort_key
from app.service.scheduling.limit_view import list_booking_exclusions, make_exclusion
from db.queries.scheduling.limits import Exclusion

MAX_SECONDS = 0.02
"""Time after which a view reads no further."""
FIRST_LIMIT, MAX_LIMIT = 8, 512
"""Tasks that are read at first, four times as many if these all may start."""


class Finder(Protocol):
    """Function that returns the first tasks of a queue without the excluded ones."""

    def __call__(
        self,
        excluded: Sequence[Exclusion],
        limit: int,
        begin: QueuedTask | None = None,
        wider: Sequence[Exclusion] = (),
    ) -> Sequence[QueuedTask]:
        """Return at most `limit` tasks.

        The search starts at the task `begin`; `wider` are the exclusions of the call before.
        """
        ...


Stopping = dict[BoundKey, QueuedTask | None]
"""Amounts that have stopped tasks of a queue, with the first one of these if known."""


class _LimitedLine:
    """Tasks of a queue for the plan: those that may start, and the first stopped ones."""

    def __init__(self, queue: QueueView, budget: LimitBudget, stopping: Stopping) -> None:
        self._budget, self._pool = budget, queue.pool
        self._known = set[str]()
        self._stopping = set[BoundKey]()
        self.startable = 0
        self.more: list[QueuedTask] = []
        """Tasks beyond the window that the plan needs."""
        self.add_all(queue.waiting, stopping)
        self.more.clear()

    def add_all(self, tasks: Sequence[QueuedTask], stopping: Stopping) -> bool:
        """Add those of some tasks that are new, and note the amounts that stop them.

        Return False if none is new.
        """
        new = [task for task in tasks if task.uuid not in self._known]
        self._known.update(task.uuid for task in new)
        for task in sorted(new, key=get_sort_key):
            lacking = self._budget.find_lacking(task, self._pool)
            for key in lacking:
                stopping.setdefault(key, task)
            if self._is_needed(task, lacking):
                self.more.append(task)
        return bool(new)

    def _is_needed(self, task: QueuedTask, lacking: Sequence[BoundKey]) -> bool:
        """Count a task that lacks some amounts; return True if the plan needs it."""
        if not lacking:
            self._budget.occupy(task, self._pool, inf if task.expected is None else task.expected)
            self.startable += 1
            return True
        if self._stopping.issuperset(lacking) and not self._budget.has_no_first(lacking):
            return False
        before = len(self._stopping) + len(self._budget.firsts)
        self._budget.add_first(task, self._pool, lacking)
        self._stopping.update(lacking)
        return len(self._stopping) + len(self._budget.firsts) > before

    def is_stopped(self, key: LimitKey) -> bool:
        """Return True if no task that takes of an amount may start."""
        return key in self._budget.firsts or not can_fit(1e-3, self._budget.get_free(key))

    def list_exclusions(self, stopping: Stopping) -> list[Exclusion]:
        """Return the tasks that take of the stopping amounts, and those that bookings stop."""
        bounds = [bound.key for bound in self._budget.beside if bound.key in stopping]
        booked = list_booking_exclusions(self._budget, self._pool, bounds)
        return [*(make_exclusion(key) for key in stopping if isinstance(key, LimitKey)), *booked]


def read_beyond(
    queue: QueueView, budget: LimitBudget, size: int, find: Finder, stopping: Stopping
) -> tuple[QueueView, bool]:
    """Return a queue with the tasks beyond its window, if too many in the window are stopped.

    `budget` is what active runs leave, and `size` the number of tasks that may start. `stopping` is
    what earlier rounds know of the queue. Also return True if there was no time to read all.
    """
    line = _LimitedLine(queue, budget, stopping)
    if line.startable >= size:
        return queue, False
    known = len(stopping)
    _read_free(line, size, find, stopping)
    is_whole = _read_others(line, size, find, stopping)
    is_cut = not is_whole and len(stopping) > known  # else another round would find no more
    if not line.more:
        return queue, is_cut
    waiting = tuple(sorted((*queue.waiting, *line.more), key=get_sort_key))
    return replace(queue, waiting=waiting, first_gap=len(queue.waiting)), is_cut


def _read_others(line: _LimitedLine, size: int, find: Finder, stopping: Stopping) -> bool:
    """Add tasks that no known amount stops; return False if the time is over before the end."""
    limit, wider, began = FIRST_LIMIT, list[Exclusion](), time.perf_counter()
    while line.startable < size:
        excluded, known = line.list_exclusions(stopping), len(stopping)
        found = find(excluded, limit, wider=wider)
        is_new, wider = line.add_all(found, stopping), excluded
        if len(stopping) == known:
            if len(found) < limit or (limit >= MAX_LIMIT and not is_new):
                break
            limit = min(4 * limit, MAX_LIMIT)
        if time.perf_counter() - began > MAX_SECONDS:
            return False
    return True


def _read_free(line: _LimitedLine, size: int, find: Finder, stopping: Stopping) -> None:
    """Add the first tasks of each amount that stopped tasks before and has become free."""
    keys = [key for key in stopping if isinstance(key, LimitKey) and not line.is_stopped(key)]
    limits = dict.fromkeys(keys, 1)
    while limits and line.startable < size:
        some = list(limits.items())[: size - line.startable]
        found = {
            key: find([make_exclusion(key)._replace(is_only=True)], limit, begin=stopping[key])
            for key, limit in some
        }
        # another amount that stops one of these may have stopped earlier tasks: it stays unknown
        line.add_all([task for tasks in found.values() for task in tasks], dict(stopping))
        for key, limit in some:
            del limits[key]
            if len(found[key]) >= limit < MAX_LIMIT and not line.is_stopped(key):
                limits[key] = 4 * limit
