"""However many tasks there are, history and the board as of a minute go by indexes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from db import timestamps
from db.queries import rollups, state_at

MINUTE = int(time.time()) // 60
BIG = "tasks|instances|events|samples|history|alerts|operations"


@pytest.fixture
def statements(c: Connection) -> Iterator[list[tuple[str, Any]]]:
    """What is executed on a connection."""
    seen: list[tuple[str, Any]] = []
    original = rollups.sql.execute

    def remember(driver: Any, statement: str, given: Any, many: bool = False) -> Any:
        seen.append((statement, given))
        return original(driver, statement, given, many)

    rollups.sql.execute = remember
    event.listen(c, "before_cursor_execute", lambda c, cursor, sql, given, context, many: seen.append((sql, given)))
    yield seen
    rollups.sql.execute = original


def walked(c: Connection, statements: list[tuple[str, Any]]) -> list[str]:
    """The plans that walk through a table, or along a whole index; that of the open alerts has no others in it."""
    found = []
    for statement, given in statements:
        if statement.split()[0] not in ("SELECT", "DELETE", "WITH"):
            continue
        plan = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given if isinstance(given, dict) else tuple(given))
        found += [f"{row[3]}: {' '.join(statement.split())}" for row in plan if re.search(rf"^SCAN ({BIG}|[aeits])\b", row[3])]
    return [plan for plan in found if "idx_alerts_open" not in plan]


def test_history_is_read_and_counted_by_indexes(c: Connection, statements: list[tuple[str, Any]]):
    rollups.began(c, MINUTE - 15, MINUTE)
    rollups.ended(c, MINUTE - 15, MINUTE)
    rollups.counted_until(c)
    rollups.next_run(c, MINUTE)
    rollups.kept(c, 120, MINUTE - 10080, MINUTE, {"queue": "gpu"}, ("waits",))
    rollups.drop(c, 1, 0, MINUTE)
    rollups.sampled(c, MINUTE - 10080)
    rollups.pool_levels(c, ["default"], range(MINUTE - 10080, MINUTE, 120))
    rollups.queue_levels(c, ["default"], range(MINUTE - 10080, MINUTE, 120))

    assert len(statements) >= 9
    assert walked(c, list(statements)) == []


def test_a_minute_that_is_over_is_read_by_indexes(c: Connection, statements: list[tuple[str, Any]]):
    now = timestamps.now()
    state_at.bounds(c)
    state_at.around(c, now)
    state_at.samples(c, now, now)
    state_at.running(c, now, now, 10)
    state_at.waiting(c, now, ["default"], 10)
    state_at.states(c, ["a"], now)
    state_at.ended(c, ("failed", "lost"), now, now, 10)
    state_at.ended_between(c, ("failed", "lost"), now, now)
    state_at.ended_and_again(c, now, now)
    state_at.last_runs(c, ["a"], now)
    state_at.alerts(c, now, 10)
    state_at.changes(c, now)

    assert len(statements) >= 14
    assert walked(c, list(statements)) == []


def test_only_runs_that_took_long_are_in_their_index(c: Connection):
    found = "SELECT runid FROM instances WHERE run_seconds > 300 AND end_time > ? AND start_time <= ?"
    (plan,) = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {found}", ("a", "b")).all()

    assert "idx_instances_long (end_time>?)" in plan[3]
