"""Tests of the input of runs, which their companions hold."""

from __future__ import annotations

import json
import os
import signal
import socket
import uuid
from pathlib import Path
from typing import Any

import pytest

from app.health.left_processes import find_left_processes
from app.log_parts import LogPart, list_pieces, read_index
from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until

READER = 'while read -r line; do echo "got $line"; done; echo end'


def start(home: KeeperHome, *argv: str) -> tuple[str, str]:
    """Start a run with an input; return its id and the path of its socket."""
    path = os.fspath(home.path / "run" / "companions" / "one.sock")
    return home.spawn(*argv, companion=path, input=True), path


def start_split(home: KeeperHome, script: str, **more: Any) -> tuple[str, str]:
    """Start a shell script whose error output is marked."""
    run = str(uuid.uuid4())
    log, path = home.get_log_path(run), os.fspath(home.path / "run" / "companions" / run[:8])
    index = os.fspath(log.with_suffix(".err"))
    home.spawn("sh", "-c", script, run=run, companion=path, errors=index, **more)
    return run, path


def read_errors(home: KeeperHome, run: str) -> bytes:
    log = home.get_log_path(run)
    text, index = log.read_bytes(), read_index(str(log))
    return b"".join(text[p.start : p.stop] for p in list_pieces(LogPart.ERROR, index, 0, len(text)))


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
    dead = Path(path).with_name("dead.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(dead))
    keeper_home.restart()
    assert not dead.exists()
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
    for text in (
        b"nonsense\n",
        b'{"do": "write"}\n',
        b"[]\n",
        b'{"do":"write","text":1}\n',
        b"[" * 200_000 + b"\n",
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(text)
            assert client.recv(10) == b""

    ask(path, do="write", text="fine\n")
    wait_for_log(shared_home, run, "got fine\n")


def test_a_run_that_cannot_start_leaves_no_companion(shared_home: KeeperHome):
    path = os.fspath(shared_home.path / "run" / "companions" / "none.sock")
    assert shared_home.run_to_end("/nowhere/at-all", companion=path, input=True)["code"] == 127

    wait_until(lambda: not os.path.exists(path), "the end of the companion")


def test_a_signal_to_the_group_of_the_keeper_leaves_the_input_open(shared_home: KeeperHome):
    run, path = start(shared_home, "sh", "-c", READER)

    os.killpg(os.getpgid(shared_home.hello["pid"]), signal.SIGTERM)
    ask(path, do="write", text="still\n")

    wait_for_log(shared_home, run, "got still\n")
    assert is_alive(shared_home.hello["pid"])


def test_error_output_is_marked_in_one_log_over_the_death_of_all(keeper_home: KeeperHome):
    run, path = start_split(
        keeper_home, "echo out; echo err >&2; read -r go; echo end; echo failed >&2", input=True
    )
    wait_until(lambda: read_errors(keeper_home, run) == b"err\n", "the error output")
    assert keeper_home.get_log_path(run).read_text() == "out\nerr\n"

    keeper_home.kill_both()
    ask(path, do="write", text="go\n")
    wait_until(lambda: not os.path.exists(path), "the end of the companion")

    assert read_errors(keeper_home, run) == b"err\nfailed\n"
    assert sorted(keeper_home.get_log_path(run).read_text().split()) == [
        "end", "err", "failed", "out"
    ]  # fmt: skip


def test_a_drain_copies_the_output_although_a_daemon_keeps_the_pipe(shared_home: KeeperHome):
    loop = "i=0; while [ $i -lt 500 ]; do echo line $i >&2; i=$((i+1)); done"
    run, path = start_split(shared_home, f"setsid -f sleep 60; {loop}", wait=False)
    shared_home.wait_for_event("ended", run)

    assert ask(path, do="drain") == {"drained": True}

    assert read_errors(shared_home, run).splitlines() == [b"line %d" % n for n in range(500)]


def test_parts_that_follow_one_another_are_one_entry_of_the_index(shared_home: KeeperHome):
    run, path = start_split(shared_home, "echo a >&2; echo b >&2; echo out; sleep 60")
    wait_until(lambda: read_errors(shared_home, run) == b"a\nb\n", "both lines")

    index = read_index(str(shared_home.get_log_path(run)))

    assert len(index.starts) <= 2 and index.limit is None
    assert os.path.exists(path)


def test_a_companion_is_no_process_that_a_job_left(shared_home: KeeperHome):
    run, _ = start_split(shared_home, "sleep 60")
    pids = [shared_home.hello[who] for who in ("pid", "guard")]

    left = find_left_processes(os.fspath(shared_home.path), pids)

    assert [process for process in left if process.name != "sleep"] == []
    shared_home.send("stop", run=run, reason="cancel", grace=0)
    assert shared_home.wait_for_event("ended", run)["left"] == 0
