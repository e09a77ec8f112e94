"""Killer of runtime, keeper and guard, one at a time, that records the step of each run."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from app.errors import Problem
from tests.long.chaos.run_steps import ACTIVE, count_steps, read_rows
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

ROLES = ("runtime", "keeper", "guard")
STRACE = shutil.which("strace")
TRACED_CALLS = "pwrite64,waitid,wait4,vfork,clone,clone3,sendto"
EXPOSURE_TIMEOUT = 2.0  # seconds to wait for runs that have lost one of their two supervisors
LAGS = (0, 0, 0.004, 0.03)


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


class Killer:
    """Killer of random processes of one home. `cells` counts runs by killed process and step."""

    def __init__(self, living: RuntimeProcess, dice: random.Random) -> None:
        self.runtime, self.dice = living, dice
        self.kills: Counter[str] = Counter()
        self.cells: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[str] = Counter()
        self.stops = self.slowed = 0
        self.worst = 0.0
        self.pids: dict[str, int] = {}
        self.since = ""

    def wait_until_complete(self, dead_pid: int = 0) -> dict[str, int]:
        """Return the pids of all three once they belong together, without the killed one."""
        self.pids = wait_until(
            lambda: self._read_pids(dead_pid), f"all three of {self.runtime.home} are up"
        )
        return self.pids

    def _read_pids(self, dead_count: int) -> dict[str, int] | None:
        try:
            self.runtime.client.start()
            status = self.runtime.call("status")
        except Problem:
            return None
        found = {
            "runtime": status["runtime"]["pid"],
            "keeper": status["keeper"]["pid"],
            "guard": status["keeper"]["guard_pid"],
        }
        good = all(pid and pid != dead_count and is_alive(pid) for pid in found.values())
        return found if good and _read_parent(found["keeper"]) == found["guard"] else None

    def has_exposed_runs(self) -> bool:
        """Return true if a run has lost one of its two supervisors."""
        left = read_rows(
            self.runtime.home,
            f"SELECT count(*) FROM instances WHERE status IN {ACTIVE} AND created_at <= ?",
            self.since,
        )
        return bool(left[0][0])

    def _wait_until_covered(self) -> bool:
        """Wait a little for runs that lost a supervisor; paused ones may take long."""
        end = time.monotonic() + EXPOSURE_TIMEOUT
        while exposed := self.has_exposed_runs():
            if time.monotonic() > end:
                break
            pause(0.02)
        return not exposed

    def kill_one(self) -> None:
        """Kill one process.

        Keeper and guard are killed only after the runs that survived the last such kill have ended.
        """
        who = self.dice.choice(ROLES)
        if who != "runtime" and not self._wait_until_covered():
            who = "runtime"
        pid = self.wait_until_complete()[who]
        began = time.monotonic()
        self._kill_somehow(who)
        wait_until(lambda: not is_alive(pid), f"{who} {pid} is gone")
        self.kills[who] += 1
        self.wait_until_complete(dead_pid=pid)
        self.worst = max(self.worst, time.monotonic() - began)
        if who != "runtime":
            self.since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _kill_somehow(self, who: str) -> None:
        """Kill the process at once, at a system call, or while all three are stopped."""
        way = self.dice.choice(("at once", "at a call", "frozen", "frozen", "slow"))
        if way == "at a call" and who == "keeper" and STRACE:
            self._kill_at_a_call()
        if way.startswith("at"):
            return _send_signal(self.pids[who], signal.SIGKILL)
        with self._slow_motion() if way == "slow" else contextlib.nullcontext():
            pause(self.dice.uniform(0, 0.1))
            self._kill_frozen(who)

    def _kill_frozen(self, who: str) -> None:
        """Stop all three in random order, take a snapshot, kill one and resume the others."""
        order = self.dice.sample(ROLES, 3)
        lag = self.dice.choice(LAGS)
        for place, role in enumerate(order):
            _send_signal(self.pids[role], signal.SIGSTOP)
            pause(lag if place == 0 else 0)
        wait_until(
            lambda: all(_is_stopped(pid) for pid in self.pids.values()), "all three stand still"
        )
        for step, many in count_steps(self.runtime.home, order[0] if lag else "").items():
            self.cells[who, step] += many
        _send_signal(self.pids[who], signal.SIGKILL)
        for role in order:
            _send_signal(self.pids[role], signal.SIGCONT)

    @contextlib.contextmanager
    def _slow_motion(self) -> Iterator[None]:
        """Delay the keeper after each important call, so that kills meet short steps, too."""
        with _trace_calls(
            self.pids["keeper"], TRACED_CALLS, f"delay_exit={self.dice.choice((3000, 10000))}"
        ) as tracer:
            self.slowed += tracer is not None
            yield

    def _kill_at_a_call(self) -> None:
        """Kill the keeper before a system call: a record not written, or an exit not reaped."""
        call = self.dice.choice(
            ("pwrite64", "pwrite64", "wait4", "waitid", "vfork,clone,clone3", "sendto")
        )
        with _trace_calls(
            self.pids["keeper"], call, f"signal=SIGKILL:when={self.dice.randint(1, 8)}"
        ):
            end = time.monotonic() + EXPOSURE_TIMEOUT
            while is_alive(self.pids["keeper"]) and time.monotonic() < end:
                pause(0.002)
            self.calls[call] += not is_alive(self.pids["keeper"])

    def stop_each(self) -> None:
        """Stop each of the three for a second."""
        for role in ROLES:
            pid = self.wait_until_complete()[role]
            _send_signal(pid, signal.SIGSTOP)
            pause(1.0)
            _send_signal(pid, signal.SIGCONT)
            self.stops += 1


def _send_signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def read_status_field(pid: int | str, name: str) -> str:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    return text.partition(f"\n{name}:")[2].partition("\n")[0].strip()


def _read_parent(pid: int) -> int:
    return int(read_status_field(pid, "PPid") or 0)


def _is_stopped(pid: int) -> bool:
    """Return true if the process is stopped or gone.

    A traced process that waits within a call continues until the call is made.
    """
    if read_status_field(pid, "State")[:1] == "t":
        pause(0.03)
    return read_status_field(pid, "State")[:1] in ("T", "t", "Z", "")


@contextlib.contextmanager
def _trace_calls(pid: int, calls: str, what: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """Apply an strace injection to a process's calls, where strace may trace."""
    if STRACE is None:
        yield None
        return
    command = [
        STRACE,
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        f"--inject={calls}:{what}",
        "-p",
        str(pid),
    ]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: (
                read_status_field(pid, "TracerPid") not in ("0", "") or tracer.poll() is not None
            ),
            "traced",
        )
        yield tracer if tracer.poll() is None else None
    finally:
        tracer.terminate()
        tracer.wait()
