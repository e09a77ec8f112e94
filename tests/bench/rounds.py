"""Benchmark of a round of the dispatcher: its whole transaction, with many waiting tasks."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.core.scheduling.order import PRIORITY
from app.runtime.dispatch.dispatcher import Dispatcher, KeeperEvents
from app.runtime.dispatch.run_verdict import judge_run
from app.service.context import Call
from db.queries.tasks import transitions
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.db.builders import make_task_row
from tests.service.calls import open_call

CORES, ROUNDS, FEW = 16, 100, 10
GROUP, AT_ONCE = 1, CORES // 2
GOAL = 5.0
"""Milliseconds of CPU in a round: wall time would measure what else the machine does."""
MANY_CORES = 200


class _Case(NamedTuple):
    """What the tasks of a home ask for, in turn, and the policy of its pool.

    `in_group`: all are of one group. `teams`: each has the tag of one of these teams. Of the group
    or of all teams, 8 run at once. `lumps`: each is of one of these groups, or with `by_tag` has
    one of these tags. Lumps lie one behind the other, and of each, one task runs at once.
    """

    what: str
    policy: str = PRIORITY
    cpus: Sequence[float] = (1.0,)
    gpus: Sequence[int] = (0,)
    in_group: bool = False
    teams: int = 0
    lumps: int = 0
    by_tag: bool = False

    def make_bounded(self, number: int) -> dict[str, Any]:
        """Return the columns of a task that a limit reads; one in a lump gets no other."""
        tags = {"team": f"t{number % self.teams}"} if self.teams else {}
        return {"tags": tags, "group_number": GROUP if self.in_group else None}


CASES = (
    _Case("all alike"),
    _Case("GPUs", gpus=(0, 1, 2)),
    _Case("GPUs, but for 1 of 1000", gpus=(1,) * 999 + (0,)),
    _Case("large and small tasks", cpus=(CORES, 12.0, 1.0)),
    _Case("fifo", policy="fifo"),
    _Case("shortest", policy="shortest"),
    _Case("a group, at most 8 at once", in_group=True),
    _Case("a limit of 8 for a tag", teams=1),
    _Case("a limit of 2 for each of 4 tags", teams=4),
    _Case("8 tags behind each other, partly used", cpus=(2.0,), lumps=8, by_tag=True),
    _Case("70 arrays behind each other, one at once", lumps=70),
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
                took[len(took) * 99 // 100 - 1], GOAL,
            )  # fmt: skip


async def _measure_home(home: Path, queues: int, tasks: int) -> dict[str, list[float]]:
    """Return the milliseconds of the rounds by case, ascending."""
    async with open_call(home) as call:
        await call.db.write(_add_queues, queues)
        for first in range(0, tasks, 5000):
            await call.db.write(_add_tasks, queues, first, min(tasks, first + 5000))
        gc.collect()
        gc.freeze()  # as the runtime does
        return {case.what: await _measure_rounds(call, case) for case in CASES}


async def _measure_rounds(call: Call, case: _Case) -> list[float]:
    await call.db.write(_change_home, case)
    dispatcher = Dispatcher(call.db, call.home)
    await call.db.write(dispatcher._decide, KeeperEvents())
    return sorted([await call.db.write(_time_round, dispatcher, case) for _ in range(ROUNDS)])


def _time_round(c: Connection, dispatcher: Dispatcher, case: _Case) -> float:
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
    ended = c.exec_driver_sql(
        "SELECT t.number FROM tasks t JOIN instances i ON i.task_id = t.uuid WHERE i.runid = ?",
        (runid,),
    ).scalar_one()
    row = make_task_row(name="job-1", queue=queue, timeout=60.0, **case.make_bounded(ended))
    transitions.submit(c, [row], [], "ann")
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
    cores = MANY_CORES if case.lumps else CORES
    c.exec_driver_sql(change, (cores, policy, named))
    c.exec_driver_sql("UPDATE queues SET capacity = ?", (cores,))
    cpus, gpus = json.dumps(case.cpus), json.dumps(case.gpus)
    c.exec_driver_sql(
        "UPDATE tasks SET cpu = json_extract(?1, '$[' || (number % json_array_length(?1)) || ']'),"
        " resources = CASE json_extract(?2, '$[' || (number % json_array_length(?2)) || ']')"
        " WHEN 1 THEN '{\"gpu\": 1}' WHEN 2 THEN '{\"gpu\": 2}' END WHERE status = 'queued'",
        (cpus, gpus),
    )
    _limit_tasks(c, case)


def _limit_tasks(c: Connection, case: _Case) -> None:
    """Give the tasks their group or tags, and store the limits."""
    c.exec_driver_sql("DELETE FROM groups")
    c.exec_driver_sql("DELETE FROM limits")
    group = GROUP if case.in_group else None
    c.exec_driver_sql(
        "UPDATE tasks SET group_number = ?1, tags = CASE WHEN ?2 THEN"
        " '{\"team\": \"t' || (number % ?2) || '\"}' ELSE '{}' END WHERE status = 'queued'",
        (group, case.teams),
    )
    if case.in_group:
        c.exec_driver_sql(
            "INSERT INTO groups (number, uuid, name, submitted_by, created_at, updated_at,"
            " max_running) VALUES (?, 'first', 'all', 'ann', '', '', ?)", (GROUP, AT_ONCE),
        )  # fmt: skip
    if case.lumps:
        _limit_lumps(c, case)
    if case.teams:
        c.exec_driver_sql(
            "INSERT INTO limits (name, running, created_at, updated_at) VALUES ('team', ?, '', '')",
            (AT_ONCE // case.teams,),
        )


def _limit_lumps(c: Connection, case: _Case) -> None:
    """Give the tasks the groups or tags of lumps, of which each has room for one run and a half."""
    lump = f"1 + {case.lumps} * (number - first) / (last + 1 - first)"
    tags = f"tags = '{{\"lump\": \"t' || ({lump}) || '\"}}'"
    change = tags if case.by_tag else f"group_number = {lump}"
    c.exec_driver_sql(
        f"UPDATE tasks SET {change} FROM (SELECT min(number) AS first, max(number) AS last FROM"
        " tasks WHERE status = 'queued') WHERE status = 'queued'"
    )
    if case.by_tag:
        add = "INSERT INTO limits (name, cpu, created_at, updated_at) VALUES ('lump', 3, '', '')"
        c.exec_driver_sql(add)
        return
    for number in range(1, case.lumps + 1):
        c.exec_driver_sql(
            "INSERT INTO groups (number, uuid, name, submitted_by, created_at, updated_at,"
            " max_running) VALUES (?1, 'g' || ?1, 'all' || ?1, 'ann', '', '', 1)", (number,),
        )  # fmt: skip
