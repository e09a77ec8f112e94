"""Forecasts of waiting tasks from past runs, on a real database: the same for every reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.service import board
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import dispatch_view
from app.service.tasks.inspection import pages, views
from app.service.tasks.submission import submit
from tests.core.scheduling.builders import make_queue, make_run, make_task, make_view
from tests.service.calls import execute_sql, submit_task

FOUR = (4.0, 4.1, 3.9, 4.0)


async def record_runs(call: Call, worker: Any, seconds: Sequence[float], **spec: Any) -> None:
    """Run a task for each duration."""
    for number, took in enumerate(seconds, 1):
        made = await submit_task(call, **({"name": f"job {number}"} | spec))
        runid = await worker.run(made["number"])
        await execute_sql(call, "UPDATE instances SET run_seconds = ? WHERE runid = ?", took, runid)


async def explain(call: Call, *numbers: int) -> list[Any]:
    """Return the expected starts of tasks, as `why` tells them."""
    return [task["expected_in"] for task in await views.explain(call, ids=numbers)]


async def test_waiting_commands_get_a_start_from_runs_of_similar_names(
    runtime_call: Call, worker: Any
):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await record_runs(runtime_call, worker, FOUR)
    for number in range(5, 15):
        await submit_task(runtime_call, name=f"job {number}")
    await worker.start(5)

    ranges = await explain(runtime_call, *range(6, 15))

    for at, (first, last) in enumerate(ranges, 1):
        assert 3.0 * at - 1 <= first <= 4.0 * at <= last <= 5.0 * at
    assert ranges == sorted(ranges) and sorted(last for _, last in ranges) == [r[1] for r in ranges]


async def test_every_reader_shows_the_same_range(runtime_call: Call, worker: Any, monkeypatch: Any):
    simulated: list[Any] = []
    make = dispatch_view.make_forecast
    monkeypatch.setattr(
        dispatch_view, "make_forecast", lambda view, **_: simulated.append(view) or make(view)
    )
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await record_runs(runtime_call, worker, FOUR)
    for _ in range(3):
        await submit_task(runtime_call, name="job 9")
    await worker.start(5)

    (why,) = await explain(runtime_call, 7)
    shown = (await views.show(runtime_call, id=7))["expected_in"]
    (listed,) = [
        task["expected_in"]
        for task in (await views.ls(runtime_call))["tasks"]
        if task["number"] == 7
    ]
    *_, brief = [
        note[4] for note in (await views.ls(runtime_call, brief=True))["notes"].values() if note[4]
    ]
    found = await pages.browse(runtime_call, limit=1)
    browsed = found["rows"][0][found["columns"].index("expected_in")]
    drawn = (await board.show_board(runtime_call))["next"][-1]["expected_in"]

    for other in (shown, listed, brief, browsed, drawn):
        assert abs(other[0] - why[0]) < 1.5 and abs(other[1] - why[1]) < 1.5
    assert len(simulated) <= 2


async def test_past_runs_and_not_timeouts_end_the_range(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", capacity=8)
    await queues.pool_set(runtime_call, name="default", cpu=8)
    times = [9.0 + number % 9 for number in range(46)]
    await record_runs(runtime_call, worker, times, timeout="1h")
    for _ in range(46):
        await submit_task(runtime_call, name="job 1", timeout="1h")
    for number in range(47, 55):
        await worker.start(number)

    (answer,) = await views.explain(runtime_call, ids=[90])

    first, last = answer["expected_in"]
    assert 45 < first < last < 85
    gains = [cure["gain"] for cure in answer["cures"]]
    assert gains and not [gain for gain in gains if "h" in gain.partition("instead of ")[2]]


async def test_a_chain_of_tasks_is_forecast_to_its_end(runtime_call: Call, worker: Any):
    await record_runs(runtime_call, worker, FOUR)
    await submit_task(runtime_call, name="job 5")
    await submit_task(runtime_call, name="job 6", after=[5])
    await submit_task(runtime_call, name="job 7", after=[6])
    await worker.start(5)

    second, third = await explain(runtime_call, 6, 7)

    assert 2 < second[0] < second[1] < 6 < third[0] + 1 and 8 < third[1] < 11


async def test_a_first_of_its_kind_has_no_expected_start_behind_it(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await record_runs(runtime_call, worker, FOUR)
    await submit_task(runtime_call, name="new")
    await submit_task(runtime_call, name="job 6")
    await worker.start(5)

    assert await explain(runtime_call, 6) == [None]


async def test_a_busy_board_reuses_a_forecast_and_why_does_not(call: Call):
    cache = dispatch_view.RunTimeCache()
    first, second = make_task(1, expected=30.0), make_task(2, expected=30.0)
    run = make_run(9, ends_in=10.0)
    before = make_view(make_queue("q", first, capacity=1), run, now=100.0)
    after = make_view(make_queue("q", first, second, capacity=1), run, now=100.0)

    made = await call.db.read(cache.forecast, before)

    lagging = await call.db.read(cache.forecast, after, may_lag=True)
    assert lagging.may_start == made.may_start
    assert set((await call.db.read(cache.forecast, after)).may_start) == {1, 2}


async def test_runs_that_fail_make_an_early_start_likely(runtime_call: Call, worker: Any):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await record_runs(runtime_call, worker, FOUR, name="job")
    for number in (5, 6):
        await submit_task(runtime_call, name="job")
        await worker.run(number, code=1)
    await execute_sql(runtime_call, "UPDATE instances SET run_seconds = 1 WHERE exit_code = 1")
    for _ in range(2):
        await submit_task(runtime_call, name="job")
    await worker.start(7)

    ((first, last),) = await explain(runtime_call, 8)

    assert first < 2 and 3 < last < 6


async def plan(call: Call) -> list[int]:
    """Return the numbers of the tasks that would start now."""
    _, starts = await call.db.write(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def test_a_round_starts_all_that_fit_although_it_reads_few_at_first(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch_view, "MAX_DEPTH", 3)
    await queues.pool_set(runtime_call, name="default", cpu=20)
    await queues.queue_set(runtime_call, name="default", capacity=20)
    await queues.queue_create(runtime_call, name="low", capacity=20, priority=-1)
    tasks = [{"argv": ["true"], "queue": "low" if at % 2 else "default"} for at in range(50)]
    await submit.submit(runtime_call, tasks=tasks, env={})

    assert await plan(runtime_call) == list(range(1, 40, 2))


async def test_reasons_follow_a_round_that_looks_at_few_tasks(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch_view, "MAX_DEPTH", 3)
    await queues.pool_set(runtime_call, name="default", cpu=2)
    await queues.queue_set(runtime_call, name="default", capacity=9)
    for cpu in (1, 2, 2, 2, 1):
        await submit_task(runtime_call, cpu=cpu, timeout=60)

    assert await plan(runtime_call) == [1, 5]
    (why,) = await views.explain(runtime_call, ids=[5])
    assert [reason["code"] for reason in why["reasons"]] == ["starting-soon"]
