"""Results of single trials, and helpers to run them."""

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
"""Exit code of jobs that are released."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of a trial; `met` is None where the machine does not allow the trial.

    `detail` describes the end of the task, or gives the reason.
    """

    part: str
    what: str
    met: bool | None
    detail: str = ""

    @property
    def verdict(self) -> str:
        word = {True: "met", False: "NOT MET", None: "not possible here"}[self.met]
        return f"{word}: {self.detail}" if self.detail else word


def format_table(found: Iterable[TrialResult]) -> str:
    """Return the rows as aligned lines, with counts."""
    rows = list(found)
    wide = [
        max((len(cell) for cell in column), default=0)
        for column in zip(*((r.part, r.what) for r in rows), strict=True)
    ]
    lines = [f"{row.part:{wide[0]}}  {row.what:{wide[1]}}  {row.verdict}" for row in rows]
    counts = [sum(row.met is kind for row in rows) for kind in (True, False, None)]
    return "\n".join(
        [
            *lines,
            "{} met, {} not met, {} not possible on this machine and so not shown".format(*counts),
        ]
    )


@contextmanager
def open_runtime() -> Iterator[RuntimeProcess]:
    """Open a home with a running runtime and kill its processes at exit."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        paths.make_home(Path(folder))
        living = RuntimeProcess(Path(folder))
        try:
            living.start()
            yield living
        finally:
            living.kill_all()


class NotedJob:
    """Task that notes each of its runs and ends with EXIT_CODE once released."""

    def __init__(self, living: RuntimeProcess, name: str, end: str = "", **more: Any) -> None:
        self.runtime = living
        self.note, self.gate = living.home / f"ran.{name}", living.home / f"gate.{name}"
        self.script = f'echo "$TASKDECK_RUNID" >> {self.note}; {end or f"exit {EXIT_CODE}"}'
        self.more = more

    @classmethod
    def make_gated(cls, living: RuntimeProcess, name: str) -> NotedJob:
        """Make a job that waits for its gate file."""
        gate = living.home / f"gate.{name}"
        return cls(living, name, f"until [ -e {gate} ]; do sleep 0.01; done; exit {EXIT_CODE}")

    @property
    def argv(self) -> list[str]:
        return ["/bin/sh", "-c", self.script]

    def submit(self) -> str:
        """Submit the job and return its number."""
        return self.runtime.submit(*self.argv, **self.more)

    def run(self) -> tuple[str, int]:
        """Submit the job and return its number and pid once its run is noted."""
        number = self.submit()
        pid = self.runtime.wait_for_status(number, "running")["instances"][0]["pid"]
        wait_until(self.note.exists, f"#{number} is at work")
        return number, pid

    @property
    def run_count(self) -> int:
        return len(self.note.read_text().split()) if self.note.exists() else 0


def judge_task(
    part: str,
    what: str,
    job: NotedJob,
    number: str,
    *may: tuple[str, int | None, str | None],
    check_more: Callable[[], str] = str,
) -> TrialResult:
    """Compare a task's end with the allowed status, exit code and optional reason.

    `check_more` returns another failure once the task has ended.
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
    wrong = check_more()
    said = f"{task['status']}, code {ended[1]}, {ended[2]}, ran {job.run_count}×" + (
        f"; {wrong}" if wrong else ""
    )
    return TrialResult(part, what, fits and once and not wrong, said)


def get_supervisors(living: RuntimeProcess) -> tuple[int, int]:
    """Return the pids of keeper and guard."""
    keeper = living.call("status")["keeper"]
    return keeper["pid"], keeper["guard_pid"]


def kill_all(living: RuntimeProcess) -> None:
    """Kill runtime, keeper and guard, so that none can restart another."""
    kill_together(living.pid, *get_supervisors(living))


def kill_together(*pids: int) -> None:
    """Kill the processes after all are stopped."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    wait_until(lambda: not any(map(is_alive, pids)), "all are gone")
