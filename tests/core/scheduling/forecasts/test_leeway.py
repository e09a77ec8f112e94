"""Tests of leeway that forecasts learn from earlier ones."""

from app.core.scheduling.forecasts.leeway import (
    MAX_FACTOR,
    MIN_FORECASTS,
    NO_LEEWAY,
    Leeway,
    PastForecast,
    learn_leeway,
)


def make_past(waits: list[float], earliest: float = 99.0) -> list[PastForecast]:
    """Return forecasts of 99 to 199 s, and how long the tasks waited."""
    return [PastForecast(earliest, 199.0, waited, True) for waited in waits]


def test_few_forecasts_teach_nothing():
    assert learn_leeway(make_past([9999.0] * (MIN_FORECASTS - 1))) == NO_LEEWAY


def test_starts_within_their_ranges_leave_the_ranges_alone():
    assert learn_leeway(make_past([150.0] * 50)) == NO_LEEWAY


def test_leeway_hold_nine_of_ten_late_starts_and_most_early_ones():
    waits = [49.0] * 3 + [150.0] * 84 + [399.0] * 5 + [599.0] * 8

    assert learn_leeway(make_past(waits)) == Leeway(1.0, 2.0)
    assert learn_leeway(make_past([49.0] * 6 + waits)) == Leeway(0.5, 2.0)


def test_a_bound_by_timeouts_says_nothing_on_early_starts():
    assert learn_leeway(make_past([1.0] * 50, earliest=0.0)) == NO_LEEWAY


def test_tasks_that_wait_count_once_they_are_late():
    waiting = [PastForecast(99.0, 199.0, waited, False) for waited in [10.0] * 50 + [399.0] * 50]

    assert learn_leeway(waiting) == Leeway(1.0, 2.0)


def test_a_queue_that_stood_still_widens_ranges_only_so_far():
    assert learn_leeway(make_past([1e6] * 50)).later == MAX_FACTOR
