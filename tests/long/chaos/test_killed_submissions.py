"""Large submissions that are killed at each step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.long.chaos import killed_submissions as program


@pytest.mark.parametrize("more", [[], ["group"]])
def test_a_submission_killed_at_any_step_is_stored_whole_or_not_at_all(
    tmp_path: Path, more: list[str]
):
    command = [sys.executable, "-m", program.__name__, tmp_path, *more]
    trials = [json.loads(line) for line in subprocess.check_output(command).splitlines()]

    whole = [program.LINES, program.LINES // 2, 1]
    assert {tuple(trial["duty"]) for trial in trials} == {(0, 0, 0), tuple(whole)}
    assert len({tuple(trial["killed"]) for trial in trials}) > 4, "kills between the transactions"
    for trial in trials:
        assert trial["counted"][0] == trial["counted"][1]
        assert trial["files"] == [] and trial["resent"] == whole
        assert trial["apart"] == [0, 0], "a task without its group, or a group without tasks"
        assert trial["group"] == ([0, 0, 1, *whole[:1] * 2] if more else [0, 0, 0, 0, 1])
        assert trial["answered"] == [1, whole[0], whole[0]]
