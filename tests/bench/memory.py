"""Benchmark of a deck's memory: after a minute, and after many tasks have ended.

A real deck runs over a runtime that drains a queue of no-ops; logs, tasks and lists are opened and
closed meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.peers import NO_OP, SLOTS
from tests.bench.recorder import Recorder
from tests.bench.workload import create_parked_queue, submit_bulk

FIRST_SAMPLE = 60.0
"""Seconds until the first sample. At least one task must still wait then."""
STALL_TIMEOUT = 120.0
"""Seconds without an end after which the benchmark fails."""
ROUND_KEYS = (
    "3",
    "l",
    "q",
    "333",
    "\r",
    "q",
    "5",
    "j",
    "j",
    "\r",
    "q",
    "q",
    "9",
    "q",
    "O",
    "q",
    "n",
    "\x1b",
    "0",
)
"""Keys of a user who opens several screens and returns to the deck."""
KEY_INTERVAL = 0.25
GOAL = 1.2


def measure(house: AcceptanceHome, tasks: int) -> Iterator[Figure]:
    """Measure the resident memory at the end beside that of the first minute."""
    create_parked_queue(house, "churn", SLOTS)
    submit_bulk(house, tasks, "churn", (NO_OP,))
    house.run_ok("queue", "resume", "churn")
    with (
        closing(Client(house.home)) as client,
        Recorder(["taskdeck"], house.env, house.work, 120, 40) as deck,
    ):
        first = _look_around_until(deck, client, FIRST_SAMPLE)
        left = client.call("board", {})["waiting_total"]
        last = _look_around_until(deck, client, float("inf"))
        deck.type("q").end()
    what = f"memory of the deck after {tasks:,} tasks of churn"
    if left:
        yield Figure(what, last, "MiB RSS", first, "in its first minute", last / first, GOAL)
    else:
        yield Figure.make_absent(
            f"{what}: they were over within its first minute; ask for more with --tasks"
        )


def _look_around_until(deck: Recorder, client: Client, seconds: float) -> float:
    """Open screens until no task waits or the time is over; return the deck's memory in MiB."""
    end = time.monotonic() + seconds
    known, moved = client.call("board", {})["waiting_total"], time.monotonic()
    while known and time.monotonic() < end:
        _look_around(deck)
        now = client.call("board", {})["waiting_total"]
        if now < known:
            known, moved = now, time.monotonic()
        elif time.monotonic() > moved + STALL_TIMEOUT:
            raise RuntimeError(f"{now:,} tasks wait, and none began for {STALL_TIMEOUT:.0f} s")
    return read_rss(deck.pid)


def _look_around(deck: Recorder) -> None:
    """Press the keys of a round and discard the output."""
    for keys in ROUND_KEYS:
        deck.type(keys)
        deck.record(KEY_INTERVAL)
        deck.chunks.clear()


def read_rss(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
