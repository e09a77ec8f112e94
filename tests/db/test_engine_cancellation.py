"""Cancelled callers: reads and writes complete without them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from db.engine import open_database

SLOW_QUERY = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT"
    " count(*) FROM n"
)


@pytest.fixture
def direct_reads() -> None:
    """Keep the threads of readers: tests of this module are about them."""


async def test_the_reader_of_a_cancelled_caller_is_reused(database_path: Path) -> None:
    async with open_database(database_path, writable=True) as db:
        await db.read(lambda c: c.exec_driver_sql("SELECT 1").scalar_one())
        threads = set(threading.enumerate())
        gone = asyncio.ensure_future(db.read(lambda c: c.exec_driver_sql(SLOW_QUERY).scalar_one()))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])

        assert gone.cancelled()
        while db._under_way:
            await asyncio.wait(db._under_way)
        assert await db.read(lambda c: c.exec_driver_sql("SELECT 2").scalar_one()) == 2
        assert set(threading.enumerate()) == threads


async def test_the_write_of_a_cancelled_caller_is_stored_and_wakes_others(
    database_path: Path,
) -> None:
    woken = asyncio.Event()
    async with open_database(database_path, writable=True) as db:
        db.after_commit(woken.set)
        await db.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x)") and None)
        gone = asyncio.ensure_future(
            db.write(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1)") and None)
        )
        await asyncio.sleep(0)
        gone.cancel()

        await woken.wait()
        assert (
            await db.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar_one()) == 1
        )
