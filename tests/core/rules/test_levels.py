"""Values of a rule against its limits, in words."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.rules.conditions import parse_conditions
from app.core.rules.evaluate import Target, Verdict
from app.core.rules.levels import (
    MAX_LEVELS,
    Level,
    add_verdict,
    describe_brief,
    describe_levels,
    find_charted,
    is_worse,
    list_comparisons,
)
from app.core.rules.words import describe_conditions
from app.core.scheduling.forecasts.expected_end import ExpectedEnd

DEPTH: dict[str, Any] = {"metric": "queue.depth", "op": ">", "value": 100}
WAIT: dict[str, Any] = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "30m"}
STARTED = {"deadline": {"reference": "queued_at", "offset": "5m"}}
FORECAST = {"forecast": {"reference": "queued_at", "offset": "1h"}}
NOW = 1_800_000_000.0
"""Fri 2027-01-15 08:00 UTC."""


def make(when: Any) -> dict[str, Any]:
    return {"scope": "queue", "when": when}


def compare(when: Any) -> Any:
    return list_comparisons(parse_conditions(make(when)).when)


def add_up(when: Any, *verdicts: Verdict) -> Level:
    """Return the level of a condition of one comparison over subjects #1, #2 and so on."""
    (one,) = compare(when)
    level = Level(NOW)
    for number, verdict in enumerate(verdicts, 1):
        level = add_verdict(one, level, verdict, f"#{number}")
    return level


def describe(when: Any, level: Level) -> str:
    (found,) = describe_levels(make(when), [level], NOW)
    return found["text"]


@pytest.mark.parametrize(
    ("when", "level", "text", "brief"),
    [
        (DEPTH, Level(0, 143.0, 100.0, "queue media"), "queued tasks 143, limit 100, queue media",
         "143 / 100"),
        ({"all": [WAIT]}, Level(0, 75.4, 1800.0, "queue gpu"),
         "longest wait 1m15s, limit 30m, queue gpu", "1m15s / 30m"),
        (WAIT, Level(0), "longest wait: no data", ""),
        (WAIT, Level(0, is_below=True), "longest wait none reached, limit 30m", ""),
    ],
)  # fmt: skip
def test_a_level_is_described_with_its_limit(when: Any, level: Level, text: str, brief: str):
    (found,) = describe_levels(make(when), [level], NOW)
    assert (found["text"], found["brief"]) == (text, brief)


def test_each_comparison_has_a_level():
    when = {"any": [DEPTH, {"all": [WAIT, STARTED]}]}
    found = describe_levels(make(when), [Level(NOW, 1.0), Level(NOW), Level(NOW)], NOW)
    assert [one["metric"] for one in found] == ["queued tasks", "longest wait", "deadline"]
    assert find_charted(compare({"any": [STARTED, WAIT]})) == 1
    assert find_charted(compare(STARTED)) is None
    assert len(compare({"any": [DEPTH] * 9})) == MAX_LEVELS


def test_a_negated_comparison_has_the_opposite_operator():
    assert [one.op for one in compare({"not": {"any": [DEPTH, {"not": WAIT}]}})] == ["<=", ">"]


def test_faulty_conditions_have_no_level():
    assert describe_levels({"when": {"metric": "no.such"}}, [Level(0, 1.0)], NOW) == []


def test_the_level_of_a_metric_is_that_of_the_worst_subject():
    values = (Verdict(False, NOW, value, 100.0) for value in (3.0, 7.0, 5.0))
    level = add_up(DEPTH, *values, Verdict(None, NOW))
    assert (level.value, level.subject) == (7.0, "#2")


def test_a_deadline_names_the_next_one_and_counts_the_others():
    late = Verdict(True, NOW, target=Target(NOW - 60, 0.0))
    coming = [Verdict(False, NOW, target=Target(NOW + after, 0.0)) for after in (900, 720)]
    level = add_up(STARTED, late, *coming, Verdict(False, NOW))
    assert describe(STARTED, level) == "#3 due in 12m, 08:12; 2 open, 1 missed"
    assert "; 2+ open" in describe(STARTED, level._replace(has_more=True))


@pytest.mark.parametrize(
    ("due", "state", "text"),
    [
        (Target(NOW - 60, 0.0), True, "#1 1m late, 07:59; 1 missed"),
        (Target(NOW + 60, 0.0, has_failed=True), True, "#1 failed, due in 1m, 08:01; 1 missed"),
        (Target(NOW + 60, 0.0, True), False, "#1: met, next due 08:01"),
        (None, False, "nothing due"),
    ],
)
def test_a_deadline_that_is_over_says_so(due: Target | None, state: bool, text: str):
    assert describe(STARTED, add_up(STARTED, Verdict(state, NOW, target=due))) == text


def test_a_forecast_shows_the_task_that_is_expected_last():
    ends = [ExpectedEnd(*(NOW + at for at in times)) for times in ((60, 120, 180), (60, 900, 960))]
    due = Target(NOW + 600, 0.0)
    late = [end.probable - due.at for end in ends]
    verdicts = [
        Verdict(by > 0, NOW, by, target=due._replace(expected=end))
        for by, end in zip(late, ends, strict=True)
    ]
    level = add_up(FORECAST, *verdicts)
    assert describe(FORECAST, level) == (
        "#2 ends 08:01–08:16, probably 08:15, due 08:10; 1 of 2 late"
    )
    (found,) = describe_levels(make(FORECAST), [level], NOW)
    assert found["brief"] == "08:15 / 08:10"
    assert found["expected"] == [*ends[1]]


def test_a_task_without_a_forecast_says_so():
    level = add_up(FORECAST, Verdict(None, NOW, -600.0, target=Target(NOW + 600, 0.0)))
    assert describe(FORECAST, level) == "#1 has no forecast, due 08:10; 1 open"


@pytest.mark.parametrize(
    ("op", "worse", "better"),
    [(">", 3, 2), (">=", 3, 2), ("<", 1, 2), ("<=", 1, 2), ("==", 6, 8), ("!=", 4, 5)],
)
def test_the_worse_value_is_nearer_to_breaking_the_rule(op: str, worse: float, better: float):
    assert is_worse(op, worse, better, 5)
    assert not is_worse(op, better, worse, 5)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        (make(DEPTH), "143 > 100"),
        (make({**WAIT, "stat": "count", "window": "10m"}), "143 > 100"),
        (make({"metric": "queue.load_ratio", "op": ">="}), "14300% (limit 10000%)"),
        (make({"any": [DEPTH]}), None),
        ({"preset": "finishes-within"}, None),
        ({"when": "x"}, None),
        (None, None),
    ],
)
def test_an_alert_is_brief_where_it_compares_one_metric(conditions: Any, text: str | None):
    assert describe_brief(conditions, 143.0, 100.0) == text


def test_failures_in_a_row_are_said_as_a_sentence():
    when = {"metric": "task.consecutive_failures", "op": ">=", "value": 3}
    conditions = {"scope": "task", "when": when}
    (level,) = describe_levels(conditions, [Level(NOW, 1.0, 3.0, "etl")], NOW)

    assert level["text"] == "failed 1 time in a row, limit 3, etl"
    assert describe_brief(conditions, 3.0, 3.0) == "3 (limit 3)"
    assert describe_conditions(conditions).endswith("failed at least 3 times in a row")
