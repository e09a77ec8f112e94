"""One line of the table of what was tried: met, not met, or not possible on this machine, which counts as neither."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths
from app.errors import Problem
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

EXIT_CODE = 7
"""With which jobs end that are let go."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """`met` is None where this machine does not allow the trial; `said` is then the reason."""

    part: str
    what: str
    met: bool | None
    said: str = ""

    @property
    def verdict(self) -> str:
        """In words."""
        word = {True: "met", False: "NOT MET", None: "not possible here"}[self.met]
        return f"{word}: {self.said}" if self.said else word


def format_table(found: Iterable[TrialResult]) -> str:
    """The rows as aligned lines, and how many are of each kind."""
    rows = list(found)
    wide = [
        max((len(cell) for cell in column), default=0) for column in zip(*((r.part, r.what) for r in rows), strict=True)
    ]
    lines = [f"{row.part:{wide[0]}}  {row.what:{wide[1]}}  {row.verdict}" for row in rows]
    counts = [sum(row.met is kind for row in rows) for kind in (True, False, None)]
    return "\n".join([*lines, "{} met, {} not met, {} not possible on this machine and so not shown".format(*counts)])


@contextmanager
def open_runtime() -> Iterator[RuntimeProcess]:
    """A home with its runtime up, emptied of processes afterwards."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        paths.make_home(Path(folder))
        living = RuntimeProcess(Path(folder))
        try:
            living.start()
            yield living
        finally:
            living.kill_all()


class NotedJob:
    """A task that notes each of its runs, and ends with CODE once it is let go."""

    def __init__(self, living: RuntimeProcess, name: str, end: str = "", **more: Any) -> None:
        self.runtime = living
        self.note, self.gate = living.home / f"ran.{name}", living.home / f"gate.{name}"
        self.script = f'echo "$TASKDECK_RUNID" >> {self.note}; {end or f"exit {EXIT_CODE}"}'
        self.more = more

    @classmethod
    def make_gated(cls, living: RuntimeProcess, name: str) -> NotedJob:
        """One that waits at its gate."""
        gate = living.home / f"gate.{name}"
        return cls(living, name, f"until [ -e {gate} ]; do sleep 0.01; done; exit {EXIT_CODE}")

    @property
    def argv(self) -> list[str]:
        return ["/bin/sh", "-c", self.script]

    def submit(self) -> str:
        """Its number."""
        return self.runtime.submit(*self.argv, **self.more)

    def run(self) -> tuple[str, int]:
        """Submit it; its number and pid, once it has noted its run."""
        number = self.submit()
        pid = self.runtime.wait_for_status(number, "running")["instances"][0]["pid"]
        wait_until(self.note.exists, f"#{number} is at work")
        return number, pid

    @property
    def run_count(self) -> int:
        """How often it was started."""
        return len(self.note.read_text().split()) if self.note.exists() else 0


def judge_task(
    part: str, what: str, job: NotedJob, number: str, *may: tuple[str, int | None, str | None], also: Callable[[], str] = str
) -> TrialResult:
    """How a task ended, against how it may end: status, exit code, and reason where one is named.

    `also` says, once it has ended, what else is wrong.
    """
    try:
        job.runtime.wait_for_end(number)
    except Problem as error:
        return TrialResult(part, what, False, f"it never ended ({error})")
    task = job.runtime.show(number)
    last = task["instances"][-1]
    ended = (task["status"], last["exit_code"], last["reason"])
    fits = any(ended[:2] == one[:2] and one[2] in (None, ended[2]) for one in may)
    once = len(task["instances"]) == 1 and job.run_count <= 1
    wrong = also()
    said = f"{task['status']}, code {ended[1]}, {ended[2]}, ran {job.run_count}×" + (f"; {wrong}" if wrong else "")
    return TrialResult(part, what, fits and once and not wrong, said)


def get_supervisors(living: RuntimeProcess) -> tuple[int, int]:
    """The pids of keeper and guard."""
    keeper = living.call("status")["keeper"]
    return keeper["pid"], keeper["guard_pid"]


def kill_all(living: RuntimeProcess) -> None:
    """SIGKILL runtime, keeper and guard, so that none can follow another."""
    kill_together(living.pid, *get_supervisors(living))


def kill_together(*pids: int) -> None:
    """SIGKILL, after all stand still."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    wait_until(lambda: not any(map(is_alive, pids)), "all are gone")
