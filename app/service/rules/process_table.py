"""Table of the busiest processes of this machine, for snapshots.

Arguments are left out, since they may hold secrets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import psutil

MAX_PROCESSES = 30
"""Processes that a table lists: those with the most memory, and those with the most CPU time."""


def read_processes(runs: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the processes with most memory and CPU time; `runs` maps pids to run ids."""
    found: list[dict[str, Any]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error), process.oneshot():
            cpu = process.cpu_times()
            found.append({
                "pid": process.pid, "ppid": process.ppid(), "user": process.username(),
                "name": process.name(), "status": process.status(),
                "rss_mib": round(process.memory_info().rss / 2**20, 1),
                "cpu_seconds": round(cpu.user + cpu.system, 2), "run": runs.get(process.pid),
            })  # fmt: skip
    half = MAX_PROCESSES // 2
    by_memory = sorted(found, key=lambda one: -one["rss_mib"])[:half]
    by_cpu = sorted(found, key=lambda one: -one["cpu_seconds"])
    return by_memory + [one for one in by_cpu if one not in by_memory][: MAX_PROCESSES - half]
