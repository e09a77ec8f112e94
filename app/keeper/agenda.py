"""Agenda of the keeper: the deadlines of runs, the signals before them, and memory samples."""

from __future__ import annotations

import heapq

from app.keeper.processes import read_boot_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.keeper.journal import Journal
    from app.keeper.run import Run

# extra seconds: the runtime stops a run at its deadline, the keeper only if it fails to
DEADLINE_GRACE = 2.0
EARLY = -1.0  # agenda entry of the signal before a deadline


class Agenda:
    """Entries of runs by boot time. `count_living` returns the number of living runs."""

    def __init__(self, journal: Journal, count_living: Callable[[], int]) -> None:
        self.journal, self.count_living = journal, count_living
        # By boot time: the run, and 0 for its deadline, EARLY for the signal before it, or the
        # pause before a memory sample.
        self.timers: list[tuple[float, str, float]] = []

    def plan_deadline(self, run: Run) -> None:
        """Put the deadline of a run, and the signal before it, on the agenda."""
        if run.deadline is not None:
            self.plan(run.deadline + DEADLINE_GRACE, run, 0)
        if run.early_at is not None:
            self.plan(run.early_at, run, EARLY)

    def plan(self, at: float, run: Run, pause: float) -> None:
        """Add an agenda entry. If the agenda has become long, remove the entries of ended runs."""
        heapq.heappush(self.timers, (at, run.id, pause))
        if len(self.timers) > 64 + 4 * self.count_living():
            self.timers = [entry for entry in self.timers if self.journal.find_living(entry[1])]
            heapq.heapify(self.timers)

    def take_due(self) -> Iterator[tuple[Run, float]]:
        """Remove what is due. Yield the living runs with 0, EARLY or the pause of a sample."""
        while self.timers and self.timers[0][0] <= read_boot_time():
            _, runid, pause = heapq.heappop(self.timers)
            if run := self.journal.find_living(runid):
                yield run, pause
