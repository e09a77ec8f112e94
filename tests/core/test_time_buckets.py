"""Tests of time buckets, duration steps and known minutes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import time_buckets
from app.core.time_buckets import SPANS, BucketFrame, PeriodFigures

NOON = 29_500_000 - 29_500_000 % 1440 + 720
"""A minute of a day, divisible by 15 minutes and by two hours."""


@pytest.mark.parametrize("span", SPANS)
def test_the_last_bucket_contains_the_present_minute(span: str):
    for minute in (NOON, NOON + 1, NOON + 119):
        begins = BucketFrame.from_last_minute(minute, SPANS[span]).bucket_starts

        assert len(begins) == SPANS[span].buckets
        assert begins[-1] <= minute < begins[-1] + SPANS[span].minutes
        assert all(begin % SPANS[span].minutes == 0 for begin in begins)


def test_the_spans_are_an_hour_a_day_and_a_week():
    assert {name: span.minutes * span.buckets for name, span in SPANS.items()} == {
        "hour": 60,
        "day": 1440,
        "week": 10080,
    }


def test_a_minute_without_a_sample_is_unknown():
    frame = BucketFrame.from_last_minute(NOON, SPANS["hour"])
    begins = list(frame.bucket_starts)
    sampled = set(begins) - {begins[10], begins[11]}

    known = frame.find_known_buckets(sampled, NOON)

    assert [at for at, seen in enumerate(known) if not seen] == [10, 11]


def test_late_and_pending_samples_leave_no_gap():
    frame = BucketFrame.from_last_minute(NOON, SPANS["hour"])
    sampled = set(frame.bucket_starts) - {frame.first + 10, NOON}

    assert all(frame.find_known_buckets(sampled, NOON))


def test_a_wide_bucket_is_known_if_any_minute_is():
    frame = BucketFrame.from_last_minute(NOON, SPANS["day"])

    assert frame.find_known_buckets({frame.first + 16}, NOON) == [False, True, *[False] * 94]


def test_a_percentile_is_a_duration_not_exceeded_by_its_share():
    counted: time_buckets.DurationHistogram = {}
    for seconds in range(1, 101):
        time_buckets.merge_counts(counted, {time_buckets.compute_step(seconds): 1})

    p50, p95, most = time_buckets.compute_percentiles(counted, (0.5, 0.95, 1.0))

    assert (
        p50 == pytest.approx(50, rel=0.05)
        and p95 == pytest.approx(95, rel=0.05)
        and most == pytest.approx(100, rel=0.05)
    )


def test_an_empty_histogram_has_no_percentile():
    assert time_buckets.compute_percentiles({}, (0.5, 0.95)) == [None, None]


@given(st.floats(min_value=time_buckets.MIN_DURATION, max_value=1e9))
def test_a_step_is_accurate_to_five_percent(seconds: float):
    (found,) = time_buckets.compute_percentiles({time_buckets.compute_step(seconds): 1}, (1.0,))

    assert found is not None and math.isclose(found, seconds, rel_tol=0.05)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50))
def test_percentiles_never_fall_as_shares_grow(seconds: list[float]):
    counted: time_buckets.DurationHistogram = {}
    for one in seconds:
        time_buckets.merge_counts(counted, {time_buckets.compute_step(one): 1})

    found = time_buckets.compute_percentiles(counted, (0.0, 0.25, 0.5, 0.95, 1.0))

    assert found == sorted(found, key=lambda value: value or 0.0) and None not in found


def test_figures_are_merged():
    one = PeriodFigures(1, 2, 1, {"8": 1}, {})
    one.add(PeriodFigures(2, 0, 0, {"8": 2, "9": 1}, {"3": 4}))

    assert one == PeriodFigures(3, 2, 1, {"8": 3, "9": 1}, {"3": 4})


def test_unknown_values_are_excluded_from_means_and_sums():
    assert (
        time_buckets.compute_mean([1.0, None, 3.0]) == 2.0
        and time_buckets.compute_mean([None]) is None
    )
    assert time_buckets.sum_columns([[1.0, None, None], [2.0, 3.0, None]]) == [3.0, 3.0, None]


def test_every_metric_has_groupings_and_restrictions():
    for metric, by in time_buckets.METRICS.items():
        assert by[0] == "all" and set(by[1:]) <= {*time_buckets.KINDS, "resource"}
        assert (
            set(by[1:]) >= set(time_buckets.get_restrictions(metric))
            or metric in time_buckets.RESTRICTIONS
        )
