"""Tests of duration estimates and start forecasts."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.forecast import (
    DurationStats,
    compute_duration_stats,
    estimate_duration,
    estimate_remaining,
    make_forecast,
)
from tests.core.scheduling.builders import make_queue, make_run, make_task, make_view


def test_two_runs_are_too_few_for_an_estimate():
    assert compute_duration_stats([10.0, 11.0]) is None


def test_estimates_are_the_median_and_the_95th_percentile():
    assert compute_duration_stats([30.0, 10.0, 20.0]) == DurationStats(median=20.0, p95=30.0, n=3)
    assert compute_duration_stats([float(n) for n in range(1, 101)]) == DurationStats(
        median=50.5, p95=95.0, n=100
    )


@given(st.lists(st.floats(0, 1e6), min_size=3))
def test_the_95th_percentile_is_a_real_run_above_the_median(runs: list[float]):
    past = compute_duration_stats(runs)

    assert past is not None and past.p95 in runs
    assert past.median <= past.p95 <= max(runs)


def test_the_timeout_is_used_until_there_is_history():
    past = DurationStats(median=20.0, p95=30.0, n=5)

    assert [estimate_duration(None, None), estimate_duration(None, 60.0)] == [None, 60.0]
    assert [
        estimate_duration(past, None),
        estimate_duration(past, 60.0),
        estimate_duration(past, 25.0),
    ] == [30.0, 30.0, 25.0]


def test_remaining_time_uses_median_then_p95_then_turns_negative():
    past = DurationStats(median=20.0, p95=30.0, n=5)

    assert [estimate_remaining(elapsed, past, None) for elapsed in (5.0, 20.0, 29.0, 34.0)] == [
        15.0,
        10.0,
        1.0,
        -4.0,
    ]


def test_remaining_time_is_capped_by_the_limit_or_unknown():
    past = DurationStats(median=20.0, p95=30.0, n=5)

    assert [
        estimate_remaining(5.0, past, 12.0),
        estimate_remaining(5.0, None, 12.0),
        estimate_remaining(5.0, None, None),
    ] == [7.0, 7.0, None]


def test_tasks_of_a_full_queue_are_forecast_in_order():
    line = [make_task(n, expected=30.0) for n in (1, 2, 3)]
    view = make_view(make_queue("q", *line, capacity=1), make_run(10, ends_in=120.0))

    seen = make_forecast(view, {3})

    assert seen.starts == {1: 120.0, 2: 150.0, 3: 180.0}
    assert seen.ends == {10: 120.0, 1: 150.0, 2: 180.0, 3: 210.0}


def test_a_short_task_is_forecast_beside_a_reservation():
    line = [
        make_task(1, cpu=4, expected=50.0),
        make_task(2, expected=60.0),
        make_task(3, expected=61.0),
    ]

    seen = make_forecast(make_view(make_queue("q", *line), make_run(10, ends_in=60.0)), {1, 2, 3})

    assert seen.starts == {2: 0.0, 1: 60.0, 3: 110.0}


def test_a_start_that_depends_on_an_unknown_end_is_not_forecast():
    line = [make_task(1, cpu=4, expected=5.0)]

    for ends_in in (None, -1.0):
        seen = make_forecast(
            make_view(
                make_queue("q", *line), make_run(10, ends_in=ends_in), make_run(11, ends_in=7.0)
            ),
            {1},
        )
        assert (seen.starts, seen.ends) == ({}, {11: 7.0})


def test_the_forecast_stops_once_all_wanted_tasks_have_started():
    line = [make_task(n, expected=1.0) for n in range(50)]
    view = make_view(make_queue("q", *line, capacity=1))

    assert list(make_forecast(view, {2}).starts) == [0, 1, 2]
    assert list(make_forecast(view, set()).starts) == [0]
