"""Passes that leave out rules, compared with passes that judge all, over random histories."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.service.rules.evaluation import unchanged
from app.service.rules.evaluation.engine import Outcome, RuleEngine
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome, open_virtual_home

DEPTH = {"metric": "queue.depth", "op": ">", "value": 2}
FAILED = {"metric": "task.consecutive_failures", "op": ">=", "value": 2}
QUEUED = {"metric": "instance.queued_seconds", "op": ">", "value": "40s"}
RULES: list[dict[str, Any]] = [
    {"scope": "queue", "when": DEPTH},
    {"scope": "queue", "match": {"queue": "a"}, "when": DEPTH, "for": "20s"},
    {"scope": "queue", "when": {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "50s"}},
    {"scope": "queue", "match": {"queue": "b"},
     "when": {"metric": "queue.drain_rate", "op": "<", "value": 0.3}},
    {"scope": "task", "match": {"task": "x"}, "when": FAILED},
    {"scope": "task", "when": FAILED, "keep_firing_for": "30s"},
    {"scope": "task", "when": {"metric": "task.seconds_since_success", "op": ">", "value": "90s"}},
    {"scope": "task", "match": {"task": ["x", "y"]},
     "when": {"metric": "task.success_ratio", "op": "<", "value": 0.5, "window": "2m"}},
    {"scope": "instance", "when": QUEUED, "inhibited_by": "rule-0"},
    {"scope": "instance", "match": {"queue": "a"}, "when": {"not": QUEUED}},
    {"scope": "instance", "match": {"task": "y"},
     "when": {"metric": "instance.exit_code", "op": ">", "value": 0}},
    {"scope": "instance", "when": {"deadline": {"reference": "queued_at", "offset": "70s"}},
     "escalate": {"after": "30s", "severity": "critical"}},
    {"scope": "instance", "when": {"any": [
        {"metric": "instance.run_seconds", "op": ">", "value": "30s"},
        {"metric": "pool.cpu_ratio", "op": ">", "value": 0.9}]}},
    {"scope": "task", "match": {"task": "z"}, "when":
     {"metric": "instance.run_seconds", "op": ">", "value": 20, "stat": "max", "window": "1m"}},
]  # fmt: skip


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        for name in ("a", "b"):
            await execute_sql(
                found.call,
                "INSERT INTO queues (name, capacity, status, priority, pool, created_at,"
                " updated_at) SELECT ?, capacity, status, priority, pool, created_at, updated_at"
                " FROM queues WHERE name = 'default'",
                name,
            )
        yield found


def list_changes(outcome: Outcome) -> list[Any]:
    found = [(one.rule.name, one.subject, one.state, one.action) for one in outcome.changes]
    return sorted(found, key=str) + sorted(outcome.due_changes, key=str)


@pytest.mark.parametrize("seed", range(2))
async def test_a_pass_finds_the_same_as_one_that_judges_all(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch, seed: int
):
    await compare_passes(home, monkeypatch, random.Random(seed), 25)


async def compare_passes(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch, dice: random.Random, steps: int
) -> None:
    """Compare each pass of a random history with the same pass of an engine that judges all."""
    for number, conditions in enumerate(RULES):
        await home.add_rule(conditions, f"rule-{number}")
    full, run = RuleEngine(home.call.db, home.probes), home.engine.run

    async def run_both() -> Outcome:
        monkeypatch.setattr(unchanged, "IN_TURN", 10_000)
        wanted = await home.call.db.read(full.decide, home.now)
        full._last_pass, full._late_since = home.now, None
        full.next_at = wanted.next_at
        monkeypatch.setattr(unchanged, "IN_TURN", 0)
        found = await run()
        assert list_changes(found) == list_changes(wanted)
        return found

    monkeypatch.setattr(home.engine, "run", run_both)
    waiting, active = list[str](), list[str]()
    await home.advance(1)
    for _ in range(steps):
        match dice.randrange(5):
            case 0 | 1:
                name, queue = dice.choice("xyz"), dice.choice("ab")
                waiting.append(await home.submit(name, queue=queue))
            case 2 if waiting:
                active.append(await home.start_run(waiting.pop(dice.randrange(len(waiting)))))
            case 3 if active:
                run_id = active.pop(dice.randrange(len(active)))
                await home.end_run(run_id, dice.choice((0, 1)))
            case _:
                await home.advance(dice.choice((3, 20, 61)))
        await home.advance(dice.choice((0.5, 7)))
