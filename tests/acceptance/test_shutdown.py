"""Acceptance tests of stopping a runtime that has open requests."""

from __future__ import annotations

import json
import os
import select
import signal

from app import client


def send_request(house, verb, **args):
    """Send a request without waiting for its answer; return the open connection."""
    line = client.connect(str(house.home))
    assert line is not None
    line._sock.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
    return line


def test_sigterm_ends_at_once_despite_waiting_or_gone_callers(acceptance_home):
    jobs = acceptance_home.work / "jobs.jsonl"
    jobs.write_text('{"argv": ["true"], "hold": true}\n' * 1000)
    acceptance_home.run_ok("submit", "--from", jobs)
    pid = acceptance_home.run_json("status")["runtime"]["pid"]
    lines = [
        send_request(acceptance_home, "wait", ids=[1]),
        *(send_request(acceptance_home, "ls", limit=0) for _ in range(12)),
    ]
    for line in lines[1::2]:
        line.close()

    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)

    assert select.select([ended], [], [], 5.0)[0]
    os.close(ended)
    for line in lines:
        line.close()


def test_a_drain_on_a_terminal_names_the_tasks_it_waits_for(acceptance_home):
    gates = {}
    for name in ("one", "two"):
        os.mkfifo(acceptance_home.work / name)
        acceptance_home.submit("-n", name, "--cpu", "0.1", "--", "cat", name)
        # The call waits until the task reads.
        gates[name] = os.open(acceptance_home.work / name, os.O_WRONLY)
    with acceptance_home.open_terminal("stop", "--drain") as terminal:
        terminal.wait("the drain waits for 2 running tasks: #2 two, #1 one.")
        os.close(gates["two"])
        terminal.wait("the drain waits for 1 running task: #1 one.")
        os.close(gates["one"])
        terminal.wait("the runtime was stopped.")
        assert terminal.end() == 0
