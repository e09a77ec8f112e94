"""Reasons of tasks that bookings stop: which ones, who goes first, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.scheduling.bookings import Booking
from app.core.scheduling.explain import explain
from app.core.scheduling.plan import ActiveRun, QueuedTask
from tests.core.scheduling.builders import make_queue, make_run, make_view
from tests.core.scheduling.test_booked_waits import RUN
from tests.core.scheduling.test_bookings import HOUR, POOL, A, ask, book
from tests.core.scheduling.test_limits import make_state


def explain_last(*line: QueuedTask, runs: Sequence[ActiveRun] = (), bookings: Sequence[Booking]):
    """Return the reasons of the last task of a line."""
    view = make_view(POOL, make_queue("q", *line), *runs, bookings=bookings)
    return [one.text for one in explain(view, make_state(line[-1]), len(line) - 1).reasons]


def test_reasons_name_each_reservation_and_no_timeout_that_does_not_help_now():
    """A short task would still wait for the end of the current reservation."""
    both = [book(8, 99 * HOUR, 199 * HOUR), book(6, -60.0, 90.0, name="r2")]

    texts = explain_last(ask(1, 1), runs=[RUN], bookings=both)

    assert [text.split(" are reserved for team=a ")[0] for text in texts] == ["6 gpu", "8 gpu"]
    assert "until" in texts[0] and "from" in texts[1]
    assert not any("timeout" in text for text in texts)


def test_reasons_of_a_weekly_reservation_are_few():
    weekly = [book(8, n * 168 * HOUR, (n * 168 + 9) * HOUR, name=f"r{n}") for n in range(1, 20)]

    texts = explain_last(ask(1, 1), bookings=weekly)

    assert len(texts) == 6 and texts[-1] == "later reservations stop it, too"
    assert texts[0].endswith("a timeout below 7d would let it start now")


def test_overlapping_reservations_are_told_together_only_if_they_stop_together():
    both = [book(3, -60.0, HOUR), book(3, -60.0, 2 * HOUR, "team=b", "r2")]

    (text,) = explain_last(ask(1, 3, HOUR), bookings=both)
    assert text.startswith("6 gpu are reserved for team=a, team=b until")
    alone = explain_last(ask(1, 6, HOUR), bookings=both)
    assert [text[:28] for text in alone] == ["3 gpu are reserved for team="] * 2


def test_a_reason_names_no_later_task_as_the_one_that_goes_first():
    now = [book(6, -60.0, HOUR)]
    first, second = ask(1, 3, HOUR), ask(2, 2, HOUR)
    runs = [make_run(9, named={"gpu": 1}, limit=9 * HOUR, ends_in=9 * HOUR)]
    view = make_view(POOL, make_queue("q", first, second), *runs, bookings=now)

    (text,) = [one.text for one in explain(view, make_state(first), 0).reasons]

    assert "goes first" not in text
    third = ask(3, 1, 9 * HOUR)
    tight = [*runs, make_run(8, named={"gpu": 5}, limit=9 * HOUR, ends_in=9 * HOUR, subjects=A)]
    (last, *_) = explain_last(first, second, third, runs=tight, bookings=now)
    assert last.endswith("; #2 goes first")
