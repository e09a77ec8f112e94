"""Tests of expected ends for rules."""

from dataclasses import replace
from math import inf

from app.core.scheduling.forecasts.expected_end import ExpectedEnd, ExpectedEnds, make_expected_end
from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.plan import ActiveRun, DispatchView, QueueView
from tests.core.scheduling.builders import make_queue, make_run, make_task, make_view

SURE = (30.0,) * 9


def make_ends(queue: QueueView, *more: ActiveRun) -> ExpectedEnds:
    view: DispatchView = make_view(queue, *more)
    return ExpectedEnds(view, make_forecast(view))


def test_half_of_the_simulations_end_after_the_probable_end():
    varied = tuple(float(seconds) for seconds in range(10, 100, 10))
    ends = make_ends(make_queue("q"), make_run(10, likely=varied))

    assert ends.find(10, "q", False) == ExpectedEnd(10.0, 50.0, 90.0)
    assert make_expected_end(varied) == ExpectedEnd(10.0, 50.0, 90.0)
    assert ExpectedEnd(-1.0, 50.0, inf).shift(1000.0) == ExpectedEnd(1000.0, 1050.0, inf)


def test_a_task_behind_the_simulated_part_ends_after_its_last_start():
    line = [make_task(n, likely=SURE) for n in (1, 2, 3)]
    queue = replace(make_queue("q", *line, capacity=1), waiting_total=50)
    ends = make_ends(queue, make_run(10, likely=SURE))

    assert ends.find(99, "q", True) == ExpectedEnd(90.0, 90.0, inf)
    assert ends.find(99, "q", False) is None, "a held task has no place in the queue"
    short = make_ends(make_queue("q", *line, capacity=1), make_run(10, likely=SURE))
    assert short.find(99, "q", True) is None, "no task is behind"


def test_a_timeout_alone_is_no_forecast():
    ends = make_ends(make_queue("q", make_task(1, limit=60.0), capacity=1), make_run(10, limit=9.0))

    assert ends.find(10, "q", False) is None and ends.find(1, "q", True) is None


def test_run_times_of_a_name_add_to_the_expected_start():
    line = [make_task(1, likely=SURE), make_task(2)]
    ends = make_ends(make_queue("q", *line, capacity=1), make_run(10, likely=SURE))

    assert ends.find(2, "q", True) is None
    assert ends.find_with(2, (5.0, 6.0, 7.0)) == ExpectedEnd(65.0, 66.0, 67.0)
    assert ends.find_with(2, ()) is None and ends.find_with(3, SURE) is None
