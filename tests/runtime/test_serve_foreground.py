"""A runtime in the foreground: its own process session and exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.runtime_process import HOME_VARIABLE, RuntimeProcess, wait_until


def test_a_foreground_runtime_leaves_its_job_and_exits_0_on_term(lazy_runtime: RuntimeProcess):
    env = os.environ | {
        "TASKDECK_RUNID": "0123",
        "TASKDECK_HOME": os.fspath(lazy_runtime.home),
        HOME_VARIABLE: os.fspath(lazy_runtime.home),
    }
    argv = [sys.executable, "-P", "-m", "taskdeck", "serve"]
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        wait_until(lazy_runtime.client.is_runtime_up, "it answers")
        begun_with = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert lazy_runtime.pid == server.pid
        server.terminate()
        assert server.wait(5) == 0
        assert server.stdout is not None and b"Traceback" not in server.stdout.read()

    assert b"TASKDECK_RUNID" not in begun_with


PRINT_SWITCH_INTERVAL = """
import asyncio, sys
from pathlib import Path
from app.runtime import serve
async def main(*ignored): print(sys.getswitchinterval() <= serve.SWITCH_SECONDS)
serve._main = main
serve.serve(Path(sys.argv[1]))
"""


def test_a_busy_thread_of_a_runtime_lets_others_run_soon(tmp_path: Path):
    argv = [sys.executable, "-c", PRINT_SWITCH_INTERVAL, tmp_path / "home"]
    env = os.environ | {"HOME": os.fspath(tmp_path)}

    assert subprocess.check_output(argv, env=env, text=True) == "True\n"
