"""Short trial of kills while schedules fire and alerts are sent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from tests.long.chaos import killed_messages as program


def test_kills_lose_and_double_no_fire_time_and_no_message():
    with tempfile.TemporaryDirectory(prefix="td-") as folder:
        command = [sys.executable, "-m", program.__name__, folder, "--kills", "4", "--seed", "7"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        found = json.loads(done.stdout.splitlines()[-1])

    assert found["faults"] == []
    assert found["fire times"]["submitted"] >= 8 and found["messages"] >= 4
