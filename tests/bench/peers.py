"""Other programs that run many small processes: a bare loop, xargs and task-spooler."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SLOTS = 16
NO_OP = "/bin/true"
SPOOLER_JOBS = 800
"""Jobs of task-spooler in one round; each waiting job is a process with its own connection."""

NULL = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]


@contextmanager
def measure_time() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds of the finished block."""
    began = time.perf_counter()
    took: list[float] = []
    yield lambda: took[0]
    took.append(time.perf_counter() - began)


def measure_spawn_loop(count: int) -> float:
    """Return the seconds to spawn and reap the processes."""
    left, running = count, 0
    with measure_time() as took:
        while left or running:
            while left and running < SLOTS:
                os.posix_spawn(NO_OP, [NO_OP], {})
                left, running = left - 1, running + 1
            os.waitpid(-1, 0)
            running -= 1
    return took()


def measure_xargs(folder: Path, count: int) -> float:
    """Return the seconds that xargs needs."""
    words = folder / "words"
    words.write_text("x\n" * count)
    with words.open() as lines, measure_time() as took:
        subprocess.run(["xargs", f"-P{SLOTS}", "-n1", NO_OP], stdin=lines, check=True)
    return took()


def find_task_spooler() -> str | None:
    """Return the task-spooler program under its local name."""
    return shutil.which("tsp") or shutil.which("ts", path=_find_spooler_path())


def _find_spooler_path() -> str:
    """Return the PATH if `ts` can be task-spooler: moreutils has another `ts`."""
    return "" if shutil.which("sponge") else os.environ.get("PATH", "")


def measure_task_spooler(program: str, folder: Path) -> float:
    """Return the seconds from giving a full task-spooler its slots to the end of its last job."""
    spooler = TaskSpooler(program, folder)
    try:
        jobs = spooler.queue_jobs()
        with measure_time() as took:
            spooler.run("-S", str(SLOTS))
            spooler.gate.write_text("\n")
            statuses = [os.waitpid(pid, 0)[1] for pid in jobs]
    finally:
        spooler.run("-K")
    if any(statuses):
        raise RuntimeError("some jobs of task-spooler did not succeed")
    return took()


class TaskSpooler:
    """A task-spooler server of its own, with its jobs."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.gate = folder / "gate"
        most = str(SPOOLER_JOBS + 16)
        self.env = {
            "TS_SOCKET": str(folder / "ts.sock"),
            "TMPDIR": str(folder),
            "PATH": "/usr/bin:/bin",
            "TS_MAXCONN": most,
        }

    def run(self, *words: str) -> str:
        """Run a task-spooler command and return the output."""
        command = [self.program, *words]
        return subprocess.run(
            command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        ).stdout

    def queue_jobs(self) -> list[int]:
        """Queue jobs behind one that holds the only slot; return the waiting clients' pids."""
        if not self.gate.exists():
            os.mkfifo(self.gate)
        self.run("-S", "1")
        self.run("-n", "sh", "-c", f"read line < {self.gate}")
        words = [self.program, "-nf", NO_OP]
        jobs = [
            os.posix_spawn(self.program, words, self.env, file_actions=NULL)
            for _ in range(SPOOLER_JOBS)
        ]
        while self.run().count(" queued ") < SPOOLER_JOBS:
            pass
        return jobs
