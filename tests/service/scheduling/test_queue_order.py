"""Policies of pools, as users see them: what starts, why others wait, lists, undo and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.errors import Usage
from app.service.context import Call
from app.service.definitions import apply, queues
from app.service.scheduling import dispatch_view, queue_order
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.undo import undo
from db import timestamps
from db.queries.scheduling import first_lines
from tests.service.calls import execute_sql, submit_task


async def plan(call: Call) -> list[int]:
    """Return the numbers of the tasks that would start now."""
    _, starts = await call.db.write(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def list_places(call: Call, *numbers: int) -> list[int]:
    return [(await views.show(call, id=number))["place"]["position"] for number in numbers]


@pytest.fixture
async def busy_call(runtime_call: Call) -> Call:
    """Return a call on a home whose queue starts one of three tasks."""
    await queues.queue_set(runtime_call, name="default", capacity=1)
    for timeout, priority in ((600, 0), (30, 0), (900, 7)):
        await submit_task(runtime_call, timeout=timeout, priority=priority)
    return runtime_call


async def test_a_pool_goes_by_priority_unless_told_otherwise(busy_call: Call):
    assert (await queues.pool_show(busy_call, name="default"))["policy"] == "priority"
    assert await plan(busy_call) == [3]


@pytest.mark.parametrize(("policy", "order"), [("fifo", [1, 2, 3]), ("shortest", [2, 1, 3])])
async def test_plan_places_and_reasons_follow_the_policy(
    busy_call: Call, policy: str, order: list[int]
):
    shown = await queues.pool_set(busy_call, name="default", policy=policy)

    assert shown["policy"] == policy
    assert await plan(busy_call) == order[:1]
    assert await list_places(busy_call, *order) == [0, 1, 2]
    line = await queues.queue_line(busy_call, names=["default"])
    assert line["first"] == (await views.show(busy_call, id=order[0]))["uuid"]
    first, *others = await views.explain(busy_call, ids=order)
    words = {"fifo": "first come, first served", "shortest": "shortest first"}[policy]
    assert "order" not in [reason["code"] for reason in first["reasons"]]
    assert [why["reasons"][-1]["text"] for why in others] == [f"order of pool default: {words}"] * 2


@pytest.mark.parametrize(("cpu", "starts"), [(1, 2), (0.5, 4), (0.1, 20), (0, 60)])
async def test_a_round_of_a_queue_with_a_large_capacity_fills_the_pool(
    runtime_call: Call, cpu: float, starts: int
):
    await queues.pool_set(runtime_call, name="default", cpu=2)
    await queues.queue_set(runtime_call, name="default", capacity=1000)
    for _ in range(60):
        await submit_task(runtime_call, cpu=cpu)

    assert await plan(runtime_call) == [*range(1, starts + 1)]


async def test_a_round_reads_no_more_tasks_than_the_pool_has_room_for(runtime_call: Call):
    await queues.pool_set(runtime_call, name="default", cpu=2)
    await queues.queue_set(runtime_call, name="default", capacity=1000)
    for _ in range(60):
        await submit_task(runtime_call)

    view, _ = await runtime_call.db.write(dispatch_view.plan_starts, dispatch_view.RunTimeCache())

    assert [len(queue.waiting) for queue in view.queues] == [2]


async def test_a_task_moved_to_the_front_starts_first(busy_call: Call):
    await queues.pool_set(busy_call, name="default", policy="fifo")
    await actions.front(busy_call, ids=[3])

    assert await plan(busy_call) == [3]
    assert await list_places(busy_call, 3, 1, 2) == [0, 1, 2]
    listed = (await views.ls(busy_call, brief=True))["lines"]
    assert [line[1] for line in json.loads(listed)] == [3, 1, 2]


async def test_the_shortest_is_known_from_past_runs_of_the_same_name(
    runtime_call: Call, worker: Any
):
    for number in (1, 2, 3):
        await submit_task(runtime_call, name="quick")
        runid = await worker.run(number)
        await execute_sql(
            runtime_call, "UPDATE instances SET run_seconds = 2 WHERE runid = ?", runid
        )
    await queues.pool_set(runtime_call, name="default", policy="shortest")
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await submit_task(runtime_call, name="slow", timeout=60)
    await submit_task(runtime_call, name="quick")

    assert await plan(runtime_call) == [5]


async def test_tasks_far_behind_keep_their_places_by_age(
    busy_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue_order, "LOOKAHEAD", 2)
    await queues.pool_set(busy_call, name="default", policy="shortest")

    assert await list_places(busy_call, 2, 1, 3) == [0, 1, 2]


async def test_a_policy_is_undone_and_exported(busy_call: Call):
    await queues.pool_set(busy_call, name="default", policy="shortest")
    text = await apply.export(busy_call)
    assert 'policy = "shortest"' in text
    last = await execute_sql(busy_call, "SELECT max(id) FROM operations")

    await undo.undo(busy_call, ids=[last[0][0]])

    assert await plan(busy_call) == [3]
    assert "policy" not in await apply.export(busy_call)
    await apply.apply(busy_call, text=text)
    assert await plan(busy_call) == [2]


async def test_an_unknown_policy_is_refused(call: Call):
    with pytest.raises(Usage, match='policy must be priority, fifo or shortest, not "lifo"'):
        await queues.pool_set(call, name="default", policy="lifo")


@pytest.mark.parametrize("policy", ["priority", "fifo", "shortest"])
async def test_windows_of_several_queues_are_those_of_each(runtime_call: Call, policy: str):
    for name in ("a", "b", "empty"):
        await queues.queue_create(runtime_call, name=name)
    for number in range(12):
        name, timeout = "ab"[number % 2], 60 * (number % 4 + 1)
        await submit_task(runtime_call, queue=name, timeout=timeout, priority=number % 3)
    await execute_sql(runtime_call, "UPDATE tasks SET front = number % 2 WHERE number > 8")
    sizes = {"a": (policy, 4, 5), "b": (policy, 1, 3), "empty": (policy, 4, 4)}
    cache = dispatch_view.RunTimeCache()

    found = await runtime_call.db.write(
        queue_order.KeptOrder().map_first,
        cache,
        {name: queue_order.WindowSize(*size) for name, size in sizes.items()},
    )

    each = {
        name: await runtime_call.db.write(queue_order.list_first, cache, name, *size)
        for name, size in sizes.items()
    }
    assert {n: [row.uuid for row in rows] for n, rows in found.items()} == {
        n: [row.uuid for row in rows] for n, rows in each.items()
    }


async def test_a_kept_order_follows_the_run_times(
    runtime_call: Call, worker: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(first_lines, "MIN_QUEUES", 2)
    await queues.queue_create(runtime_call, name="q2")
    for name, timeout in (("slow", 9), ("slow", 8), ("slow", 7)):
        number = (await submit_task(runtime_call, name=name, timeout=timeout))["number"]
        runid = await worker.run(number)
        await execute_sql(
            runtime_call, "UPDATE instances SET run_seconds = 5 WHERE runid = ?", runid
        )
    for queue in ("default", "q2"):
        for name, timeout in (("slow", 60), ("new", 30), ("quick", 3)):
            await submit_task(runtime_call, name=name, timeout=timeout, queue=queue)
    kept, cache = queue_order.KeptOrder(), dispatch_view.RunTimeCache()
    size = queue_order.WindowSize("shortest", 3, 3)

    async def read() -> dict[str, Sequence[Any]]:
        return await runtime_call.db.write(kept.map_first, cache, {"default": size, "q2": size})

    await read()
    await read()
    before = await read()
    assert [row.name for row in before["q2"]] == ["quick", "slow", "new"]
    assert (await read())["q2"] is before["q2"]

    await execute_sql(runtime_call, "UPDATE instances SET run_seconds = 50")
    start = timestamps.utcnow()
    monkeypatch.setattr(timestamps, "utcnow", lambda: start + timedelta(seconds=31))
    await read()

    assert [row.name for row in (await read())["q2"]] == ["quick", "new", "slow"]
