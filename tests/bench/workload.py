"""Work to measure with: many tasks at once, by the way that users take."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence

from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome


def submit_bulk(house: AcceptanceHome, count: int, queue: str, argv: Sequence[str] = ("true",)) -> float:
    """Submit `count` tasks with `submit --from`; the seconds that the process took."""
    lines = house.work / "tasks.jsonl"
    lines.write_text((json.dumps({"argv": list(argv), "queue": queue}) + "\n") * count)
    began = time.perf_counter()
    subprocess.run(
        [PROGRAM, "submit", "--from", lines], env=house.env, cwd=house.work, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def create_parked_queue(house: AcceptanceHome, name: str, capacity: int) -> None:
    """A paused queue on a pool so large that it never decides anything."""
    house.run_ok("pool", "create", f"{name}-pool", "--cpu", "1000", "--memory", "1T")
    house.run_ok("queue", "create", name, "--capacity", str(capacity), "--pool", f"{name}-pool")
    house.run_ok("queue", "pause", name)
