"""Tasks beyond the window of a queue: a round starts those that fit."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.scheduling.plan import make_plan
from app.runtime.dispatch.dispatcher import Dispatcher, KeeperEvents
from app.runtime.dispatch.run_verdict import judge_run
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import dispatch_view
from app.service.scheduling.dispatch_view import RunTimeCache
from app.service.tasks.inspection import views
from db import timestamps
from db.queries.scheduling import kept_lines, limits
from db.queries.tasks import transitions
from tests.db.builders import make_task_row

TIMEOUTS = (None, None, 60.0, 600.0, 3600.0, 7200.0)
GPU = {"resources": '{"gpu": 1}'}
MAX_ROUNDS = 3
GPUS = (None, None, '{"gpu": 1}', '{"gpu": 2}', '{"gpu": 4}')


async def add_tasks(call: Call, *rows: dict[str, Any]) -> None:
    tasks = [make_task_row(**row) for row in rows]
    await call.db.write(lambda c: transitions.submit(c, tasks, [], "ann"))


async def plan(call: Call) -> list[int]:
    """Return the numbers of the tasks that would start now."""
    _, starts = await call.db.write(dispatch_view.plan_starts, RunTimeCache())
    return [task.number for task in starts]


@pytest.fixture
async def gpu_call(runtime_call: Call) -> Call:
    await queues.pool_set(runtime_call, name="default", cpu=16, resources={"gpu": 2})
    await queues.queue_set(runtime_call, name="default", capacity=16)
    return runtime_call


async def test_a_task_starts_behind_many_that_wait_for_gpus(gpu_call: Call):
    await add_tasks(gpu_call, *[GPU] * 300, {}, {"cpu": 20.0}, {})

    assert await plan(gpu_call) == [1, 2, 301, 303]


async def test_why_names_no_reservation_for_a_task_that_fits_beside_it(gpu_call: Call):
    await add_tasks(gpu_call, *[GPU] * 300, {}, GPU)

    fits, waits = await views.explain(gpu_call, ids=[301, 302])

    assert [reason["code"] for reason in fits["reasons"]] == ["starting-soon"]
    assert "behind" in [reason["code"] for reason in waits["reasons"]]


async def test_why_of_all_tasks_counts_those_far_behind_by_what_they_ask_for(gpu_call: Call):
    await add_tasks(gpu_call, *[{**GPU, "cpu": 8.0}] * 298, *[{"cpu": 99.0}] * 5)

    found = await views.explain(gpu_call)

    counts = {group["text"]: group["count"] for group in found["groups"]}
    assert counts["wait in queue default for cpu"] == 5 and found["total"] == 303


async def test_a_short_task_starts_behind_many_that_would_delay_a_reserved_one(gpu_call: Call):
    await add_tasks(
        gpu_call, {"timeout": 3600.0, "cpu": 10.0}, {"cpu": 16.0}, *[{}] * 300, {"timeout": 60.0}
    )

    assert await plan(gpu_call) == [1, 303]


async def test_the_last_slot_goes_to_a_short_task_behind_many(gpu_call: Call):
    await queues.queue_set(gpu_call, name="default", capacity=2)
    await add_tasks(
        gpu_call, {"timeout": 3600.0, "cpu": 10.0}, {"cpu": 16.0}, *[{}] * 300, {"timeout": 60.0}
    )

    assert await plan(gpu_call) == [1, 303]


async def test_no_end_of_a_run_is_known_so_the_last_slot_stays_free(gpu_call: Call):
    await queues.queue_set(gpu_call, name="default", capacity=2)
    await add_tasks(gpu_call, {"cpu": 10.0}, {"cpu": 16.0}, *[{}] * 300, {"timeout": 60.0})

    assert await plan(gpu_call) == [1]


async def test_rounds_that_start_nothing_pass_the_rows_of_a_long_queue_once(
    gpu_call: Call, monkeypatch: pytest.MonkeyPatch
):
    scans, read = list[str](), limits.list_part

    def list_part(c: Connection, queue: str, *more: Any) -> list[Any]:
        scans.append(queue)
        return read(c, queue, *more)

    monkeypatch.setattr(dispatch_view, "MIN_KEPT", 100)
    monkeypatch.setattr(limits, "list_part", list_part)
    await add_tasks(gpu_call, *[GPU] * 300)
    dispatcher = Dispatcher(gpu_call.db, gpu_call.home)
    for _ in range(3):  # the first transaction may have changed rows before it looked
        await gpu_call.db.write(run_rounds, dispatcher)
    scans.clear()
    await add_tasks(gpu_call, *[GPU] * 20, {})

    _, starts = await gpu_call.db.write(dispatch_view.plan_starts, dispatcher.run_times)

    assert [task.number for task in starts] == [321] and scans == []


async def test_a_long_queue_is_passed_in_steps_by_rounds_that_follow(
    gpu_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch_view, "MIN_KEPT", 100)
    monkeypatch.setattr(kept_lines, "STEP_ROWS", 100)
    monkeypatch.setattr(kept_lines, "MAX_SECONDS", 0.0)
    await add_tasks(gpu_call, *[GPU] * 450, {"cpu": 1.0})
    dispatcher, due = Dispatcher(gpu_call.db, gpu_call.home), list[bool]()

    while 451 not in await gpu_call.db.read(list_started):
        orders = await gpu_call.db.write(dispatcher._decide, KeeperEvents())
        due.append(orders.next_due is not None)

    assert due[:4] == [True] * 4 and len(due) < 9


def list_started(c: Connection) -> list[int]:
    found = "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id"
    return list(c.exec_driver_sql(found).scalars())


def make_random_row(rng: random.Random, names: list[str]) -> dict[str, Any]:
    """Return a task; those of a world ask for a few kinds of amounts, or for any."""
    return {
        "name": "job", "queue": rng.choice(names), "priority": rng.choice([0, 0, 0, 5]),
        "cpu": rng.choice([1.0, 2.0, 8.0, rng.randrange(1, 160) / 10]),
        "memory": rng.choice([0.0, rng.randrange(1, 32_000)]),
        "timeout": rng.choice(TIMEOUTS), "resources": rng.choice(GPUS),
    }  # fmt: skip


def run_rounds(c: Connection, dispatcher: Dispatcher) -> list[int]:
    """Run rounds until nothing starts; return what a plan over all tasks would still start."""
    for _ in range(MAX_ROUNDS):
        dispatcher._decide(c, KeeperEvents())
        runs = c.exec_driver_sql("SELECT runid FROM instances WHERE status = 'starting'")
        at = timestamps.utcnow().timestamp()
        starts = [
            {"run": run, "pid": 42, "ticks": 17, "at": at, "boot": "b" * 36}
            for run in runs.scalars()
        ]
        transitions.record_starts(c, starts)
        if not starts:
            break
    whole = dispatch_view.read_view(c, dispatcher.run_times, ahead=2000)
    return [task.number for task in make_plan(whole).starts]


def end_run(c: Connection, rng: random.Random) -> None:
    runs = c.exec_driver_sql("SELECT runid FROM instances WHERE status = 'running'").scalars().all()
    end = {"run": rng.choice(runs), "code": 0, "signal": None, "at": time.time()}
    transitions.record_ends(c, [end], judge_run)


@pytest.mark.parametrize("seed", range(6))
async def test_rounds_with_small_windows_leave_nothing_that_a_whole_plan_starts(
    gpu_call: Call, monkeypatch: pytest.MonkeyPatch, seed: int
):
    rng, names = random.Random(seed), ["default", "other"][: 1 + seed % 2]
    monkeypatch.setattr(dispatch_view, "MAX_DEPTH", 4)
    monkeypatch.setattr(dispatch_view, "WINDOW_SIZE", 4)
    await queues.queue_set(gpu_call, name="default", capacity=rng.choice([6, 40]))
    if len(names) > 1:
        await queues.queue_create(gpu_call, name="other", capacity=rng.choice([6, 40]))
    policy = rng.choice(["priority", "fifo"])
    await queues.pool_set(
        gpu_call, name="default", memory="64G", resources={"gpu": 4}, policy=policy
    )
    await add_tasks(gpu_call, *(make_random_row(rng, names) for _ in range(500)))
    dispatcher = Dispatcher(gpu_call.db, gpu_call.home)

    for _ in range(6):
        assert await gpu_call.db.write(run_rounds, dispatcher) == []
        await gpu_call.db.write(end_run, rng)
