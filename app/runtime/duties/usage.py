"""Measurements of runs and host: CPU, memory, log sizes, load, free disk space."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app import paths
from app.core.board import DiskUsageEntry, HostFacts, RunUse
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.health.disk import get_min_free

LOG_LIMIT = 1024.0
"""Default maximum MiB of a run's log."""

MAX_CELLS = 10
MIN_CELL, MAX_CELL = 2.8125, 180.0
"""Seconds per cell at the start and after six doublings, when ten cells cover half an hour."""


@dataclass(slots=True)
class UsageTrend:
    """Maximum cores and MiB of a run over time, in at most ten cells.

    The cells grow with the run, up to three minutes each.
    """

    started_at: float
    cell: float = MIN_CELL
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def add(self, at: float, cpu: float, memory: float) -> None:
        """Add a measurement at a monotonic time."""
        while (cell_index := int((at - self.started_at) / self.cell)) >= MAX_CELLS:
            self._free_cell(cell_index)
        for cells, value in ((self.cpu, cpu), (self.memory, memory)):
            cells.extend([0.0] * (cell_index + 1 - len(cells)))
            cells[cell_index] = max(cells[cell_index], value)

    def _free_cell(self, cell_index: int) -> None:
        """Merge pairs of cells; drop the oldest once cells have their full length."""
        if self.cell < MAX_CELL:
            self.cell *= 2
            self.cpu, self.memory = (
                [max(cells[at : at + 2]) for at in range(0, len(cells), 2)]
                for cells in (self.cpu, self.memory)
            )
        else:
            dropped_count = cell_index + 1 - MAX_CELLS
            self.started_at += dropped_count * self.cell
            self.cpu, self.memory = self.cpu[dropped_count:], self.memory[dropped_count:]


@dataclass(slots=True)
class RunMeasurement:
    """Measurements of one run: current values, total CPU seconds, maxima, history."""

    cpu: float = 0.0
    memory: float = 0.0
    seconds: float = 0.0
    at: float = 0.0
    processes: int = 0
    most_cpu: float = 0.0
    most_memory: float = 0.0
    trend: UsageTrend | None = None

    def to_run_use(self) -> RunUse:
        """Return the measurements in the form of the board."""
        trend = self.trend or UsageTrend(self.at)
        cells = tuple(trend.cpu), tuple(trend.memory)
        return RunUse(
            self.cpu,
            self.memory,
            self.processes,
            self.most_cpu,
            self.most_memory,
            trend.cell,
            *cells,
        )


@dataclass(slots=True)
class UsageSampler:
    """Latest measurements. `measure` reads /proc, which is slow, and runs in a thread."""

    home: Path
    runs: dict[str, RunMeasurement] = field(default_factory=dict)
    host: HostFacts = field(default_factory=HostFacts)
    largest: tuple[DiskUsageEntry, ...] = ()
    """Largest entries of the home at the last count, part of the host measurements."""

    def measure(self, runs: Sequence[tuple[str, int]]) -> None:
        """Measure the host and these runs, (runid, pid of the session leader) each."""
        self.host = self._measure_host()
        if not runs:
            self.runs = {}
            return
        found = _sum_processes({pid: runid for runid, pid in runs})
        now = time.monotonic()
        self.runs = {
            runid: self._measure_run(runid, found.get(runid, _NO_PROCESSES), now)
            for runid, _ in runs
        }

    def _measure_run(self, runid: str, totals: ProcessTotals, now: float) -> RunMeasurement:
        seconds, memory, processes = totals
        before = self.runs.get(runid)
        cpu = (
            max(0.0, (seconds - before.seconds) / (now - before.at))
            if before and now > before.at
            else 0.0
        )
        trend = before.trend if before and before.trend else UsageTrend(now)
        trend.add(now, cpu, memory)
        most_cpu, most_memory = (before.most_cpu, before.most_memory) if before else (0.0, 0.0)
        return RunMeasurement(
            cpu,
            memory,
            seconds,
            now,
            processes,
            max(most_cpu, cpu),
            max(most_memory, memory),
            trend,
        )

    def _measure_host(self) -> HostFacts:
        memory = psutil.virtual_memory()
        cores = os.cpu_count() or 1
        return HostFacts(
            name=os.uname().nodename, cores=cores, cpu_used=psutil.cpu_percent() / 100 * cores,
            memory_total=memory.total / 2**20,
            memory_used=(memory.total - memory.available) / 2**20, load=os.getloadavg()[0],
            disk_free=shutil.disk_usage(self.home).free,
            largest=self.largest,
        )  # fmt: skip

    def find_over_limit(self, runs: Sequence[tuple[str, float | None]]) -> list[str]:
        """Return the runs, (runid, limit in MiB or None) each, with an oversized log."""
        return [
            runid
            for runid, limit in runs
            if _get_size(paths.get_log_path(self.home, runid))
            > (LOG_LIMIT if limit is None else limit) * 2**20
        ]


def _get_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


ProcessTotals = tuple[float, float, int]
"""CPU seconds, MiB and number of processes."""
_NO_PROCESSES: ProcessTotals = (0.0, 0.0, 0)


def _sum_processes(leaders: dict[int, str]) -> dict[str, ProcessTotals]:
    """Return the totals by run over each leader's session and descendants.

    One pass over the processes suffices.
    """
    owner: dict[int, str | None] = dict(leaders)
    parents: dict[int, int] = {}
    figures: dict[int, tuple[float, float]] = {}
    for process in psutil.process_iter(["ppid", "cpu_times", "memory_info"]):
        info = process.info
        if info["memory_info"] is None or info["cpu_times"] is None:
            continue
        parents[process.pid] = info["ppid"]
        times = info["cpu_times"]
        own = times.user + times.system + times.children_user + times.children_system
        figures[process.pid] = (own, info["memory_info"].rss / 2**20)
    found: dict[str, ProcessTotals] = {}
    for pid, (seconds, memory) in figures.items():
        runid = _find_owner(pid, owner, parents, leaders)
        if runid is not None:
            before = found.get(runid, _NO_PROCESSES)
            found[runid] = (before[0] + seconds, before[1] + memory, before[2] + 1)
    return found


def _find_owner(
    pid: int, owner: dict[int, str | None], parents: dict[int, int], leaders: dict[int, str]
) -> str | None:
    """Return the run of a process, by its nearest ancestor or its session leader."""
    path = []
    at = pid
    while at not in owner and at in parents and at > 1:
        path.append(at)
        at = parents[at]
    runid = owner.get(at) or leaders.get(_get_session(pid))
    for step in path:
        owner[step] = runid
    return runid


def _get_session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def find_disk_trouble(home: Path, touch: bool) -> str | None:
    """Return why the disk allows no start, or None.

    Location and figures are in brackets (see `get_trouble_kind`). The call may block on the disk. A
    file system that the kernel has remounted read-only in an emergency still claims to be writable.
    Only a write reveals the state, so `touch` updates the times of the folder `run`.
    """
    try:
        room = os.statvfs(home)
        if room.f_flag & os.ST_RDONLY:
            return f"disk read-only ({sanitize(os.fspath(home))})"
        if touch:
            os.utime(home / "run")
    except OSError as error:
        word = DISK_TROUBLES.get(error.errno or 0)
        why = "" if word else f": {(error.strerror or 'unknown').lower()}"
        return f"{word or 'disk trouble'} ({sanitize(os.fspath(home))}{why})"
    free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    if free >= (least := get_min_free(total)):
        return None
    figures = (
        f"{units.format_bytes(free)} of {units.format_bytes(total)} free,"
        f" {units.format_bytes(least)} needed to start anything"
    )
    return f"{'disk nearly full' if free else 'disk full'} ({sanitize(os.fspath(home))}: {figures})"


def is_disk_space_short(halted: str | None) -> bool:
    """Return True if dispatching is halted because of too little disk space."""
    return get_trouble_kind(halted) in ("disk full", "disk nearly full")


def get_trouble_kind(trouble: str | None) -> str | None:
    """Return a disk problem without location, figures and time."""
    return trouble and trouble.partition(" (")[0].partition(" since ")[0]


DISK_TROUBLES = {
    errno.EROFS: "disk read-only",
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
}
