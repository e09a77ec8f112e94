"""Benchmark of bulk submission against SQLite alone storing the same rows."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.workload import create_parked_queue, submit_bulk


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure 10,000 and 50,000 lines."""
    create_parked_queue(house, "bulk", 1)
    for count in (10_000, 50_000):
        ours = count / submit_bulk(house, count, "bulk")
        raw = count / measure_raw_insert(house.home / "taskdeck.db", count)
        yield Figure(
            f"submit --from, {count:,} lines",
            ours,
            "tasks/s",
            raw,
            "SQLite alone",
            ours,
            15_000,
            30_000,
            at_most=False,
        )


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
