"""Counts since the start of a runtime: runs of each queue, dispatch rounds and errors.

They live in memory and only grow, as monitoring expects of counters. Rows cannot give them, since
retention deletes rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

TASK_SECONDS = (0.1, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400)
"""Upper bounds of the buckets of waits and run times: from 0.1 s to a week."""
ROUND_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
"""Upper bounds of the buckets of dispatch rounds."""
MAX_QUEUES = 200
"""Queues with counts of their own. All later queues count together as `OTHER`."""
OTHER = ""
"""Name of what is counted together. No queue has this name."""


class DurationCounts:
    """Durations counted in buckets, with their sum in seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Durations of each bucket. The last bucket has the durations above all bounds."""
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration. A bound belongs to its own bucket."""
        seconds = max(0.0, seconds)  # a clock that was set back gives a negative one
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def merge(self, other: DurationCounts) -> None:
        """Add the durations of another one with the same bounds."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def copy(self) -> DurationCounts:
        """Return a copy that later durations do not change."""
        found = DurationCounts(self.bounds)
        found.merge(self)
        return found


@dataclass(slots=True)
class QueueCounts:
    """Runs of a queue: starts, ends by outcome, waits of first attempts, and run times."""

    started: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    waits: DurationCounts = field(default_factory=lambda: DurationCounts(TASK_SECONDS))
    runs: DurationCounts = field(default_factory=lambda: DurationCounts(TASK_SECONDS))

    def merge(self, other: QueueCounts) -> None:
        """Add the runs of another queue."""
        self.started += other.started
        self.ended.update(other.ended)
        self.waits.merge(other.waits)
        self.runs.merge(other.runs)

    def copy(self) -> QueueCounts:
        """Return a copy that later runs do not change."""
        found = QueueCounts()
        found.merge(self)
        return found


@dataclass(slots=True)
class RuntimeCounts:
    """Everything that a runtime counts since its start."""

    queues: dict[str, QueueCounts] = field(default_factory=dict[str, QueueCounts])
    rounds: DurationCounts = field(default_factory=lambda: DurationCounts(ROUND_SECONDS))
    errors: Counter[str] = field(default_factory=Counter[str])
    """Failures by part of the runtime: `dispatch`, `storage`, or a periodic duty."""

    def copy(self) -> RuntimeCounts:
        """Return a copy, which another thread can read."""
        queues = {name: counted.copy() for name, counted in self.queues.items()}
        return RuntimeCounts(queues, self.rounds.copy(), self.errors.copy())

    def get_queue(self, name: str) -> QueueCounts:
        """Return the counts of a queue; make them at its first use."""
        if name not in self.queues and len(self.queues) >= MAX_QUEUES:
            name = OTHER
        return self.queues.setdefault(name, QueueCounts())

    def add_start(self, queue: str, waited: float | None) -> None:
        """Count a start; `waited` is in seconds, None for a later attempt."""
        counted = self.get_queue(queue)
        counted.started += 1
        if waited is not None:
            counted.waits.add(waited)

    def add_end(self, queue: str, outcome: str, seconds: float | None) -> None:
        """Count an end after `seconds`, None for a run that never started."""
        counted = self.get_queue(queue)
        counted.ended[outcome] += 1
        if seconds is not None:
            counted.runs.add(seconds)
