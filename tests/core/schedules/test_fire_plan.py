"""Fire plans: what is submitted, missed and left out, and what comes next."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.schedules import fire_plan, recurrence
from app.core.schedules.fire_plan import (
    MAX_CATCH_UP,
    FirePlan,
    FireRules,
    compute_jitter,
    find_next_fire,
    iterate_fires,
    plan_fires,
)
from app.core.schedules.recurrence import parse_recurrence

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_rules(kind: str = "every", text: str = "1h", zone: str = "UTC", **rules: Any) -> FireRules:
    return FireRules(parse_recurrence(kind, text, zone, START), **rules)


def plan_after(hours: float, **rules: Any) -> FirePlan:
    """Return the plan of an hourly schedule, due at 01:00, after some hours."""
    return plan_fires(make_rules(**rules), START + HOUR, START + hours * HOUR)


def get_hours(times: tuple[datetime, ...]) -> list[float]:
    return [(at - START) / HOUR for at in times]


def test_a_fire_time_is_submitted_on_time():
    plan = plan_after(1.001, missed="skip")

    assert (get_hours(plan.submit), plan.missed) == ([1], ())
    assert plan.next_fire == START + 2 * HOUR


def test_nothing_is_submitted_early():
    plan = plan_fires(make_rules(), START + HOUR, START + HOUR / 2)

    assert plan == FirePlan((), (), False, START + HOUR)


@pytest.mark.parametrize(
    ("missed", "submitted", "left_out"),
    [("run-once", [3], [1, 2]), ("run-all", [1, 2, 3], []), ("skip", [], [1, 2, 3])],
)
def test_the_rule_for_missed_fires_decides_after_downtime(
    missed: str, submitted: list[int], left_out: list[int]
):
    plan = plan_after(3.5, missed=missed)

    assert (get_hours(plan.submit), get_hours(plan.missed)) == (submitted, left_out)
    assert plan.next_fire == START + 4 * HOUR


def test_the_newest_fire_is_on_time_right_after_downtime():
    plan = plan_after(3.01, missed="skip")

    assert (get_hours(plan.submit), get_hours(plan.missed)) == ([3], [1, 2])


def test_a_missed_fire_that_is_too_old_is_left_out():
    plan = plan_after(4.5, missed="run-all", missed_within=2 * HOUR)

    assert (get_hours(plan.submit), get_hours(plan.missed)) == ([3, 4], [1, 2])


def test_the_limit_for_missed_fires_never_drops_one_on_time():
    plan = plan_after(1.01, missed_within=timedelta(seconds=1))

    assert get_hours(plan.submit) == [1]


def test_run_all_submits_at_most_the_newest_hundred():
    plan = plan_after(250.5, missed="run-all")

    assert get_hours(plan.submit) == list(range(151, 251))
    assert (plan.missed, plan.has_more) == ((), True)


def test_missed_fires_are_listed_up_to_a_hundred():
    plan = plan_after(250.5)

    assert (len(plan.submit), len(plan.missed), plan.has_more) == (1, MAX_CATCH_UP - 1, True)


@pytest.mark.parametrize("days", [365, 230])
def test_millions_of_missed_fires_cost_few_steps(monkeypatch: pytest.MonkeyPatch, days: int):
    steps, until = 0, START + timedelta(days=days)

    def count(*args: Any) -> datetime | None:
        nonlocal steps
        steps += 1
        return recurrence.find_next(*args)

    monkeypatch.setattr(fire_plan, "find_next", count)
    now = START + timedelta(days=365)
    rules = make_rules(text="1s", missed="run-all", until=until)
    plan = plan_fires(rules, START + HOUR, now)

    assert len(plan.submit) == MAX_CATCH_UP and plan.submit[-1] == until
    assert steps < 1000


def test_jitter_delays_each_fire_by_the_same_time():
    delay = compute_jitter("nightly", 300)
    rules = make_rules(delay=delay)

    early = plan_fires(rules, START + HOUR, START + HOUR + delay - timedelta(seconds=1))
    due = plan_fires(rules, START + HOUR, START + HOUR + delay)

    assert early.submit == () and get_hours(due.submit) == [1]


@given(st.text(), st.floats(0, 86400))
def test_jitter_is_stable_and_below_its_limit(name: str, most: float):
    delay = compute_jitter(name, most)

    assert delay == compute_jitter(name, most)
    assert timedelta() <= delay <= timedelta(seconds=most)


def test_no_jitter_is_no_delay():
    assert compute_jitter("nightly", 0) == timedelta()


def test_nothing_fires_after_the_end():
    rules = make_rules(until=START + 2 * HOUR)

    assert [at - START for at in iterate_fires(rules, START)] == [HOUR, 2 * HOUR]
    assert find_next_fire(rules, START + 2 * HOUR) is None


def test_an_excluded_day_is_left_out_in_the_zone():
    rules = make_rules("cron", "0 */6 * * *", "Asia/Tokyo", excluded=[date(2026, 11, 2)])

    times = [at for at, _ in zip(iterate_fires(rules, START), range(4), strict=False)]

    tokyo = [at + 9 * HOUR for at in times]
    assert [f"{at:%d %H}" for at in tokyo] == ["01 12", "01 18", "03 00", "03 06"]


def test_the_first_fire_of_the_day_after_an_excluded_one_is_kept():
    rules = make_rules("cron", "0 0 * * *", excluded=[date(2026, 11, 2), date(2026, 11, 3)])

    assert find_next_fire(rules, START) == datetime(2026, 11, 4, tzinfo=UTC)


def test_a_schedule_whose_days_are_all_excluded_ends():
    days = {date(2026, 11, 1) + timedelta(days=n) for n in range(20_000)}

    assert find_next_fire(make_rules("cron", "@daily", excluded=days), START) is None


@given(
    downtimes=st.lists(st.integers(1, 20_000), min_size=1, max_size=20),
    missed=st.sampled_from(["run-once", "run-all", "skip"]),
    delay=st.integers(0, 600),
)
def test_each_fire_time_is_handled_exactly_once(downtimes: list[int], missed: str, delay: int):
    rules = make_rules(text="7m", missed=missed, delay=timedelta(seconds=delay))
    next_fire, now, handled = find_next_fire(rules, START), START, list[datetime]()
    for seconds in downtimes:
        now += timedelta(seconds=seconds)
        assert next_fire is not None
        plan = plan_fires(rules, next_fire, now)
        handled += sorted([*plan.submit, *plan.missed])
        assert plan.next_fire is not None and plan.next_fire > now - rules.delay
        next_fire = plan.next_fire

    count = (now - rules.delay - START) // timedelta(minutes=7)
    assert handled == [START + timedelta(minutes=7 * n) for n in range(1, count + 1)]
