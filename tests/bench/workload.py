"""Bulk work for the benchmarks, submitted as users do."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from itertools import repeat

from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome


def submit_bulk(
    house: AcceptanceHome, count: int, queue: str, argv: Sequence[str] = ("true",), gpus: int = 0
) -> float:
    """Submit tasks with `submit --from` and return the seconds of the process."""
    lines = house.work / "tasks.jsonl"
    named = {"resources": {"gpu": gpus}} if gpus else {}
    line = json.dumps({"argv": list(argv), "queue": queue, **named}) + "\n"
    with lines.open("w") as file:
        file.writelines(repeat(line, count))
    began = time.perf_counter()
    subprocess.run(
        [PROGRAM, "submit", "--from", lines],
        env=house.env,
        cwd=house.work,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def create_parked_queue(house: AcceptanceHome, name: str, capacity: int, gpus: int = 0) -> None:
    """Create a paused queue on a pool that is never the limit."""
    named = ("--gpu", str(gpus)) if gpus else ()
    house.run_ok("pool", "create", f"{name}-pool", "--cpu", "1000", "--memory", "1T", *named)
    house.run_ok("queue", "create", name, "--capacity", str(capacity), "--pool", f"{name}-pool")
    house.run_ok("queue", "pause", name)
