"""Benchmark of the rules: one pass of a thousand rules over many tasks."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.runtime.duties import periodic
from app.service.rules.evaluation.engine import RuleEngine
from app.service.rules.facts.probes import HomeProbes
from db import schema
from db.engine import Database
from db.queries import definitions
from db.queries.tasks import transitions
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.db.builders import TaskBuilder, make_task_row
from tests.service.calls import open_call

RULES, QUEUES, RUNS, PASSES = 1000, 20, 2000, 9
NAMES, NAMES_IN_RULES = 5000, 50
"""Distinct names of tasks, and those that rules name. A tenth of the rules match all names."""
STARTING = 15
"""Passes after a start, of which the longest counts: the first ones read the names in parts."""
GOAL = 250.0
"""Milliseconds of CPU in a pass: wall time would measure what else the machine does."""


def measure(house: AcceptanceHome, tasks: int) -> Iterator[Figure]:
    """Measure passes without and with a change of tasks, in a home of its own."""
    yield from asyncio.run(_measure(house.work / "rules", tasks))


async def _measure(folder: Path, tasks: int) -> list[Figure]:
    async with open_call(folder) as call:
        await call.db.write(_add_queues)
        for first in range(0, tasks, 5000):
            await call.db.write(_add_tasks, first, min(tasks, first + 5000))
        for first in range(0, RUNS, 200):
            await call.db.write(_add_runs, first)
        await call.db.write(_add_rules)
        engine = RuleEngine(call.db, HomeProbes(folder))
        first = await _time_pass(engine)
        live = await call.db.read(_count_alerts)
        await call.db.write(periodic._take_sample, {}, {})  # a runtime was up until now
        engine = RuleEngine(call.db, HomeProbes(folder))
        again = [await _time_pass(engine) for _ in range(STARTING)]
        quiet = [await _time_pass(engine) for _ in range(PASSES)]
        changed = []
        for number in range(PASSES):
            await call.db.write(_add_runs, RUNS + 5 * number, 5)
            changed.append(await _time_pass(engine))
        raw = await _time_raw(call.db)
    what = f"{RULES:,} rules, {tasks:,} tasks, {live:,} alerts"
    found = {
        "all fire": (first, None),
        "after a start": (max(again), GOAL),
        "no change": (_median(quiet), GOAL),
        "5 runs ended": (_median(changed), GOAL),
    }
    return [
        Figure(f"pass of {what}, {when}", took, "ms of CPU", raw, "two index scans", took, goal)
        for when, (took, goal) in found.items()
    ]


async def _time_pass(engine: RuleEngine) -> float:
    began = time.process_time()
    await engine.run()
    return (time.process_time() - began) * 1000


async def _time_raw(db: Database) -> float:
    def read(c: Connection) -> None:
        c.exec_driver_sql("SELECT count(*) FROM tasks WHERE status = 'queued'").all()
        c.exec_driver_sql("SELECT count(*) FROM instances").all()

    began = time.process_time()
    await db.read(read)
    return (time.process_time() - began) * 1000


def _count_alerts(c: Connection) -> int:
    found = c.exec_driver_sql("SELECT count(*) FROM alerts WHERE status = 'firing'")
    return int(found.scalar_one())


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _add_rules(c: Connection) -> None:
    rows = {
        f"rule-{number}": {
            "conditions": conditions, "actions": {}, "priority": 2, "enabled": True,
        }
        for number, conditions in enumerate(itertools.islice(_make_conditions(), RULES))
    }  # fmt: skip
    definitions.create_all(c, schema.slas, rows, "ann")


def _add_queues(c: Connection) -> None:
    for number in range(QUEUES):
        c.exec_driver_sql(
            "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at)"
            " VALUES (?1, 1000, 'active', 0, 'default', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'),"
            " strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))",
            (f"q{number}",),
        )


def _add_tasks(c: Connection, first: int, last: int) -> None:
    rows = [
        make_task_row(name=f"job-{number % NAMES}", queue=f"q{number % QUEUES}", cpu=0.001)
        for number in range(first, last)
    ]
    transitions.submit(c, rows, [], "ann")


def _add_runs(c: Connection, first: int, many: int = 200) -> None:
    builder = TaskBuilder(c)
    for number in range(first, first + many):
        name = f"job-{number % NAMES}"
        uuid = builder.submit_task(name=name, queue=f"q{number % QUEUES}", cpu=0.001)
        run = builder.start_run(uuid)
        if number % 40:
            builder.record_end(run, int(number % 17 == 0))


def _make_conditions() -> Iterator[dict[str, Any]]:
    """Yield conditions of all kinds, for different names."""
    for number in itertools.count():
        queue = {"queue": f"q{number % QUEUES}"}
        task = {"task": f"job-{number % NAMES_IN_RULES}"}
        yield from (
            _make_firing(queue, task)
            if number % 10 == 9
            else (
                _make("queue", queue, "queue.depth", ">", 10_000_000),
                _make("queue", queue, "queue.oldest_wait_seconds", ">", "9d"),
                _make("instance", task, "instance.queued_seconds", ">", "8d"),
                _make("instance", queue, "instance.run_seconds", ">", "7d"),
                _make("instance", task, "instance.exit_code", ">", 200),
                _make("task", task, "task.consecutive_failures", ">=", 50),
                _make("task", {"task": "job-*"}, "task.seconds_since_success", ">", "9d"),
                _make("task", task, "instance.run_seconds", ">", "9h", stat="p95", window="10m"),
                _make("queue", queue, "queue.drain_rate", ">", 1e9),
                _make("host", {}, "host.memory_ratio", ">", 1),
            )
        )


def _make_firing(queue: dict[str, str], task: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield conditions that hold; the last one for more than the limit of live alerts."""
    for _ in range(3):
        yield _make("queue", queue, "queue.depth", ">", 10)
        yield _make("task", task, "task.consecutive_failures", ">=", 1)
        yield _make("instance", task, "instance.queued_seconds", ">", "0.5s")
    yield _make("instance", {"queue": "q1"}, "instance.queued_seconds", ">", "0.1s")


def _make(
    scope: str, match: dict[str, str], metric: str, op: str, value: Any, **more: Any
) -> dict[str, Any]:
    when = {"metric": metric, "op": op, "value": value, **more}
    return {"scope": scope, "match": match, "when": when}
