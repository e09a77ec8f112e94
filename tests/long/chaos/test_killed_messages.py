"""Alerts that reach their servers although the runtime is killed at random moments."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from tests.long.chaos import killed_messages as program


def test_each_alert_arrives_with_one_key_whenever_the_runtime_is_killed():
    with tempfile.TemporaryDirectory(prefix="td-") as folder:
        command = [sys.executable, "-m", program.__name__, folder]
        command += ["--tasks", "12", "--kills", "6", "--seed", "7"]
        found = json.loads(subprocess.check_output(command).splitlines()[-1])

    assert found["faults"] == [] and found["messages"] >= 4
