"""First waiting tasks of a queue in the order of its pool, and places in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from app.core.scheduling.forecasts.run_times import PastRunTimes
from app.core.scheduling.order import FIFO, PRIORITY, SHORTEST, compute_rank
from app.core.scheduling.plan import QueuedTask
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.scheduling import age_order, dispatch
from db.queries.scheduling.first_lines import FirstLines, LineSize
from db.queries.scheduling.line_steps import Place

LOOKAHEAD = 500
"""Oldest tasks of a pool of which the policy `shortest` compares the expected times.

Run times are learned while tasks wait, so no stored order would hold. The waiting queues of a pool
share this number.
"""
MAX_KEPT = 2000
"""Maximum number of lines of which the order is kept; a full cache is cleared as a whole."""


class PastRuns(Protocol):
    """Source of the run times of similar tasks."""

    def get_past(self, c: Connection, template: str | None, name: str) -> PastRunTimes | None:
        """Return the run times of similar tasks, or None."""
        ...

    def get_state(self) -> object | None:
        """Return an object that stays the same while the run times of commands do, or None."""
        ...

    def list_past(self, c: Connection, rows: Sequence[Any]) -> Sequence[PastRunTimes | None]:
        """Return the run times of tasks similar to those of rows."""
        ...


def compute_task_rank(c: Connection, past: PastRuns, policy: str, row: Any) -> float | None:
    """Return the rank of a task under the policy of its pool."""
    if policy == PRIORITY:
        return None
    found = None if policy == FIFO else past.get_past(c, row.template, row.name)
    return _compute_rank(policy, row, found)


def _compute_rank(policy: str, row: Any, found: PastRunTimes | None) -> float | None:
    """Return the rank of a task with the run times of similar ones."""
    expected = None if policy == FIFO else _estimate_run(row.timeout, found)
    return compute_rank(policy, timestamps.to_unix(row.created_at), expected)


def _estimate_run(timeout: float | None, found: PastRunTimes | None) -> float | None:
    """Return the usual run time of similar tasks, else the timeout, in seconds."""
    if found is None:
        return timeout
    median = found.usual.median
    return median if timeout is None else min(median, timeout)


def list_first(
    c: Connection, past: PastRuns, queue: str, policy: str, limit: int, most: int | None = None
) -> Sequence[Any]:
    """Return the first queued tasks of a queue, in the order of its pool.

    The policy `shortest` compares at most `most` tasks.
    """
    if policy == PRIORITY:
        return dispatch.list_queued(c, queue, limit)
    if policy == FIFO:
        return age_order.list_queued(c, queue, limit)
    return _list_shortest(c, past, queue, most or LOOKAHEAD)[:limit]


def find_place_before(c: Connection, policy: str, task: QueuedTask) -> Place | None:
    """Return the place just before a task in the order of its queue, or None before all tasks.

    None is also returned for a task that goes first for another reason.
    """
    if task.aged_since is not None or policy == SHORTEST:
        return None
    if policy == PRIORITY:
        return task.front, task.priority, task.number - 1
    created = None if task.front > 0 else age_order.find_submission(c, task.uuid)
    return (created, task.number - 1) if created else None


class WindowSize(NamedTuple):
    """Sizes of the window of a queue: tasks to read, and those that `shortest` compares."""

    policy: str
    limit: int
    most: int


class KeptOrder:
    """Lines of many queues, and their order by expected times, kept between rounds."""

    def __init__(self) -> None:
        self.lines = FirstLines()
        self._sorted: dict[tuple[str, int], tuple[Sequence[Any], object, Sequence[Any]]] = {}

    def map_first(
        self, c: Connection, past: PastRuns, windows: Mapping[str, WindowSize]
    ) -> dict[str, Sequence[Any]]:
        """Return {queue: its first queued tasks as `list_first`}, with few statements."""
        if len(windows) == 1:
            ((name, size),) = windows.items()
            return {name: list_first(c, past, name, *size)}
        found = self.lines.map_lines(
            c,
            {
                name: LineSize(policy == PRIORITY, most if policy == SHORTEST else limit)
                for name, (policy, limit, most) in windows.items()
            },
        )
        state = past.get_state()
        for name, (policy, limit, _) in windows.items():
            if policy == SHORTEST:
                found[name] = self._sort(c, past, state, name, found[name], limit)
        return found

    def _sort(
        self, c: Connection, past: PastRuns, state: object, name: str, rows: Sequence[Any],
        limit: int,
    ) -> Sequence[Any]:  # fmt: skip
        """Return the first tasks by expected times, kept for the same rows and run times."""
        kept = self._sorted.get((name, limit))
        if kept is not None and kept[0] is rows and kept[1] is state is not None:
            return kept[2]
        line = _sort_by_rank(c, past, rows)[:limit]
        if len(self._sorted) >= MAX_KEPT:
            self._sorted.clear()
        if not any(row.template for row in rows):
            self._sorted[name, limit] = rows, state, line
        return line


def _list_shortest(c: Connection, past: PastRuns, queue: str, most: int) -> list[Any]:
    """Return the oldest queued tasks, shortest first; waiting moves a task forward."""
    rows = age_order.list_queued(c, queue, most)
    return _sort_by_rank(c, past, rows)


def _sort_by_rank(c: Connection, past: PastRuns, rows: Sequence[Any]) -> list[Any]:
    ranks = {
        row.number: _compute_rank(SHORTEST, row, found) or 0.0
        for row, found in zip(rows, past.list_past(c, rows), strict=True)
    }
    return sorted(rows, key=lambda row: (-row.front, ranks[row.number], row.number))


def map_places(
    c: Connection, past: PastRuns, queue: str, policy: str, tasks: Sequence[Any], total: int
) -> dict[int, int]:
    """Return {number: tasks before it} for queued tasks of one queue. `total` is its length."""
    if policy == PRIORITY:
        if len(tasks) == 1:
            return {tasks[0].number: reads.count_before(c, tasks[0])}
        return reads.count_before_each(c, queue, tasks, total)
    near = list_first(c, past, queue, policy, LOOKAHEAD)
    found = {row.number: at for at, row in enumerate(near)}
    far = [task for task in tasks if task.number not in found]
    return {**(age_order.count_before_each(c, queue, far) if far else {}), **found}
