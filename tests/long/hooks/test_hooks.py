"""Short form of the trial of hooks."""

from __future__ import annotations

import random
from pathlib import Path

from tests.long.hooks.trial import run_trial


def test_no_event_is_lost_when_the_runtime_is_killed(tmp_path: Path):
    report = run_trial(tmp_path, kills=2, tasks=60, dice=random.Random(7))

    assert report.find_faults() == []
    assert report.repeated < report.tasks
