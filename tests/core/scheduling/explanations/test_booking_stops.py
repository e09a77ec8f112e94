"""Reasons of tasks that bookings stop: which ones, who goes first, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.scheduling.bookings import Booking
from app.core.scheduling.explanations.explain import explain
from app.core.scheduling.limits import RUNNING
from app.core.scheduling.plan import ActiveRun, QueuedTask
from tests.core.scheduling.builders import make_queue, make_run, make_task, make_view
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


def test_the_reason_that_lasts_longest_comes_first():
    """A reservation of an hour, or a task that goes first, hides no licence taken for a day."""
    shared, now = {"licence": 1}, [book(6, -60.0, HOUR)]
    holder = make_run(9, cpu=0.0, named={"licence": 1}, limit=24 * HOUR, ends_in=24 * HOUR)
    line = [make_task(n, limit=60.0, cpu=0.0, named={"gpu": 4, "licence": 1}) for n in (1, 2)]
    view = make_view(POOL, make_queue("q", *line), holder, shared=shared, bookings=now)

    for task in line:
        licence, booked, *_ = explain(view, make_state(task), None).reasons
        assert (licence.code, booked.code) == ("shared-licence", "booked")
        assert licence.short.startswith(f"{task.number}")

    longer = [book(6, -60.0, 99 * HOUR)]
    view = make_view(POOL, make_queue("q", *line), holder, shared=shared, bookings=longer)
    assert explain(view, make_state(line[0]), None).reasons[0].code == "booked"


def test_a_lacking_licence_comes_before_a_limit_that_is_free_sooner():
    shared, limits = {"licence": 1}, {"team=a": {RUNNING: 1.0}}
    runs = [
        make_run(8, cpu=0.0, limit=60.0, ends_in=60.0, subjects=A),
        make_run(9, cpu=0.0, named={"licence": 1}, limit=HOUR, ends_in=HOUR),
    ]
    line = make_task(1, cpu=0.0, named={"licence": 1}, subjects=A)
    view = make_view(POOL, make_queue("q", line), *runs, shared=shared, limits=limits)

    reasons = explain(view, make_state(line), None).reasons

    assert [one.code for one in reasons] == ["shared-licence", "limit"]
