"""Search for the processes of runs."""

from __future__ import annotations

import os

from app.keeper.marks import read_mark
from app.keeper.processes import Process, is_empty_session, list_processes, read_cookie
from app.keeper.run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def find_members(runs: Iterable[Run]) -> dict[str, dict[int, int]]:
    """Return the living processes of each run as {pid: start ticks}.

    A process belongs to a run by its cgroup, session, mark, cookie, an ancestor in the run, or an
    earlier sample.
    """
    wanted = {run.id: run for run in runs if run.pid}
    table = {
        pid: p
        for pid, p in list_processes().items()
        if not p.dead or pid in {run.pid for run in wanted.values()}
    }
    owners = find_owners(table, wanted)
    found: dict[str, dict[int, int]] = {runid: {} for runid in wanted}
    for pid, owner in owners.items():
        if owner in found and not table[pid].dead:
            found[owner][pid] = table[pid].ticks
    return found


def find_owners(table: dict[int, Process], runs: dict[str, Run]) -> dict[int, str]:
    """Return the run of each process by pid, without keeper and guard."""
    for run in runs.values():
        run.is_session_empty = run.is_session_empty or (
            not run.is_alive and is_empty_session(run.pid, table)
        )
    sessions = {
        run.pid: run.id
        for run in runs.values()
        if not run.is_session_empty and not is_reused(table.get(run.pid), run)
    }
    caught = {
        (pid, ticks): run.id for run in runs.values() for pid, ticks in run.sampled_members.items()
    }
    marks = {run.mark: run.id for run in runs.values() if run.mark}
    inside = {pid: run.id for run in runs.values() if run.cgroup for pid in run.cgroup.list_pids()}
    oldest = min((run.ticks for run in runs.values()), default=0)
    for pid in (os.getpid(), os.getppid()):
        table.pop(pid, None)
    owners = {
        pid: inside.get(pid)
        or sessions.get(p.session)
        or caught.get((pid, p.ticks))
        or marks.get(read_mark(pid))
        or read_cookie(pid)
        for pid, p in table.items()
        if p.ticks >= oldest
    }
    assign_descendants(table, owners, runs)
    return owners


def is_reused(leader: Process | None, run: Run) -> bool:
    """Return whether the run's pid belongs to another process now."""
    return leader is not None and leader.ticks != run.ticks


def assign_descendants(
    table: dict[int, Process], owners: dict[int, str], runs: dict[str, Run]
) -> None:
    """Assign the descendants of a run's processes to the run."""
    below: dict[int, list[int]] = {}
    for pid in owners:
        below.setdefault(table[pid].parent, []).append(pid)
    todo = [pid for pid, owner in owners.items() if owner in runs]
    while todo:
        parent = todo.pop()
        for pid in below.get(parent, ()):
            if owners[pid] not in runs:
                owners[pid] = owners[parent]
                todo.append(pid)
