"""Short trial of kills while schedules fire; the long one is `python -m tests.long.schedules`."""

from __future__ import annotations

from tests.long.schedules.killed_runtime import format_report, run_trial


def test_kills_lose_and_double_no_fire_time():
    result = run_trial(kills=4, seed=3)

    assert not result.faults, format_report(result)
    assert result.outcomes["submitted"] >= 8
