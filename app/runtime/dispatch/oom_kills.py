"""Kills for memory by the kernel during runs, of tasks that are retried with more memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

COUNTERS = Path("/proc/vmstat")


class OomKills:
    """The kernel's count of kills at the start of each run, as far as known.

    A run of an earlier runtime is not known; then its memory alone tells.
    """

    def __init__(self) -> None:
        self._at_start: dict[str, int] = {}

    def note_starts(self, runids: Iterable[str]) -> None:
        """Remember the count for runs that start."""
        for runid in runids:
            self._at_start[runid] = read_count()

    def add_kill(self, end: dict[str, Any]) -> dict[str, Any]:
        """Return the report of an end, with `oom_kill` if the kernel killed for memory since."""
        before = self._at_start.pop(end["run"], None)
        return end if before is None or read_count() <= before else {**end, "oom_kill": True}


def read_count() -> int:
    """Return how often the kernel killed for memory since boot, in containers too; 0 if unknown."""
    with suppress(OSError, ValueError):
        for line in COUNTERS.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
