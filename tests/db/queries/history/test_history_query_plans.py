"""Query plans of history and past boards: indexes only, however many tasks exist."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from db import timestamps
from db.queries.history import rollups, state_at

MINUTE = int(time.time()) // 60
BIG_TABLES = "tasks|instances|events|samples|history|alerts|operations"


@pytest.fixture
def recorded_statements(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Record the statements executed on the connection."""
    seen: list[tuple[str, Any]] = []
    original = rollups.raw_sql.execute_on_driver

    def remember(driver: Any, statement: str, given: Any, many: bool = False) -> Any:
        seen.append((statement, given))
        return original(driver, statement, given, many)

    rollups.raw_sql.execute_on_driver = remember
    event.listen(
        connection,
        "before_cursor_execute",
        lambda c, cursor, sql, given, context, many: seen.append((sql, given)),
    )
    yield seen
    rollups.raw_sql.execute_on_driver = original


def find_scans(c: Connection, statements: list[tuple[str, Any]]) -> list[str]:
    """Return plan steps that scan a big table or a whole index.

    The index of open alerts is exempt, because it holds nothing else.
    """
    found = []
    for statement, given in statements:
        if statement.split()[0] not in ("SELECT", "DELETE", "WITH"):
            continue
        plan = c.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}", given if isinstance(given, dict) else tuple(given)
        )
        found += [
            f"{row[3]}: {' '.join(statement.split())}"
            for row in plan
            if re.search(rf"^SCAN ({BIG_TABLES}|[aeits])\b", row[3])
        ]
    return [plan for plan in found if "idx_alerts_open" not in plan]


def test_history_is_read_and_counted_by_indexes(
    connection: Connection, recorded_statements: list[tuple[str, Any]]
):
    rollups.count_started(connection, MINUTE - 15, MINUTE)
    rollups.count_ended(connection, MINUTE - 15, MINUTE)
    rollups.find_counted_until(connection)
    rollups.find_next_run(connection, MINUTE)
    rollups.read_rollups(connection, 120, MINUTE - 10080, MINUTE, {"queue": "gpu"}, ("waits",))
    rollups.delete_rollups(connection, 1, 0, MINUTE)
    rollups.list_sampled_minutes(connection, MINUTE - 10080)
    rollups.read_pool_levels(connection, ["default"], range(MINUTE - 10080, MINUTE, 120))
    rollups.read_queue_levels(connection, ["default"], range(MINUTE - 10080, MINUTE, 120))

    assert len(recorded_statements) >= 9
    assert find_scans(connection, list(recorded_statements)) == []


def test_a_past_minute_is_read_by_indexes(
    connection: Connection, recorded_statements: list[tuple[str, Any]]
):
    now = timestamps.now()
    state_at.find_bounds(connection)
    state_at.find_neighbours(connection, now)
    state_at.list_samples(connection, now, now)
    state_at.list_running(connection, now, now, 10)
    state_at.list_waiting(connection, now, ["default"], 10)
    state_at.map_states(connection, ["a"], now)
    state_at.list_ended(connection, ("failed", "lost"), now, now, 10)
    state_at.count_ended_between(connection, ("failed", "lost"), now, now)
    state_at.list_rerun(connection, now, now)
    state_at.map_last_runs(connection, ["a"], now)
    state_at.list_alerts(connection, now, 10)
    state_at.list_definition_changes(connection, now)

    assert len(recorded_statements) >= 14
    assert find_scans(connection, list(recorded_statements)) == []


def test_only_long_runs_are_in_the_index_of_long_runs(connection: Connection):
    found = (
        "SELECT runid FROM instances WHERE run_seconds > 300 AND end_time > ? AND start_time <= ?"
    )
    (plan,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {found}", ("a", "b")).all()

    assert "idx_instances_long (end_time>?)" in plan[3]
