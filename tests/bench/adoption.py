"""Benchmark of adoption: the start of a runtime after a kill with many active runs."""

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
"""Exit code of each run, which shows that no end was lost."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure a runtime's start with a thousand runs to adopt, and with none."""
    house.run_ok("submit", "--wait", "--", "true")
    empty = statistics.median(measure_restart(house, 0) for _ in range(ROUNDS))
    gate = start_runs(house, RUNS)
    full = statistics.median(measure_restart(house, RUNS) for _ in range(ROUNDS))
    end_runs(house, gate, RUNS)
    what = f"a runtime starts and adopts {RUNS:,} runs"
    yield Figure(what, full * 1e3, "ms", empty * 1e3, "nothing to adopt", full, 1.0, None)


def start_runs(house: AcceptanceHome, count: int) -> Path:
    """Start runs that wait for a writer of a fifo, and return the fifo."""
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
    """Return the pids of the running runs, by run."""
    runs = client.call("instances", {"limit": 0})
    return {run["runid"]: run["pid"] for run in runs if run["status"] == "running"}


def measure_restart(house: AcceptanceHome, count: int) -> float:
    """Return the seconds that a new runtime needs to answer; check that all runs are known."""
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
    """Let all runs end, and check that each end was recorded for the only run of its task."""
    _open_gate(gate)
    client = Client(house.home)
    tasks = client.call("ls", {"queue": "adopted", "limit": 0})["tasks"]
    ends = client.call("wait", {"ids": [task["uuid"] for task in tasks], "timeout": 60})
    attempts = {
        task["attempts"] for task in client.call("ls", {"queue": "adopted", "limit": 0})["tasks"]
    }
    client.close()
    if [end["code"] for end in ends] != [EXIT_CODE] * count or attempts != {1}:
        raise RuntimeError("an end was lost, or a task ran twice")


def _open_gate(gate: Path) -> None:
    """Release every reader of the fifo; later readers find an empty file."""
    writer = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
    empty = gate.with_name("empty")
    empty.touch()
    empty.replace(gate)
    os.close(writer)
