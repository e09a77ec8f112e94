"""Values from outside of the database: host, runtime, use and logs of runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from app import paths


class RunProbe(NamedTuple):
    """Use of a run now: cores and MiB; time of the last output and MiB of its log."""

    cpu: float | None = None
    memory: float | None = None
    output_at: float | None = None
    log_mib: float | None = None


class Probes(Protocol):
    """Source of the values that a pass of the rules does not read from the database."""

    def read_host(self) -> Mapping[str, float | None]:
        """Return cpu_ratio, memory_ratio, disk_free_ratio and disk_free in bytes."""
        ...

    def read_run(self, runid: str) -> RunProbe:
        """Return the present use of a run."""
        ...

    def read_tick_lag(self) -> float | None:
        """Return the lag of the runtime in seconds."""
        ...


class HomeProbes:
    """Probes of a home without a runtime: host and logs, but no use of runs."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def read_host(self) -> Mapping[str, float | None]:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self.home)
        return {
            "cpu_ratio": psutil.cpu_percent() / 100,
            "memory_ratio": 1 - memory.available / memory.total,
            "disk_free_ratio": disk.free / disk.total,
            "disk_free": float(disk.free),
        }

    def read_run(self, runid: str) -> RunProbe:
        try:
            found = os.stat(paths.get_log_path(self.home, runid))
        except OSError:  # nothing was written yet
            return RunProbe()
        return RunProbe(
            None, None, found.st_mtime if found.st_size else None, found.st_size / 2**20
        )

    def read_tick_lag(self) -> float | None:
        return None
