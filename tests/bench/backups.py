"""Benchmark of backup, increment, verification and restore of a large database under writes."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.workload import create_parked_queue, submit_bulk

RATE = 200
"""Transactions a second during the measurement."""
WARM_UP = 5.0
"""Seconds of writing without a backup."""


def measure(house: AcceptanceHome, tasks: int) -> Iterator[Figure]:
    """Measure each step once, beside a copy of the file by SQLite."""
    create_parked_queue(house, "many", 4)
    submit_bulk(house, tasks, "many")
    size = os.path.getsize(house.home / "taskdeck.db")
    bare = _measure_copy(house.home / "taskdeck.db")
    what = f"of {size / 2**20:,.0f} MiB, {RATE} changes/s meanwhile"
    with _run_writer(house) as alone:
        time.sleep(WARM_UP)
    with _run_writer(house) as beside:
        full, took = _run_timed(house, "db", "backup", "--full", "--json")
        yield _make_time_figure(f"full backup, checked, {what}", took, bare)
        yield _make_size_figure(f"a full backup {what}", full["bytes"], size)
        increment, took = _run_timed(house, "db", "backup", "--json")
        yield _make_time_figure(f"increment, checked, {what}", took, bare)
        yield _make_size_figure(f"an increment {what}", increment["bytes"], size)
    worst, usual = _compute_p99(beside), _compute_p99(alone)
    yield Figure(
        "change p99 during backups", worst * 1e3, "ms", usual * 1e3, "without", worst * 1e3, 100
    )
    _, took = _run_timed(house, "db", "verify", increment["id"], "--json")
    yield _make_time_figure(f"verify of the chain {what}", took, bare)
    house.run_ok("stop")
    _, took = _run_timed(house, "db", "restore", "--to", house.work / "then.db", "--json")
    yield _make_time_figure(f"restore into a file {what}", took, bare)


def _run_timed(house: AcceptanceHome, *words: object) -> tuple[Any, float]:
    began = time.perf_counter()
    found = house.run_json(*words[:-1])
    return found, time.perf_counter() - began


def _make_time_figure(what: str, took: float, bare: float) -> Figure:
    return Figure(what, took, "s", bare, "a copy by SQLite", took / bare, None)


def _make_size_figure(what: str, size: int, whole: int) -> Figure:
    return Figure(what, size / 2**20, "MiB", whole / 2**20, "the database", size / whole, 0.5)


def _measure_copy(path: Path) -> float:
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        closing(sqlite3.connect(path)) as source,
    ):
        began = time.perf_counter()
        with closing(sqlite3.connect(Path(folder) / "copy.db")) as copy:
            source.backup(copy)
        return time.perf_counter() - began


def _compute_p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def _run_writer(house: AcceptanceHome) -> Iterator[list[float]]:
    """Submit held tasks at the rate and yield the seconds of each."""
    took: list[float] = []
    end = threading.Event()

    def write() -> None:
        with closing(Client(house.home)) as client:
            while not end.wait(max(0.0, 1 / RATE - (took[-1] if took else 0.0))):
                spec = {"argv": ["/bin/true"], "queue": "many"}
                began = time.perf_counter()
                client.call("submit", {"tasks": [spec], "cwd": "/", "umask": 0o022, "env": {}})
                took.append(time.perf_counter() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield took
    finally:
        end.set()
        thread.join()
