"""Times at which queues start tasks: their words, windows, effect on plan, reasons, forecasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling import open_times
from app.core.scheduling.explanations.explain import explain
from app.core.scheduling.explanations.waiting_task import TaskState
from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.open_times import find_opening, is_inside, list_windows, normalize_open
from app.core.scheduling.plan import make_plan
from tests.core.scheduling.builders import make_queue, make_run, make_task, make_view

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(open_times, "get_local_zone_name", lambda: "Europe/Berlin")
    open_times._list_spans.cache_clear()
    yield
    open_times._list_spans.cache_clear()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    "text, stored",
    [("22:00-6:00", "22:00-06:00"), ("Monday-fri 18:00-08:00,  sat-sun",
      "mon-fri 18:00-08:00, sat-sun"), ("weekend", "sat-sun"), ("mon wed 00:00-24:00", "mon wed"),
     ("always", None), ("00:00-24:00", None), ("daily", None)],
)  # fmt: skip
def test_open_times_are_stored_in_one_form(text: str, stored: str | None):
    assert normalize_open(text) == stored
    assert stored is None or normalize_open(stored) == stored


@pytest.mark.parametrize(
    "text, fault",
    [("", "must be hours"), ("22:00", "must be hours such as"), ("22-6", "must be days such as"),
     ("moon 10:00-11:00", "must be days such as mon-fri, not"), ("08:00-08:00", "no length"),
     ("25:00-26:00", "must be a time of day"), ("8:00-9:00 10:00-11:00", "comma")],
)  # fmt: skip
def test_wrong_open_times_are_refused(text: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        normalize_open(text)


def test_windows_follow_local_time_when_clocks_change():
    # In the night to 25 October 2026 an hour occurs twice, in that to 28 March 2027 one is missing.
    for evening, hours in (("2026-10-24", 9), ("2027-03-27", 7)):
        now = at(f"{evening} 21:00")
        begin, end = list_windows("22:00-06:00", now)[0]
        assert (begin, end) == (HOUR, HOUR + hours * HOUR)


def test_windows_that_meet_are_joined():
    now = at("2026-11-27 17:00")  # a Friday

    windows = list_windows("mon-fri 18:00-08:00, sat-sun", now)

    assert windows[0] == (HOUR, 31 * HOUR + 24 * HOUR)
    assert (
        find_opening(windows) == HOUR and not is_inside(windows) and is_inside(windows, 30 * HOUR)
    )


@settings(max_examples=30)
@given(
    st.integers(0, 365 * 24 * 12),
    st.sampled_from(["22:00-06:00", "mon-fri 18:00-08:00, sat-sun", "02:30-03:10", "wed"]),
)
def test_windows_are_in_order_and_say_what_the_clock_says(step: int, text: str):
    now = at("2026-01-01 00:00") + 300 * step
    windows = list_windows(text, now)

    assert all(begin < end for begin, end in windows)
    assert all(end < begin for (_, end), (begin, _) in zip(windows, windows[1:], strict=False))
    wall = datetime.fromtimestamp(now, BERLIN)
    if text == "wed":
        assert is_inside(windows) == (wall.weekday() == 2)
    if text == "22:00-06:00":
        assert is_inside(windows) == (wall.hour >= 22 or wall.hour < 6)


def test_a_closed_queue_starts_nothing_and_delays_no_other():
    closed = make_queue("night", make_task(1, "night", cpu=4), priority=5, windows=((60.0, 120.0),))
    view = make_view(closed, make_queue("q", make_task(2, cpu=4)))

    plan = make_plan(view)

    assert [task.number for task in plan.starts] == [2] and plan.reservations == ()


def test_a_reason_names_the_opening_and_the_forecast_counts_from_it():
    now = at("2026-11-30 20:00")
    line = [make_task(n, "night", cpu=4, expected=600.0) for n in (1, 2)]
    queue = make_queue("night", *line, open="22:00-22:05", windows=list_windows("22:00-22:05", now))
    view = make_view(queue, make_run(9, "night", ends_in=60.0), now=now)
    state = TaskState(
        "u1", 1, "job-1", "night", "queued", 0, line[0].needs, None, None, None, None, 0, 0, 0, (),
    )  # fmt: skip

    why = explain(view, state, 0)
    local = datetime.fromtimestamp(now, UTC) + timedelta(hours=2)

    assert [reason.code for reason in why.reasons][0] == "queue-window"
    assert why.reasons[0].text == f"queue night opens at {local.astimezone():%H:%M}"
    found = make_forecast(view).may_start
    assert found[1] == (2 * HOUR, 2 * HOUR)  # the second one waits for the next evening
    assert found[2][0] == 26 * HOUR
