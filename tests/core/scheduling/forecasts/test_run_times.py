"""Tests of run times from past runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.forecasts.run_times import (
    SAMPLES,
    DurationStats,
    compute_duration_stats,
    estimate_duration,
    estimate_remaining,
    learn_run_times,
    limit_run_times,
    sample_run_times,
)


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


def test_likely_run_times_spread_over_the_past_ones_and_a_little_beyond():
    past = learn_run_times([16.0, 9.0, 12.0])

    assert past is not None and past.runs == (9.0, 12.0, 16.0)
    assert len(past.likely) == SAMPLES and list(past.likely) == sorted(past.likely)
    assert 9.0 / (1 + 1 / 3) < past.likely[0] < 9.0 and 16.0 < past.likely[-1] < 16.0 * (1 + 1 / 3)
    assert past.likely[SAMPLES // 2] == pytest.approx(12.0)


@given(st.lists(st.floats(0.001, 1e6), min_size=3), st.floats(0, 1e6))
def test_a_run_lasts_longer_than_it_has_lasted_already(runs: list[float], elapsed: float):
    runs.sort()

    likely = sample_run_times(runs, elapsed)

    assert list(likely) == sorted(likely)
    assert all(elapsed <= seconds <= runs[-1] * 1.34 for seconds in likely)
    assert likely or elapsed >= runs[-1]


def test_equal_past_runs_give_a_narrow_sample():
    likely = sample_run_times([4.0] * 20)

    assert likely[0] == pytest.approx(4.0, rel=0.05) == likely[-1]


def test_a_limit_ends_the_likely_run_times():
    assert limit_run_times((1.0, 2.0, 3.0), 2.5) == (1.0, 2.0, 2.5)
    assert limit_run_times((1.0, 2.0, 3.0), None) == (1.0, 2.0, 3.0)


def test_runs_without_success_are_likely_but_not_usual():
    past, good = learn_run_times([16.0, 9.0, 12.0], [1.0, 1.0]), learn_run_times([16.0, 9.0, 12.0])

    assert past is not None and good is not None
    assert past.usual == good.usual
    assert past.runs == (1.0, 1.0, 9.0, 12.0, 16.0)
    assert past.likely[0] < 2 and good.likely[0] > 6
    assert learn_run_times([16.0, 9.0], [1.0, 1.0]) is None
