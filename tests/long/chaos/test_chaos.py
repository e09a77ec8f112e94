"""The short form of `python -m tests.long.chaos`: everything killed some times, nothing lost."""

from __future__ import annotations

from tests.long.chaos.trial import report, trial


def test_killing_runtime_keeper_and_guard_at_random_loses_nothing_and_runs_nothing_twice():
    outcome = trial(tasks=200, kills=14, seed=5)

    assert not outcome.faults, report(outcome)
    kills = outcome.killer.kills
    assert kills.total() == 14 and kills["keeper"] + kills["guard"] >= 3
    assert outcome.tasks >= 200
    assert all(held["descriptors"] < 40 for held in outcome.held.values()), report(outcome)
