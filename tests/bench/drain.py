"""A queue of no-op processes drained at 16 slots, against a loop that does nothing but spawn and reap as many."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from app.client import Client
from tests.acceptance.house import House
from tests.bench.figures import Figure
from tests.bench.work import bulk, parked

COUNT = 3000
SLOTS = 16
NO_OP = "/bin/true"


def measure(house: House) -> Iterator[Figure]:
    """Ends per second, each recorded and synced."""
    parked(house, "drain", SLOTS)
    bulk(house, COUNT, "drain", (NO_OP,))
    raw = COUNT / raw_loop()
    ours = COUNT / drained(house)
    yield Figure(
        f"drain of {COUNT:,} no-ops, {SLOTS} slots",
        ours,
        "ends/s",
        raw,
        "posix_spawn loop",
        ours / raw,
        0.25,
        0.45,
        at_most=False,
    )


def drained(house: House) -> float:
    """Seconds from the queue's resume until its last task has ended."""
    client = Client(house.home)
    try:
        tasks = client.call("ls", {"queue": "drain", "limit": 0})["tasks"]
        last = [row["uuid"] for row in sorted(tasks, key=lambda row: row["number"])[-2 * SLOTS :]]
        began = time.perf_counter()
        client.call("queue.resume", {"name": "drain"})
        client.call("wait", {"ids": last, "timeout": 300})
        took = time.perf_counter() - began
        ended = client.call("ls", {"queue": "drain", "limit": 0})["tasks"]
    finally:
        client.close()
    if sum(row["status"] == "succeeded" for row in ended) < COUNT:
        raise RuntimeError("some no-ops did not succeed")
    return took


def raw_loop() -> float:
    """Seconds to spawn and reap as many with as many at once."""
    began, left, running = time.perf_counter(), COUNT, 0
    while left or running:
        while left and running < SLOTS:
            os.posix_spawn(NO_OP, [NO_OP], {})
            left, running = left - 1, running + 1
        os.waitpid(-1, 0)
        running -= 1
    return time.perf_counter() - began
