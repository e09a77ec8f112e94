"""At 100,000 queued tasks no statement of the dispatcher, the board or the views walks through a table."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from app.core.ids import uuid7
from app.runtime import periodic
from app.runtime.dispatcher import Dispatcher, News
from app.service import board
from app.service.context import Call
from app.service.tasks import actions, detail, lookup, views
from db import raw_sql, timestamps
from db.engine import Database, write_engine
from db.queries import dispatch, reads, transitions
from tests.db import bulk_data

FEW = 20_000
"""Steps of SQLite's machine, about half a millisecond: what a statement over a handful of rows stays below."""
SMALL = {"backups", "replicas", "queues", "q", "pools", "p", "slas", "json_each", "open_alerts", "lately", "silences"}
LIMITED = ("ORDER BY operations.id DESC", "ORDER BY tasks.number DESC", "ORDER BY instances.runid DESC")
"""Statements that walk along an index and stop at their limit."""
COUNTING = (
    "SELECT status, count(*) FROM tasks",
    "SELECT key, (SELECT count(*) FROM tasks WHERE queue = ? AND status = 'queued' AND front = ? AND priority = ? AND number >=",
    "SELECT front, priority, count(*) FROM tasks",
    "SELECT count(*) AS count_1",
    "SELECT (SELECT count(*) FROM tasks WHERE queue = :queue AND status = 'queued' AND front ",
)
"""Statements that count entries of an index: what ended today, the places of tasks far down in a queue."""


@dataclass(frozen=True)
class Statement:
    """One that was executed; `steps` of SQLite's machine it takes once more (0 when it writes)."""

    sql: str
    plan: tuple[str, ...]
    steps: int

    def __str__(self) -> str:
        return "\n  ".join((" ".join(self.sql.split()), *self.plan, f"{self.steps} steps"))


class Recorder:
    """Remembers the statements of a connection, each with the parameters of its first execution."""

    def __init__(self, c: Connection) -> None:
        self.c, self.seen = c, dict[str, Any]()
        event.listen(c, "before_cursor_execute", self._remember)
        self._execute = raw_sql.execute
        raw_sql.execute = self._plain

    def close(self) -> None:
        raw_sql.execute = self._execute

    def _plain(self, driver: Any, statement: str, given: Any, many: bool = False) -> sqlite3.Cursor:
        self._remember(None, None, statement, given, None, many)
        return self._execute(driver, statement, given, many)

    def _remember(self, c: Any, cursor: Any, sql: str, given: Any, context: Any, many: bool) -> None:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"):
            self.seen.setdefault(sql, given[0] if many else given)

    def statements(self) -> list[Statement]:
        driver: Any = self.c.connection.driver_connection
        return [self._statement(driver, sql, given) for sql, given in self.seen.items()]

    def _statement(self, driver: sqlite3.Connection, sql: str, given: Any) -> Statement:
        plan = tuple(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", given))
        return Statement(sql, plan, _steps(driver, sql, given) if sql.split()[0] == "SELECT" else 0)


def _steps(driver: sqlite3.Connection, sql: str, given: Any) -> int:
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 100

    driver.set_progress_handler(count, 100)
    driver.execute(sql, given).fetchall()
    driver.set_progress_handler(None, 0)
    return counted


@pytest.fixture(scope="module")
def full(fresh_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 120,000 tasks."""
    path = Path(shutil.copy(fresh_database, tmp_path_factory.mktemp("large") / "taskdeck.db"))
    bulk_data.fill(path)
    return path


@pytest.fixture
def recorder(full: Path) -> Iterator[Recorder]:
    """Records one transaction on it, which is rolled back."""
    engine = write_engine(full)
    with engine.connect() as c:
        transaction = c.begin()
        recorder = Recorder(c)
        yield recorder
        recorder.close()
        transaction.rollback()
    engine.dispose()


def rounds(c: Connection, home: Path) -> None:
    """Rounds of the dispatcher in which everything happens."""
    dispatcher = Dispatcher(Database(home / "none", None, None), home)  # type: ignore[arg-type]
    runs = [row.runid for row in dispatcher._decide(c, News()).launches]
    assert len(runs) >= 2
    c.exec_driver_sql(
        "UPDATE tasks SET retries = 1 WHERE uuid IN (SELECT task_id FROM instances WHERE runid = ?)", (runs[0],)
    )
    first, second, *rest = runs
    started = [{"run": run, "pid": 1, "ticks": 1, "at": time.time()} for run in (first, second)]
    ended = [{"run": first, "code": 1, "at": time.time()}]
    known, strange = ({"is": "started", "run": run, "pid": 1, "ticks": 1, "at": time.time()} for run in (second, uuid7()))
    news = News(started=started, ended=ended, overdue=[second], refused=rest, hello={"runs": [known]})
    assert dispatcher._decide(c, news).launches
    dispatcher._decide(c, News(hello={"runs": [known, strange]}))


def look(c: Connection, home: Path) -> None:
    """What the deck and the reading commands ask."""
    call = Call(Database(home / "none", None, None), "ann", home)  # type: ignore[arg-type]
    assert len(board.read(c, call).ended) == 2 * board.SHOWN_ENDED
    board.read_status(c, call)
    for wanted in ({}, {"status": "queued", "queue": "gpu"}, {"status": "failed"}, {"name": "work 7"}):
        assert views._ls(c, call, lookup.filters(wanted), 50, not wanted)["tasks"]
    last, over = bulk_data.QUEUED + bulk_data.ENDED, 7
    views.shown(c, last), views.shown(c, over)
    views.explained(c, call, [last, over])
    detail.told(c, call, last), detail.told(c, call, over)
    views._groups(c, call, [])
    views.logged(c, call, over, None)
    reads.instances(c, limit=50)


def act(c: Connection, home: Path) -> None:
    """What people do to tasks."""
    waiting, over = "60000", "10"
    for verb in (transitions.cancel, transitions.pause, transitions.resume, transitions.retry):
        verb(c, [lookup.task(c, number).uuid for number in (waiting, over)], "ann")
    transitions.hold(c, [lookup.task(c, 60001).uuid], True, "ann")
    transitions.hold(c, [lookup.task(c, 60001).uuid], False, "ann")


def duty(c: Connection, home: Path) -> None:
    """What the clock does."""
    dispatch.limited(c)
    periodic._measurable(c)
    periodic._sample(c, {}, {})
    periodic._repair(c)


@pytest.mark.parametrize("does", [rounds, look, act, duty])
def test_no_statement_walks_through_a_large_table(
    recorder: Recorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    walks = [statement for statement in recorder.statements() for line in statement.plan if _walks(statement, line)]

    assert walks == [], "\n".join(map(str, walks))


def _walks(statement: Statement, line: str) -> bool:
    found = re.match(r"SCAN (\w+)", line)
    if not found or found[1] in SMALL or found[1] == "CONSTANT":
        return False
    if "idx_alerts_open" in line or "idx_tasks_next" in line:
        return False  # all entries of a partial index are what is asked for
    return not ("LIMIT" in statement.sql and any(mark in statement.sql for mark in LIMITED))


@pytest.mark.parametrize("does", [rounds, look, act, duty])
def test_every_statement_looks_at_a_handful_of_rows(
    recorder: Recorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    long = [
        statement
        for statement in recorder.statements()
        if statement.steps > FEW and not statement.sql.startswith(COUNTING)
    ]

    assert long == [], "\n".join(map(str, long))


def test_nothing_is_sorted_that_an_index_could_have_sorted(recorder: Recorder, home: Path):
    rounds(recorder.c, home)
    look(recorder.c, home)

    sorted_ = [s for s in recorder.statements() if any("TEMP B-TREE" in line for line in s.plan) and s.steps > FEW]

    assert sorted_ == [], "\n".join(map(str, sorted_))


@pytest.mark.parametrize("does", [rounds, act])
def test_guarded_updates_find_their_rows_by_key_and_never_by_status(
    recorder: Recorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    guarded = [
        s for s in recorder.statements() if re.match(r"\s*UPDATE (tasks|instances)", s.sql) or "+status IN" in s.sql
    ]
    by_status = [s for s in guarded if any(re.search(r"idx_(tasks|instances)_status", line) for line in s.plan)]

    assert len(guarded) > 3
    assert by_status == [], "\n".join(map(str, by_status))


def test_the_dispatcher_reads_a_queue_in_its_order_from_the_index(recorder: Recorder, home: Path):
    rounds(recorder.c, home)

    (window,) = [s for s in recorder.statements() if s.sql == dispatch.WINDOW]

    assert window.plan == ("SEARCH tasks USING INDEX idx_tasks_next (queue=?)",)


def test_ten_thousand_scheduled_tasks_do_not_slow_a_round_down(recorder: Recorder, home: Path):
    recorder.c.exec_driver_sql(
        "UPDATE tasks SET status = 'scheduled', not_before = '2099-01-01T00:00:00.000000Z' WHERE number > ? AND number <= ?",
        (50_000, 60_000),
    )
    rounds(recorder.c, home)

    assert [s for s in recorder.statements() if s.steps > FEW and not s.sql.startswith("UPDATE")] == []


def test_what_is_due_first_is_found_by_its_time_among_ten_thousand(recorder: Recorder):
    far = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', (200000 - number) || ' minutes')"
    for status, due, first in (("scheduled", "not_before", 50_000), ("retrying", "retry_at", 60_000)):
        some = f"number > {first} AND number <= {first + 10_000}"
        recorder.c.exec_driver_sql(f"UPDATE tasks SET status = '{status}', {due} = {far} WHERE {some}")

    found = reads.not_queued(recorder.c, 2)

    assert {status.value: [row.number for row in rows] for status, rows in found.items()} == {
        "retrying": [70_000, 69_999], "blocked": [], "scheduled": [60_000, 59_999], "held": [],
    }  # fmt: skip
    assert [s for s in recorder.statements() if s.steps > FEW] == []


def test_a_whole_round_takes_the_work_of_its_windows_only(recorder: Recorder, home: Path):
    rounds(recorder.c, home)

    assert sum(statement.steps for statement in recorder.statements()) < 5 * FEW


def test_moving_to_the_front_asks_for_the_greatest_place_only(recorder: Recorder, home: Path):
    call = Call(Database(home / "none", None, None), "ann", home)  # type: ignore[arg-type]

    async def write(fn: Any, *args: Any) -> Any:
        return fn(recorder.c, *args)

    call.db.write = write  # type: ignore[method-assign]
    with pytest.raises(StopIteration):
        actions.front(call, ids=["60000"]).send(None)
    told = {s.sql: s for s in recorder.statements() if "max(front)" in s.sql}

    assert [s.steps <= FEW for s in told.values()] == [True]


def test_places_far_down_in_a_queue_are_counted_alike_one_by_one_and_together(recorder: Recorder):
    rows = [lookup.task(recorder.c, number) for number in (100_001, 100_005, 119_997)]
    assert len({row.queue for row in rows}) == 1

    together = reads.positions(recorder.c, rows[0].queue, rows, reads.counters(recorder.c)[rows[0].queue, "queued"])

    assert together == {row.number: reads.position(recorder.c, row) for row in rows}


def test_the_default_listing_counts_what_it_would_list(recorder: Recorder):
    since = timestamps.from_unix(time.time() - 600)
    listed = "SELECT count(*) FROM tasks WHERE deleted_at IS NULL AND (ended_at IS NULL OR ended_at >= ?)"

    assert reads.count_tasks(recorder.c, recent=since) == recorder.c.exec_driver_sql(listed, (since,)).scalar_one()


def test_tasks_of_one_state_are_listed_newest_first_from_the_index(recorder: Recorder):
    newest = reads.list_tasks(recorder.c, statuses=["queued"], limit=3)

    assert [row.number for row in newest] == [120_000, 119_999, 119_998]
    assert all(statement.steps < FEW for statement in recorder.statements())
