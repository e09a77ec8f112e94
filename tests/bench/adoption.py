"""A runtime is killed while many runs are alive: how long the next one takes until it answers and knows them all."""

from __future__ import annotations

import os
import signal
import statistics
from collections.abc import Iterator
from pathlib import Path

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.peers import measure_time
from tests.bench.workload import create_parked_queue, submit_bulk
from tests.runtime_process import is_alive, wait_until

RUNS = 1000
ROUNDS = 5
EXIT_CODE = 3
"""With which each of them ends, so that it can be seen that no end was lost."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """The whole start of a runtime, process included, with a thousand runs to adopt; beside it the start with none."""
    house.run_ok("submit", "--wait", "--", "true")
    empty = statistics.median(measure_restart(house, 0) for _ in range(ROUNDS))
    gate = start_runs(house, RUNS)
    full = statistics.median(measure_restart(house, RUNS) for _ in range(ROUNDS))
    end_runs(house, gate, RUNS)
    what = f"a runtime starts and adopts {RUNS:,} runs"
    yield Figure(what, full * 1e3, "ms", empty * 1e3, "nothing to adopt", full, 1.0, None)


def start_runs(house: AcceptanceHome, count: int) -> Path:
    """So many runs that live until they are let go at the fifo which this returns."""
    gate = house.work / "adopted"
    os.mkfifo(gate)
    create_parked_queue(house, "adopted", count)
    submit_bulk(house, count, "adopted", ("/bin/sh", "-c", f"read line < {gate}; exit {EXIT_CODE}"))
    client = Client(house.home)
    client.call("queue.resume", {"name": "adopted"})
    wait_until(lambda: len(_map_running(client)) == count, f"{count} runs are running")
    client.close()
    return gate


def _map_running(client: Client) -> dict[str, int]:
    """The pids of the runs that are running, by run."""
    runs = client.call("instances", {"limit": 0})
    return {run["runid"]: run["pid"] for run in runs if run["status"] == "running"}


def measure_restart(house: AcceptanceHome, count: int) -> float:
    """Seconds from the start of a runtime, after the last one was killed, until it answers; every run is as it was before."""
    client = Client(house.home, autostart=False)
    pid, before = client.call("status")["runtime"]["pid"], _map_running(client)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"runtime {pid} is gone")
    with measure_time() as took:
        client.start()
        status = client.call("status")
    if status["runtime"]["pid"] == pid or len(before) != count or _map_running(client) != before:
        raise RuntimeError("not every run was adopted")
    client.close()
    return took()


def end_runs(house: AcceptanceHome, gate: Path, count: int) -> None:
    """Let them all end, and see that each end was recorded, by the first and only run of its task."""
    _open_gate(gate)
    client = Client(house.home)
    tasks = client.call("ls", {"queue": "adopted", "limit": 0})["tasks"]
    ends = client.call("wait", {"ids": [task["uuid"] for task in tasks], "timeout": 60})
    attempts = {task["attempts"] for task in client.call("ls", {"queue": "adopted", "limit": 0})["tasks"]}
    client.close()
    if [end["code"] for end in ends] != [EXIT_CODE] * count or attempts != {1}:
        raise RuntimeError("an end was lost, or a task ran twice")


def _open_gate(gate: Path) -> None:
    """Who has opened the fifo, or waits for that, reads its end; who comes later finds an empty file."""
    writer = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
    empty = gate.with_name("empty")
    empty.touch()
    empty.replace(gate)
    os.close(writer)
