"""Samples of a home's memory, descriptors, zombies and files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.idle import read_pss
from tests.long.chaos.killer import pause

ROLES: tuple[str, ...] = ("runtime", "keeper", "guard")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. Memory and sizes in MiB; `files` counts the logs of runs."""

    seconds: float
    ended: int
    pss: dict[str, float]
    rss: dict[str, float]
    descriptors: dict[str, int]
    zombies: int
    journal: float
    runtime_log: float
    keeper_log: float
    wal: float
    database: float
    runs: float
    files: int


def take_sample(home: Path, pids: dict[str, int], began: float, ended: int) -> Sample:
    run, logs = home / "run", list(_list_sizes(home / "runs"))
    return Sample(
        time.monotonic() - began, ended,
        {role: read_pss(pid) for role, pid in pids.items()},
        {role: _read_rss(pid) for role, pid in pids.items()},
        {role: len(os.listdir(f"/proc/{pid}/fd")) for role, pid in pids.items()},
        _count_zombies(set(pids.values())),
        sum(size for journal in run.glob("journal*") for size in _list_sizes(journal)) / MIB,
        sum(_get_size(p) for p in run.glob("runtime.log*")) / MIB,
        sum(_get_size(p) for p in run.glob("keeper*.log")) / MIB,
        _get_size(home / "taskdeck.db-wal") / MIB, _get_size(home / "taskdeck.db") / MIB,
        sum(logs) / MIB, len(logs),
    )  # fmt: skip


def _read_rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _get_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _list_sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size


def _count_zombies(parents: set[int]) -> int:
    """Count processes that stay unreaped.

    The processes are listed twice, because each job is a zombie for a moment.
    """
    first = set(_list_zombies(parents))
    pause(0.2)
    return len(first & set(_list_zombies(parents)))


def _list_zombies(parents: set[int]) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (
                    Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
                )
                if state == "Z" and int(parent) in parents:
                    yield int(name)


def compute_slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of the points."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
