"""Benchmark of bulk submission against SQLite alone storing the same rows.

A million lines are also measured by the memory of command and runtime. While they are stored, and
while 200,000 tasks are cancelled, another client submits single tasks; its longest wait counts.
"""

from __future__ import annotations

import resource
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.workload import create_parked_queue, submit_bulk

MILLION = 1_000_000
CANCELLED = 200_000


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure 20,000, 50,000 and a million lines."""
    create_parked_queue(house, "bulk", 1)
    for count in (20_000, 50_000):
        ours = count / submit_bulk(house, count, "bulk")
        raw = count / measure_raw_insert(house.home / "taskdeck.db", count)
        yield Figure(
            f"submit --from, {count:,} lines",
            ours,
            "tasks/s",
            raw,
            "SQLite alone",
            ours,
            25_000,
            30_000,
            at_most=False,
        )
    create_parked_queue(house, "other", 1)
    yield from _measure_million(house)
    yield from _measure_cancel(house)


def _measure_million(house: AcceptanceHome) -> Iterator[Figure]:
    runtime = house.run_json("status", "--json")["runtime"]["pid"]
    Path(f"/proc/{runtime}/clear_refs").write_text("5")  # the peak counts from here
    with submit_meanwhile(house) as waits:
        ours = MILLION / submit_bulk(house, MILLION, "bulk")
    what = f"submit --from, {MILLION:,} lines"
    yield Figure(what, ours, "tasks/s", None, "", ours, 25_000, at_most=False)
    for whose, peak in (
        ("command", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        ("runtime", read_peak(runtime)),
    ):
        yield Figure(f"{what}, peak of the {whose}", peak, "MiB RSS", None, "", peak, 200)
    yield make_wait_figure(what, waits)


def _measure_cancel(house: AcceptanceHome) -> Iterator[Figure]:
    create_parked_queue(house, "cancel", 1)
    submit_bulk(house, CANCELLED, "cancel")
    with submit_meanwhile(house) as waits:
        began = time.perf_counter()
        house.run_ok("cancel", "--queue", "cancel", "--yes")
        ours = time.perf_counter() - began
    what = f"cancel of {CANCELLED:,} tasks"
    yield Figure(what, ours, "s", None, "", ours, 6)
    yield make_wait_figure(what, waits)


@contextmanager
def submit_meanwhile(house: AcceptanceHome) -> Iterator[list[float]]:
    """Submit single tasks in a thread; yield the seconds that each takes."""
    done, waits = threading.Event(), [0.0]
    other = threading.Thread(target=_submit_singly, args=(house.home, done, waits))
    other.start()
    try:
        yield waits
    finally:
        done.set()
        other.join()


def make_wait_figure(what: str, waits: list[float]) -> Figure:
    """Return the longest time that another submission took meanwhile."""
    worst = max(waits) * 1e3
    return Figure(f"{what}, another submission meanwhile", worst, "ms", None, "", worst, 100)


def _submit_singly(home: Path, done: threading.Event, waits: list[float]) -> None:
    """Submit single tasks until `done`; note the seconds that each takes."""
    with closing(Client(home)) as client:
        while not done.wait(0.05):
            began = time.perf_counter()
            client.call("submit", {"tasks": [{"argv": ["true"], "queue": "other"}]})
            waits.append(time.perf_counter() - began)


def read_peak(pid: int) -> float:
    """Return the peak of the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def measure_raw_insert(database: Path, count: int) -> float:
    """Return the seconds that SQLite needs to store the newest task rows in a new file."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as live:
        rows = live.execute("SELECT * FROM tasks ORDER BY number DESC LIMIT ?", (count,)).fetchall()
        ddl = live.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'tasks' AND type IN ('table', 'index')"
            " AND sql IS NOT NULL"
        )
        statements = [sql for (sql,) in ddl]
    with (
        tempfile.TemporaryDirectory(dir=database.parent) as folder,
        closing(sqlite3.connect(f"{folder}/raw.db")) as c,
    ):
        c.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + ";".join(statements)
        )
        began = time.perf_counter()
        with c:
            c.executemany(f"INSERT INTO tasks VALUES ({', '.join('?' * len(rows[0]))})", rows)
        return time.perf_counter() - began
