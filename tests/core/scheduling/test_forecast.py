"""What past runs say, and what the plan will do if they are right."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.forecast import Usual, expected, foresee, left, usual
from tests.core.scheduling.builders import a_queue, a_run, a_task, a_view


def test_two_runs_are_no_habit():
    assert usual([10.0, 11.0]) is None


def test_the_usual_run_is_the_median_and_the_95th_percentile_of_past_runs():
    assert usual([30.0, 10.0, 20.0]) == Usual(median=20.0, p95=30.0, n=3)
    assert usual([float(n) for n in range(1, 101)]) == Usual(median=50.5, p95=95.0, n=100)


@given(st.lists(st.floats(0, 1e6), min_size=3))
def test_the_95th_percentile_is_a_run_that_happened_and_not_below_the_median(runs: list[float]):
    past = usual(runs)

    assert past is not None and past.p95 in runs
    assert past.median <= past.p95 <= max(runs)


def test_a_task_is_planned_with_its_timeout_until_history_knows_better():
    past = Usual(median=20.0, p95=30.0, n=5)

    assert [expected(None, None), expected(None, 60.0)] == [None, 60.0]
    assert [expected(past, None), expected(past, 60.0), expected(past, 25.0)] == [30.0, 30.0, 25.0]


def test_what_is_left_aims_at_the_median_then_at_the_95th_percentile_and_is_negative_when_late():
    past = Usual(median=20.0, p95=30.0, n=5)

    assert [left(elapsed, past, None) for elapsed in (5.0, 20.0, 29.0, 34.0)] == [15.0, 10.0, 1.0, -4.0]


def test_what_is_left_never_goes_beyond_the_limit_and_is_unknown_without_any_figure():
    past = Usual(median=20.0, p95=30.0, n=5)

    assert [left(5.0, past, 12.0), left(5.0, None, 12.0), left(5.0, None, None)] == [7.0, 7.0, None]


def test_tasks_of_a_full_queue_are_foreseen_one_after_the_other():
    line = [a_task(n, expected=30.0) for n in (1, 2, 3)]
    view = a_view(a_queue("q", *line, capacity=1), a_run(10, ends_in=120.0))

    seen = foresee(view, {3})

    assert seen.starts == {1: 120.0, 2: 150.0, 3: 180.0}
    assert seen.ends == {10: 120.0, 1: 150.0, 2: 180.0, 3: 210.0}


def test_a_short_task_is_foreseen_beside_the_place_of_a_big_one():
    line = [a_task(1, cpu=4, expected=50.0), a_task(2, expected=60.0), a_task(3, expected=61.0)]

    seen = foresee(a_view(a_queue("q", *line), a_run(10, ends_in=60.0)), {1, 2, 3})

    assert seen.starts == {2: 0.0, 1: 60.0, 3: 110.0}


def test_what_only_an_unbounded_or_overdue_run_can_decide_is_not_foreseen():
    line = [a_task(1, cpu=4, expected=5.0)]

    for ends_in in (None, -1.0):
        seen = foresee(a_view(a_queue("q", *line), a_run(10, ends_in=ends_in), a_run(11, ends_in=7.0)), {1})
        assert (seen.starts, seen.ends) == ({}, {11: 7.0})


def test_the_forecast_stops_once_all_that_is_wanted_has_started():
    line = [a_task(n, expected=1.0) for n in range(50)]
    view = a_view(a_queue("q", *line, capacity=1))

    assert list(foresee(view, {2}).starts) == [0, 1, 2]
    assert list(foresee(view, set()).starts) == [0]
