"""Ends of a task with many children that are killed between their transactions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.long.chaos import killed_ends as program


def test_children_of_a_killed_end_are_updated_by_the_next_runtime(tmp_path: Path):
    command = [sys.executable, "-m", program.__name__, tmp_path]
    trials = [json.loads(line) for line in subprocess.check_output(command).splitlines()]

    killed = [trial["killed"] for trial in trials]
    assert killed[0] == program.BEFORE and killed[-1] == program.AFTER
    counts = {list(statuses.values()).count(program.CANCELLED) for statuses in killed}
    assert len(counts) > 4, "kills between the transactions"
    for statuses in killed:
        for name, status in statuses.items():
            assert status in (program.BEFORE[name], program.AFTER[name])
    assert [trial["restarted"] for trial in trials[1:]] == [program.AFTER] * (len(trials) - 1)
