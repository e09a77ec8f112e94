"""Load generator of the chaos test: fills the queue, acts on tasks, and judges their ends."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.client import Client
from app.core.ids import make_uuid7
from app.errors import Problem
from tests.long.chaos.jobs import ExpectedJob, make_job
from tests.long.chaos.killer import pause
from tests.long.chaos.run_steps import read_rows
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess

BATCH_SIZE, MAX_BACKLOG = 40, 150
WAITING_STATES = "('queued', 'retrying', 'blocked', 'scheduled', 'held')"
ENDED_STATES = "('succeeded', 'failed', 'timed_out', 'cancelled', 'lost')"


def call_until_answered(client: Client, verb: str, **args: Any) -> Any:
    """Repeat a verb until a runtime answers."""
    while True:
        try:
            return client.call(verb, args)
        except Problem as problem:
            if problem.code not in ("failed", "runtime-exists"):
                raise
            pause(0.05)


class LoadGenerator:
    """All tasks of one trial, submitted from a separate thread until `finish`."""

    def __init__(self, living: RuntimeProcess, dice: random.Random, capacity: int) -> None:
        self.runtime, self.dice = living, dice
        self.folder = living.home / "ran"
        self.folder.mkdir()
        self.jobs: dict[str, ExpectedJob] = {}
        self.enough = threading.Event()
        self.errors: list[BaseException] = []
        living.call("pool.create", name="wide", cpu=64, memory="64G")
        living.call("queue.create", name="crowd", capacity=capacity, pool="wide")
        self.threads = [
            threading.Thread(target=self._run_loop, args=(part,))
            for part in (self._submit_batch, self._act_on_tasks)
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def finish(self) -> None:
        """Submit no more, and wait for the threads."""
        self.enough.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _run_loop(self, part: Any) -> None:
        client = self.runtime.open_client()
        try:
            while not self.enough.is_set():
                part(client)
                pause(0.05)
        except BaseException as error:
            self.errors.append(error)

    def _submit_batch(self, client: Client) -> None:
        """Fill the queue.

        The uuid is fixed, so that an answer lost in a crash creates no second task.
        """
        if self.count_waiting() > MAX_BACKLOG:
            return
        jobs = [make_job(len(self.jobs) + at, self.dice, self.folder) for at in range(BATCH_SIZE)]
        self.jobs |= {job.name: job for job in jobs}
        env = {"PATH": os.environ["PATH"], HOME_VARIABLE: os.fspath(self.runtime.home)}
        call_until_answered(
            client,
            "submit",
            tasks=[job.spec for job in jobs],
            uuid=make_uuid7(),
            cwd="/",
            umask=0o022,
            env=env,
        )

    def _act_on_tasks(self, client: Client) -> None:
        """Cancel, pause and resume the running tasks of these kinds."""
        found = read_rows(self.runtime.home,
        "SELECT t.number, t.name, i.status FROM instances i JOIN tasks t ON t.uuid = i.task_id "
                     "WHERE i.status IN ('starting', 'running', 'paused')")  # fmt: skip
        for kind, status, verb in (
            ("cancel", "running", "cancel"),
            ("pause", "paused", "resume"),
            ("pause", "running", "pause"),
        ):
            numbers = [
                str(n)
                for n, name, now in found
                if now == status and name in self.jobs and self.jobs[name].kind == kind
            ]
            if numbers and (verb != "pause" or self.dice.random() < 0.5):
                call_until_answered(client, verb, ids=numbers)

    def count_waiting(self) -> int:
        return read_rows(
            self.runtime.home, f"SELECT count(*) FROM tasks WHERE status IN {WAITING_STATES}"
        )[0][0]

    def count_unfinished(self) -> int:
        return read_rows(
            self.runtime.home, f"SELECT count(*) FROM tasks WHERE status NOT IN {ENDED_STATES}"
        )[0][0]

    def drain(self, patience: float) -> None:
        """Wait until all tasks have ended, or none has ended for `patience` seconds.

        Paused tasks are resumed and cancel tasks cancelled.
        """
        client, still, before = self.runtime.client, 0.0, self.count_unfinished()
        while (left := self.count_unfinished()) and still < patience:
            still, before = (still + 0.1, before) if left == before else (0.0, left)
            self._act_on_tasks(client)
            pause(0.1)

    # -- verdict

    def find_failures(self) -> dict[str, list[Any]]:
        """Return the failures as {kind: tasks}, empty if every promise was kept."""
        found = Counter[str]()
        bad: dict[str, list[Any]] = {}
        for what, where in self._check_tasks(found):
            bad.setdefault(what, []).append(where)
        missing_names = [name for name in self.jobs if not found[name]]
        repeated_names = [name for name, many in found.items() if many > 1]
        counters = read_rows(
            self.runtime.home,
            "SELECT name, current_load FROM queues WHERE current_load <> 0"
            " UNION ALL SELECT name, used_cpu FROM pools"
            " WHERE used_cpu <> 0 OR used_memory <> 0",
        )
        more = {
            "task lost": missing_names,
            "task stored twice": repeated_names,
            "counters not back at 0": counters,
        }
        return bad | {what: where for what, where in more.items() if where}

    def _check_tasks(self, found: Counter[str]) -> Iterator[tuple[str, Any]]:
        runs: dict[str, list[Any]] = {}
        every = (
            "SELECT task_id, runid, status, exit_code, signal, reason, end_time, max_rss FROM"
            " instances ORDER BY attempt"
        )
        for uuid, *run in read_rows(self.runtime.home, every):
            runs.setdefault(uuid, []).append(run)
        for uuid, name, status in read_rows(
            self.runtime.home, "SELECT uuid, name, status FROM tasks"
        ):
            found[name] += 1
            yield from _check_task(
                self.jobs[name], status, runs.get(uuid, []), self._read_noted_runs(name)
            )

    def _read_noted_runs(self, name: str) -> list[str]:
        """Return the runs that a job noted, once per execution."""
        path = Path(self.folder / f"ran.{name}")
        return path.read_text().split() if path.exists() else []


def _check_task(
    job: ExpectedJob, status: str, runs: list[Any], noted: list[str]
) -> Iterator[tuple[str, Any]]:
    """Yield the failures of one task."""
    about = (job.name, job.kind, status, runs)
    if len(set(noted)) < len(noted):
        yield "run twice", (*about, noted)
    if set(noted) - {run[0] for run in runs}:
        yield "ran without a record", (*about, noted)
    if any(run[1] == "lost" for run in runs) or status == "lost":
        yield "outcome lost", about
    elif status != job.status:
        yield "wrong state", about
    elif not _has_expected_codes(job, runs, noted):
        yield "wrong code", about
    if any(run[5] is None for run in runs):
        yield "without an end", about


def _has_expected_codes(job: ExpectedJob, runs: list[Any], noted: list[str]) -> bool:
    if job.kind in ("cancel", "timeout"):  # a stop may come before the first line of the script
        return len(runs) <= 1 and all(run[2] is None or run[2] >= 128 for run in runs)
    codes = job.codes or (job.code,)
    ran = job.kind == "absent" or len(noted) == len(codes)
    return (
        ran
        and tuple(run[2] for run in runs) == codes
        and (job.signal is None or runs[-1][3] == job.signal)
    )
