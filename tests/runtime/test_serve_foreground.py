"""What a runtime does to the process it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.runtime_process import MARK, Living, until


def test_a_runtime_in_the_foreground_that_a_job_started_is_no_part_of_that_job_and_ends_on_term_with_exit_0(living: Living):
    env = os.environ | {"TASKDECK_RUNID": "0123", "TASKDECK_HOME": os.fspath(living.home), MARK: os.fspath(living.home)}
    argv = [sys.executable, "-P", "-m", "app", "serve"]
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        until(living.client.runtime_up, "it answers")
        begun_with = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert living.pid == server.pid
        server.terminate()
        assert server.wait(5) == 0
        assert server.stdout is not None and b"Traceback" not in server.stdout.read()

    assert b"TASKDECK_RUNID" not in begun_with
