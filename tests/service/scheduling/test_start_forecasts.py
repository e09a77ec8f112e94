"""Record of forecasts of starts, on a real database, and the ranges that follow from it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from app.core.scheduling.forecasts.leeway import MIN_FORECASTS
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import dispatch_view, start_forecasts
from app.service.scheduling.forecast_leeway import SAMPLED, choose_evenly
from app.service.scheduling.start_forecasts import ForecastRecorder, shorten_lines
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from db import timestamps
from db.queries.scheduling import start_forecasts as queries
from db.queries.scheduling.start_forecasts import StartForecast
from tests.core.scheduling.builders import make_queue, make_task, make_view
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

    await ForecastRecorder(runtime_call.db).record()
    first = await list_recorded(runtime_call)
    await ForecastRecorder(runtime_call.db).record()
    both = await list_recorded(runtime_call)
    changes = runtime_call.db.changes
    await ForecastRecorder(runtime_call.db).record()

    assert len(first) == SAMPLED and both == [*range(2, SAMPLED + 3)]
    assert runtime_call.db.changes == changes


async def test_neither_reading_nor_simulating_takes_the_event_loop(
    runtime_call: Call, worker: Any, monkeypatch: pytest.MonkeyPatch
):
    threads: list[int] = []

    def note(fn: Any) -> Any:
        def run(*args: Any) -> Any:
            threads.append(threading.get_ident())
            return fn(*args)

        return run

    monkeypatch.setattr(dispatch_view, "read_view", note(dispatch_view.read_view))
    monkeypatch.setattr(start_forecasts, "make_forecast", note(start_forecasts.make_forecast))
    await fill_queue(runtime_call, worker, 1)

    await ForecastRecorder(runtime_call.db).record()

    assert await list_recorded(runtime_call) == [2]
    assert len(threads) == 2 and threading.get_ident() not in threads


def test_a_pass_simulates_the_tasks_that_go_first():
    view = make_view(
        make_queue("q", make_task(1), make_task(2)),
        make_queue("r", make_task(3, "r"), make_task(4, "r"), priority=-1),
    )

    def list_tasks(most: int) -> list[list[int]]:
        queues = shorten_lines(view, most).queues
        return [[task.number for task in queue.waiting] for queue in queues]

    assert list_tasks(3) == [[1, 2], [3]]
    assert list_tasks(0) == [[], []] and list_tasks(9) == [[1, 2], [3, 4]]


async def test_a_forecast_is_dropped_once_people_keep_the_task_from_starting(
    runtime_call: Call, worker: Any
):
    await fill_queue(runtime_call, worker, 2)
    await ForecastRecorder(runtime_call.db).record()

    await actions.hold(runtime_call, ids=[2])
    await ForecastRecorder(runtime_call.db).record()
    assert await list_recorded(runtime_call) == [3]

    await queues.queue_pause(runtime_call, name="default")
    await ForecastRecorder(runtime_call.db).record()
    assert await list_recorded(runtime_call) == []


async def test_after_a_jump_of_the_clock_only_forecasts_of_started_tasks_count(
    runtime_call: Call, worker: Any, monkeypatch: pytest.MonkeyPatch
):
    await fill_queue(runtime_call, worker, 2)
    recorder = ForecastRecorder(runtime_call.db)
    await recorder.record()
    await worker.start(2)
    later = timestamps.utcnow() + timedelta(hours=8)
    monkeypatch.setattr(timestamps, "utcnow", lambda: later)

    await recorder.record()

    assert await list_recorded(runtime_call) == [2]


async def test_a_queue_with_opening_hours_is_not_recorded(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", open="00:00-12:00, 12:00-23:59")
    await fill_queue(runtime_call, worker, 1)

    await ForecastRecorder(runtime_call.db).record()

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

    await call.db.write(queries.add, rows)
    await call.db.write(queries.remove_oldest, "default", 2)

    assert await list_recorded(call) == [4, 5]


def test_a_sample_is_spread_over_the_line():
    assert choose_evenly([*range(10)], 3) == [0, 3, 6]
    assert choose_evenly([1, 2], 3) == [1, 2] and choose_evenly([1], -1) == []
