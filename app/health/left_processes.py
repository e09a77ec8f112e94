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
from app.keeper import journal, marks, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


class LeftProcess(NamedTuple):
    """A process that belongs to no running task.

    `runid` is the run that started the process, or "" if the process has removed that variable from
    its environment. `began` is in UNIX seconds.

    `is_disguised` is True if the start names no run: the process lowered its mark, so it may be a
    successor of the one that a run started, or /proc hides it.
    """

    pid: int
    name: str
    session: int
    runid: str
    began: float
    is_disguised: bool = False


MAX_LOOKS = 20
"""Looks at children, one of which may fork and end again and again."""


def find_left_processes(
    home: str, supervisors: Collection[int], known: Collection[int] = ()
) -> list[LeftProcess]:
    """Return the children of keeper and guard that belong to no running task.

    `supervisors` are the pids of keeper and guard. Leave out the `known` children; without any
    other, do not read the journal.
    """
    children = _list_children(supervisors)
    others = children - {*supervisors, *known}
    if others:
        own = {found.session for pid in supervisors if (found := processes.read_process(pid))}
        others = {pid for pid in others if not _is_companion(pid, own)}
    if not others:
        return []
    runs = _read_living_runs(home)
    owners = {*runs.values(), *filter(None, map(marks.read_mark, runs.keys() & children))}
    least = min(map(marks.read_mark, supervisors), default=0)
    looks = [_read_left(pid, runs, owners, least) for pid in sorted(others - runs.keys())]
    found = [one for one in looks if isinstance(one, LeftProcess)]
    return found if None not in looks else found or _find_hopping(supervisors, owners, least)


def _is_companion(pid: int, sessions: set[int]) -> bool:
    """Return True for a process in the session of keeper and guard, where no job can be."""
    found = processes.read_process(pid)
    return found is not None and found.session in sessions


def _list_children(supervisors: Collection[int]) -> set[int]:
    return {pid for one in supervisors for pid in processes.list_children(one)}


def _find_hopping(
    supervisors: Collection[int], owners: set[str | int], least: int
) -> list[LeftProcess]:
    """Return a process that lowered its mark and forks and ends faster than it can be read."""
    for pid in (pid for _ in range(MAX_LOOKS) for pid in _list_children(supervisors)):
        if 0 < (mark := marks.read_mark(pid)) < least and mark not in owners:
            found = _read_left(pid, {}, owners, least)
            if isinstance(found, LeftProcess):
                return [found]
    return []


def _read_left(
    pid: int, runs: dict[int, str], owners: set[str | int], least: int
) -> LeftProcess | bool | None:
    """Return the process, False if it belongs to one of the living `runs`, None if it has ended.

    `least` is the lowest mark of the supervisors. A process below lowered its mark itself.
    """
    process, started, name = processes.read_process(pid), read_stat(pid), _read_name(pid)
    mark, runid = marks.read_mark(pid), processes.read_cookie(pid)
    if process is None and mark:
        return False if mark in owners else LeftProcess(pid, "hidden", 0, "", 0.0, True)
    if process is None or started is None or not name:
        return None
    if process.session in runs or not owners.isdisjoint((mark, runid)):
        return False
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + started[1]
    return LeftProcess(pid, name, process.session, runid, began, mark < least)


def _read_name(pid: int) -> str:
    return sanitize(read_file(f"/proc/{pid}/comm").rstrip("\n"))


def _read_living_runs(home: str) -> dict[int, str]:
    """Return the runs without a recorded end, by pid, from the keeper's journal."""
    pids: dict[int, str] = {}
    ended: set[str] = set()
    for file in sorted(Path(home, "run", journal.JOURNAL).glob("*.log")):
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
