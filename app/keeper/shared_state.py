"""State that guard and keeper pass on by fork, and what a survivor makes of it."""

from __future__ import annotations

import os
import socket
import time

from app.keeper.cgroups import Cgroups
from app.keeper.journal import Journal
from app.keeper.marks import read_mark
from app.keeper.processes import (
    Process,
    list_children,
    list_processes,
    read_cookie,
    read_file,
    read_process,
)
from app.keeper.run import Run

EXEC_TIMEOUT = 5.0  # seconds after which a job between fork and exec counts as started


class SharedState:
    """State passed on by fork: listening socket, journal, cgroups, and children of this process."""

    def __init__(self, listener: socket.socket, journal: Journal, cgroups: Cgroups) -> None:
        self.listener, self.journal, self.cgroups = listener, journal, cgroups
        self.own_runs: dict[int, Run] = {}
        # children that are not runs: session, cookie and mark
        self.strangers: dict[int, tuple[int, str, int]] = {}

    def find_own_runs(self) -> None:
        """Find the living runs that are our children now."""
        for run in list(self.journal.runs.values()):
            if run.is_alive and run.pid not in self.own_runs:
                leader = read_process(run.pid) if run.pid else None
                if leader and leader.ticks == run.ticks and leader.parent == os.getpid():
                    self.own_runs[run.pid] = run

    def resolve_intents(self, first: bool) -> None:
        """Resolve intents without a pid that a dead process left.

        `first` means that both keeper and guard are dead.
        """
        for run in [run for run in self.journal.runs.values() if run.is_alive and not run.pid]:
            if first:
                self.recover_intent(run)
            else:
                self.resolve_intent(run)

    def resolve_intent(self, run: Run) -> None:
        """Resolve an intent of a dead keeper: its process, if any, is our child now."""
        found = self.find_candidates(run)
        if len(found) == 1:
            self.journal.record_fact_if_possible(run, "p", run.make_pid_record(found[0]))
        elif found:
            self.journal.record_fact_if_possible(
                run, "e", run.make_lost_record("supervisors killed")
            )
        else:
            self.journal.record_fact_if_possible(run, "r", {"r": run.id})

    def recover_intent(self, run: Run) -> None:
        """Resolve an intent after the death of keeper and guard.

        Only the cookie of a living process can still identify the run.
        """
        same_boot = run.segments[0].boot == self.journal.boot
        young = (
            p for p in list_processes().values() if p.session == p.pid and p.ticks >= run.ticks
        )
        leader = (
            next((p for p in young if read_cookie(p.pid) == run.id), None) if same_boot else None
        )
        if leader:
            self.journal.record_fact_if_possible(run, "p", run.make_pid_record(leader))
        else:
            self.journal.record_fact_if_possible(
                run,
                "e",
                (
                    run.make_lost_record("supervisors killed")
                    if same_boot
                    else run.make_lost_elsewhere_record()
                ),
            )

    def find_candidates(self, run: Run) -> list[Process]:
        """Return the children that may be the process of an intent.

        A child with the run's cookie counts, and a dead child, which shows no cookie. If no child
        has the cookie, living children without any cookie count as well.
        """
        known = {(other.pid, other.ticks) for other in self.journal.runs.values() if other.pid}
        young = [p for p in list_settled_children(run.ticks) if (p.pid, p.ticks) not in known]
        cookies = {p.pid: read_cookie(p.pid) for p in young}
        named = run.id in cookies.values()
        return [
            p
            for p in young
            if cookies[p.pid] == run.id or (not cookies[p.pid] and (p.dead or not named))
        ]

    def find_strangers(self) -> None:
        """Find the children that are not runs."""
        now = set(list_children(os.getpid())) - self.own_runs.keys()
        for pid in self.strangers.keys() - now:
            del self.strangers[pid]
        for pid in now - self.strangers.keys():
            found = read_process(pid)
            self.strangers[pid] = (found.session if found else 0, read_cookie(pid), read_mark(pid))


def list_settled_children(since: int) -> list[Process]:
    """Return our children that lead a session and started at tick `since` or later.

    Wait for a child between fork and exec. A child that does not get that far, on a hanging file
    system, counts too.
    """
    own_cmdline, me, end = (
        read_file("/proc/self/cmdline"),
        os.getpid(),
        time.monotonic() + EXEC_TIMEOUT,
    )
    while True:
        young = [p for p in list_processes().values() if p.parent == me and p.ticks >= since]
        unborn = [
            p for p in young if not p.dead and read_file(f"/proc/{p.pid}/cmdline") == own_cmdline
        ]
        if not unborn or time.monotonic() > end:
            return [p for p in young if p.session == p.pid or p in unborn]
        time.sleep(0.001)
