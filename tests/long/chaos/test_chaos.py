"""Short chaos test; the long one is `python -m tests.long.chaos`."""

from __future__ import annotations

from tests.long.chaos.trial import format_report, run_trial


def test_random_kills_lose_nothing_and_run_nothing_twice():
    outcome = run_trial(tasks=200, kills=14, seed=5)

    assert not outcome.faults, format_report(outcome)
    kills = outcome.killer.kills
    assert kills.total() == 14 and kills["keeper"] + kills["guard"] >= 3
    assert outcome.tasks >= 200
    assert all(held["descriptors"] < 40 for held in outcome.held.values()), format_report(outcome)
