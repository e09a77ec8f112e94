"""Value of a rule against its limit, in words."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.rules.conditions import parse_conditions
from app.core.rules.levels import Level, describe_brief, describe_level, find_metric, is_worse

DEPTH: dict[str, Any] = {"metric": "queue.depth", "op": ">", "value": 100}
WAIT: dict[str, Any] = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "30m"}


def make(when: Any) -> dict[str, Any]:
    return {"scope": "queue", "when": when}


@pytest.mark.parametrize(
    ("when", "level", "text"),
    [
        (DEPTH, Level(0, 143.0, 100.0, "queue media"), "143, limit 100"),
        ({"all": [WAIT]}, Level(0, 75.4, 1800.0), "1m15s, limit 30m"),
        (WAIT, Level(0), "no data"),
        (WAIT, None, "no data"),
        (WAIT, Level(0, is_below=True), "none reached, limit 30m"),
    ],
)
def test_a_level_is_described_with_its_limit(when: Any, level: Level | None, text: str):
    found = describe_level(make(when), level)
    assert found is not None and found["text"] == text


@pytest.mark.parametrize(
    "when", [{"any": [DEPTH, WAIT]}, {"not": DEPTH}, {"all": [DEPTH, {"any": [WAIT]}]}]
)
def test_only_a_rule_of_one_comparison_has_a_level(when: Any):
    assert find_metric(parse_conditions(make(when)).when) is None
    assert describe_level(make(when), Level(0, 1.0)) is None


def test_faulty_conditions_have_no_level():
    assert describe_level({"when": {"metric": "no.such"}}, Level(0, 1.0)) is None


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
        (make({"metric": "queue.load_ratio", "op": ">="}), "14300% >= 10000%"),
        (make({"any": [DEPTH]}), None),
        ({"preset": "finishes-within"}, None),
        ({"when": "x"}, None),
        (None, None),
    ],
)
def test_an_alert_is_brief_where_it_compares_one_metric(conditions: Any, text: str | None):
    assert describe_brief(conditions, 143.0, 100.0) == text
