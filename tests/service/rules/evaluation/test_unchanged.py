"""Tests of the rules that a pass leaves out, since nothing that they read has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.rules.rule_plan import make_plan
from app.service.rules.evaluation import unchanged
from app.service.rules.evaluation.rule_pass import RulePass
from app.service.rules.evaluation.unchanged import list_sources
from tests.service.rules.virtual_home import VirtualHome, open_virtual_home

pytestmark = pytest.mark.database
FAILED = {"metric": "task.consecutive_failures", "op": ">=", "value": 2}
DEPTH = {"metric": "queue.depth", "op": ">", "value": 2}


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    monkeypatch.setattr(unchanged, "IN_TURN", 0)
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the rules that were judged."""
    names: list[str] = []
    run = RulePass.run

    def note(self: RulePass) -> Any:
        names.append(self.row.name)
        return run(self)

    monkeypatch.setattr(RulePass, "run", note)
    return names


@pytest.mark.unit
def test_a_rule_for_exact_names_reads_only_their_parts():
    plan = make_plan({"scope": "queue", "match": {"queue": ["a", "b"]}, "when": DEPTH})
    assert list_sources(plan) == ["pools of queues", "pools of rules", "queues a", "queues b"]
    plan = make_plan({"scope": "queue", "match": {"queue": ["a*"]}, "when": DEPTH})
    assert list_sources(plan) == ["pools of queues", "pools of rules", "queues"]


@pytest.mark.unit
@pytest.mark.parametrize(
    "when",
    [
        {"metric": "host.cpu_ratio", "op": ">", "value": 0.9},
        {"metric": "queue.depth", "op": ">", "value": 2, "stat": "max", "window": "10m"},
        {"any": [DEPTH, {"metric": "taskdeck.slow_queries", "op": ">", "value": 3}]},
    ],
)
def test_a_value_that_may_change_at_any_time_has_no_source(when: Any):
    assert list_sources(make_plan({"scope": "host" if "host" in str(when) else "queue",
                                   "when": when})) is None  # fmt: skip


async def test_only_rules_that_read_a_change_are_judged(home: VirtualHome, judged: list[str]):
    for name in ("x", "y"):
        await home.add_rule({"scope": "task", "match": {"task": name}, "when": FAILED}, name)
    await home.run_task("x")
    await home.run_task("y")
    await home.advance(10)
    judged.clear()
    await home.advance(10)
    assert judged == []
    await home.run_task("y")
    await home.run_pass()
    assert judged == ["y"]


async def test_rules_without_a_change_are_judged_in_turn(
    home: VirtualHome, judged: list[str], monkeypatch: pytest.MonkeyPatch
):
    for name in ("a", "b", "c"):
        await home.add_rule({"scope": "queue", "when": DEPTH}, name)
    await home.advance(10)
    monkeypatch.setattr(unchanged, "IN_TURN", 1)
    judged.clear()
    await home.advance(15)
    assert sorted(judged) == ["a", "b", "c"]
