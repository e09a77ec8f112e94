"""Processes on a GPU that belong to no run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

MAX_DEPTH = 100


def find_unrelated(pids: Iterable[int], keepers: Collection[int]) -> tuple[int, str] | None:
    """Return pid and program of the first process that is no descendant of the keepers."""
    for pid in sorted(pids):
        if not _is_below(pid, keepers):
            return pid, _read_program(pid)
    return None


def _is_below(pid: int, keepers: Collection[int]) -> bool:
    with suppress(OSError, ValueError, IndexError):
        for _ in range(MAX_DEPTH):
            if pid in keepers:
                return True
            if pid <= 1:
                return False
            pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return False


def _read_program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip() or "a process"
    except OSError:
        return "a process that cannot be seen from here"
