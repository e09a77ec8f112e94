"""Tests at the limit of processes (ulimit -u), as an ordinary user: messages name the limit."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import find_process_limit

USER = 65533
"""Uid of the tests' processes while the test is root, whom the kernel does not limit."""
NAMED = "no more processes can be started (ulimit -u is 1, and counts all of your processes"
LIMITED = f"""
import os, resource, sys, threading
from pathlib import Path
import app.cli.main, app.runtime.control_server, app.runtime.duties.periodic, app.runtime.serve
from app import runtime_launcher
from app.runtime.dispatch import keeper_client
from app.runtime import serve
home = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([]), os.setgid({USER}), os.setuid({USER})
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
"""
ATTEMPTS = {
    "a runtime": "runtime_launcher.ensure_runtime(str(home))",
    "a thread": "threading.Thread(target=print).start()",
}


@pytest.fixture
def limited_home() -> Iterator[Path]:
    """Yield a home that an ordinary user can use; no process of it is ever started."""
    home = Path(tempfile.mkdtemp(prefix="taskdeck-test-"))
    if os.getuid() == 0:
        os.chown(home, USER, USER)
    yield home
    shutil.rmtree(home)


def run_limited(home: Path, statement: str) -> str:
    """Run a statement in a process that may start no other; return its output."""
    words = [sys.executable, "-c", LIMITED + statement, home]
    env = os.environ | {"HOME": os.fspath(home), "XDG_CONFIG_HOME": os.fspath(home)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_command_names_the_limit(limited_home: Path, what: str):
    guarded = f"sys.exit(app.cli.main._run_guarded(lambda: {ATTEMPTS[what]}))"

    said = run_limited(limited_home, guarded)

    assert NAMED in said and "internal error" not in said


@pytest.mark.parametrize("ready_fd", [1, None], ids=["background", "foreground"])
def test_a_runtime_names_the_limit(limited_home: Path, ready_fd: int | None):
    said = run_limited(limited_home, f"serve.serve(home, ready_fd={ready_fd})")

    assert NAMED in (json.loads(said)["error"]["message"] if ready_fd else said)


def test_a_runtime_that_cannot_start_its_keeper_names_the_limit(limited_home: Path):
    statement = "with serve.translate_errors(home): keeper_client.start_keeper(home)"

    assert f"the keeper cannot be started: {NAMED}" in run_limited(limited_home, statement)


def test_other_errors_name_no_limit():
    assert find_process_limit(OSError("x")) == find_process_limit(RuntimeError("x")) == ""
    assert find_process_limit(FileNotFoundError(2, "x")) == ""


def test_without_a_limit_the_cgroup_is_named(monkeypatch: pytest.MonkeyPatch):
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: infinite)

    assert "pids.max of the cgroup" in find_process_limit(BlockingIOError(11, "x"))
