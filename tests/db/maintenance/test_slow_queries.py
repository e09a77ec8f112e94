"""Slow statements: recorded with plan and caller; the timing costs quick statements little."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import raw_sql, schema, statement_timer, timestamps
from db.engine import Database
from db.lock_monitor import LOCK_WAIT_THRESHOLD
from db.maintenance import slow_queries
from db.statement_timer import MAX_SLOW_STATEMENTS, SlowLog

LONG_QUERY = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*)"
    " FROM n, tasks"
)
THRESHOLD = 0.002


def run_slow_query(c: Connection, many: int = 60_000) -> None:
    """Run a statement of about ten milliseconds."""
    raw_sql.fetch_value(
        c,
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) SELECT"
        " count(*) FROM n",
    )


@pytest.fixture
def timed_db(db: Database) -> Database:
    """Return a database with a threshold of two milliseconds."""
    db.slow.threshold = THRESHOLD
    return db


@pytest.mark.parametrize(
    ("said", "folded"),
    [
        ("SELECT *\n  FROM tasks WHERE name = 'it''s'", "SELECT * FROM tasks WHERE name = ?"),
        (
            "SELECT 1 WHERE a IN (?, ?, ?) AND b IN ('x', 'y')",
            "SELECT ? WHERE a IN (…) AND b IN (…)",
        ),
        ("SELECT 1.5e3, t2.c0 FROM idx_3", "SELECT ?, t2.c0 FROM idx_3"),
        ("INSERT INTO t VALUES (?, ?), (?, ?), (?, ?)", "INSERT INTO t VALUES (…)"),
        (
            "SELECT a FROM t WHERE a = :a AND b IN (:b_1, :b_2)",
            "SELECT a FROM t WHERE a = :a AND b IN (…)",
        ),
        ("SELECT x'00ff' LIMIT 200", "SELECT ? LIMIT ?"),
    ],
)
def test_statements_that_differ_only_in_values_are_the_same(said: str, folded: str):
    assert statement_timer.normalize_statement(said) == folded


async def test_a_slow_statement_is_stored_with_its_plan_and_caller(timed_db: Database):
    with statement_timer.set_caller("browse"):
        await timed_db.read(run_slow_query)
    with statement_timer.set_caller("duty slas"):
        await timed_db.write(run_slow_query)
        await timed_db.write(run_slow_query, 70_000)
    await slow_queries.store_slow_statements(timed_db)

    rows = {row.caller: row for row in await timed_db.read(slow_queries.list_slow)}

    assert set(rows) == {"browse", "duty slas"}
    assert rows["browse"].statement.startswith("WITH RECURSIVE n(i) AS (SELECT ? UNION ALL")
    assert "SCAN n" in (rows["browse"].plan or "")
    assert (rows["browse"].count, rows["duty slas"].count) == (1, 2)
    assert THRESHOLD <= rows["duty slas"].worst <= rows["duty slas"].total
    assert rows["duty slas"].total == pytest.approx(
        rows["duty slas"].seconds + rows["duty slas"].worst, rel=0.9
    )


async def test_stored_figures_add_up_over_several_writes(timed_db: Database):
    for _ in range(2):
        await timed_db.write(run_slow_query)
        await slow_queries.store_slow_statements(timed_db)

    (row,) = await timed_db.read(slow_queries.list_slow)

    assert row.count == 2
    assert row.updated_at > row.created_at


async def test_sqlalchemy_statements_are_timed_including_the_fetch(timed_db: Database):
    def ask(c: Connection) -> int:
        return len(
            c.execute(
                text(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <"
                    " 60000) SELECT i FROM n"
                )
            ).all()
        )

    assert await timed_db.read(ask) == await timed_db.write(ask) == 60_000
    await slow_queries.store_slow_statements(timed_db)

    (row,) = await timed_db.read(slow_queries.list_slow)
    assert row.count == 2


async def test_a_quick_statement_is_not_stored(db: Database):
    await db.read(lambda c: raw_sql.fetch_value(c, "SELECT count(*) FROM tasks"))
    await slow_queries.store_slow_statements(db)

    assert await db.read(slow_queries.list_slow) == []


async def test_no_values_are_stored(timed_db: Database):
    def ask(c: Connection) -> Any:
        return raw_sql.fetch_value(
            c, f"{LONG_QUERY.format(60_000)} WHERE name = ?", ("secret",)
        ) or run_slow_query(c)

    await timed_db.read(ask)
    await slow_queries.store_slow_statements(timed_db)

    assert all(
        "secret" not in f"{row.statement}{row.plan}"
        for row in await timed_db.read(slow_queries.list_slow)
    )
    assert await timed_db.read(slow_queries.list_slow) != []


async def test_nothing_new_writes_nothing(db: Database):
    def changes(c: Connection) -> int:
        return c.connection.driver_connection.total_changes  # type: ignore[union-attr]

    before = await db.write(changes)
    await slow_queries.store_slow_statements(db)

    assert await db.write(changes) == before


async def test_only_the_slowest_statements_stay_in_memory_and_in_the_database(db: Database):
    for base in (0, 150):
        for worst in range(base, base + MAX_SLOW_STATEMENTS + 50):
            db.slow.add_slow("ls", f"SELECT a{chr(97 + worst % 26)}{'b' * worst} FROM t", 0, worst)
        await slow_queries.store_slow_statements(db)

    rows = await db.read(slow_queries.list_slow)
    assert [row.worst for row in rows] == [float(worst) for worst in range(349, 149, -1)]


async def test_unwritten_figures_are_kept_until_they_can_be_written(
    timed_db: Database, monkeypatch: pytest.MonkeyPatch
):
    await timed_db.write(run_slow_query)

    def refuse(*args: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(slow_queries, "_store_figures", refuse)
        with pytest.raises(Exception, match="full"):
            await slow_queries.store_slow_statements(timed_db)
    await slow_queries.store_slow_statements(timed_db)

    assert [row.count for row in await timed_db.read(slow_queries.list_slow)] == [1]
    assert (
        await timed_db.read(slow_queries.count_slow_in_hour, timestamps.utcnow().timestamp()) == 1
    )


async def test_the_slow_statements_of_the_last_hour_are_kept_by_minute(timed_db: Database):
    hour_ago = timestamps.from_unix(timestamps.utcnow().timestamp() - slow_queries.HOUR - 120)[
        : slow_queries.MINUTE_LENGTH
    ]
    old = "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, 9, '', '')"
    for name in (slow_queries.SLOW, slow_queries.WAIT):
        await timed_db.write(
            lambda c, name=name: raw_sql.execute_statement(c, old, (name + hour_ago,))
        )
    for many in (1, 2):
        for _ in range(many):
            await timed_db.write(run_slow_query)
        timed_db.lock_waits.add(0.25 / many)
        await slow_queries.store_slow_statements(timed_db)

    now = timestamps.utcnow().timestamp()
    names = await timed_db.read(
        lambda c: raw_sql.fetch_column(c, "SELECT name FROM counters WHERE value = 9")
    )
    assert await timed_db.read(slow_queries.count_slow_in_hour, now) == 3
    assert await timed_db.read(slow_queries.find_longest_wait, now) == 0.25
    assert names == []
    assert await timed_db.read(slow_queries.count_slow_in_hour, now + slow_queries.HOUR + 120) == 0
    await timed_db.write(slow_queries.clear_slow)
    assert await timed_db.read(slow_queries.count_slow_in_hour, now) == 0
    assert await timed_db.read(slow_queries.find_longest_wait, now) == 0.25


async def test_a_statement_that_cannot_be_explained_is_stored_without_a_plan(timed_db: Database):
    def ask(c: Connection) -> None:
        numbers = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT"
            " i FROM n"
        )
        c.exec_driver_sql(f"CREATE TABLE gone AS {numbers}")
        raw_sql.fetch_value(c, "SELECT count(*) FROM gone a, (SELECT i FROM gone LIMIT 20) b")
        c.exec_driver_sql("DROP TABLE gone")

    await timed_db.write(ask)
    await slow_queries.store_slow_statements(timed_db)

    rows = [
        row for row in await timed_db.read(slow_queries.list_slow) if "count(*)" in row.statement
    ]
    assert [row.plan for row in rows] == [None]


async def test_a_write_that_waits_for_the_lock_is_counted_and_reported(db: Database):
    other = sqlite3.connect(db.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = db.write(lambda c: raw_sql.execute_statement(c, "UPDATE queues SET priority = 1"))
    task = asyncio.ensure_future(waiting)
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, other.execute, "ROLLBACK")
    await task
    other.close()

    assert db.lock_waits.count == 1
    assert LOCK_WAIT_THRESHOLD < db.lock_waits.worst == db.lock_waits.total


async def test_a_long_lock_wait_and_a_large_wal_are_alerts(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    size = 0
    monkeypatch.setattr(slow_queries, "get_wal_size", lambda path: size)
    db.lock_waits.add(1.5)
    assert slow_queries.find_problems(db) == {
        "lock-wait": "a change waited 1.5 s for the database, which another program held"
    }
    assert db.lock_waits.long is not None

    db.lock_waits.long = (db.lock_waits.long[0] - slow_queries.ALERT_DURATION, 1.5)
    size = slow_queries.LARGE_WAL + 1
    assert list(slow_queries.find_problems(db)) == ["wal-size"]
    size = slow_queries.LARGE_WAL
    assert slow_queries.find_problems(db) == {}


async def test_the_wal_size_is_the_size_of_its_file(db: Database, tmp_path: Path):
    await db.write(lambda c: c.execute(schema.queues.update().values(priority=3)))

    assert slow_queries.get_wal_size(db.path) > 4096
    assert slow_queries.get_wal_size(tmp_path / "none.db") == 0


def test_timing_costs_a_quick_statement_one_or_two_microseconds():
    plain = sqlite3.connect(":memory:")
    ours = sqlite3.connect(":memory:", factory=SlowLog().make_connection)  # type: ignore[arg-type]

    extra = _measure_cost(ours) - _measure_cost(plain)

    assert extra < 10e-6
    plain.close()
    ours.close()


def _measure_cost(c: sqlite3.Connection, many: int = 5000) -> float:
    """Return the seconds of one statement, the best of three measurements."""
    took = []
    for _ in range(3):
        began = perf_counter()
        for _ in range(many):
            c.execute("SELECT ?", (1,)).fetchall()
        took.append((perf_counter() - began) / many)
    return min(took)


def test_statements_leave_nothing_behind_in_the_connection():
    connection = sqlite3.connect(":memory:", factory=SlowLog().make_connection)  # type: ignore[arg-type]

    def run_statements(many: int) -> None:
        for _ in range(many):
            connection.execute("SELECT 1").fetchone()

    run_statements(1_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run_statements(5_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        connection.close()

    assert grown < 100_000, "a weak reference to each cursor takes 80 bytes"
