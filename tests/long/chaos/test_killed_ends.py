"""Ends of a task with many children that are killed between their transactions."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

from tests.long.chaos import killed_ends as program


def test_children_of_a_killed_end_are_updated_by_the_next_runtime(tmp_path: Path):
    command = [sys.executable, "-m", program.__name__, tmp_path]
    trials = [json.loads(line) for line in subprocess.check_output(command).splitlines()]

    killed = [trial["killed"] for trial in trials]
    assert killed[0] == killed[-1] == program.BEFORE and program.AFTER in killed
    counts = {list(statuses.values()).count(program.CANCELLED) for statuses in killed}
    assert len(counts) > 4, "kills between the transactions"
    for statuses in killed:
        for name, status in statuses.items():
            assert status in (program.BEFORE[name], program.AFTER[name])
    restarted = [trial["restarted"] for trial in trials]
    ends = [list(group) for _, group in groupby(restarted)]
    assert [states[0] for states in ends] == [program.BEFORE, program.AFTER, program.BEFORE]
