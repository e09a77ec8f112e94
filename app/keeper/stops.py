"""Stops of runs: TERM, then KILL after the grace, until no process of the run is left."""

from __future__ import annotations

import os
import signal
import time

from app.keeper.members import find_members
from app.keeper.processes import read_boot_time, read_process
from app.keeper.signals import send_signal, signal_marked_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from app.keeper.journal import Journal
    from app.keeper.run import Run

KILL_TIMEOUT = 10.0  # seconds under SIGKILL after which a tree with a dead leader is given up
QUIET_SWEEPS = 2  # sweeps in a row without a process of the run that complete its stop


class Stops:
    """The runs that are being stopped. `report` is called with each whose stop is over."""

    def __init__(self, journal: Journal, guard: int, report: Callable[[Run], None]) -> None:
        self.journal, self.guard, self.report = journal, guard, report
        self.runs: dict[str, Run] = {}
        self.sweep_at: float | None = None
        self.pause = 0.0

    def resume(self) -> None:
        """Go on with the stops that the journal shows."""
        for run in self.journal.runs.values():
            if "s" in run.records and run.segments[0].boot == self.journal.boot:
                self.runs[run.id] = run
        if self.runs:
            self.sweep_stops()

    def begin_stop(self, run: Run, reason: str, grace: float) -> None:
        """Begin to stop a run with its whole tree."""
        record = {"s": run.id, "reason": reason[:100], "grace": grace, "boot": read_boot_time()}
        self.journal.record_fact_if_possible(run, "s", record)
        self.runs[run.id] = run
        self.sweep_at, self.pause = 0.0, 0.0

    def schedule_sweep(self) -> None:
        """Schedule a sweep; changes at the same time share one."""
        soon, self.pause = time.monotonic() + 0.005, 0.0
        self.sweep_at = soon if self.sweep_at is None else min(self.sweep_at, soon)

    def note_stranger(self, mark: int) -> None:
        """Note the end of a child that is not a run.

        The child may be the last process of a stopping tree. It may also have forked one that no
        sweep has seen.
        """
        for run in self.runs.values():
            if mark and run.mark == mark:
                run.quiet_sweeps = 0
        self.schedule_sweep()

    def sweep_stops(self) -> None:
        """Advance all stops once. The pause grows while nothing changes."""
        began, now = time.monotonic(), read_boot_time()
        found = find_members(self.runs.values())
        self.signal_survivors(now)
        for run in list(self.runs.values()):
            self.escalate_stop(run, found.get(run.id, {}), now)
        took = time.monotonic() - began
        ended = any("e" in run.records or now >= run.kill_at for run in self.runs.values())
        self.pause = max(0.01, min(0.25 if ended else 1.0, self.pause * 1.5), took * 4)
        self.sweep_at = began + took + self.get_sweep_delay(now) if self.runs else None

    def get_sweep_delay(self, now: float) -> float:
        """Return the seconds until the next sweep: the pause, or the end of the first grace."""
        grace = min(run.kill_at for run in self.runs.values()) - now
        return min(self.pause, grace) if grace > 0 else self.pause

    def escalate_stop(self, run: Run, tree: dict[int, int], now: float) -> None:
        """Send TERM and CONT first, KILL after the grace, and report the end."""
        run.quiet_sweeps = 0 if tree or run.has_marked_children else run.quiet_sweeps + 1
        gone = run.quiet_sweeps >= QUIET_SWEEPS
        if run.cgroup and (now >= run.kill_at or ("e" in run.records and gone)):
            run.cgroup.kill()
        if "e" in run.records and (gone or now > run.kill_at + KILL_TIMEOUT):
            run.leftover_count = 0 if gone else max(len(tree), 1)
            del self.runs[run.id]
            return self.report(run)
        run.sampled_members = tree
        if now >= run.kill_at:
            send_signal(tree, signal.SIGKILL)
        elif not run.is_term_sent:
            run.is_term_sent = True
            send_signal(tree, signal.SIGTERM)
            send_signal(tree, signal.SIGCONT)

    def signal_survivors(self, now: float) -> None:
        """Find what outlived the leaders of stops, and kill it once their grace is over."""
        over = [run for run in self.runs.values() if "e" in run.records and run.mark]
        signals = {run.mark: signal.SIGKILL if now >= run.kill_at else 0 for run in over}
        if signals:
            known = {os.getpid(), self.guard, *(run.pid for run in self.journal.runs.values())}
            found = signal_marked_children(signals, self.list_subreapers(), known)
            for run in over:
                run.has_marked_children = run.mark in found

    def list_subreapers(self) -> list[int]:
        """Return who inherits orphans: keeper, guard, and its parent after both were killed."""
        guard = read_process(self.guard)
        return [os.getpid(), self.guard, *([guard.parent] if guard else [])]
