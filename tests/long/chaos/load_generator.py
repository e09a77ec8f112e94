"""Keeps the queue full, cancels and pauses what is to be cancelled and paused, and judges how everything ended."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.client import Client
from app.core.ids import uuid7
from app.errors import Problem
from tests.long.chaos.jobs import Job, job
from tests.long.chaos.killer import nap
from tests.long.chaos.run_steps import rows
from tests.runtime_process import MARK, Living

BATCH, FULL = 40, 150
WAITING = "('queued', 'retrying', 'blocked', 'scheduled', 'held')"
OVER = "('succeeded', 'failed', 'timed_out', 'cancelled', 'lost')"


def again(client: Client, verb: str, **args: Any) -> Any:
    """A verb, said until a runtime answers."""
    while True:
        try:
            return client.call(verb, args)
        except Problem as problem:
            if problem.code not in ("failed", "runtime-exists"):
                raise
            nap(0.05)


class Crowd:
    """All tasks of one trial. Submits from a thread of its own until told that it is enough."""

    def __init__(self, living: Living, dice: random.Random, capacity: int) -> None:
        self.living, self.dice = living, dice
        self.folder = living.home / "ran"
        self.folder.mkdir()
        self.jobs: dict[str, Job] = {}
        self.enough = threading.Event()
        self.errors: list[BaseException] = []
        living.call("pool.create", name="wide", cpu=64, memory="64G")
        living.call("queue.create", name="crowd", capacity=capacity, pool="wide")
        self.threads = [threading.Thread(target=self._guarded, args=(part,)) for part in (self._submit, self._act)]

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

    def _guarded(self, part: Any) -> None:
        client = self.living.another()
        try:
            while not self.enough.is_set():
                part(client)
                nap(0.05)
        except BaseException as error:
            self.errors.append(error)

    def _submit(self, client: Client) -> None:
        """Fill the queue. The uuid is ours, so that an answer lost in a crash makes no second task."""
        if self.waiting() > FULL:
            return
        jobs = [job(len(self.jobs) + at, self.dice, self.folder) for at in range(BATCH)]
        self.jobs |= {made.name: made for made in jobs}
        env = {"PATH": os.environ["PATH"], MARK: os.fspath(self.living.home)}
        again(client, "submit", tasks=[made.spec for made in jobs], uuid=uuid7(), cwd="/", umask=0o022, env=env)

    def _act(self, client: Client) -> None:
        """Cancel, pause and resume what runs and is meant to be."""
        found = rows(self.living.home, "SELECT t.number, t.name, i.status FROM instances i JOIN tasks t ON t.uuid = i.task_id "
                     "WHERE i.status IN ('starting', 'running', 'paused')")  # fmt: skip
        for kind, status, verb in (
            ("cancel", "running", "cancel"),
            ("pause", "paused", "resume"),
            ("pause", "running", "pause"),
        ):
            numbers = [
                str(n) for n, name, now in found if now == status and name in self.jobs and self.jobs[name].kind == kind
            ]
            if numbers and (verb != "pause" or self.dice.random() < 0.5):
                again(client, verb, ids=numbers)

    def waiting(self) -> int:
        return rows(self.living.home, f"SELECT count(*) FROM tasks WHERE status IN {WAITING}")[0][0]

    def left(self) -> int:
        """Tasks that have not ended."""
        return rows(self.living.home, f"SELECT count(*) FROM tasks WHERE status NOT IN {OVER}")[0][0]

    def drain(self, patience: float) -> None:
        """Until everything has ended, or nothing ended for so many seconds; what is paused is resumed, what is to be cancelled is."""
        client, still, before = self.living.client, 0.0, self.left()
        while (left := self.left()) and still < patience:
            still, before = (still + 0.1, before) if left == before else (0.0, left)
            self._act(client)
            nap(0.1)

    # -- the verdict

    def faults(self) -> dict[str, list[Any]]:
        """What is wrong: {what: where}. Empty when every promise was kept."""
        found = Counter[str]()
        bad: dict[str, list[Any]] = {}
        for what, where in self._look(found):
            bad.setdefault(what, []).append(where)
        lost = [name for name in self.jobs if not found[name]]
        twice = [name for name, many in found.items() if many > 1]
        counters = rows(self.living.home, "SELECT name, current_load FROM queues WHERE current_load <> 0 "
                        "UNION ALL SELECT name, used_cpu FROM pools WHERE used_cpu <> 0 OR used_memory <> 0")  # fmt: skip
        more = {"task lost": lost, "task stored twice": twice, "counters not back at 0": counters}
        return bad | {what: where for what, where in more.items() if where}

    def _look(self, found: Counter[str]) -> Iterator[tuple[str, Any]]:
        runs: dict[str, list[Any]] = {}
        every = "SELECT task_id, runid, status, exit_code, signal, reason, end_time, max_rss FROM instances ORDER BY attempt"
        for uuid, *run in rows(self.living.home, every):
            runs.setdefault(uuid, []).append(run)
        for uuid, name, status in rows(self.living.home, "SELECT uuid, name, status FROM tasks"):
            found[name] += 1
            yield from _wrong(self.jobs[name], status, runs.get(uuid, []), self._noted(name))

    def _noted(self, name: str) -> list[str]:
        """The runs that a job noted, each as often as it ran."""
        path = Path(self.folder / f"ran.{name}")
        return path.read_text().split() if path.exists() else []


def _wrong(made: Job, status: str, runs: list[Any], noted: list[str]) -> Iterator[tuple[str, Any]]:
    """What is wrong with one task."""
    about = (made.name, made.kind, status, runs)
    if len(set(noted)) < len(noted):
        yield "run twice", (*about, noted)
    if set(noted) - {run[0] for run in runs}:
        yield "ran without a record", (*about, noted)
    if any(run[1] == "lost" for run in runs) or status == "lost":
        yield "outcome lost", about
    elif status != made.status:
        yield "wrong state", about
    elif not _codes_fit(made, runs, noted):
        yield "wrong code", about
    if any(run[5] is None for run in runs):
        yield "without an end", about


def _codes_fit(made: Job, runs: list[Any], noted: list[str]) -> bool:
    if made.kind in ("cancel", "timeout"):  # a stop may come before the first line of the script
        return len(runs) <= 1 and all(run[2] is None or run[2] >= 128 for run in runs)
    codes = made.codes or (made.code,)
    ran = made.kind == "absent" or len(noted) == len(codes)
    return ran and tuple(run[2] for run in runs) == codes and (made.signal is None or runs[-1][3] == made.signal)
