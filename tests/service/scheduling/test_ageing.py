"""Tasks that have waited long go first in their pool, one at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.service.context import Call
from app.service.definitions import apply, queues
from app.service.scheduling import ageing, dispatch_view
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from db import timestamps
from tests.service.calls import execute_sql, submit_task


def make_time(days: float) -> str:
    """Return the time some days ago."""
    return timestamps.format_time(timestamps.utcnow() - timedelta(days=days))


async def wait_days(call: Call, number: int, days: float, column: str = "created_at") -> None:
    await execute_sql(
        call, f"UPDATE tasks SET {column} = ? WHERE number = ?", make_time(days), number
    )


async def plan(call: Call) -> list[int]:
    """Return the numbers of the tasks that would start now."""
    _, starts = await call.db.write(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


@pytest.fixture
async def busy_call(runtime_call: Call) -> Call:
    """Return a call on a home with a slot and three tasks, of which the last has priority."""
    await queues.queue_set(runtime_call, name="default", capacity=1)
    for priority in (0, 0, 5):
        await submit_task(runtime_call, priority=priority)
    return runtime_call


async def test_priority_wins_within_a_week(busy_call: Call):
    await wait_days(busy_call, 1, 6.9)

    assert await plan(busy_call) == [3]


async def test_a_task_that_has_waited_a_week_goes_first_and_why_tells(busy_call: Call):
    await wait_days(busy_call, 2, 8)
    await wait_days(busy_call, 1, 7.5)

    assert await plan(busy_call) == [2]
    aged, first, last = await views.explain(busy_call, ids=[2, 3, 1])
    assert aged["reasons"][-1]["text"] == "it waits for 8d, so it goes first in pool default"
    assert [why["reasons"][-1]["text"] for why in (first, last)] == [
        "order of pool default: by priority, but #2 goes first: it waits for 8d"
    ] * 2


async def test_tasks_beyond_the_window_are_counted_behind_it(runtime_call: Call):
    await queues.queue_set(runtime_call, name="default", capacity=0)
    tasks = [{"argv": ["true"], "priority": -5 if at == 0 else 0} for at in range(70)]
    await submit.submit(runtime_call, tasks=tasks, env={})
    await wait_days(runtime_call, 1, 8)

    before, after = await views.explain(runtime_call, ids=[69, 70])

    assert before["reasons"][0]["text"].startswith("69th of 70")
    assert after["reasons"][0]["text"].startswith("70th of 70")


async def test_one_old_task_at_a_time_goes_first(busy_call: Call, worker: Any):
    await queues.queue_set(busy_call, name="default", capacity=2)
    for number in (1, 2):
        await wait_days(busy_call, number, 9 - number)
    assert await plan(busy_call) == [1, 3]
    runid = await worker.start(1)

    assert await plan(busy_call) == [3]
    await worker.end(runid)
    assert await plan(busy_call) == [2, 3]


async def test_a_run_that_itself_takes_as_long_lets_the_next_one_go(busy_call: Call, worker: Any):
    await queues.queue_set(busy_call, name="default", capacity=2)
    await wait_days(busy_call, 1, 20)
    await wait_days(busy_call, 2, 12)
    runid = await worker.start(1)
    began = "UPDATE instances SET start_time = ? WHERE runid = ?"

    await execute_sql(busy_call, began, make_time(6), runid)
    assert await plan(busy_call) == [3]
    await execute_sql(busy_call, began, make_time(8), runid)
    assert await plan(busy_call) == [2]


async def test_queue_priorities_give_way_and_other_pools_do_not(busy_call: Call):
    await queues.queue_create(busy_call, name="low", capacity=1, priority=-5)
    await queues.pool_set(busy_call, name="default", cpu=1)
    await queues.pool_create(busy_call, name="other", cpu=1, memory="1G")
    await queues.queue_create(busy_call, name="aside", capacity=1, pool="other")
    await submit_task(busy_call, queue="low")
    await submit_task(busy_call, queue="aside")
    await wait_days(busy_call, 4, 8)

    assert await plan(busy_call) == [4, 5]


async def test_planned_tasks_wait_from_their_start_time_on(busy_call: Call):
    await wait_days(busy_call, 1, 30)
    await wait_days(busy_call, 1, 1, column="not_before")

    assert await plan(busy_call) == [3]


async def test_the_time_can_be_set_and_switched_off(busy_call: Call):
    await wait_days(busy_call, 1, 8)
    shown = await queues.pool_set(busy_call, name="default", ageing="never")
    assert (shown["ageing"], await plan(busy_call)) == (0, [3])
    text = await apply.export(busy_call)
    assert 'ageing = "never"' in text

    shown = await queues.pool_set(busy_call, name="default", ageing="2d")
    await wait_days(busy_call, 1, 3)

    assert (shown["ageing"], await plan(busy_call)) == (2 * 86400, [1])
    await apply.apply(busy_call, text=text)
    assert await plan(busy_call) == [3]
    assert (await queues.pool_set(busy_call, name="default", ageing="7d"))["ageing"] == 7 * 86400
    assert "ageing" not in await apply.export(busy_call)


async def test_no_round_looks_again_within_ten_seconds(
    busy_call: Call, monkeypatch: pytest.MonkeyPatch
):
    cache, now = dispatch_view.RunTimeCache(), timestamps.utcnow()
    looked: list[object] = []
    find = ageing.age_order.map_oldest
    monkeypatch.setattr(
        ageing.age_order, "map_oldest", lambda c, names: looked.append(names) or find(c, names)
    )
    for seconds in (0, 1, 9, 11, 12, -60):
        monkeypatch.setattr(timestamps, "utcnow", lambda at=now + timedelta(seconds=seconds): at)
        await busy_call.db.write(dispatch_view.plan_starts, cache)

    assert looked == [["default"]] * 3
