"""Failures of a two-node cluster, each followed by a check of every acknowledged task.

A task appends one line to a file for each of its starts. A task that runs twice where it may not,
or that is missing after a failover, is a fault.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.long.failover.cluster import NODES, Cluster, wait_for

QUIET_REFERENCE = {
    "plug pulled": 11.9,
    "runtime killed": 3.6,
    "planned move": 18.2,
    "node back": 3.9,
}
"""Seconds of an earlier trial on a quiet machine, with a shell agent of 44 lines."""


class TrialError(AssertionError):
    """A promise that did not hold."""


@dataclass
class Report:
    """Recovery times in seconds, by failure, and counts of what was checked."""

    times: dict[str, float] = field(default_factory=dict)
    acknowledged: int = 0
    retried: int = 0
    lost: int = 0

    def format(self) -> str:
        """Return the report as lines."""
        lines = [
            f"{what:16} {seconds:6.1f} s"
            + (f"   (reference {QUIET_REFERENCE[what]:.1f} s)" if what in QUIET_REFERENCE else "")
            for what, seconds in self.times.items()
        ]
        return "\n".join([
            *lines,
            f"{self.acknowledged:,} acknowledged tasks: 0 missing, 0 begun twice;"
            f" {self.retried} retried, {self.lost} lost with their host",
        ])  # fmt: skip


class Submitter(threading.Thread):
    """Thread that submits tasks one after another and keeps the acknowledged numbers."""

    def __init__(self, trial: Trial, node: str) -> None:
        super().__init__(daemon=True)
        self.trial, self.node = trial, node
        self.ended = threading.Event()

    def run(self) -> None:
        """Submit until the end, or until the node is gone."""
        while not self.ended.is_set():
            if not self.trial.submit(self.node, "true", may_fail=True):
                return


class Trial:
    """One cluster and everything that was acknowledged by it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.cluster = Cluster(folder)
        self.starts = folder / "starts"
        self.starts.mkdir()
        self.say, self.report = say, Report()
        self.acknowledged: dict[int, bool] = {}
        """Whether each acknowledged task may start twice, since it has a retry."""

    def submit(
        self, node: str, command: str, retries: int = 0, may_fail: bool = False
    ) -> int | None:
        """Submit a task that notes its starts; return its number once it was acknowledged."""
        script = f'echo "$(hostname) $$" >>{self.starts}/$TASKDECK_TASK; {command}'
        done = self.cluster.run_taskdeck(
            node, "submit", "--retries", retries, "--", "sh", "-c", script
        )
        if done.returncode or not done.stdout.strip():
            if may_fail:
                return None
            raise TrialError(f"a task was refused on {node}: {done.stderr}")
        number = int(done.stdout)
        self.acknowledged[number] = retries > 0
        return number

    def list_runs(self, node: str) -> list[dict[str, Any]]:
        """Return all runs."""
        done = self.cluster.run_taskdeck(node, "instances", "--limit", "0", "--json")
        return json.loads(done.stdout)

    def find_status(self, node: str, number: int) -> str:
        """Return the status of a task."""
        done = self.cluster.run_taskdeck(node, "show", number, "--json")
        return json.loads(done.stdout)["status"] if done.returncode == 0 else ""

    def wait_for_status(self, node: str, number: int, *wanted: str, seconds: float = 90.0) -> str:
        """Wait until a task has one of the statuses and return it."""
        wait_for(lambda: self.find_status(node, number) in wanted, f"#{number} {wanted}", seconds)
        return self.find_status(node, number)

    def check_tasks(self, node: str) -> None:
        """Raise TrialError if an acknowledged task is missing or began more often than its runs."""
        done = self.cluster.run_taskdeck(node, "ls", "--limit", "0", "--json")
        known = {row["number"] for row in json.loads(done.stdout)}
        if missing := sorted(set(self.acknowledged) - known):
            raise TrialError(f"acknowledged and missing on {node}: {missing}")
        for number, may_repeat in self.acknowledged.items():
            path = self.starts / str(number)
            starts = len(path.read_text().splitlines()) if path.exists() else 0
            if starts > (2 if may_repeat else 1):
                raise TrialError(f"#{number} began {starts} times: {path.read_text()!r}")

    # --- failures

    @property
    def failures(self) -> list[Callable[[], None]]:
        """All failures, in an order in which each leaves two nodes online."""
        return [
            self.pull_plug,
            self.kill_runtime,
            self.hang_runtime,
            self.move,
            self.kill_runtime_and_move,
            self.cut_network,
        ]

    def run(self, failures: Sequence[Callable[[], None]]) -> Report:
        """Start the cluster and let each failure happen."""
        try:
            self.say("starting two nodes")
            self.cluster.start()
            wait_for(lambda: bool(self.cluster.find_active()), "a runtime", 90.0)
            for fail in failures:
                self.say(str((fail.__doc__ or "").splitlines()[0]))
                fail()
        finally:
            self.cluster.close()
        self.report.acknowledged = len(self.acknowledged)
        return self.report

    def _record(self, what: str, seconds: float) -> None:
        self.report.times[what] = seconds
        self.say(f"  {what}: {seconds:.1f} s")

    def pull_plug(self) -> None:
        """Pull the plug of the active node while tasks run and others are submitted."""
        a = self.cluster.find_active()
        b = _get_other(a)
        self.check_passive(b)
        retried = self.submit(a, "sleep 5", retries=1) or 0
        once = self.submit(a, "sleep 300") or 0
        for number in (retried, once):
            self.wait_for_status(a, number, "running")
        submitter = Submitter(self, a)
        submitter.start()
        already = len(self.acknowledged)
        wait_for(lambda: len(self.acknowledged) > already + 30, "submissions")
        began = time.monotonic()
        self.cluster.pull_plug(a)
        self.cluster.wait_for_runtime(b)
        self._record("plug pulled", time.monotonic() - began)
        submitter.ended.set()
        submitter.join(60)
        self.wait_for_status(b, retried, "succeeded")
        if (found := self.wait_for_status(b, once, "lost", "running")) != "lost":
            raise TrialError(f"the run of the dead host is {found}")
        self.report.retried += 1
        self.report.lost += 1
        wait_for(lambda: not self._count_waiting(b), "the end of the waiting tasks", 120.0)
        self.check_tasks(b)
        began = time.monotonic()
        self.cluster.boot(a)
        self.cluster.wait_until_online()
        self._record("node back", time.monotonic() - began)
        if self.cluster.find_active() != b:
            raise TrialError("the home moved when the node came back")

    def _count_waiting(self, node: str) -> int:
        done = self.cluster.run_taskdeck(node, "status", "--json")
        counts = json.loads(done.stdout)["counts"]
        return sum(counts.get(name, 0) for name in ("queued", "running", "retrying"))

    def kill_runtime(self) -> None:
        """Kill the runtime: the cluster starts it in place, and its job goes on."""
        self._fail_runtime("runtime killed", "-KILL", 12)

    def hang_runtime(self) -> None:
        """Suspend the runtime: the cluster replaces it in place, and its job goes on."""
        self._fail_runtime("runtime hangs", "-STOP", 60)

    def _fail_runtime(self, what: str, number: str, seconds: int) -> None:
        a = self.cluster.find_active()
        job = self.submit(a, f"sleep {seconds}; exit 7") or 0
        self.wait_for_status(a, job, "running")
        before = self._find_pid(a)
        began = time.monotonic()
        self.cluster.run_in(a, "kill", number, before)
        wait_for(
            lambda: self.cluster.has_runtime(a) and self._find_pid(a) != before, "a new one", 120.0
        )
        self._record(what, time.monotonic() - began)
        self.wait_for_status(a, job, "failed", "lost", "succeeded")
        (run,) = [one for one in self.list_runs(a) if one["number"] == job]
        if run["exit_code"] != 7:
            raise TrialError(f"the exit code below a failed runtime is {run['exit_code']}")
        self.check_tasks(a)

    def _find_pid(self, node: str) -> int:
        done = self.cluster.run_taskdeck(node, "status", "--json", timeout=20)
        return json.loads(done.stdout)["runtime"]["pid"] or 0 if done.returncode == 0 else 0

    def move(self) -> None:
        """Move the home on purpose: a short job ends before, a long one is lost or retried."""
        a = self.cluster.find_active()
        b = _get_other(a)
        short = self.submit(a, "sleep 20; exit 0") or 0
        self.wait_for_status(a, short, "running")
        began = time.monotonic()
        self.cluster.set_standby(a, True)
        self.cluster.wait_for_runtime(b)
        self._record("planned move", time.monotonic() - began)
        if (found := self.find_status(b, short)) != "succeeded":
            raise TrialError(f"the drain left the short job {found}")
        self.cluster.set_standby(a, False)
        self._move_with_long_jobs(b, a)

    def _move_with_long_jobs(self, a: str, b: str) -> None:
        # No file on the volume and deaf to TERM: an unmount would not end the second one.
        retried = self.submit(a, f"[ $(wc -l <{self.starts}/$TASKDECK_TASK) = 2 ] || sleep 300", 1)
        deaf = self.submit(a, "exec >/dev/null 2>&1 </dev/null; cd /; trap '' TERM; sleep 299")
        for number in (retried or 0, deaf or 0):
            self.wait_for_status(a, number, "running")
        began = time.monotonic()
        self.cluster.set_standby(a, True)
        self.cluster.wait_for_runtime(b)
        self._record("move, long jobs", time.monotonic() - began)
        if self.cluster.run_in(a, "pgrep", "-f", "^sleep (299|300)").returncode == 0:
            raise TrialError(f"a job still runs on {a}, which has left the home")
        self.wait_for_status(b, retried or 0, "succeeded")
        self.wait_for_status(b, deaf or 0, "lost")
        self.report.retried += 1
        self.report.lost += 1
        self.cluster.set_standby(a, False)
        self.check_tasks(b)

    def kill_runtime_and_move(self) -> None:
        """Kill the runtime of a node that must give the home away: its jobs end before."""
        a = self.cluster.find_active()
        b = _get_other(a)
        number = self.submit(a, "exec >/dev/null 2>&1 </dev/null; cd /; sleep 298") or 0
        self.wait_for_status(a, number, "running")
        began = time.monotonic()
        self.cluster.run_in(a, "kill", "-KILL", self._find_pid(a))
        self.cluster.set_standby(a, True)
        self.cluster.wait_for_runtime(b)
        self._record("killed and moved", time.monotonic() - began)
        if self.cluster.run_in(a, "pgrep", "-f", "^sleep 298").returncode == 0:
            raise TrialError(f"a job still runs on {a}, which has left the home")
        self.wait_for_status(b, number, "lost")
        self.report.lost += 1
        self.cluster.set_standby(a, False)
        self.check_tasks(b)

    def check_passive(self, node: str) -> None:
        """Raise TrialError unless the passive node refuses commands and makes no home."""
        done = self.cluster.run_taskdeck(node, "submit", "--", "true")
        if done.returncode != 4 or "pcs status" not in done.stderr:
            raise TrialError(f"a submission on the passive node: {done.returncode} {done.stderr}")
        if found := self.cluster.run_in(node, "ls", "-A", self.cluster.mount).stdout:
            raise TrialError(f"the empty mount point has {found}")

    def cut_network(self) -> None:
        """Cut the network between the living nodes: the holder stays, the other is fenced."""
        a = self.cluster.find_active()
        b = _get_other(a)
        number = self.submit(a, "sleep 12; exit 0") or 0
        self.wait_for_status(a, number, "running")
        self.cluster.fenced.clear()
        began = time.monotonic()
        self.cluster.cut_network()
        wait_for(lambda: bool(self.cluster.fenced), "a fenced node", 60.0)
        self._record("network cut", time.monotonic() - began)
        if self.cluster.fenced != [b] or not self.cluster.has_runtime(a):
            raise TrialError(f"fenced: {self.cluster.fenced}, and {a} held the home")
        if (found := self.wait_for_status(a, number, "succeeded", "failed", "lost")) != "succeeded":
            raise TrialError(f"the job of the holder is {found}")
        self.cluster.mend_network()
        self.cluster.boot(b)
        self.cluster.wait_until_online()
        if self.cluster.find_active() != a:
            raise TrialError("the home moved after the cut")
        self.check_tasks(a)


def _get_other(node: str) -> str:
    return next(one for one in NODES if one != node)
