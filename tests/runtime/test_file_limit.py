"""Tests of a runtime at its limit of open files, with more clients than it can hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app import client, paths
from app.client import RuntimeConnection
from app.errors import Remote
from app.health import procfs
from app.runtime import file_limit
from tests.runtime_process import TIMEOUT, RuntimeProcess, run_command, wait_until

LIMITED_SERVE = 'ulimit -S -n "$1" && ulimit -H -n "$2" && shift 2 && exec "$@"'


def start_limited(runtime: RuntimeProcess, soft: int, hard: int) -> int:
    """Start the runtime below these limits of open files; return its pid."""
    serve = [sys.executable, "-m", "taskdeck", "--home", runtime.home, "serve", "--detach"]
    subprocess.run(
        ["/bin/sh", "-c", LIMITED_SERVE, "sh", str(soft), str(hard), *serve],
        check=True,
        capture_output=True,
    )
    return runtime.pid


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    """Yield a stack that closes the connections of a test."""
    with ExitStack() as stack:
        yield stack


def fill(runtime: RuntimeProcess, stack: ExitStack) -> Remote:
    """Connect until the runtime turns a client away; return its problem."""
    while True:
        line = client.open_socket(os.fspath(runtime.home))
        assert line is not None
        line.settimeout(TIMEOUT)
        stack.callback(line.close)
        try:
            connection = RuntimeConnection(line)
        except Remote as problem:
            return problem
        stack.callback(connection.close)


def is_accepted(runtime: RuntimeProcess) -> bool:
    """Return True if the runtime accepts a client again."""
    try:
        return runtime.open_client(autostart=False).is_runtime_up()
    except Remote:
        return False


@pytest.mark.parametrize(("soft", "hard", "most"), [(100, 200, 136), (40, 40, 10)])
def test_a_full_runtime_tells_each_further_client_and_recovers(
    lazy_runtime: RuntimeProcess, connections: ExitStack, soft: int, hard: int, most: int
):
    start_limited(lazy_runtime, soft, hard)

    problems = [fill(lazy_runtime, connections) for _ in range(20)]

    assert {(one.exit_code, one.code, str(one)) for one in problems} == {
        (
            4,
            "conflict",
            f"the runtime has {most} connections, and its limit of open files allows no more."
            " Nothing was done. Close decks, or end commands that wait."
            " Find them: pgrep -af 'taskdeck'",
        )
    }
    said = run_command(lazy_runtime.home, "status")
    assert said.returncode == 4 and said.stderr.endswith(f"{problems[0].hint}\n")
    connections.close()
    wait_until(lambda: is_accepted(lazy_runtime), "a client is accepted")
    task = lazy_runtime.submit("true")
    assert lazy_runtime.wait_for_end(task)
    log = Path(paths.get_runtime_log_path(lazy_runtime.home)).read_text()
    assert "Traceback" not in log and log.count("clients are turned away") == 1


def test_a_runtime_raises_its_limit_and_jobs_keep_theirs(lazy_runtime: RuntimeProcess):
    pid = start_limited(lazy_runtime, 100, 200)

    task = lazy_runtime.submit("sh", "-c", "ulimit -S -n; ulimit -H -n")
    lazy_runtime.wait_for_end(task)

    assert procfs.read_limits(pid)["Max open files"] == 200
    assert run_command(lazy_runtime.home, "logs", task).stdout.split() == ["100", "200"]


def test_a_keeper_that_is_started_again_gives_jobs_the_same_limit(lazy_runtime: RuntimeProcess):
    start_limited(lazy_runtime, 100, 200)
    keeper = lazy_runtime.call("status")["keeper"]
    for pid in (keeper["guard_pid"], keeper["pid"]):
        os.kill(pid, signal.SIGKILL)
    task = lazy_runtime.submit("sh", "-c", "ulimit -S -n")
    lazy_runtime.wait_for_end(task)

    assert run_command(lazy_runtime.home, "logs", task).stdout.split() == ["100"]


def test_small_limits_leave_descriptors_for_other_work(monkeypatch: pytest.MonkeyPatch):
    for soft, most in ((1024, 960), (80, 20), (40, 10)):
        monkeypatch.setattr(file_limit.resource, "getrlimit", lambda which, s=soft: (s, s))
        assert file_limit.get_max_connections() == most
