"""Disk faults: a runtime's n-th write, sync, rename or open fails.

No acknowledged task may be lost, and work must resume. strace injects the error of a full or broken
disk at the call.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field

from app import paths
from app.errors import Problem
from tests.runtime_process import RuntimeProcess

STRACE = shutil.which("strace")
CALLS = ("pwrite64", "fdatasync", "fsync", "rename", "openat")
ERRORS = ("ENOSPC", "EIO")


@dataclass(frozen=True, slots=True)
class DiskFault:
    """Failure of a call's n-th use in each thread; `kill` then kills the runtime."""

    call: str
    error: str
    n: int
    kill: bool = False


@dataclass
class FaultResult:
    """Result of a fault: acknowledged tasks, number of refusals, and failures found."""

    fault: DiskFault
    known: list[str] = field(default_factory=list)
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def find_obstacle() -> str:
    """Return the reason that faults cannot be injected here, or an empty string."""
    if STRACE is None:
        return "strace is not installed"
    done = subprocess.run(
        [STRACE, "-qq", "-e", "inject=pwrite64:error=EIO", shutil.which("true") or "true"],
        capture_output=True,
    )
    return (
        f"strace may not trace here ({done.stderr.decode().strip()[-100:]})"
        if done.returncode
        else ""
    )


def run_trials(living: RuntimeProcess, faults: Sequence[DiskFault]) -> Iterator[FaultResult]:
    """Run the faults on the same home, one after the other."""
    living.start()
    for fault in faults:
        yield run_trial(living, fault)


def run_trial(living: RuntimeProcess, fault: DiskFault) -> FaultResult:
    """Submit while the call fails, then check the acknowledged tasks and the database."""
    found = FaultResult(fault)
    with inject_fault(living.pid, fault):
        for _ in range(3):
            try:
                found.known.append(living.submit("true"))
            except Problem:
                found.refused += 1
    if fault.kill:
        living.kill()
        living.start()
    found.known.append(living.submit("true"))  # the disk has room again
    for task in living.wait_for_end(*found.known):
        if task["status"] != "succeeded":
            found.failures.append(f"#{task['number']} is {task['status']} ({task.get('reason')})")
    found.failures += _find_damage(living)
    return found


def inject_fault(pid: int, fault: DiskFault) -> AbstractContextManager[None]:
    """Make the process's calls fail within the context."""
    return trace_calls(pid, fault.call, f"error={fault.error}:when={fault.n}")


@contextmanager
def trace_calls(pid: int, call: str, what: str) -> Iterator[None]:
    """Apply an strace injection to the process's calls within the context."""
    assert STRACE is not None
    line = [
        STRACE,
        "-f",
        "-p",
        str(pid),
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{what}",
        "-o",
        "/dev/null",
    ]
    tracer = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        for damage in tracer.stderr:
            if "attached" in damage:
                break
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def _find_damage(living: RuntimeProcess) -> list[str]:
    with closing(sqlite3.connect(paths.get_database_path(living.home))) as c:
        damage = [row[0] for row in c.execute("PRAGMA integrity_check")]
        damage += [
            f"a row of {row[0]} refers to nothing" for row in c.execute("PRAGMA foreign_key_check")
        ]
    return [text for text in damage if text != "ok"]
