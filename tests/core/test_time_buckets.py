"""Buckets, durations in steps, and which minutes are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import time_buckets
from app.core.time_buckets import SPANS, Figures, Frame

NOON = 29_500_000 - 29_500_000 % 1440 + 720
"""A minute of a day, divisible by a quarter of an hour and by two hours."""


@pytest.mark.parametrize("span", SPANS)
def test_the_last_bucket_of_a_span_holds_the_present_minute(span: str):
    for minute in (NOON, NOON + 1, NOON + 119):
        begins = Frame.ending(minute, SPANS[span]).begins

        assert len(begins) == SPANS[span].buckets
        assert begins[-1] <= minute < begins[-1] + SPANS[span].minutes
        assert all(begin % SPANS[span].minutes == 0 for begin in begins)


def test_the_spans_are_an_hour_a_day_and_a_week():
    assert {name: span.minutes * span.buckets for name, span in SPANS.items()} == {"hour": 60, "day": 1440, "week": 10080}


def test_a_minute_without_a_sample_is_not_known():
    frame = Frame.ending(NOON, SPANS["hour"])
    begins = list(frame.begins)
    sampled = set(begins) - {begins[10], begins[11]}

    known = frame.known(sampled, NOON)

    assert [at for at, seen in enumerate(known) if not seen] == [10, 11]


def test_a_late_sample_and_the_one_not_due_yet_leave_no_gap():
    frame = Frame.ending(NOON, SPANS["hour"])
    sampled = set(frame.begins) - {frame.first + 10, NOON}

    assert all(frame.known(sampled, NOON))


def test_a_wide_bucket_is_known_when_any_minute_of_it_is():
    frame = Frame.ending(NOON, SPANS["day"])

    assert frame.known({frame.first + 16}, NOON) == [False, True, *[False] * 94]


def test_a_percentile_is_the_duration_that_so_many_did_not_exceed():
    counted: time_buckets.Counted = {}
    for seconds in range(1, 101):
        time_buckets.count_in(counted, {time_buckets.step(seconds): 1})

    p50, p95, most = time_buckets.percentiles(counted, (0.5, 0.95, 1.0))

    assert p50 == pytest.approx(50, rel=0.05) and p95 == pytest.approx(95, rel=0.05) and most == pytest.approx(100, rel=0.05)


def test_of_nothing_there_is_no_percentile():
    assert time_buckets.percentiles({}, (0.5, 0.95)) == [None, None]


@given(st.floats(min_value=time_buckets.LEAST, max_value=1e9))
def test_a_step_is_right_to_five_in_a_hundred(seconds: float):
    (found,) = time_buckets.percentiles({time_buckets.step(seconds): 1}, (1.0,))

    assert found is not None and math.isclose(found, seconds, rel_tol=0.05)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50))
def test_percentiles_never_fall_as_shares_grow(seconds: list[float]):
    counted: time_buckets.Counted = {}
    for one in seconds:
        time_buckets.count_in(counted, {time_buckets.step(one): 1})

    found = time_buckets.percentiles(counted, (0.0, 0.25, 0.5, 0.95, 1.0))

    assert found == sorted(found, key=lambda value: value or 0.0) and None not in found


def test_figures_are_counted_together():
    one = Figures(1, 2, 1, {"8": 1}, {})
    one.add(Figures(2, 0, 0, {"8": 2, "9": 1}, {"3": 4}))

    assert one == Figures(3, 2, 1, {"8": 3, "9": 1}, {"3": 4})


def test_what_is_not_known_is_left_out_of_means_and_sums():
    assert time_buckets.mean([1.0, None, 3.0]) == 2.0 and time_buckets.mean([None]) is None
    assert time_buckets.added([[1.0, None, None], [2.0, 3.0, None]]) == [3.0, 3.0, None]


def test_every_metric_can_be_told_apart_and_asked_for_by_what_is_known_of_it():
    for metric, by in time_buckets.METRICS.items():
        assert by[0] == "all" and set(by[1:]) <= set(time_buckets.KINDS)
        assert set(by[1:]) >= set(time_buckets.within(metric)) or metric in time_buckets.WITHIN
