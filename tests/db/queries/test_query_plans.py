"""Query plans at 100,000 queued tasks: no statement of dispatcher, board or views scans a table."""

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

from app.core.ids import make_uuid7
from app.runtime.dispatch.dispatcher import Dispatcher, KeeperEvents
from app.runtime.duties import periodic
from app.service import board
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes import actions
from app.service.tasks.inspection import detail, views
from db import raw_sql, timestamps
from db.engine import Database, create_write_engine
from db.queries import reads
from db.queries.history import usage
from db.queries.scheduling import dispatch
from db.queries.tasks import run_outputs, transitions
from tests.db import bulk_data

MAX_STEPS = 20_000
"""SQLite virtual machine steps, about half a millisecond; a few rows stay below."""
WANTED_INDEXES = (
    *("idx_alerts_open", "idx_tasks_next", "idx_groups_limited"),
    *("idx_instances_copies", "idx_instances_error_copies"),
)
"""Partial indexes of which every entry is wanted."""
SMALL_TABLES = {
    "resources",
    "limits",
    "bookings",
    "up",  # the ancestors of a page of tasks
    "backups",
    "replicas",
    "queues",
    "q",
    "pools",
    "p",
    "slas",
    "json_each",
    "open_alerts",
    "lately",
    "silences",
}
LIMITED_CLAUSES = (
    "ORDER BY operations.id DESC",
    "ORDER BY tasks.number DESC",
    "ORDER BY instances.runid DESC",
    "SELECT 1 FROM groups LIMIT 1",
)
"""Clauses that walk along an index and stop at their limit."""
COUNTING_STATEMENTS = (
    "SELECT status, count(*) FROM tasks",
    (
        "SELECT key, (SELECT count(*) FROM tasks WHERE queue = ? AND status = 'queued' AND front ="
        " ? AND priority = ? AND number >="
    ),
    "SELECT front, priority, count(*) FROM tasks",
    "SELECT count(*) AS count_1",
    "SELECT (SELECT count(*) FROM tasks WHERE queue = :queue AND status = 'queued' AND front ",
)
"""Statements that count index entries: ended today, positions deep in a queue."""


@dataclass(frozen=True)
class RecordedStatement:
    """An executed statement with its plan.

    `steps` counts the virtual machine steps of one more execution; 0 for writes.
    """

    sql: str
    plan: tuple[str, ...]
    steps: int

    def __str__(self) -> str:
        return "\n  ".join((" ".join(self.sql.split()), *self.plan, f"{self.steps} steps"))


class StatementRecorder:
    """Records the statements of a connection with the parameters of the first execution."""

    def __init__(self, c: Connection) -> None:
        self.c, self.seen = c, dict[str, Any]()
        event.listen(c, "before_cursor_execute", self._remember)
        self._execute = raw_sql.execute_on_driver
        raw_sql.execute_on_driver = self._execute_raw

    def close(self) -> None:
        raw_sql.execute_on_driver = self._execute

    def _execute_raw(
        self, driver: Any, statement: str, given: Any, many: bool = False
    ) -> sqlite3.Cursor:
        self._remember(None, None, statement, given, None, many)
        return self._execute(driver, statement, given, many)

    def _remember(
        self, c: Any, cursor: Any, sql: str, given: Any, context: Any, many: bool
    ) -> None:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"):
            self.seen.setdefault(sql, given[0] if many else given)

    def list_statements(self) -> list[RecordedStatement]:
        driver: Any = self.c.connection.driver_connection
        return [self._make_statement(driver, sql, given) for sql, given in self.seen.items()]

    def _make_statement(
        self, driver: sqlite3.Connection, sql: str, given: Any
    ) -> RecordedStatement:
        plan = tuple(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", given))
        return RecordedStatement(
            sql, plan, _count_steps(driver, sql, given) if sql.split()[0] == "SELECT" else 0
        )


def _count_steps(driver: sqlite3.Connection, sql: str, given: Any) -> int:
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 100

    driver.set_progress_handler(count, 100)
    driver.execute(sql, given).fetchall()
    driver.set_progress_handler(None, 0)
    return counted


@pytest.fixture(scope="module")
def large_path(fresh_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copy(fresh_database, tmp_path_factory.mktemp("large") / "taskdeck.db"))
    bulk_data.fill_database(path)
    return path


@pytest.fixture
def recorder(large_path: Path) -> Iterator[StatementRecorder]:
    """Record one transaction, which is rolled back."""
    engine = create_write_engine(large_path)
    with engine.connect() as c:
        transaction = c.begin()
        recorder = StatementRecorder(c)
        yield recorder
        recorder.close()
        transaction.rollback()
    engine.dispose()


def run_rounds(c: Connection, home: Path) -> None:
    """Run dispatcher rounds that contain every kind of event."""
    dispatcher = Dispatcher(Database(home / "none", None, None), home)  # type: ignore[arg-type]
    runs = [row.runid for row in dispatcher._decide(c, KeeperEvents()).claimed]
    assert len(runs) >= 2
    c.exec_driver_sql(
        "UPDATE tasks SET retries = 1 WHERE uuid IN (SELECT task_id FROM instances WHERE runid"
        " = ?)",
        (runs[0],),
    )
    first, second, *rest = runs
    started = [{"run": run, "pid": 1, "ticks": 1, "at": time.time()} for run in (first, second)]
    ended = [{"run": first, "code": 1, "at": time.time()}]
    known, strange = (
        {"is": "started", "run": run, "pid": 1, "ticks": 1, "at": time.time()}
        for run in (second, make_uuid7())
    )
    news = KeeperEvents(
        started=started, ended=ended, overdue=[second], refused=rest, hello={"runs": [known]}
    )
    assert dispatcher._decide(c, news).claimed
    dispatcher._decide(c, KeeperEvents(hello={"runs": [known, strange]}))


def read_views(c: Connection, home: Path) -> None:
    """Run the reads of the deck and of the reading commands."""
    call = Call(Database(home / "none", None, None), "ann", home)  # type: ignore[arg-type]
    assert len(board.read_board(c, call).ended) == 2 * board.SHOWN_ENDED
    board.read_database_status(c, call)
    for wanted in (
        {},
        {"status": "queued", "queue": "gpu"},
        {"status": "failed"},
        {"name": "work 7"},
    ):
        assert views._ls(c, call, lookup.to_list_arguments(wanted), 50, not wanted)["tasks"]
    last, over = bulk_data.QUEUED + bulk_data.ENDED, 7
    views.build_task(c, last), views.build_task(c, over)
    views.explain_tasks(c, call, [last, over])
    detail.build_detail(c, call, last), detail.build_detail(c, call, over)
    views._group_reasons(c, call, [])
    views.build_logs(c, call, over, None)
    reads.list_runs(c, limit=50)
    run_outputs.list_copies(c)


def run_actions(c: Connection, home: Path) -> None:
    """Run what people do to tasks."""
    waiting, over = "60000", "10"
    for verb in (transitions.cancel, transitions.pause, transitions.resume, transitions.retry):
        verb(c, [lookup.find_task(c, number).uuid for number in (waiting, over)], "ann")
    transitions.hold(c, [lookup.find_task(c, 60001).uuid], True, "ann")
    transitions.hold(c, [lookup.find_task(c, 60001).uuid], False, "ann")


def run_periodic_jobs(c: Connection, home: Path) -> None:
    """Run periodic jobs."""
    dispatch.map_run_limits(c)
    reads.list_measurable(c)
    periodic._take_sample(c, {}, {})
    periodic._repair_loads(c)


@pytest.mark.parametrize("does", [run_rounds, read_views, run_actions, run_periodic_jobs])
def test_no_statement_scans_a_large_table(
    recorder: StatementRecorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    walks = [
        statement
        for statement in recorder.list_statements()
        for line in statement.plan
        if _scans_large_table(statement, line)
    ]

    assert walks == [], "\n".join(map(str, walks))


def _scans_large_table(statement: RecordedStatement, line: str) -> bool:
    found = re.match(r"SCAN (\w+)", line)
    if not found or found[1] in SMALL_TABLES or found[1] == "CONSTANT":
        return False
    if any(index in line for index in WANTED_INDEXES):
        return False
    return not ("LIMIT" in statement.sql and any(mark in statement.sql for mark in LIMITED_CLAUSES))


@pytest.mark.parametrize("does", [run_rounds, read_views, run_actions, run_periodic_jobs])
def test_every_statement_reads_a_handful_of_rows(
    recorder: StatementRecorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    long = [
        statement
        for statement in recorder.list_statements()
        if statement.steps > MAX_STEPS and not statement.sql.startswith(COUNTING_STATEMENTS)
    ]

    assert long == [], "\n".join(map(str, long))


def test_nothing_is_sorted_that_an_index_could_sort(recorder: StatementRecorder, home: Path):
    run_rounds(recorder.c, home)
    read_views(recorder.c, home)

    sorted_ = [
        s
        for s in recorder.list_statements()
        if any("TEMP B-TREE" in line for line in s.plan) and s.steps > MAX_STEPS
    ]

    assert sorted_ == [], "\n".join(map(str, sorted_))


def test_usage_reads_a_page_of_runs_by_their_end(
    recorder: StatementRecorder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(usage, "PAGE", 100)
    now, since = timestamps.now(), timestamps.from_unix(0)

    *_, following = usage.sum_ended(recorder.c, "tag", "env", since, now, since)
    usage.sum_active(recorder.c, "tag", "env", since, now)

    assert following is not None
    statements = recorder.list_statements()
    assert all(one.steps < 2 * MAX_STEPS for one in statements)
    lines = [line for one in statements for line in one.plan]
    assert [line for line in lines if line.startswith("SCAN") and "VIRTUAL" not in line] == []


@pytest.mark.parametrize("does", [run_rounds, run_actions])
def test_guarded_updates_find_rows_by_key_not_by_status(
    recorder: StatementRecorder, home: Path, does: Callable[[Connection, Path], None]
):
    does(recorder.c, home)

    guarded = [
        s
        for s in recorder.list_statements()
        if re.match(r"\s*UPDATE (tasks|instances)", s.sql) or "+status IN" in s.sql
    ]
    by_status = [
        s
        for s in guarded
        if any(re.search(r"idx_(tasks|instances)_status", line) for line in s.plan)
    ]

    assert len(guarded) > 3
    assert by_status == [], "\n".join(map(str, by_status))


def test_the_dispatcher_reads_queues_in_order_from_the_index(
    recorder: StatementRecorder, home: Path
):
    run_rounds(recorder.c, home)

    (window,) = [s for s in recorder.list_statements() if s.sql == dispatch.QUEUED_OF_EACH]

    assert [line.strip() for line in window.plan] == [
        "SCAN q VIRTUAL TABLE INDEX 1:",
        "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)",
        "CORRELATED LIST SUBQUERY 1",
        "SEARCH tasks USING COVERING INDEX idx_tasks_next (queue=?)",
    ]


def test_ten_thousand_scheduled_tasks_do_not_slow_a_round(recorder: StatementRecorder, home: Path):
    recorder.c.exec_driver_sql(
        "UPDATE tasks SET status = 'scheduled', not_before = '2099-01-01T00:00:00.000000Z' WHERE"
        " number > ? AND number <= ?",
        (50_000, 60_000),
    )
    run_rounds(recorder.c, home)

    assert [
        s
        for s in recorder.list_statements()
        if s.steps > MAX_STEPS and not s.sql.startswith("UPDATE")
    ] == []


def test_the_first_due_task_among_ten_thousand_is_found_by_time(recorder: StatementRecorder):
    far = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', (200000 - number) || ' minutes')"
    for status, due, first in (
        ("scheduled", "not_before", 50_000),
        ("retrying", "retry_at", 60_000),
    ):
        some = f"number > {first} AND number <= {first + 10_000}"
        recorder.c.exec_driver_sql(
            f"UPDATE tasks SET status = '{status}', {due} = {far} WHERE {some}"
        )

    found = reads.list_not_queued(recorder.c, 2)

    assert {status.value: [row.number for row in rows] for status, rows in found.items()} == {
        "retrying": [70_000, 69_999], "blocked": [], "scheduled": [60_000, 59_999], "held": [],
    }  # fmt: skip
    assert [s for s in recorder.list_statements() if s.steps > MAX_STEPS] == []


def test_a_round_reads_only_its_windows(recorder: StatementRecorder, home: Path):
    run_rounds(recorder.c, home)

    assert sum(statement.steps for statement in recorder.list_statements()) < 5 * MAX_STEPS


def test_moving_to_the_front_reads_only_the_greatest_place(recorder: StatementRecorder, home: Path):
    call = Call(Database(home / "none", None, None), "ann", home)  # type: ignore[arg-type]

    async def write(fn: Any, *args: Any) -> Any:
        return fn(recorder.c, *args)

    call.db.write = write  # type: ignore[method-assign]
    with pytest.raises(StopIteration):
        actions.front(call, ids=["60000"]).send(None)
    told = {s.sql: s for s in recorder.list_statements() if "max(front)" in s.sql}

    assert [s.steps <= MAX_STEPS for s in told.values()] == [True]


def test_deep_queue_positions_cost_the_same_singly_and_together(recorder: StatementRecorder):
    rows = [lookup.find_task(recorder.c, number) for number in (100_001, 100_005, 119_997)]
    assert len({row.queue for row in rows}) == 1

    together = reads.count_before_each(
        recorder.c, rows[0].queue, rows, reads.read_counters(recorder.c)[rows[0].queue, "queued"]
    )

    assert together == {row.number: reads.count_before(recorder.c, row) for row in rows}


def test_the_default_list_counts_only_its_rows(recorder: StatementRecorder):
    since = timestamps.from_unix(time.time() - 600)
    listed = (
        "SELECT count(*) FROM tasks WHERE deleted_at IS NULL AND (ended_at IS NULL OR ended_at"
        " >= ?)"
    )

    assert (
        reads.count_tasks(recorder.c, recent=since)
        == recorder.c.exec_driver_sql(listed, (since,)).scalar_one()
    )


def test_tasks_of_one_state_are_listed_newest_first_from_the_index(recorder: StatementRecorder):
    newest = reads.list_tasks(recorder.c, statuses=["queued"], limit=3)

    assert [row.number for row in newest] == [120_000, 119_999, 119_998]
    assert all(statement.steps < MAX_STEPS for statement in recorder.list_statements())
