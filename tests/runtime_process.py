"""Real processes of a home: its runtime, keeper and jobs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app import runtime_launcher
from app.client import Client
from tests import fork_server

TIMEOUT = 60.0
HOME_VARIABLE = "TEST_HOME"
"""Environment variable that marks the jobs of a home."""


def wait_until(true: Callable[[], Any], what: str = "what was waited for") -> Any:
    """Return the value of a condition once it is true.

    Polling slows down over time, because each poll costs the observed process too.
    """
    began = time.monotonic()
    while not (value := true()):
        waited = time.monotonic() - began
        assert waited < TIMEOUT, f"never: {what}"
        select.select([], [], [], min(0.05, 0.005 + waited / 20))
    return value


def is_alive(pid: int) -> bool:
    """Return true if the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


class RuntimeProcess:
    """Home with a client of its real runtime, which the first verb starts."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.client = Client(home)
        self.others: list[Client] = []

    def start(self) -> int:
        """Start a runtime and return its pid."""
        runtime_launcher.ensure_runtime(os.fspath(self.home), resume=True)
        return self.pid

    @property
    def pid(self) -> int:
        """Pid of the runtime that answers."""
        return self.call("status")["runtime"]["pid"]

    def call(self, verb: str, **args: Any) -> Any:
        return self.client.call(verb, args)

    def submit(self, *argv: str, **more: Any) -> str:
        """Submit a command and return its task number as text."""
        env = {"PATH": os.environ["PATH"], HOME_VARIABLE: os.fspath(self.home)}
        argv_words = {
            "tasks": [{"argv": list(argv), **more}],
            "cwd": os.fspath(self.home),
            "umask": 0o022,
            "env": env,
        }
        (done,) = self.call("submit", **argv_words)
        return str(done["number"])

    def show(self, task: str) -> dict[str, Any]:
        return self.call("show", id=task)

    def wait_for_end(self, *tasks: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """Return the answer of `wait` once the tasks have ended."""
        return self.call("wait", ids=list(tasks), timeout=timeout)

    def wait_for_status(self, task: str, status: str) -> dict[str, Any]:
        """Return the task once its latest run has the status."""
        for _ in self.open_client().watch():
            found = self.show(task)
            if found["instances"] and found["instances"][-1]["status"] == status:
                return found
        raise AssertionError(f"the runtime ended before #{task} was {status}")

    def open_client(self, autostart: bool = True) -> Client:
        """Open another client, closed together with the home."""
        self.others.append(Client(self.home, autostart))
        return self.others[-1]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the runtime a signal and wait until it has ended."""
        pid = self.pid
        os.kill(pid, number)
        wait_until(lambda: not is_alive(pid), f"runtime {pid} gone")

    def list_processes(self) -> Iterator[int]:
        """List the pids of the home's runtime, keeper, guard and jobs."""
        return list_processes(self._marks)

    def kill_all(self) -> None:
        """Kill every process of the home."""
        for client in (self.client, *self.others):
            client.close()
        kill_processes(self._marks)

    @property
    def _marks(self) -> set[bytes]:
        home = os.fsencode(self.home)
        return {home, HOME_VARIABLE.encode() + b"=" + home}


def list_processes(marks: set[bytes]) -> Iterator[int]:
    """List the processes with one of the marks in their arguments or environment."""
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            text = (
                Path(f"/proc/{pid}/cmdline").read_bytes()
                + b"\0"
                + Path(f"/proc/{pid}/environ").read_bytes()
            )
            if pid != os.getpid() and not marks.isdisjoint(text.split(b"\0")):
                yield pid


def kill_processes(marks: set[bytes]) -> None:
    """Kill the processes with one of the marks.

    Parents are killed first; they would otherwise restart their children.
    """
    while left := list(list_processes(marks)):
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        select.select([], [], [], 0.005)


def run_command(home: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line on a home."""
    argv_words = ["--home", os.fspath(home), *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("TASKDECK")}
    env |= {HOME_VARIABLE: os.fspath(home), "NO_COLOR": "1"}
    if not more and (done := fork_server.run(argv_words, home, env, Path.cwd())):
        return done
    argv: Sequence[str] = [sys.executable, "-P", "-m", "taskdeck", *argv_words]
    options = {"stdin": subprocess.DEVNULL, "env": env, "timeout": 60} | more
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)
