"""Large submissions that are killed at each step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.long.chaos import killed_submissions as program


def test_a_submission_killed_at_any_step_is_stored_whole_or_not_at_all(tmp_path: Path):
    command = [sys.executable, "-m", program.__name__, tmp_path]
    trials = [json.loads(line) for line in subprocess.check_output(command).splitlines()]

    whole = [program.LINES, program.LINES // 2, 1]
    assert {tuple(trial["duty"]) for trial in trials} == {(0, 0, 0), tuple(whole)}
    assert len({tuple(trial["killed"]) for trial in trials}) > 4, "kills between the transactions"
    for trial in trials:
        assert trial["counted"][0] == trial["counted"][1]
        assert trial["files"] == [] and trial["resent"] == whole
        assert trial["answered"] == [1, whole[0], whole[0]]
