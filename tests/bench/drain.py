"""Benchmark of draining a queue of no-op processes at 16 slots, beside other programs.

A bare spawn loop, `xargs`, task-spooler (if installed) and Taskdeck take turns, so that noise
affects all of them. Figures are medians over the rounds; a ratio is taken within its round.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench import peers
from tests.bench.figures import Figure
from tests.bench.peers import NO_OP, SLOTS, measure_time
from tests.bench.workload import create_parked_queue, submit_bulk

COUNT = 3000
ROUNDS = 5
Contender = Callable[[], float]
"""A function that returns the ends per second of one round."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure ends per second and their ratio to the bare loop; only Taskdeck has a goal."""
    contenders: dict[str, Contender] = {
        "posix_spawn loop, nothing kept": lambda: COUNT / peers.measure_spawn_loop(COUNT),
        f"xargs -P{SLOTS} -n1, nothing kept": lambda: (
            COUNT / peers.measure_xargs(house.work, COUNT)
        ),
    }
    if tsp := peers.find_task_spooler():
        name = f"task-spooler, {SLOTS} slots, ends kept in memory, nothing synced"
        contenders[name] = lambda: peers.SPOOLER_JOBS / peers.measure_task_spooler(tsp, house.work)
    ours = f"Taskdeck, {SLOTS} slots, each end recorded and synced, {COUNT:,} no-ops"
    contenders[ours] = lambda: COUNT / measure_drain(house)
    contenders[f"{ours}, a GPU each"] = lambda: COUNT / measure_drain(house, gpus=1)
    rounds = [{name: contend() for name, contend in contenders.items()} for _ in range(ROUNDS)]
    raw = next(iter(contenders))
    beside = statistics.median(each[raw] for each in rounds)
    for name in contenders:
        rate = statistics.median(each[name] for each in rounds)
        ratio = statistics.median(each[name] / each[raw] for each in rounds)
        goals = (0.25, 0.45) if name.startswith(ours) else (None, None)
        yield Figure(
            f"drain: {name}",
            rate,
            "ends/s",
            beside,
            "posix_spawn loop",
            ratio,
            *goals,
            at_most=False,
        )
    if not tsp:
        yield Figure.make_absent("drain: task-spooler is not installed here")


def measure_drain(
    house: AcceptanceHome, gpus: int = 0, count: int = COUNT, enforce: str = "none"
) -> float:
    """Return the seconds from the resume of a full queue to the end of its last task."""
    queue = f"drain-{os.urandom(4).hex()}"
    create_parked_queue(house, queue, SLOTS, gpus * SLOTS)
    submit_bulk(house, count, queue, (NO_OP,), gpus)
    client = Client(house.home)
    try:
        client.call("pool.set", {"name": f"{queue}-pool", "enforce": enforce})
        tasks = client.call("ls", {"queue": queue, "limit": 0})["tasks"]
        last = [row["uuid"] for row in sorted(tasks, key=lambda row: row["number"])[-2 * SLOTS :]]
        with measure_time() as took:
            client.call("queue.resume", {"name": queue})
            client.call("wait", {"ids": last, "timeout": 300})
        ended = client.call("ls", {"queue": queue, "limit": 0})["tasks"]
    finally:
        client.close()
    if sum(row["status"] == "succeeded" for row in ended) < count:
        raise RuntimeError("some no-ops did not succeed")
    return took()
