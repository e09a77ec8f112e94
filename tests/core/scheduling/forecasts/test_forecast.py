"""Tests of start forecasts."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from app.core.scheduling.bookings import Booking
from app.core.scheduling.forecasts.forecast import OVERTAKING, make_forecast
from app.core.scheduling.forecasts.leeway import Leeway
from app.core.scheduling.plan import LaterTask, QueuedTask
from tests.core.scheduling.builders import make_pool, make_queue, make_run, make_task, make_view

SURE = (30.0,) * 9
"""Likely run times of runs that always take half a minute."""


def test_tasks_of_a_full_queue_are_forecast_in_order():
    line = [make_task(n, likely=SURE) for n in (1, 2, 3)]
    view = make_view(make_queue("q", *line, capacity=1), make_run(10, likely=(120.0,) * 9))

    seen = make_forecast(view)

    assert seen.may_start == {1: (120.0, 120.0), 2: (150.0, 150.0), 3: (180.0, 180.0)}
    assert seen.may_end == {
        10: (120.0, 120.0), 1: (150.0, 150.0), 2: (180.0, 180.0), 3: (210.0, 210.0)
    }  # fmt: skip


def test_past_runs_count_and_not_the_timeout():
    line = [make_task(n, expected=3600.0, limit=3600.0, likely=SURE) for n in range(20)]

    seen = make_forecast(make_view(make_pool(cpu=2), make_queue("q", *line)))

    assert seen.may_start[19] == (270.0, 270.0)


def test_a_range_grows_slower_than_the_sum_of_the_extremes():
    line = [make_task(n, expected=100.0) for n in range(17)]

    first, last = make_forecast(make_view(make_queue("q", *line, capacity=1))).may_start[16]

    assert 1440 < first < 1600 < last < 1760


@given(st.lists(st.lists(st.floats(0.1, 100), min_size=9, max_size=9), min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_equal_requests_are_forecast_in_order_of_the_queue(times: list[list[float]]):
    line = [make_task(n, likely=tuple(sorted(likely))) for n, likely in enumerate(times)]

    seen = make_forecast(make_view(make_queue("q", *line, capacity=2))).may_start

    assert [seen[n] for n in range(len(line))] == sorted(seen.values())
    assert sorted(last for _, last in seen.values()) == [seen[n][1] for n in range(len(line))]


def test_a_scheduled_task_starts_no_earlier_than_its_time():
    """The end of a run that is known only by its limit opens the range of others."""
    waits, later = make_task(1, likely=SURE), make_task(2, likely=SURE)
    view = make_view(
        make_queue("q", waits, capacity=1),
        make_run(10, limit=60.0),
        later=(LaterTask(later, 100.0, ()),),
    )

    seen = make_forecast(view).may_start

    assert seen[1][0] == 0.0 and seen[2][0] == 100.0


def test_a_task_starts_no_earlier_than_its_queue_opens():
    """A limit alone bounds the first run, so the range of later starts would begin at once."""
    view = make_view(
        make_queue("q", make_task(1, limit=9.0), capacity=1, windows=((0.0, 50.0), (500.0, 600.0))),
        make_run(10, limit=60.0),
        later=(LaterTask(make_task(2, likely=SURE), 100.0, ()),),
    )

    seen = make_forecast(view).may_start

    assert seen[1][0] == 0.0 and seen[2] == (500.0, 509.0)


def test_a_short_task_is_forecast_beside_a_reservation():
    line = [
        make_task(1, cpu=4, expected=50.0, likely=(50.0,) * 9),
        make_task(2, expected=60.0, likely=(60.0,) * 9),
        make_task(3, expected=61.0, likely=(61.0,) * 9),
    ]
    view = make_view(make_queue("q", *line), make_run(10, ends_in=60.0, likely=(60.0,) * 9))

    seen = make_forecast(view, {1, 2, 3})

    assert {number: first for number, (first, _) in seen.may_start.items()} == {
        2: 0.0, 1: 60.0, 3: 110.0
    }  # fmt: skip


def test_overtaking_stretches_run_times_but_neither_sure_times_nor_timeouts():
    """Behind a reservation for four cores, beside which one core is free."""
    big = make_task(1, cpu=4, likely=SURE)
    queue = make_queue("q", big, make_task(2, cpu=4, likely=SURE))
    run = make_run(10, cpu=3, likely=(100.0,) * 9)
    long_run = make_run(10, cpu=3, likely=(1100.0,) * 9)
    sure = Booking("r1", "p", "team=a", {"cpu": 4.0}, 0.0, 1000.0)

    for view, range_of_second in (
        (make_view(queue, run), (130.0, 130.0 * OVERTAKING)),
        (make_view(queue, long_run, bookings=(sure,)), (1130.0, 1000.0 + 130.0 * OVERTAKING)),
        (make_view(queue, make_run(10, cpu=3, limit=100.0)), (0.0, 130.0)),
    ):
        assert make_forecast(view).may_start[2] == range_of_second


def test_leeway_stretch_all_but_sure_times_and_keep_the_probable_end():
    big = make_task(1, cpu=4, likely=SURE)
    queue = make_queue("q", big, make_task(2, cpu=4, likely=SURE))
    run = make_run(10, cpu=3, likely=(100.0,) * 9)
    bounded = make_run(10, cpu=3, limit=100.0)
    full = make_run(10, cpu=4, limit=100.0)
    leeway = {"p": Leeway(0.5, 3.0)}

    for view, bare, range_of_second in (
        (make_view(queue, run), (130.0, 130.0 * OVERTAKING), (65.0, 130.0 * 3 * OVERTAKING)),
        (make_view(queue, bounded), (0.0, 130.0), (0.0, 390.0)),
        (make_view(queue, full), (0.0, 130.0), (0.0, 130.0)),
    ):
        plain, found = make_forecast(view), make_forecast(view, leeway=leeway)
        assert found.may_start[2] == approx(range_of_second)
        assert found.bare_start[2] == plain.may_start[2] == approx(bare)
        assert found.probable_end == plain.probable_end


def test_a_start_that_depends_on_an_unknown_end_is_not_forecast():
    line = [make_task(1, cpu=4, expected=5.0)]

    for ends_in in (None, -1.0):
        seen = make_forecast(
            make_view(
                make_queue("q", *line), make_run(10, ends_in=ends_in), make_run(11, likely=SURE)
            )
        )
        assert (seen.may_start, seen.may_end) == ({}, {11: (30.0, 30.0)})


def test_a_timeout_without_past_runs_gives_only_an_upper_bound():
    line = [make_task(n, likely=SURE) for n in (1, 2)]
    run = make_run(10, ends_in=600.0, limit=600.0, has_past_runs=False)

    seen = make_forecast(make_view(make_queue("q", *line, capacity=1), run))

    assert seen.may_start == {1: (0.0, 600.0), 2: (0.0, 630.0)}


def test_the_forecast_stops_once_all_wanted_tasks_have_started():
    line = [make_task(n, likely=SURE) for n in range(50)]
    view = make_view(make_queue("q", *line, capacity=1))

    assert list(make_forecast(view, {2}).may_start) == [0, 1, 2]
    assert list(make_forecast(view, set()).may_start) == [0]


def test_tasks_that_wait_for_others_or_a_time_take_their_turn():
    first = make_task(5, likely=SURE)
    later = (
        LaterTask(make_task(2, likely=SURE), 0.0, (1,)),
        LaterTask(make_task(3, likely=SURE), 0.0, (2,)),
        LaterTask(make_task(4, likely=SURE), 100.0, ()),
        LaterTask(make_task(6, likely=SURE), 0.0, (99,)),
    )
    view = make_view(make_queue("q", first, capacity=1), make_run(1, likely=SURE), later=later)

    seen = make_forecast(view)

    assert {number: first for number, (first, _) in seen.may_start.items()} == {
        2: 30.0, 3: 60.0, 5: 90.0, 4: 120.0
    }  # fmt: skip


def test_a_task_that_waits_for_a_start_follows_it_at_once():
    later = (
        LaterTask(make_task(3, likely=SURE), 0.0, (), (2,)),
        LaterTask(make_task(4, likely=SURE), 0.0, (3,), (2,)),
    )
    view = make_view(
        make_queue("q", make_task(2, likely=SURE), capacity=2),
        make_run(1, likely=SURE),
        make_run(9, likely=SURE),
        later=later,
    )

    seen = make_forecast(view)

    assert {number: first for number, (first, _) in seen.may_start.items()} == {
        2: 30.0, 3: 30.0, 4: 60.0
    }  # fmt: skip


def test_a_later_forecast_is_shifted_to_the_present():
    line: list[QueuedTask] = [make_task(n, likely=SURE) for n in (1, 2)]
    seen = make_forecast(make_view(make_queue("q", *line, capacity=1)))

    assert seen.shift(10.0).may_start == {1: (0.0, 0.0), 2: (20.0, 20.0)}
    first, last = seen.shift(40.0).may_start[2]
    assert 0 < first <= last < 0.01


def test_tasks_of_an_outer_pool_are_left_out_of_forecasts():
    apart = replace(make_pool(name="big"), is_outer=True)
    sims = make_queue("sims", make_task(2, "sims", likely=SURE), pool="big")
    child = LaterTask(make_task(3), 0.0, (2,))
    mine = make_queue("q", make_task(1, likely=SURE))

    found = make_forecast(make_view(make_pool(), apart, sims, mine, later=(child,)))

    assert found.may_start.keys() == {1}
