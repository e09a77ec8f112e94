"""What is slow is remembered with its plan and who asked, by the real writer and readers; what is quick hardly pays."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import raw_sql, schema, statement_timer, timestamps
from db.engine import Database
from db.maintenance import slow_queries
from db.statement_timer import Seat, Slow, SlowLog

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n, tasks"
THRESHOLD = 0.002


def slowly(c: Connection, many: int = 60_000) -> None:
    """A statement of some ten milliseconds."""
    raw_sql.value(c, f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) SELECT count(*) FROM n")


@pytest.fixture
def slow(db: Database) -> Database:
    """A database that minds two milliseconds."""
    db.slow.mind(THRESHOLD)
    return db


@pytest.mark.parametrize(
    ("said", "folded"),
    [
        ("SELECT *\n  FROM tasks WHERE name = 'it''s'", "SELECT * FROM tasks WHERE name = ?"),
        ("SELECT 1 WHERE a IN (?, ?, ?) AND b IN ('x', 'y')", "SELECT ? WHERE a IN (…) AND b IN (…)"),
        ("SELECT 1.5e3, t2.c0 FROM idx_3", "SELECT ?, t2.c0 FROM idx_3"),
        ("INSERT INTO t VALUES (?, ?), (?, ?), (?, ?)", "INSERT INTO t VALUES (…)"),
        ("SELECT a FROM t WHERE a = :a AND b IN (:b_1, :b_2)", "SELECT a FROM t WHERE a = :a AND b IN (…)"),
        ("SELECT x'00ff' LIMIT 200", "SELECT ? LIMIT ?"),
    ],
)
def test_a_statement_is_the_same_whatever_its_values_are(said: str, folded: str):
    assert statement_timer.normal(said) == folded


async def test_a_slow_statement_is_kept_with_its_plan_and_who_asked(slow: Database):
    with statement_timer.asked_by("browse"):
        await slow.read(slowly)
    with statement_timer.asked_by("duty slas"):
        await slow.write(slowly)
        await slow.write(slowly, 70_000)
    await slow_queries.keep(slow)

    rows = {row.caller: row for row in await slow.read(slow_queries.listed)}

    assert set(rows) == {"browse", "duty slas"}
    assert rows["browse"].statement.startswith("WITH RECURSIVE n(i) AS (SELECT ? UNION ALL")
    assert "SCAN n" in (rows["browse"].plan or "")
    assert (rows["browse"].count, rows["duty slas"].count) == (1, 2)
    assert THRESHOLD <= rows["duty slas"].worst <= rows["duty slas"].total
    assert rows["duty slas"].total == pytest.approx(rows["duty slas"].seconds + rows["duty slas"].worst, rel=0.9)


async def test_what_is_kept_adds_up_from_one_writing_to_the_next(slow: Database):
    for _ in range(2):
        await slow.write(slowly)
        await slow_queries.keep(slow)

    (row,) = await slow.read(slow_queries.listed)

    assert row.count == 2
    assert row.updated_at > row.created_at


async def test_what_sqlalchemy_asks_is_timed_with_what_is_fetched(slow: Database):
    def ask(c: Connection) -> int:
        return len(c.execute(text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i FROM n")).all())

    assert await slow.read(ask) == await slow.write(ask) == 60_000
    await slow_queries.keep(slow)

    (row,) = await slow.read(slow_queries.listed)
    assert row.count == 2


async def test_a_quick_statement_is_not_kept(db: Database):
    await db.read(lambda c: raw_sql.value(c, "SELECT count(*) FROM tasks"))
    await slow_queries.keep(db)

    assert await db.read(slow_queries.listed) == []


async def test_no_values_are_kept(slow: Database):
    def ask(c: Connection) -> Any:
        return raw_sql.value(c, f"{LONG.format(60_000)} WHERE name = ?", ("secret",)) or slowly(c)

    await slow.read(ask)
    await slow_queries.keep(slow)

    assert all("secret" not in f"{row.statement}{row.plan}" for row in await slow.read(slow_queries.listed))
    assert await slow.read(slow_queries.listed) != []


async def test_nothing_is_written_where_nothing_is_new(db: Database):
    def changes(c: Connection) -> int:
        return c.connection.driver_connection.total_changes  # type: ignore[union-attr]

    while db.slow.fresh:
        await slow_queries.keep(db)
    before = await db.write(changes)
    assert await slow_queries.keep(db) == {}

    assert await db.write(changes) == before


async def test_indexes_that_statements_use_are_noted(db: Database):
    await db.read(lambda c: raw_sql.rows(c, "SELECT 1 FROM tasks WHERE name = ?", ("a",)))
    await db.read(lambda c: raw_sql.rows(c, "SELECT 2 FROM tasks WHERE name = ?", ("b",)))
    await db.read(lambda c: raw_sql.rows(c, "SELECT 2 FROM tasks WHERE name = ?", ("c",)))
    await slow_queries.keep(db)

    used, since = await db.read(slow_queries.used)

    assert used["idx_tasks_name"] == 2
    assert since is not None and since <= timestamps.now()
    assert "idx_tasks_type" not in used


def test_the_slowest_of_many_stay_in_memory():
    log = SlowLog()
    for at in range(statement_timer.MOST + 50):
        log.add("ls", f"SELECT a{chr(97 + at % 26)}{'b' * at} FROM t", 0, 1.0 + at)
    log.add("ls", "SELECT quick FROM t", 0, 0.1)

    slow, _ = log.take(0)

    assert len(slow) == statement_timer.MOST
    assert min(one.worst for one in slow) == 51.0


async def test_the_slowest_of_many_stay_in_the_database(db: Database):
    def found(base: int) -> slow_queries.Found:
        some = [Slow(f"SELECT {base + at}", "ls", "", 0, 1.0, base + at, 1.0, 1, timestamps.now()) for at in range(150)]
        return slow_queries.Found([(one, None) for one in some], {})

    await db.write(slow_queries.store, found(0))
    await db.write(slow_queries.store, found(150))

    rows = await db.read(slow_queries.listed)
    assert [row.worst for row in rows] == [float(worst) for worst in range(299, 99, -1)]


async def test_what_cannot_be_written_is_kept_until_it_can(slow: Database, monkeypatch: pytest.MonkeyPatch):
    await slow.write(slowly)

    def refuse(c: Connection, found: slow_queries.Found) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(slow_queries, "store", refuse)
        with pytest.raises(Exception, match="full"):
            await slow_queries.keep(slow)
    await slow_queries.keep(slow)

    assert [row.count for row in await slow.read(slow_queries.listed)] == [1]
    assert await slow.read(slow_queries.slow_in_hour, timestamps.utcnow().timestamp()) == 1


async def test_what_was_slow_in_the_last_hour_is_kept_by_the_minute(slow: Database):
    hour_ago = timestamps.from_unix(timestamps.utcnow().timestamp() - slow_queries.HOUR - 120)[: statement_timer.MINUTE]
    old = "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, 9, '', '')"
    for name in (slow_queries.SLOW, slow_queries.WAIT):
        await slow.write(lambda c, name=name: raw_sql.run(c, old, (name + hour_ago,)))
    for many in (1, 2):
        for _ in range(many):
            await slow.write(slowly)
        slow.slow.add("dispatcher", "BEGIN IMMEDIATE", 0, 0.25 / many)
        await slow_queries.keep(slow)

    now = timestamps.utcnow().timestamp()
    names = await slow.read(lambda c: raw_sql.column(c, "SELECT name FROM counters WHERE value = 9"))
    assert await slow.read(slow_queries.slow_in_hour, now) == 3
    assert await slow.read(slow_queries.longest_wait, now) == 0.25
    assert names == []
    assert await slow.read(slow_queries.slow_in_hour, now + slow_queries.HOUR + 120) == 0
    await slow.write(slow_queries.clear)
    assert await slow.read(slow_queries.slow_in_hour, now) == 0
    assert await slow.read(slow_queries.longest_wait, now) == 0.25


async def test_a_statement_that_cannot_be_explained_any_more_is_kept_without_a_plan(slow: Database):
    def ask(c: Connection) -> None:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i FROM n"
        c.exec_driver_sql(f"CREATE TABLE gone AS {numbers}")
        raw_sql.value(c, "SELECT count(*) FROM gone a, (SELECT i FROM gone LIMIT 20) b")
        c.exec_driver_sql("DROP TABLE gone")

    await slow.write(ask)
    await slow_queries.keep(slow)

    rows = [row for row in await slow.read(slow_queries.listed) if "count(*)" in row.statement]
    assert [row.plan for row in rows] == [None]


async def test_a_change_that_waits_for_the_lock_is_counted_and_told(db: Database):
    other = sqlite3.connect(db.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = db.write(lambda c: raw_sql.run(c, "UPDATE queues SET priority = 1"))
    task = asyncio.ensure_future(waiting)
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, other.execute, "ROLLBACK")
    await task
    other.close()

    assert db.slow.waits.count == 1
    assert 0.01 < db.slow.waits.worst < 5
    assert slow_queries.problems(db.slow, 0) == {}


def test_a_long_wait_for_the_lock_and_a_large_log_are_alerts_for_a_while():
    log = SlowLog()
    log.add("dispatcher", "BEGIN IMMEDIATE", 0, 1.5)
    assert slow_queries.problems(log, 0) == {"lock-wait": "a change waited 1.5 s for the database, which another program held"}
    assert log.waits.long is not None

    log.waits.long = (log.waits.long[0] - slow_queries.CALM, 1.5)
    assert list(slow_queries.problems(log, slow_queries.LARGE + 1)) == ["wal-size"]
    assert slow_queries.problems(log, slow_queries.LARGE) == {}


async def test_the_size_of_the_log_is_that_of_its_file(db: Database, tmp_path: Path):
    await db.write(lambda c: c.execute(schema.queues.update().values(priority=3)))

    assert slow_queries.wal_bytes(db.path) > 4096
    assert slow_queries.wal_bytes(tmp_path / "none.db") == 0


def test_a_quick_statement_pays_a_microsecond_or_two():
    plain = sqlite3.connect(":memory:")
    ours = sqlite3.connect(":memory:", factory=Seat(SlowLog()).connection)  # type: ignore[arg-type]

    extra = _cost(ours) - _cost(plain)

    assert extra < 10e-6
    plain.close()
    ours.close()


def _cost(c: sqlite3.Connection, many: int = 5000) -> float:
    """Seconds of a statement, the best of three."""
    took = []
    for _ in range(3):
        began = perf_counter()
        for _ in range(many):
            c.execute("SELECT ?", (1,)).fetchall()
        took.append((perf_counter() - began) / many)
    return min(took)
