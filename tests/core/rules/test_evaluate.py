"""Verdicts: three-valued logic, growing values, deadlines, windows, and hours of a rule."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.rules import active_time, deadlines, rule_plan
from app.core.rules.conditions import parse_conditions
from app.core.rules.evaluate import (
    MetricRef,
    Reading,
    SubjectTimes,
    Verdict,
    evaluate,
    format_date,
    format_moment,
)
from app.core.rules.window_stats import compute_stat
from app.core.scheduling.forecasts.expected_end import ExpectedEnd

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def judge(
    when: Any, values: dict[str, float | None] | None = None, scope: str = "instance", **times: Any
) -> Verdict:
    known = values or {}

    def read(ref: MetricRef) -> Reading:
        return Reading(known.get(f"{ref.metric}/{ref.runs}" if ref.runs else ref.metric))

    node = parse_conditions({"scope": scope, "when": when}).when
    return evaluate(node, read, SubjectTimes(**times), NOW)


def compare(metric: str, op: str, value: Any) -> dict[str, Any]:
    return {"metric": metric, "op": op, "value": value}


DEPTH, LOAD = compare("queue.depth", ">", 100), compare("queue.load_ratio", ">", 0.9)
_WORDS = {None: {}, True: {"queue.depth": 143.0}, False: {"queue.depth": 7.0}}
_OTHER = {None: {}, True: {"queue.load_ratio": 0.95}, False: {"queue.load_ratio": 0.1}}


RUNNING, QUEUED = compare("instance.run_seconds", ">", "1h"), compare("queue.depth", ">", 5)


@pytest.mark.parametrize(
    ("when", "due"),
    [
        (RUNNING, NOW + HOUR - 600),
        ({"deadline": {"reference": "queued_at", "offset": "2h"}}, NOW + HOUR),
        ({"any": [RUNNING, {"deadline": {"reference": "queued_at", "offset": "90m"}}]},
         NOW + HOUR / 2),
        ({"all": [RUNNING, QUEUED]}, None),
        ({"not": RUNNING}, None),
        (QUEUED, None),
        (compare("instance.run_seconds", "<", "1h"), None),
    ],
)  # fmt: skip
def test_a_verdict_knows_when_its_subject_is_due(when: Any, due: float | None):
    values: dict[str, float | None] = {"instance.run_seconds": 600.0, "queue.depth": 3.0}
    found = judge(when, values, queued_at=NOW - HOUR)
    assert found.due == (due if not found.state else found.due)
    plan = rule_plan.make_plan({"scope": "instance", "when": when})
    assert plan.has_due == (due is not None)


@given(st.sampled_from([True, False, None]), st.sampled_from([True, False, None]))
def test_logic_has_three_values(one: bool | None, other: bool | None):
    values = {**_WORDS[one], **_OTHER[other]}
    both = judge({"all": [DEPTH, LOAD]}, values).state
    either = judge({"any": [DEPTH, LOAD]}, values).state
    assert both is (False if False in (one, other) else None if None in (one, other) else True)
    assert either is (True if True in (one, other) else None if None in (one, other) else False)
    negated = judge({"not": {"all": [DEPTH, LOAD]}}, values).state
    assert negated is (None if both is None else not both)


@pytest.mark.parametrize(
    ("op", "below", "at", "above"),
    [(">", False, False, True), (">=", False, True, True), ("<", True, False, False),
     ("<=", True, True, False), ("==", False, True, False), ("!=", True, False, True)],
)  # fmt: skip
def test_each_comparison(op: str, below: bool, at: bool, above: bool):
    found = [
        judge(compare("queue.depth", op, 100), {"queue.depth": value}).state
        for value in (99.0, 100.0, 101.0)
    ]
    assert found == [below, at, above]


def test_a_growing_value_tells_when_it_passes_the_limit():
    early = judge(compare("instance.run_seconds", ">", "1h"), {"instance.run_seconds": 3590.0})
    assert (early.state, early.next_at) == (False, NOW + 10)
    late = judge(compare("instance.run_seconds", ">", "1h"), {"instance.run_seconds": 3610.0})
    assert (late.state, late.since) == (True, NOW - 10)
    assert late.text == "running 1h (limit 1h)"


def test_the_text_says_value_and_limit():
    assert judge(DEPTH, {"queue.depth": 143.0}).text == "queued tasks 143 (limit 100)"
    assert judge({"all": [DEPTH, LOAD]}, {"queue.depth": 143.0, "queue.load_ratio": 1.0}).text == (
        "queued tasks 143 (limit 100) and slots in use 100% (limit 90%)"
    )


def test_a_baseline_multiplies_the_usual_value():
    when = {"metric": "instance.run_seconds", "op": ">", "baseline": {"runs": 10, "factor": 1.5}}
    values = {"instance.run_seconds": 100.0, "instance.run_seconds/10": 60.0}
    found = judge(when, values)
    assert (found.state, found.limit) == (True, 90.0)
    assert "1.5 × median of the last 10 runs" in found.text
    assert judge(when, {"instance.run_seconds": 100.0}).state is None


def test_a_deadline_counts_from_its_reference():
    when = {"deadline": {"reference": "queued_at", "offset": "1h"}}
    before = judge(when, queued_at=NOW - HOUR + 60)
    assert (before.state, before.next_at) == (False, NOW + 60)
    after = judge(when, queued_at=NOW - HOUR - 60)
    assert (after.state, after.since) == (True, NOW - 60)
    assert judge({"deadline": {"reference": "started_at", "offset": "1h"}}).state is False


@pytest.mark.parametrize("kind", ["deadline", "forecast"])
def test_a_failure_misses_a_deadline_that_is_to_come(kind: str):
    when = {kind: {"reference": "started_at", "offset": "1h"}}
    failed = judge(when, started_at=NOW - 60, failed_at=NOW - 30)
    assert (failed.state, failed.since, failed.value) == (True, NOW - 30, 0.0)
    late = judge(when, started_at=NOW - 2 * HOUR, failed_at=NOW - 30)
    assert (late.state, late.since, late.value) == (True, NOW - HOUR, HOUR)
    assert judge(when, failed_at=NOW - 30).text.startswith("failed ")
    assert judge(when, is_retried=True).text == "failed, retried"


FIXED = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC", "days": "mon-fri"}}}


def test_a_fixed_deadline_needs_a_success_since_the_day_before():
    six = NOW - 6 * HOUR
    late = judge(FIXED, scope="task", success_submitted=six - 25 * HOUR)
    assert (late.state, late.since) == (True, six)
    assert judge(FIXED, scope="task", success_submitted=six - HOUR).state is False
    assert judge(FIXED, scope="task", known_since=six + 1).state is False, "made after six"


def test_a_forecast_fires_before_its_deadline_and_states_the_range():
    when = {"forecast": {"reference": "queued_at", "offset": "2h", "margin": "10m"}}
    good = ExpectedEnd(NOW + 60, NOW + 49 * 60, NOW + 90 * 60)
    assert judge(when, queued_at=NOW - HOUR, expected_end=good).state is False
    late = judge(when, queued_at=NOW - HOUR, expected_end=good._replace(probable=NOW + 51 * 60))
    assert late.state is True and late.next_at is not None
    first, probable, last = (format_moment(NOW + minutes * 60) for minutes in (1, 51, 90))
    due = format_date(NOW + HOUR)
    assert late.text == f"expected to end {first}–{last}, probably {probable}, due {due}"
    narrow = ExpectedEnd(NOW + 51 * 60, NOW + 51 * 60, NOW + 51 * 60)
    text = judge(when, queued_at=NOW - HOUR, expected_end=narrow).text
    assert text == f"expected to end {probable}, due {due}"
    far = judge(when, queued_at=NOW - HOUR, expected_end=narrow._replace(last=inf))
    assert far.text == f"not expected to end before {probable}, due {due}"


def test_without_a_forecast_the_margin_decides():
    when = {"forecast": {"reference": "queued_at", "offset": "2h", "margin": "10m"}}
    early = judge(when, queued_at=NOW - HOUR)
    assert early.state is None and early.next_at == pytest.approx(NOW + 50 * 60, abs=0.1)
    late = judge(when, queued_at=NOW - 111 * 60)
    assert (late.state, late.since) == (True, NOW - 60) and late.text.startswith("no forecast")


def test_a_forecast_stays_true_after_a_fixed_deadline_until_a_success():
    when = {"forecast": FIXED["deadline"]}
    soon = ExpectedEnd(NOW + 60, NOW + 60, NOW + 60)
    six = NOW - 6 * HOUR
    assert judge(when, scope="task", expected_end=soon).state is True
    assert judge(when, scope="task", expected_end=soon, known_since=six + 1).state is False
    assert judge(when, scope="task", expected_end=soon, success_submitted=six + 1).state is False


BERLIN = ZoneInfo("Europe/Berlin")


def test_a_fixed_time_is_right_across_a_clock_change():
    half_past_two = deadlines.FixedTime(9000, frozenset(range(7)), BERLIN)
    noon = datetime(2026, 3, 29, 10, 0, tzinfo=UTC).timestamp()  # 02:30 is skipped
    found = deadlines.find_last_due(half_past_two, 0.0, noon)
    assert found and datetime.fromtimestamp(found.due, BERLIN).strftime("%d %H:%M") == "29 03:30"


@given(
    st.floats(1.7e9, 1.9e9),
    st.integers(0, 86399),
    st.sets(st.integers(0, 6), min_size=1),
    st.floats(-86400, 86400),
)
def test_due_times_follow_each_other(now: float, clock: int, days: set[int], offset: float):
    fixed = deadlines.FixedTime(clock, frozenset(days), BERLIN)
    last = deadlines.find_last_due(fixed, offset, now)
    coming = deadlines.find_next_due(fixed, offset, now)
    assert last and coming and last.since < last.due <= now < coming.due
    assert last.due <= coming.since or coming.since == coming.due - deadlines.DAY


def test_hours_over_midnight_belong_to_the_day_they_begin():
    night = active_time.ActivePeriod(frozenset({4}), 22 * 3600, 6 * 3600, ZoneInfo("UTC"))
    friday = datetime(2026, 12, 4, 23, 0, tzinfo=UTC).timestamp()
    assert active_time.is_active([night], friday)
    assert active_time.is_active([night], friday + 6 * HOUR)
    assert not active_time.is_active([night], friday + 7 * HOUR)
    assert active_time.find_next_change([night], friday) == friday + 7 * HOUR
    assert active_time.is_active([], friday)


@pytest.mark.parametrize(
    ("typed", "days"),
    [("mon-fri", {0, 1, 2, 3, 4}), ("sat, sun", {5, 6}), ("fri-mon", {4, 5, 6, 0}),
     (["Monday", "wed"], {0, 2}), ("workdays", {0, 1, 2, 3, 4})],
)  # fmt: skip
def test_days_are_typed_in_several_ways(typed: Any, days: set[int]):
    assert active_time.parse_days(typed) == days


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_percentiles_are_between_the_extremes(values: list[float]):
    for stat in ("p50", "p90", "p95", "p99", "median", "mean"):
        found = compute_stat(stat, values)
        assert found is not None and min(values) - 1e-3 <= found <= max(values) + 1e-3
    assert compute_stat("count", values) == len(values)
    assert compute_stat("p95", []) is None and compute_stat("count", []) == 0
