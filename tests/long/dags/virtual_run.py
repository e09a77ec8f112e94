"""Recorded workflows that run through submission, plan and transitions in virtual time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from app.core.ids import make_uuid7
from app.core.scheduling.forecasts.critical_path import PathTask, find_critical_path
from app.core.workflow import parse_workflow
from app.runtime.dispatch.run_verdict import judge_run
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import dispatch_view
from app.service.tasks.submission import submit
from db import timestamps
from db.engine import Connection
from db.queries.tasks import transitions

BEGIN = datetime(2026, 11, 30, tzinfo=UTC).timestamp()


class DagTask(NamedTuple):
    """A task of a recorded workflow: seconds, cores, and its parents."""

    name: str
    seconds: float
    cores: int
    parents: Sequence[str]


class VirtualRun(NamedTuple):
    """Start and end of each task, in seconds from the begin."""

    spans: dict[str, tuple[float, float]]

    @property
    def makespan(self) -> float:
        return max(end for _, end in self.spans.values())


def read_dag(path: Path) -> list[DagTask]:
    """Return the tasks of a recorded workflow."""
    with gzip.open(path, "rt") as file:
        tasks = json.load(file)["tasks"]
    return [DagTask(one["id"], one["runtime_s"], one["cores"], one["parents"]) for one in tasks]


def write_workflow(tasks: Sequence[DagTask]) -> str:
    """Return a workflow file of these tasks, whose timeouts are a fifth above their run times."""
    return "".join(
        f"[tasks.{json.dumps(one.name)}]\n"
        f'command = ["run", "{one.seconds}"]\n'
        f"cpu = {one.cores}\n"
        f"timeout = {one.seconds * 1.2 + 1}\n"
        f"needs = {json.dumps(list(one.parents))}\n"
        for one in tasks
    )


class VirtualClock:
    """A clock for `timestamps.utcnow`."""

    def __init__(self) -> None:
        self.now = BEGIN

    def read(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


async def run_dag(
    call: Call, tasks: Sequence[DagTask], cores: int, set_clock: Callable[[VirtualClock], object]
) -> VirtualRun:
    """Submit a workflow and run it on a pool of these cores."""
    clock = VirtualClock()
    set_clock(clock)
    await queues.pool_set(call, name="default", cpu=cores)
    await queues.queue_set(call, name="default", capacity=1000)
    specs = parse_workflow(write_workflow(tasks), {}).tasks
    await submit.submit(call, tasks=specs, group={"name": "dag"})
    seconds = {one.name: one.seconds for one in tasks}
    spans: dict[str, tuple[float, float]] = {}
    ends: list[tuple[float, str, str]] = []
    while True:
        for name, runid in await call.db.write(_start_tasks, clock.now):
            end = clock.now + seconds[name]
            spans[name] = (clock.now - BEGIN, end - BEGIN)
            heappush(ends, (end, name, runid))
        if not ends:
            return VirtualRun(spans)
        clock.now, _, runid = heappop(ends)
        runids = [runid]
        while ends and ends[0][0] == clock.now:
            runids.append(heappop(ends)[2])
        await call.db.write(_end_runs, runids, clock.now)


def _start_tasks(c: Connection, now: float) -> list[tuple[str, str]]:
    _, starts = dispatch_view.plan_starts(c, dispatch_view.get_cache(c))
    claims = [
        {"uuid": one.uuid, "runid": make_uuid7(), "queue": one.queue, "pool": "default",
         "cpu": one.needs["cpu"], "memory": one.needs["memory"], "tags": "{}", "attempt": 1}
        for one in starts
    ]  # fmt: skip
    transitions.claim(c, claims)
    reports = [
        {"run": one["runid"], "pid": 7, "ticks": 7, "at": now, "boot": "b" * 36} for one in claims
    ]
    transitions.record_starts(c, reports)
    return [(task.name, one["runid"]) for task, one in zip(starts, claims, strict=True)]


def _end_runs(c: Connection, runids: Sequence[str], now: float) -> None:
    reports = [{"run": runid, "code": 0, "signal": None, "at": now} for runid in runids]
    transitions.record_ends(c, reports, judge_run)


def check_run(tasks: Sequence[DagTask], cores: int, run: VirtualRun) -> tuple[float, float]:
    """Check order, cores and makespan; return the bounds of the makespan. Raise AssertionError.

    While no task of the critical path can go on, a ready task does not fit: all but the cores of
    the widest task, less one, are busy. This gives Graham's bound for tasks of several cores.
    """
    assert run.spans.keys() == {one.name for one in tasks}
    for one in tasks:
        start = run.spans[one.name][0]
        assert all(run.spans[parent][1] <= start for parent in one.parents), one.name
    changes = sorted(
        (at, sign * one.cores)
        for one in tasks
        for at, sign in zip(run.spans[one.name], (1, -1), strict=True)
        if one.seconds
    )
    busy = 0
    for _, change in changes:
        busy += change
        assert busy <= cores
    numbers = {one.name: number for number, one in enumerate(tasks, 1)}
    path = find_critical_path(
        [PathTask(numbers[t.name], t.seconds, [numbers[p] for p in t.parents]) for t in tasks]
    ).seconds
    work = sum(one.seconds * one.cores for one in tasks)
    always = cores - max(one.cores for one in tasks) + 1
    bound = work / always + path * (1 - 1 / always)
    least = max(path, work / cores)
    assert least - 1e-3 <= run.makespan <= bound + 1e-3, (least, run.makespan, bound)
    return least, bound


def replace_clock(clock: VirtualClock) -> None:
    """Use a virtual clock in this process."""
    timestamps.utcnow = clock.read
