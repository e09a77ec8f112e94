"""`status --watch`: it goes on, whatever becomes of the runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.acceptance.terminal import Terminal
from tests.runtime_process import Living

ARGV = [sys.executable, "-P", "-m", "app"]


@pytest.fixture
def watching(up: Living, tmp_path):
    """The status, watched on a terminal."""
    env = {"PATH": os.environ["PATH"], "TASKDECK_HOME": str(up.home), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color",
           "PYTHONPATH": os.getcwd()}  # fmt: skip
    with Terminal([*ARGV, "status", "--watch"], env, tmp_path, 80, 24) as terminal:
        terminal.wait("running 0  queued 0")
        yield terminal


def test_a_change_is_shown_and_only_what_differs_is_written(up: Living, watching: Terminal):
    before = len(watching.raw)

    up.submit("true", hold=True)

    watching.wait("held 1")
    assert watching.raw.count(b"\x1b[2J") == 1 and b"POOL" not in watching.raw[before:]


def test_it_outlives_the_runtime_and_shows_the_next(up: Living, watching: Terminal):
    first = up.pid
    up.kill()
    watching.wait("none; the first submit starts one")

    second = up.start()

    watching.wait(f"pid {second}")
    assert first != second
    up.call("stop")
    watching.wait("Start it: taskdeck serve --detach")


def test_another_size_of_the_terminal_is_drawn_at_once(watching: Terminal):
    watching.resize(30, 8)

    watching.wait("more lines")
    assert all(len(line) <= 30 for line in watching.lines) and "…" in watching.line_with("Taskdeck on")


def test_an_interrupt_leaves_the_last_page_and_a_clean_terminal(watching: Terminal):
    os.write(watching.keyboard, b"\x03")

    assert watching.end() == -signal.SIGINT
    assert "running 0  queued 0" in watching.text and "Traceback" not in watching.text


def test_in_a_pipe_an_answer_is_printed_when_it_says_something_new(up: Living):
    argv = [*ARGV, "--home", str(up.home), "status", "--watch", "--jsonl"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        before = json.loads(command.stdout.readline())["counts"].get("held", 0)
        up.submit("true", hold=True)
        assert json.loads(command.stdout.readline())["counts"] == {"held": before + 1}
        command.send_signal(signal.SIGINT)
        assert command.stderr.read() == b"" and command.wait() == -signal.SIGINT


def test_what_only_moves_is_not_told_again():
    from app.cli.commands.status_watch import _lasting

    one = {"runtime": {"tick_lag": 0.1, "pid": 7}, "pools": [{"measured_cpu": 1.0, "name": "x"}]}
    two = {"runtime": {"tick_lag": 0.2, "pid": 7}, "pools": [{"measured_cpu": 2.0, "name": "x"}]}

    assert _lasting(one) == _lasting(two) != _lasting({**one, "pools": []})


def test_watching_asks_for_a_document_a_line(cli):
    assert "--jsonl" in cli("status", "--watch", "--json").err
