"""Tasks behind one that bookings stop: those that do not delay it start."""

from __future__ import annotations

from app.core.scheduling.bookings import BookingKey, list_bounds
from app.core.scheduling.limits import LimitBudget
from app.core.scheduling.plan import make_plan
from tests.core.scheduling.builders import make_pool, make_queue, make_run, make_task, make_view
from tests.core.scheduling.test_bookings import HOUR, POOL, A, ask, book, list_starts

NOW = [book(4, -60.0, HOUR)]
RUN = make_run(9, named={"gpu": 2}, limit=9 * HOUR, ends_in=9 * HOUR)
"""Leaves 2 GPUs beside the booking, and 6 once it has ended."""


def test_a_task_that_ends_before_the_stopped_one_could_start_goes_first():
    line = ask(1, 3, HOUR), ask(2, 2, 2 * HOUR), ask(3, 2, HOUR)

    assert list_starts(*line[:2], ask(4, 6, HOUR), line[2], runs=[RUN], bookings=NOW) == [2]
    tight = ask(1, 4, HOUR), ask(2, 1, 2 * HOUR), ask(3, 2, 2 * HOUR), ask(4, 1, HOUR)
    busy = [RUN, make_run(8, named={"gpu": 1}, limit=9 * HOUR, ends_in=9 * HOUR)]
    assert list_starts(*tight, runs=busy, bookings=[book(4, -60.0, HOUR)]) == [2]


def test_what_the_stopped_task_leaves_is_given_once():
    line = ask(1, 5, HOUR), ask(2, 1), ask(3, 1), ask(4, 1, HOUR)

    assert list_starts(*line, runs=[RUN], bookings=[book(3, -60.0, HOUR)]) == [2, 4]


def test_the_end_of_a_run_may_let_the_stopped_task_start_first():
    soon = make_run(9, named={"gpu": 2}, limit=600.0, ends_in=600.0)

    assert list_starts(ask(1, 4), ask(2, 2, 601.0), runs=[soon], bookings=NOW) == []
    assert list_starts(ask(1, 4), ask(2, 2, 600.0), runs=[soon], bookings=NOW) == [2]
    unknown = make_run(9, named={"gpu": 2})
    assert list_starts(ask(1, 4), ask(2, 1), runs=[unknown], bookings=NOW) == []


def test_a_second_booking_that_stops_the_first_task_puts_it_off():
    """The first task waits for the end of both, the others for the first one only."""
    both = [book(6, -60.0, 90.0), book(8, 99 * HOUR, 199 * HOUR, name="r2")]
    line = ask(1, 1), ask(2, 3, HOUR), ask(3, 2, 99 * HOUR)

    assert list_starts(*line, bookings=both) == [3]
    later = [book(6, -60.0, 90.0), book(8, 90.0, 300.0, name="r2")]
    assert list_starts(ask(1, 3, 60.0), ask(2, 2, 80.0), bookings=later) == [2]
    assert list_starts(ask(1, 3, 60.0), ask(2, 2, 91.0), bookings=later) == []


def test_a_task_that_waits_for_another_resource_keeps_what_is_free_when_it_starts():
    """Two runs give back 4 GPUs with the licences, so the 3 that are free may go to others."""
    pool = make_pool(cpu=16.0, named={"gpu": 8, "lic": 2})
    runs = [
        make_run(number, named={"gpu": 2, "lic": 1}, limit=50.0, ends_in=50.0) for number in (8, 9)
    ]
    head = make_task(1, named={"gpu": 2, "lic": 1}, limit=50.0, expected=50.0)
    line = head, ask(2, 1, HOUR), ask(3, 1, HOUR), ask(4, 1, HOUR), ask(5, 1, HOUR)

    view = make_view(pool, make_queue("q", *line), *runs, bookings=[book(1, -60.0, 240.0)])

    assert [task.number for task in make_plan(view).starts] == [2, 3, 4]


def test_tasks_of_the_tag_and_of_other_resources_wait_for_nobody():
    line = ask(1, 3), ask(2, 0), ask(3, 4, None, A)

    assert list_starts(*line, runs=[RUN], bookings=NOW) == [2, 3]


def test_a_task_that_no_known_end_lets_start_holds_what_it_needs():
    budget = LimitBudget({}, list_bounds(NOW, [POOL], {}))
    budget.occupy(make_run(9, named={"gpu": 7}), "p")
    first = ask(1, 2)
    budget.add_first(first, "p", budget.find_lacking(first, "p"))

    (key,) = budget.firsts
    assert isinstance(key, BookingKey)
    wait = budget.find_wait(key)

    assert wait is not None and wait.starts_in == float("inf")
    assert not wait.lets_pass(ask(2, 1, 1.0), key, 1.0)
