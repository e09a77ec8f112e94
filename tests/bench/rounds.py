"""Benchmark of a round of the dispatcher: its whole transaction, with many waiting tasks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from app.core.scheduling.order import PRIORITY
from app.runtime.dispatcher import Dispatcher, KeeperEvents
from app.runtime.run_verdict import judge_run
from app.service.context import Call
from db.queries.tasks import transitions
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.db.builders import make_task_row
from tests.service.calls import open_call

CORES, ROUNDS, FEW = 16, 100, 10
GOAL = 5.0
"""Milliseconds of CPU in a round: wall time would measure what else the machine does."""


class _Case(NamedTuple):
    """What the tasks of a home ask for, in turn, and the policy of its pool."""

    what: str
    policy: str = PRIORITY
    cpus: Sequence[float] = (1.0,)
    gpus: Sequence[int] = (0,)


CASES = (
    _Case("all alike"),
    _Case("GPUs", gpus=(0, 1, 2)),
    _Case("large and small tasks", cpus=(CORES, 12.0, 1.0)),
    _Case("fifo", policy="fifo"),
    _Case("shortest", policy="shortest"),
)


def measure(house: AcceptanceHome, tasks: int) -> Iterator[Figure]:
    """Measure rounds in each of which one run has ended, with one queue and with many."""
    for queues in (1, 100):
        few = asyncio.run(
            _measure_home(house.work / f"few{queues}", queues, max(FEW * queues, 200))
        )
        many = asyncio.run(_measure_home(house.work / f"many{queues}", queues, tasks))
        for case in CASES:
            took, brief = many[case.what], few[case.what]
            yield Figure(
                f"round, {tasks:,} wait in {queues}: {case.what}; judged: 99 of 100 rounds",
                took[len(took) // 2], "ms of CPU", brief[len(brief) // 2], "with few",
                took[len(took) * 99 // 100], GOAL,
            )  # fmt: skip


async def _measure_home(home: Path, queues: int, tasks: int) -> dict[str, list[float]]:
    """Return the milliseconds of the rounds by case, ascending."""
    async with open_call(home) as call:
        await call.db.write(_add_queues, queues)
        for first in range(0, tasks, 5000):
            await call.db.write(_add_tasks, queues, first, min(tasks, first + 5000))
        return {case.what: await _measure_rounds(call, case) for case in CASES}


async def _measure_rounds(call: Call, case: _Case) -> list[float]:
    await call.db.write(_change_home, case)
    dispatcher = Dispatcher(call.db, call.home)
    await call.db.write(dispatcher._decide, KeeperEvents())
    return sorted([await call.db.write(_time_round, dispatcher) for _ in range(ROUNDS)])


def _time_round(c: Connection, dispatcher: Dispatcher) -> float:
    """Return the milliseconds of a round after the end of a run, and submit a task in its place."""
    active = c.exec_driver_sql("SELECT runid, queue FROM instances WHERE status = 'starting'")
    runid, queue = active.first() or ("", "")
    at = time.time()
    start = {"run": runid, "pid": 4242, "ticks": 17, "at": at, "boot": "b" * 36}
    transitions.record_starts(c, [start])
    events = KeeperEvents(ended=[{"run": runid, "code": 0, "signal": None, "at": at}])
    began = time.thread_time()
    dispatcher._decide(c, events)
    took = (time.thread_time() - began) * 1000
    transitions.submit(c, [make_task_row(name="job-1", queue=queue, timeout=60.0)], [], "ann")
    return took


def _add_queues(c: Connection, queues: int) -> None:
    for number in range(queues):
        c.exec_driver_sql(
            "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at)"
            " SELECT ?1, 16, status, priority, pool, created_at, updated_at FROM queues"
            " WHERE name = 'default'",
            (f"q{number}",),
        )


def _add_tasks(c: Connection, queues: int, first: int, last: int) -> None:
    rows = [
        make_task_row(
            name=f"job-{number % 500}", queue=f"q{number % queues}",
            timeout=60.0 * (number % 50 + 1),
        )
        for number in range(first, last)
    ]  # fmt: skip
    transitions.submit(c, rows, [], "ann")


def _change_home(c: Connection, case: _Case) -> None:
    """End all runs, and let the tasks ask for what the case says."""
    runs = c.exec_driver_sql("SELECT runid FROM instances WHERE status = 'starting'").scalars()
    ends = [{"run": runid, "code": 0, "signal": None, "at": time.time()} for runid in runs]
    transitions.record_ends(c, ends, judge_run)
    policy = None if case.policy == PRIORITY else case.policy
    named = '{"gpu": 8}' if max(case.gpus) else None
    change = "UPDATE pools SET total_cpu = ?, policy = ?, resources = ?"
    c.exec_driver_sql(change, (CORES, policy, named))
    cpus, gpus = json.dumps(case.cpus), json.dumps(case.gpus)
    c.exec_driver_sql(
        "UPDATE tasks SET cpu = json_extract(?1, '$[' || (number % json_array_length(?1)) || ']'),"
        " resources = CASE json_extract(?2, '$[' || (number % json_array_length(?2)) || ']')"
        " WHEN 1 THEN '{\"gpu\": 1}' WHEN 2 THEN '{\"gpu\": 2}' END WHERE status = 'queued'",
        (cpus, gpus),
    )
