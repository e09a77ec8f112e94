"""Tests of forecasts before and after supposed changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from app.core.scheduling.forecasts.forecast import Horizon, make_forecast
from app.core.scheduling.forecasts.run_times import SAMPLES
from app.core.scheduling.forecasts.what_if import (
    UNKNOWN,
    ViewChanges,
    change_view,
    forecast_view,
    summarize_waits,
)
from app.core.scheduling.plan import DispatchView, LaterTask
from tests.core.scheduling.builders import (
    make_pool,
    make_queue,
    make_run,
    make_task,
    make_view,
    random_views,
)

FAR = Horizon(400, 2000)


def make_gpu_view() -> DispatchView:
    """Return two tasks of two GPUs in a pool of two."""
    likely = (100.0,) * SAMPLES
    tasks = [make_task(n, named={"gpu": 2}, expected=100.0, likely=likely) for n in (1, 2)]
    return make_view(make_pool(8, named={"gpu": 2}), make_queue("q", *tasks))


def test_more_of_a_resource_starts_tasks_at_once():
    view = make_gpu_view()
    pools = {"p": {"cpu": 8.0, "memory": 1024.0, "gpu": 4}}

    before = forecast_view(view, FAR)
    after = forecast_view(change_view(view, ViewChanges(pools=pools)), FAR)

    assert before.tasks[1].start == 0 and before.tasks[2].start == pytest.approx(100)
    assert after.tasks[2].start == 0
    assert before.drained_in == pytest.approx(200) and after.drained_in == pytest.approx(100)
    assert summarize_waits(before, [1, 2]) == (pytest.approx(50), pytest.approx(100), 0)


def test_hours_and_use_are_those_of_all_runs():
    (pool,) = forecast_view(make_gpu_view(), FAR).pools

    assert pool.hours["gpu"] == pytest.approx(400 / 3600)
    assert pool.get_ratio("gpu") == pytest.approx(1.0)
    assert pool.get_ratio("cpu") == pytest.approx(1 / 8)
    assert pool.get_ratio("tape") is None


def test_a_task_that_no_run_or_limit_bounds_leaves_the_rest_unknown():
    view = make_view(make_pool(1), make_queue("q", make_task(1), make_task(2, expected=5.0)))

    found = forecast_view(view, FAR)

    assert found.tasks[1].start == 0 and found.tasks[1].end is None
    assert found.tasks[2] == UNKNOWN and found.drained_in is None
    assert summarize_waits(found, [1, 2]) == (0.0, 0.0, 1)


def test_a_start_by_a_timeout_is_at_most_that_late():
    run = make_run(9, ends_in=60.0, limit=60.0, has_past_runs=False)
    view = make_view(make_pool(1), run, make_queue("q", make_task(1, expected=5.0)))

    found = forecast_view(view, FAR).tasks

    assert found[1].start == 60.0 and found[1].has_bound_start
    assert not found[9].has_bound_start and found[9].has_bound_end


def test_a_cancel_frees_resources_and_dependents():
    run = make_run(9, ends_in=60.0)
    later = LaterTask(make_task(2, expected=5.0), 0.0, (9,))
    view = make_view(make_pool(1), run, make_queue("q", make_task(1, expected=5.0)), later=(later,))

    found = change_view(view, ViewChanges(cancelled=frozenset({9, 1})))

    assert not found.active and not found.queues[0].waiting
    assert found.later[0].parents == ()
    assert forecast_view(found, FAR).tasks[2].start == 0


def test_changed_and_new_tasks_take_their_places():
    q = make_queue("q", make_task(1), make_task(2), waiting_total=9)
    view = make_view(q, make_queue("r", priority=1))
    changes = ViewChanges(
        queues={"r": {"capacity": 3}},
        tasks={2: make_task(2, priority=5), 1: make_task(1, "r"), 7: make_task(7, priority=9)},
        queued=(make_task(20, priority=7),),
    )

    first, second = change_view(view, changes).queues

    assert [task.number for task in first.waiting] == [7, 20, 2]
    assert [task.number for task in second.waiting] == [1]
    assert (first.waiting_total, second.waiting_total, second.capacity) == (9, 1, 3)


@given(random_views())
@settings(max_examples=20, deadline=None)
def test_the_forecast_is_that_of_other_readers(view: DispatchView):
    found, usual = forecast_view(view, Horizon()), make_forecast(view)

    for number, (first, last) in usual.may_start.items():
        start = found.tasks[number].start
        assert start is not None and first - 1e-6 <= start <= last + 1e-6
    assert change_view(view, ViewChanges()) == view
