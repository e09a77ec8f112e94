"""Benchmark of the time from the submission to the task's first instruction."""

from __future__ import annotations

import os
import select
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.client import Client
from app.core.ids import make_uuid7
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure

ROUNDS = 60


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure the median in milliseconds, beside a direct spawn of the same program."""
    fifo = house.work / "first-instruction"
    os.mkfifo(fifo)
    argv = ["/bin/sh", "-c", f"echo x > {fifo}"]
    client = Client(house.home)
    asked = {"cwd": str(house.work), "umask": 0o022, "env": {"PATH": "/usr/bin:/bin"}}

    def submitted() -> None:
        (task,) = client.call("submit", {"tasks": [{"argv": argv}], "uuid": make_uuid7(), **asked})
        ends.append(task["uuid"])

    def spawned() -> None:
        pids.append(os.posix_spawn(argv[0], argv, {}))

    ends: list[str] = []
    pids: list[int] = []
    try:
        ours = measure_median(
            fifo, submitted, lambda: client.call("wait", {"ids": [ends.pop()], "timeout": 30})
        )
    finally:
        client.close()
    raw = measure_median(fifo, spawned, lambda: os.waitpid(pids.pop(), 0))
    yield Figure("submit → first instruction, p50", ours, "ms", raw, "posix_spawn", ours, 6, 3)


def measure_median(fifo: Path, start: Callable[[], None], end: Callable[[], object]) -> float:
    """Return the median milliseconds from `start` until the program writes to the fifo.

    `end` waits for the program before the next round.
    """
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        start()
        if not select.select([reader], [], [], 30)[0]:
            raise RuntimeError("the program never started")
        times.append(time.perf_counter() - began)
        os.read(reader, 64)
        end()
    os.close(reader)
    return statistics.median(times) * 1e3
