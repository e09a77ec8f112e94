"""Tests of `status --watch`, which continues across runtimes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.acceptance.terminal import Terminal
from tests.runtime_process import RuntimeProcess

pytestmark = pytest.mark.process

ARGV = [sys.executable, "-P", "-m", "taskdeck"]


@pytest.fixture
def watch_terminal(shared_runtime: RuntimeProcess, tmp_path):
    """Yield a terminal with a watched status."""
    env = {"PATH": os.environ["PATH"], "TASKDECK_HOME": str(shared_runtime.home),
    "LC_ALL": "C.UTF-8", "TERM": "xterm-256color",
           "PYTHONPATH": os.getcwd()}  # fmt: skip
    with Terminal([*ARGV, "status", "--watch"], env, tmp_path, 80, 24) as terminal:
        terminal.wait("running 0  queued 0")
        yield terminal


def test_a_change_writes_only_the_difference(
    shared_runtime: RuntimeProcess, watch_terminal: Terminal
):
    before = len(watch_terminal.raw)

    shared_runtime.submit("true", hold=True)

    watch_terminal.wait("held 1")
    assert watch_terminal.raw.count(b"\x1b[2J") == 1 and b"POOL" not in watch_terminal.raw[before:]


def test_it_survives_the_runtime_and_shows_the_next(
    shared_runtime: RuntimeProcess, watch_terminal: Terminal
):
    first = shared_runtime.pid
    shared_runtime.kill()
    watch_terminal.wait("none; the first submit starts one")

    second = shared_runtime.start()

    watch_terminal.wait(f"pid {second}")
    assert first != second
    shared_runtime.call("stop")
    watch_terminal.wait("Start it: taskdeck serve --detach")


def test_a_resize_redraws_at_once(watch_terminal: Terminal):
    watch_terminal.resize(30, 8)

    watch_terminal.wait("more lines")
    assert all(
        len(line) <= 30 for line in watch_terminal.lines
    ) and "…" in watch_terminal.find_line("Taskdeck on")


def test_an_interrupt_leaves_the_last_page_and_a_clean_terminal(watch_terminal: Terminal):
    os.write(watch_terminal.keyboard, b"\x03")

    assert watch_terminal.end() == -signal.SIGINT
    assert "running 0  queued 0" in watch_terminal.text and "Traceback" not in watch_terminal.text


def test_a_pipe_gets_an_answer_only_if_it_differs(shared_runtime: RuntimeProcess):
    argv = [*ARGV, "--home", str(shared_runtime.home), "status", "--watch", "--jsonl"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        before = json.loads(command.stdout.readline())["counts"].get("held", 0)
        shared_runtime.submit("true", hold=True)
        assert json.loads(command.stdout.readline())["counts"] == {"held": before + 1}
        command.send_signal(signal.SIGINT)
        assert command.stderr.read() == b"" and command.wait() == -signal.SIGINT


def test_moving_values_alone_are_not_printed_again():
    from app.cli.status.watch import _drop_volatile

    one = {"runtime": {"tick_lag": 0.1, "pid": 7}, "pools": [{"measured_cpu": 1.0, "name": "x"}]}
    two = {"runtime": {"tick_lag": 0.2, "pid": 7}, "pools": [{"measured_cpu": 2.0, "name": "x"}]}

    assert _drop_volatile(one) == _drop_volatile(two) != _drop_volatile({**one, "pools": []})


def test_watching_requires_jsonl_instead_of_json(cli):
    assert "--jsonl" in cli("status", "--watch", "--json").err
