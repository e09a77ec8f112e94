"""Processes that jobs started and that belong to no running task.

Keeper and guard inherit the processes of a job whose parent has ended.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NamedTuple

from app.core.text.sanitize import sanitize
from app.health.procfs import read_file, read_stat
from app.keeper import keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


class LeftProcess(NamedTuple):
    """A process that belongs to no running task.

    `runid` is the run that started the process, or "" if the process has removed that variable from
    its environment. `began` is in UNIX seconds.
    """

    pid: int
    name: str
    session: int
    runid: str
    began: float


def find_left_processes(
    home: str, supervisors: Collection[int], known: Collection[int] = ()
) -> list[LeftProcess]:
    """Return the children of keeper and guard that belong to no running task.

    `supervisors` are the pids of keeper and guard. Leave out the `known` children; without any
    other, do not read the journal.
    """
    children = {pid for one in supervisors for pid in keeper.list_children(one)}
    others = children - {*supervisors, *known}
    if not others:
        return []
    runs = _read_living_runs(home)
    owners = {*runs.values(), *filter(None, map(keeper.read_mark, runs.keys() & children))}
    found = (_read_left(pid, runs, owners) for pid in sorted(others - runs.keys()))
    return [one for one in found if one is not None]


def _read_left(pid: int, runs: dict[int, str], owners: set[str | int]) -> LeftProcess | None:
    """Return the process unless it has ended or belongs to one of the living `runs`."""
    process, started = keeper.read_process(pid), read_stat(pid)
    runid = keeper.read_cookie(pid)
    if process is None or started is None or process.session in runs:
        return None
    if not owners.isdisjoint((keeper.read_mark(pid), runid)):
        return None
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + started[1]
    return LeftProcess(pid, _read_name(pid), process.session, runid, began)


def _read_name(pid: int) -> str:
    return sanitize(read_file(f"/proc/{pid}/comm").rstrip("\n"))


def _read_living_runs(home: str) -> dict[int, str]:
    """Return the runs without a recorded end, by pid, from the keeper's journal."""
    pids: dict[int, str] = {}
    ended: set[str] = set()
    for file in sorted(Path(home, "run", keeper.JOURNAL).glob("*.log")):
        for line in read_file(str(file)).rstrip("\0").splitlines():
            try:
                record = json.loads(line)
                if "p" in record:
                    pids[record["pid"]] = record["p"]
                elif "e" in record:
                    ended.add(record["e"])
            except (ValueError, KeyError, TypeError):
                continue  # a torn line
    return {pid: runid for pid, runid in pids.items() if runid not in ended}
