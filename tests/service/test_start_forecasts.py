"""Record of forecasts of starts, on a real database, and the ranges that follow from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.core.scheduling.leeway import MIN_FORECASTS
from app.service.context import Call
from app.service.definitions import queues
from app.service.forecast_leeway import SAMPLED, choose_evenly
from app.service.start_forecasts import record_forecasts
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from db import timestamps
from db.queries.scheduling import start_forecasts
from db.queries.scheduling.start_forecasts import StartForecast
from tests.service.calls import execute_sql, submit_task


async def list_recorded(call: Call) -> list[int]:
    """Return the numbers of the tasks with a recorded forecast."""
    rows = await execute_sql(call, "SELECT number FROM start_forecasts ORDER BY number")
    return [number for (number,) in rows]


async def fill_queue(call: Call, worker: Any, waiting: int) -> None:
    """Let tasks wait for a run with a timeout, one behind the other."""
    await queues.queue_set(call, name="default", capacity=1)
    for _ in range(waiting + 1):
        await submit_task(call, name="job", timeout=60)
    await worker.start(1)


async def test_each_waiting_task_is_recorded_once(runtime_call: Call, worker: Any):
    await fill_queue(runtime_call, worker, SAMPLED + 1)

    await record_forecasts(runtime_call.db)
    first = await list_recorded(runtime_call)
    await record_forecasts(runtime_call.db)
    both = await list_recorded(runtime_call)
    changes = runtime_call.db.changes
    await record_forecasts(runtime_call.db)

    assert len(first) == SAMPLED and both == [*range(2, SAMPLED + 3)]
    assert runtime_call.db.changes == changes


async def test_a_forecast_is_dropped_once_people_keep_the_task_from_starting(
    runtime_call: Call, worker: Any
):
    await fill_queue(runtime_call, worker, 2)
    await record_forecasts(runtime_call.db)

    await actions.hold(runtime_call, ids=[2])
    await record_forecasts(runtime_call.db)
    assert await list_recorded(runtime_call) == [3]

    await queues.queue_pause(runtime_call, name="default")
    await record_forecasts(runtime_call.db)
    assert await list_recorded(runtime_call) == []


async def test_a_queue_with_opening_hours_is_not_recorded(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", open="00:00-12:00, 12:00-23:59")
    await fill_queue(runtime_call, worker, 1)

    await record_forecasts(runtime_call.db)

    assert await list_recorded(runtime_call) == []


async def test_ranges_widen_after_starts_that_were_late(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    for number in range(1, MIN_FORECASTS + 1):
        await submit_task(runtime_call, name="job")
        await worker.run(number)
    await execute_sql(runtime_call, "UPDATE instances SET run_seconds = 4")
    await execute_sql(
        runtime_call,
        "INSERT INTO start_forecasts SELECT number, 'default', 10, 1799, ?, ? FROM tasks",
        *[timestamps.format_time(timestamps.utcnow() - timedelta(hours=1))] * 2,
    )
    for _ in range(2):
        await submit_task(runtime_call, name="job")
    await worker.start(MIN_FORECASTS + 1)

    (found,) = await views.explain(runtime_call, ids=[MIN_FORECASTS + 2])

    first, last = found["expected_in"]
    assert 3 < first < 5 < 7 < last < 9


async def test_only_the_latest_forecasts_of_a_pool_are_kept(call: Call):
    rows = [StartForecast(n, "default", 1.0, 2.0, timestamps.from_unix(n)) for n in range(1, 6)]

    await call.db.write(start_forecasts.add, rows)
    await call.db.write(start_forecasts.remove_oldest, "default", 2)

    assert await list_recorded(call) == [4, 5]


def test_a_sample_is_spread_over_the_line():
    assert choose_evenly([*range(10)], 3) == [0, 3, 6]
    assert choose_evenly([1, 2], 3) == [1, 2] and choose_evenly([1], -1) == []
