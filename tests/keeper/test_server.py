"""Tests of the keeper's clients, refusals, forgetting and idle exit."""

import os
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from app.keeper import wire
from app.version import VERSION
from tests.runtime_process import is_alive, wait_until


def test_the_hello_names_both_processes_and_the_boot(shared_home):
    hello = shared_home.hello

    assert (hello["is"], hello["protocol"], hello["version"], hello["runs"]) == (
        "hello",
        wire.PROTOCOL,
        VERSION,
        [],
    )
    assert hello["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    parent = int(Path(f"/proc/{hello['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent == hello["guard"]


def test_a_hello_closes_older_clients_and_drops_their_requests(keeper_home, tmp_path):
    older, keeper = keeper_home.sock, keeper_home.hello["pid"]
    os.kill(keeper, signal.SIGSTOP)
    keeper_home.sock = socket.socket(socket.AF_UNIX)
    late = str(uuid.uuid4())
    # The new hello is waiting in the backlog when the older client's request arrives.
    keeper_home.sock.connect(str(keeper_home.socket))
    keeper_home.send("hello", protocol=keeper_home.hello["protocol"], version="0.1.0")
    os.kill(keeper, signal.SIGCONT)
    assert keeper_home.read_event()["is"] == "hello"

    with pytest.raises(OSError):
        for _ in range(100):
            older.sendall(b'{"do":"refuse","run":"%s"}\n' % late.encode())
    older.close()
    keeper_home.greet()
    assert keeper_home.find_known(late) is None


def test_nobody_is_served_before_hello(shared_home):
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(shared_home.socket))
    other.settimeout(20)

    other.sendall(b'{"do":"refuse","run":"x"}\n')

    assert b"say hello first" in other.recv(4096)
    other.close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"do":"fly"}',
        b'{"do":"spawn"}',
        b'{"do":"spawn","run":"x","argv":[]}',
    ]
    + [
        b'{"do":"stop","run":"x","reason":"r","grace":NaN}',
        b'{"do":"forget","runs":7}',
        b'{"do":["x"]}',
        b"[" * 9999,
    ]
    + [
        b'{"do":"spawn","run":"x","argv":"true","cwd":1,"env":{},"umask":0,"log":"/x","timeout":null,"grace":1}'
    ],
)
def test_an_invalid_request_is_answered_and_changes_nothing(shared_home, text):
    shared_home.sock.sendall(text + b"\n")

    assert shared_home.read_event()["code"] == "bad-request"
    assert shared_home.run_to_end("true")["code"] == 0
    assert shared_home.greet()["runs"][0]["code"] == 0 and len(shared_home.hello["runs"]) == 1


def test_a_refused_run_never_starts_even_after_kills(keeper_home):
    run = str(uuid.uuid4())

    keeper_home.send("refuse", run=run)
    assert keeper_home.wait_for_event("refused", run) == {"is": "refused", "run": run}
    for who in ("pid", "guard"):
        keeper_home.kill_one(who)
        keeper_home.spawn("true", run=run, wait=False)

        assert keeper_home.read_event() == {"is": "refused", "run": run}


def test_a_late_refusal_is_answered_with_the_runs_state(shared_home):
    running = shared_home.spawn("sleep", "60")
    over = shared_home.run_to_end("sh", "-c", "exit 2")["run"]

    shared_home.send("refuse", run=running)
    shared_home.send("refuse", run=over)

    assert shared_home.wait_for_event("started", running)["pid"]
    assert shared_home.wait_for_event("ended", over)["code"] == 2


def test_an_end_is_kept_until_it_is_forgotten(keeper_home):
    first, second = keeper_home.run_to_end("true")["run"], keeper_home.run_to_end("false")["run"]

    assert {event["run"] for event in keeper_home.greet()["runs"]} == {first, second}
    keeper_home.send("forget", runs=[first, "unknown"])
    keeper_home.drain()
    assert {event["run"] for event in keeper_home.greet()["runs"]} == {second}
    keeper_home.kill_one("pid")
    assert {event["run"] for event in keeper_home.hello["runs"]} == {second}
    keeper_home.send("forget", runs=[second])
    keeper_home.drain()
    keeper_home.kill_one("guard")
    assert keeper_home.hello["runs"] == []


def test_an_active_run_cannot_be_forgotten(shared_home):
    run = shared_home.spawn("sleep", "60")

    shared_home.send("forget", runs=[run])

    assert shared_home.greet()["runs"][0]["run"] == run


def test_a_run_refused_for_lack_of_a_guard_leaves_no_log(keeper_home):
    keeper, guard = keeper_home.hello["pid"], keeper_home.hello["guard"]
    os.kill(keeper, signal.SIGSTOP)
    run = keeper_home.spawn("true", wait=False)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: not is_alive(guard), "the guard is gone")
    os.kill(keeper, signal.SIGCONT)
    keeper_home.greet()

    assert (
        not keeper_home.find_known(run)
        and keeper_home.get_log_path(run).parent.is_dir()
        and not keeper_home.get_log_path(run).exists()
    )
    assert keeper_home.run_to_end("true", run=run)["code"] == 0


def test_bye_ends_keeper_and_guard_when_nothing_runs(keeper_home):
    keeper_home.run_to_end("true")

    keeper_home.send("bye")

    wait_until(
        lambda: not is_alive(keeper_home.hello["pid"]) and not is_alive(keeper_home.hello["guard"]),
        "both gone",
    )
    assert keeper_home.start_keeper() == 0 and keeper_home.greet()["runs"][0]["code"] == 0


def test_bye_keeps_both_while_something_runs(shared_home):
    run = shared_home.spawn("sleep", "60")
    pids = shared_home.hello["pid"], shared_home.hello["guard"]

    shared_home.send("bye")

    assert shared_home.sock.recv(1) == b"" and all(map(is_alive, pids))
    assert shared_home.greet()["runs"][0]["run"] == run


def test_an_idle_keeper_has_no_wake_ups(keeper_home):
    def switches() -> list[str]:
        texts = [
            Path(f"/proc/{keeper_home.hello[one]}/status").read_text().splitlines()
            for one in ("pid", "guard")
        ]
        return [line for text in texts for line in text if "ctxt_switches" in line]

    keeper_home.send("forget", runs=[keeper_home.run_to_end("true")["run"]])
    keeper_home.greet()
    subprocess.run(["sleep", "0.3"], check=True)
    before = switches()
    subprocess.run(["sleep", "0.6"], check=True)

    assert switches() == before


def test_a_very_long_request_is_read_quickly(keeper_home):
    began = time.monotonic()

    keeper_home.send("refuse", run="x", ballast="x" * 24_000_000)
    keeper_home.wait_for_event("refused", "x")

    assert time.monotonic() - began < 5


def test_an_endless_line_closes_only_its_client(keeper_home):
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(keeper_home.socket))

    with pytest.raises(OSError):
        for _ in range(40):
            other.sendall(b"x" * (1 << 20))
    other.close()

    assert keeper_home.run_to_end("true")["code"] == 0


def test_silent_clients_do_not_block_others(shared_home):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for one in silent:
        one.connect(str(shared_home.socket))
        shared_home.drain()

    assert shared_home.run_to_end("true")["code"] == 0
    assert len(os.listdir(f"/proc/{shared_home.hello['pid']}/fd")) < 60
    for one in silent:
        one.close()


def test_a_client_that_never_reads_delays_and_loses_nothing(keeper_home, tmp_path):
    deaf, keeper_home.sock = keeper_home.sock, socket.socket(socket.AF_UNIX)
    ask = b'{"do":"refuse","run":"%s"}\n' % (b"y" * 100)
    deaf.settimeout(1)
    for _ in range(40):
        deaf.sendall(ask * 500)
    keeper_home.sock, spare = deaf, keeper_home.sock
    run = keeper_home.spawn("sh", "-c", "exit 7", wait=False)
    keeper_home.sock = spare
    wait_until(keeper_home.get_log_path(run).exists, "started although nobody reads")

    keeper_home.greet()
    wait_until(
        lambda: keeper_home.try_to_greet() and keeper_home.find_known(run)["is"] == "ended", "ended"
    )

    assert keeper_home.find_known(run)["code"] == 7
    deaf.close()
