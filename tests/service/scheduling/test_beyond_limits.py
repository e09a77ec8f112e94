"""Tasks behind those that limits stop: each that fits starts after a few rounds."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.scheduling.plan import make_plan
from app.runtime.dispatch.dispatcher import Dispatcher, KeeperEvents
from app.runtime.dispatch.run_verdict import judge_run
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import beyond_limits, dispatch_view
from app.service.scheduling.dispatch_view import RunTimeCache
from app.service.tasks.inspection import views
from db import timestamps
from db.queries.scheduling import kept_lines
from db.queries.tasks import transitions
from tests.db.builders import make_task_row
from tests.service.calls import execute_sql


@pytest.fixture
async def small_call(runtime_call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a call in a home whose rounds look at 4 tasks at a time, and hardly further."""
    monkeypatch.setattr(dispatch_view, "MAX_DEPTH", 4)
    monkeypatch.setattr(dispatch_view, "WINDOW_SIZE", 4)
    monkeypatch.setattr(kept_lines, "STEP_ROWS", 20)
    monkeypatch.setattr(kept_lines, "MAX_SECONDS", 0.0)
    await queues.pool_set(runtime_call, name="default", cpu=200, resources={"lic": 20})
    await queues.queue_set(runtime_call, name="default", capacity=100)
    return runtime_call


async def add_tasks(call: Call, *rows: dict[str, Any]) -> None:
    tasks = [make_task_row(**row) for row in rows]
    await call.db.write(lambda c: transitions.submit(c, tasks, [], "ann"))


async def add_limit(call: Call, name: str, **amounts: float) -> None:
    columns = ", ".join(amounts)
    await execute_sql(
        call,
        f"INSERT INTO limits (name, {columns}, created_at, updated_at)"
        f" VALUES (?{', ?' * len(amounts)}, '', '')",
        name,
        *amounts.values(),
    )


async def add_group(call: Call, number: int, running: int) -> None:
    await execute_sql(
        call,
        "INSERT INTO groups (number, uuid, name, submitted_by, created_at, updated_at, max_running)"
        " VALUES (?, ?, ?, 'ann', '', '', ?)",
        number, f"g{number}", f"all{number}", running,
    )  # fmt: skip


async def run_rounds(call: Call, dispatcher: Dispatcher, rounds: int) -> None:
    for _ in range(rounds):
        await call.db.write(dispatcher._decide, KeeperEvents())


def list_started(c: Connection) -> list[int]:
    found = c.exec_driver_sql(
        "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id ORDER BY t.number"
    )
    return list(found.scalars())


async def test_tasks_start_behind_many_partly_used_limits(small_call: Call):
    await add_limit(small_call, "t", cpu=3)
    lumps = [{"cpu": 2.0, "tags": {"t": str(i // 8)}} for i in range(12 * 8)]
    await add_tasks(small_call, *lumps, {})

    await run_rounds(small_call, Dispatcher(small_call.db, small_call.home), 30)

    assert await small_call.db.read(list_started) == [*range(1, 97, 8), 97]
    (last,) = await views.explain(small_call, ids=[96])
    assert last["reasons"][0]["text"].startswith("limit t=11: needs 2, 2 of 3 cpu")


async def test_tasks_start_behind_more_groups_than_a_statement_has_conditions(
    small_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(beyond_limits, "MAX_SECONDS", math.inf)
    monkeypatch.setattr(kept_lines, "MAX_SECONDS", math.inf)
    monkeypatch.setattr(dispatch_view, "MAX_DEPTH", 100)
    for group in range(1, 61):
        await add_group(small_call, group, 1)
    await add_tasks(
        small_call, *[{"group_number": i // 5 + 1, "group_index": i % 5} for i in range(300)], {}
    )

    await run_rounds(small_call, Dispatcher(small_call.db, small_call.home), 2)

    assert await small_call.db.read(list_started) == [*range(1, 301, 5), 301]


async def test_a_remembered_task_waits_for_nothing_once_it_fits(small_call: Call):
    await add_limit(small_call, "t", cpu=3)
    await add_tasks(small_call, *[{"cpu": 2.0, "tags": {"t": str(i // 8)}} for i in range(96)])
    dispatcher = Dispatcher(small_call.db, small_call.home)
    await run_rounds(small_call, dispatcher, 30)

    await execute_sql(small_call, "UPDATE limits SET cpu = 4")
    await run_rounds(small_call, dispatcher, 30)

    started = await small_call.db.read(list_started)
    assert started == sorted([*range(1, 97, 8), *range(2, 97, 8)])


async def test_one_round_starts_the_next_task_of_an_array_far_behind(small_call: Call):
    for group in range(1, 5):
        await add_group(small_call, group, 1)
    await add_tasks(small_call, *[{"group_number": i // 50 + 1} for i in range(200)])
    dispatcher = Dispatcher(small_call.db, small_call.home)
    await run_rounds(small_call, dispatcher, 30)
    assert await small_call.db.read(list_started) == [1, 51, 101, 151]

    await small_call.db.write(end_last_run)
    await run_rounds(small_call, dispatcher, 1)

    assert await small_call.db.read(list_started) == [1, 51, 101, 151, 152]


def end_last_run(c: Connection) -> None:
    runid = c.exec_driver_sql("SELECT max(runid) FROM instances").scalar_one()
    at = timestamps.utcnow().timestamp()
    start = {"run": runid, "pid": 42, "ticks": 17, "at": at, "boot": "b" * 36}
    transitions.record_starts(c, [start])
    transitions.record_ends(c, [{"run": runid, "code": 0, "signal": None, "at": at}], judge_run)


def make_random_row(rng: random.Random) -> dict[str, Any]:
    tags = {key: rng.choice("abcdef") for key in ("t", "u") if rng.random() < 0.5}
    return {
        "cpu": rng.choice([1.0, 2.0, 3.0]), "priority": rng.choice([0, 0, 0, 5]),
        "tags": tags, "group_number": rng.choice([None, None, 1, 2, 3, 4, 5, 6]),
        "resources": rng.choice([None, '{"lic": 1}', '{"lic": 2}']),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
async def test_in_the_end_all_that_could_run_runs(small_call: Call, seed: int):
    rng = random.Random(seed)
    await add_limit(small_call, "t", running=rng.randrange(1, 4), cpu=rng.randrange(3, 8))
    await add_limit(small_call, "u=a", cpu=rng.randrange(3, 8))
    for group in range(1, 7):
        await add_group(small_call, group, rng.randrange(1, 4))
    rows = [make_random_row(rng) for _ in range(400)]
    await add_tasks(small_call, *sorted(rows, key=lambda row: json.dumps(row["tags"])))
    dispatcher = Dispatcher(small_call.db, small_call.home)

    await run_rounds(small_call, dispatcher, 60)

    def plan_all(c: Connection) -> list[int]:
        view = dispatch_view.read_view(c, RunTimeCache(), closed=True, ahead=2000)
        return [task.number for task in make_plan(view).starts]

    assert len(await small_call.db.read(list_started)) > 10
    assert await small_call.db.read(plan_all) == []
