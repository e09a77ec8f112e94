"""How the runtime ends while others are in the middle of a question."""

from __future__ import annotations

import json
import os
import select
import signal

from app import client


def ask(house, verb, **args):
    """Put a question to the runtime, and do not wait for the answer. The line, still open."""
    line = client.connect(str(house.home))
    assert line is not None
    line._sock.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
    return line


def test_term_ends_it_at_once_though_callers_hung_up_or_still_wait_for_their_answer(house):
    jobs = house.work / "jobs.jsonl"
    jobs.write_text('{"argv": ["true"], "hold": true}\n' * 3000)
    house.ok("submit", "--from", jobs)
    for _ in range(20):
        ask(house, "ls", limit=0).close()
    waiting = [ask(house, "board") for _ in range(4)]
    pid = house.json("status")["runtime"]["pid"]
    waiting += [ask(house, "ls", limit=0), ask(house, "wait", ids=[1])]

    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)

    assert select.select([ended], [], [], 5.0)[0]
    os.close(ended)
    for line in waiting:
        line.close()
