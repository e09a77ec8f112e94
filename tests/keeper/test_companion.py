"""Tests of the input of runs, which their companions hold."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

import pytest

from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until

READER = 'while read -r line; do echo "got $line"; done; echo end'


def start(home: KeeperHome, *argv: str) -> tuple[str, str]:
    """Start a run with an input; return its id and the path of its socket."""
    path = os.fspath(home.path / "run" / "input" / "one.sock")
    return home.spawn(*argv, input=path), path


def ask(path: str, **request: Any) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(client.makefile().readline())


def wait_for_log(home: KeeperHome, run: str, text: str) -> None:
    wait_until(lambda: home.get_log_path(run).read_text() == text, text)


def test_an_input_stays_open_over_the_death_of_keeper_and_guard(keeper_home: KeeperHome):
    run, path = start(keeper_home, "sh", "-c", READER)
    assert ask(path, do="write", text="one\n") == {"taken": 4, "unread": pytest.approx(0, abs=4)}

    keeper_home.kill_one("pid")
    ask(path, do="write", text="two\n")
    keeper_home.kill_both()
    ask(path, do="write", text="three\n")
    wait_for_log(keeper_home, run, "got one\ngot two\ngot three\n")

    assert ask(path, do="close") == {"closed": True}
    wait_for_log(keeper_home, run, "got one\ngot two\ngot three\nend\n")
    assert not os.path.exists(path)


def test_a_full_input_takes_a_line_whole_or_not_at_all(shared_home: KeeperHome):
    run, path = start(shared_home, "sleep", "60")
    while (answer := ask(path, do="write", text="x" * 4095 + "\n"))["taken"]:
        assert answer["taken"] == 4096

    assert answer == {"taken": 0, "unread": 65536}
    assert ask(path, do="write", text="more\n")["taken"] == 0
    shared_home.send("stop", run=run, reason="cancel", grace=0)
    shared_home.wait_for_event("ended", run)
    wait_until(lambda: not os.path.exists(path), "the end of the companion")


def test_the_companion_ends_with_a_program_that_closes_its_input(shared_home: KeeperHome):
    _, path = start(shared_home, "sh", "-c", "exec sleep 60 </dev/null")

    wait_until(lambda: not os.path.exists(path), "the end of the companion")


def test_nonsense_closes_only_its_own_connection(shared_home: KeeperHome):
    run, path = start(shared_home, "sh", "-c", READER)
    for text in (b"nonsense\n", b'{"do": "write"}\n', b"[]\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(text)
            assert client.recv(10) == b""

    ask(path, do="write", text="fine\n")
    wait_for_log(shared_home, run, "got fine\n")


def test_a_run_that_cannot_start_leaves_no_companion(shared_home: KeeperHome):
    path = os.fspath(shared_home.path / "run" / "input" / "none.sock")
    assert shared_home.run_to_end("/nowhere/at-all", input=path)["code"] == 127

    wait_until(lambda: not os.path.exists(path), "the end of the companion")


def test_a_signal_to_the_group_of_the_keeper_leaves_the_input_open(shared_home: KeeperHome):
    run, path = start(shared_home, "sh", "-c", READER)

    os.killpg(os.getpgid(shared_home.hello["pid"]), signal.SIGTERM)
    ask(path, do="write", text="still\n")

    wait_for_log(shared_home, run, "got still\n")
    assert is_alive(shared_home.hello["pid"])
