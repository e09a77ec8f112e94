"""Benchmark of search and paging among 1,000,000 tasks, in every order and with typical filters.

Each page is requested twice, and the second, warm request counts. SQLite's LIKE over the same texts
serves for comparison. Queries that would scan most tasks must stop in time and say so.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import paths
from app.home import setup
from app.service.context import Call
from app.service.tasks import search_text
from app.service.tasks.inspection.pages import browse
from app.tui.screens.tasks.tasks import PAGE_SIZE
from db.engine import Database, open_database
from db.search import fts, index_file
from db.search.pagination import ORDERS
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench import large_home
from tests.bench.figures import Figure

COUNT = 1_000_000
WRITE_INTERVAL = 0.02
"""Seconds between two transactions while the index is filled."""

WORDS = {
    "a common word": "encode",
    "a rare word": "resnet50-sweep-500",
    "an absent word": "zzzz",
    "an absent word of common letters": "sweep-parquet",
    "two words": "sha256 alpha",
    "a word and states": "encode status:failed queue:media",
    "a common word of two letters": "7f",
    "an absent word of two letters": "q7",
}
TYPICAL = (
    "", "status:failed", "status:failed,lost", "status:active", "status:waiting",
    "!status:succeeded", "queue:gpu",
    "queue:gpu status:failed", "encode", "encode status:failed", "name:enc*", "template:train",
    "by:ci", "by:ann status:failed",
    "tag:env=prod", "since:2h", "status:failed since:2d", "priority:>5", "number:500000-500100",
)  # fmt: skip
HARD = (
    "by:c* until:20d !sha256",
    "name:*z*",
    "q7",
    "encode !s0 !s1 !s2",
    "status:ended since:20d",
    "tag:env !prod !dev",
)


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Fill a home and its index, then run the queries."""
    paths.make_home(house.home)
    setup.prepare_database(house.home)
    large_home.fill_database(path := Path(paths.get_database_path(house.home)), COUNT)
    yield from asyncio.run(_fill_index(path))
    share = os.path.getsize(index_file.get_index_path(path)) / os.path.getsize(path) * 100
    yield Figure("the index beside the database", share, "% of it", None, "", None)
    yield from asyncio.run(
        _run_queries(path, house.home, _measure_like(index_file.get_index_path(path)))
    )


async def _fill_index(path: Path) -> list[Figure]:
    """Build the index without pauses under concurrent writes."""
    delays = list[float]()
    async with open_database(path, writable=True) as db:
        began = time.perf_counter()
        work = asyncio.create_task(_index_all(db))
        while not work.done():
            delays.append(await _measure_await(db.write(_write_bench_counter)))
            await asyncio.sleep(WRITE_INTERVAL)
        await work
        took = time.perf_counter() - began
    delays.sort()
    p99 = delays[int(len(delays) * 0.99)]
    return [
        Figure(f"indexing {COUNT:,} tasks, no rests", took, "s", None, "", took, 120),
        Figure("a transaction meanwhile, p99", p99, "ms", delays[-1], "at most", p99, 20),
    ]


async def _index_all(db: Database) -> None:
    await db.write_quietly(fts.record_batch, await db.run_on_index(db.index.create))
    while (batch := await db.read(fts.read_batch)) is not None and batch.rows:
        await db.run_on_index(db.index.store, batch, search_text.make_stored_text)
        while await db.run_on_index(db.index.merge):
            pass


def _write_bench_counter(c: Connection) -> None:
    c.exec_driver_sql("UPDATE counters SET value = value + 1 WHERE name = 'bench'")
    c.exec_driver_sql("INSERT OR IGNORE INTO counters VALUES ('bench', 0, '', '')")


async def _measure_await(work: Any) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1e3


def _measure_like(path: Path) -> float:
    """Return the milliseconds of a LIKE search through all texts by SQLite."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
        began = time.perf_counter()
        c.execute("SELECT count(*) FROM search_content WHERE c0 LIKE '%zzzz%'").fetchone()
        return (time.perf_counter() - began) * 1e3


async def _run_queries(path: Path, home: Path, like: float) -> list[Figure]:
    async with open_database(path, writable=False) as db:
        figures = [await _measure_word(db, home, what, line, like) for what, line in WORDS.items()]
        for what, lines in (("typical", TYPICAL), ("hard", HARD)):
            took = sorted(
                [await _measure_pages(db, home, line, order) for order in ORDERS for line in lines],
                key=lambda found: found[0],
            )
            _print_slowest(took)
            figures += _make_page_figures(
                what, [found[0] for found in took], sum(not found[3] for found in took)
            )
    return figures


def _print_slowest(took: list[tuple[float, str, str, bool]]) -> None:
    for ms, order, line, complete in took[-5:]:
        print(
            f"  {ms:.0f} ms: {line!r} by {order}{'' if complete else ', stopped'}", file=sys.stderr
        )


def _make_page_figures(what: str, took: list[float], stopped: int) -> list[Figure]:
    half, most = took[len(took) // 2], took[int(len(took) * 0.95)]
    goals = (50, 150, 0) if what == "typical" else (300, 1000, len(took))
    return [
        Figure(f"a page, {what} filters, all orders, p50", half, "ms", None, "", half, goals[0]),
        Figure(
            f"a page, {what} filters, all orders, p95",
            most,
            "ms",
            took[-1],
            "at most",
            most,
            goals[1],
        ),
        Figure(
            f"of {len(took)} such pages, stopped before they were full",
            stopped,
            "",
            None,
            "",
            stopped,
            goals[2],
        ),
    ]


async def _measure_word(db: Database, home: Path, what: str, line: str, like: float) -> Figure:
    ms, _, _, complete = await _measure_pages(db, home, line, "number")
    return Figure(
        f"{what}: {line}{'' if complete else ', stopped'}", ms, "ms", like, "LIKE over all", ms, 50
    )


async def _measure_pages(
    db: Database, home: Path, line: str, order: str
) -> tuple[float, str, str, bool]:
    """Return the milliseconds of the slower of two pages, and true if both were complete."""
    call = Call(db, "ann", home)
    first = await browse(call, filter=line, order=order, limit=PAGE_SIZE)
    took, complete = (
        [await _measure_await(browse(call, filter=line, order=order, limit=PAGE_SIZE))],
        first["complete"],
    )
    if first["more_after"]:
        last = first["rows"][-1] if first["rows"] else None
        at = first["stopped"] or (last and [last[-1], last[1]])
        complete &= (await browse(call, filter=line, order=order, at=at, limit=PAGE_SIZE))[
            "complete"
        ]
        took.append(
            await _measure_await(browse(call, filter=line, order=order, at=at, limit=PAGE_SIZE))
        )
    return max(took), order, line, complete
