"""Benchmark of groups: submission, lists and a round, beside the same tasks without a group."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.workload import create_parked_queue

COUNT = 100_000
ROUNDS = 3
LOOKS = 20
"""Calls of each list, of which the median counts."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure groups of 100,000 tasks in one home, by turns with tasks of no group."""
    create_parked_queue(house, "bulk", 1)
    tasks = [{"argv": ["true", str(at)], "queue": "bulk"} for at in range(COUNT)]
    with closing(Client(house.home)) as client:
        alone, grouped = list[float](), list[float]()
        for _ in range(ROUNDS):
            grouped.append(_time_call(client, "submit", tasks=tasks, group={"argv": ["true"]}))
            alone.append(_time_call(client, "submit", tasks=tasks))
        ours, raw = statistics.median(grouped), statistics.median(alone)
        what = f"submit, {COUNT:,} tasks as a group"
        yield Figure(what, ours, "s", raw, "without a group", ours / raw, 1.1)
        shown = f"{ROUNDS} groups of {COUNT:,}"
        usual = {"brief": True, "recent": True, "limit": 100}
        raw = _measure_call(client, "ls", **usual)
        ours = _measure_call(client, "ls", **usual, fold=True)
        yield Figure(f"ls, {shown}", ours, "ms", raw, "each task", ours / raw, 1.5)
        for verb, args in (("group.ls", {"recent": True}), ("group.show", {"id": "g1"})):
            ours = _measure_call(client, verb, **args)
            yield Figure(f"{verb}, {shown}", ours, "ms", None, "", ours, 50)


def _measure_call(client: Client, verb: str, **args: Any) -> float:
    """Return the median milliseconds of a call."""
    return statistics.median(_time_call(client, verb, **args) for _ in range(LOOKS)) * 1000


def _time_call(client: Client, verb: str, **args: Any) -> float:
    began = time.perf_counter()
    client.call(verb, args)
    return time.perf_counter() - began
