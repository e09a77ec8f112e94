"""Task names by value: all that break a rule are found, and few others are judged."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.rules.conditions import MetricNode, parse_conditions
from app.core.rules.rule_plan import Labels
from app.service.rules.evaluation import rule_pass
from app.service.rules.facts.ranking import BEFORE_LIMIT, Ranking, list_suspects
from app.service.rules.facts.subjects import Subject
from tests.service.rules.virtual_home import VirtualHome

OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
MANY = 12


def make_subject(name: str) -> Subject:
    return Subject("task", f"name:{name}", name, name, Labels(name))


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 5).map(float), max_size=12),
    st.sampled_from(list(OPERATORS)),
    st.integers(0, 5),
    st.integers(0, 9).map(float),
)
def test_all_that_break_a_rule_are_suspects(
    values: list[float], op: str, limit: int, rule_age: float
):
    when = {"metric": "task.seconds_since_success", "op": op, "value": limit}
    node = parse_conditions({"scope": "task", "when": when}).when
    assert isinstance(node, MetricNode)
    pairs = sorted((value, str(number)) for number, value in enumerate(values))
    fresh = [make_subject(f"fresh{number}") for number in range(8)]
    found = Ranking(
        [value for value, _ in pairs], [make_subject(name) for _, name in pairs], fresh, None
    )
    names = [one.name for one in list_suspects(found, node, rule_age)]
    broken = {name for value, name in pairs if OPERATORS[op](value, limit)}
    assert broken <= {*names} and len(names) == len({*names})
    if OPERATORS[op](rule_age, limit):
        assert {one.name for one in fresh} <= {*names}
    else:
        others = [name for name in names if name not in broken and "fresh" not in name]
        assert len(others) <= BEFORE_LIMIT


@pytest.mark.database
@pytest.mark.parametrize("op", [">=", "<"])
async def test_a_rule_over_many_names_judges_few(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch, op: str
):
    monkeypatch.setattr(rule_pass, "FEW", 3)
    when = {"metric": "task.consecutive_failures", "op": op, "value": 2 if op == ">=" else 1}
    await home.add_rule({"scope": "task", "when": when})
    for name, codes in {"good": [1, 0], "bad": [1, 1], "once": [1]}.items():
        for code in codes:
            await home.run_task(name, code)
    for number in range(MANY):
        await home.run_task(f"job-{number}", 0 if op == ">=" else 1)
    judged: list[Any] = []
    judge = rule_pass.evaluate
    monkeypatch.setattr(
        rule_pass, "evaluate", lambda *args, **more: judged.append(args) or judge(*args, **more)
    )
    await home.run_pass()
    fired = "bad" if op == ">=" else "good"
    assert [subject for *_, subject in home.log] == [f"name:{fired}"]
    assert len(judged) <= BEFORE_LIMIT + 2
    await home.skip(1)
    await home.run_task(fired, 0 if op == ">=" else 1)
    await home.run_pass()
    assert [action for _, action in home.take_log()] == ["fire", "resolve"]


@pytest.mark.database
async def test_names_without_a_success_fire_once_the_rule_is_old_enough(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rule_pass, "FEW", 1)
    when = {"metric": "task.seconds_since_success", "op": ">", "value": "10m"}
    await home.add_rule({"scope": "task", "when": when})
    for number in range(8):
        await home.submit(f"job-{number}")
    await home.run_task("good")
    await home.advance(590)
    assert home.log == []
    await home.advance(20)
    assert home.take_log() == [(600.001, "fire")] * 9
