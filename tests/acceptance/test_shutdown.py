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
    jobs.write_text('{"argv": ["true"], "hold": true}\n' * 1000)
    house.ok("submit", "--from", jobs)
    pid = house.json("status")["runtime"]["pid"]
    lines = [ask(house, "wait", ids=[1]), *(ask(house, "ls", limit=0) for _ in range(12))]
    for line in lines[1::2]:
        line.close()

    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)

    assert select.select([ended], [], [], 5.0)[0]
    os.close(ended)
    for line in lines:
        line.close()
