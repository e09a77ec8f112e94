"""Queries on schedules: due ones, guarded changes, fire times, and their query plans."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from db import schema, timestamps
from db.maintenance import query_plans
from db.queries import definitions, schedules
from db.rows import ScheduleRow
from tests.db.builders import TaskBuilder

HOURS = [f"2026-11-30T{hour:02}:00:00.000000Z" for hour in range(24)]


def add_schedule(c: Connection, name: str = "s", **more: Any) -> ScheduleRow:
    """Insert a schedule and return its row."""
    values = {
        "kind": "cron", "expression": "0 * * * *", "zone": "UTC", "start": HOURS[0],
        "task": {"argv": ["true"]}, "context": {"cwd": "/", "umask": 18, "env": {}},
        "exclude": [], "next_fire": HOURS[1], "due_at": HOURS[1],
    } | more  # fmt: skip
    definitions.create(c, schema.schedules, name, values, "ann")
    found = schedules.find(c, name)
    assert found is not None
    return found


def record_task(c: Connection, builder: TaskBuilder, hour: int, code: int | None = None) -> str:
    """Record a fire time with a task, which ends with `code` unless that is None."""
    uuid = builder.submit_task()
    schedules.record_fires(c, "s", [(HOURS[hour], "submitted", None, uuid)])
    if code is not None:
        builder.complete_run(uuid, code)
    return uuid


def test_schedules_that_are_due_come_earliest_first(connection: Connection):
    add_schedule(connection, "late", due_at=HOURS[3])
    add_schedule(connection, "early", due_at=HOURS[2])
    add_schedule(connection, "ahead", due_at=HOURS[9])
    add_schedule(connection, "never", due_at=None, next_fire=None)

    assert [row.name for row in schedules.list_due(connection, HOURS[3], 9)] == ["early", "late"]
    assert [row.name for row in schedules.list_due(connection, HOURS[3], 1)] == ["early"]
    assert schedules.find_next_due(connection) == HOURS[2]
    coming = schedules.list_upcoming(connection, 2)
    assert [row.name for row in coming] == ["early", "late"]


def test_the_next_fire_moves_only_from_the_row_that_was_read(connection: Connection):
    row = add_schedule(connection)

    assert schedules.move_next(connection, row, HOURS[2], HOURS[2], last_success=HOURS[1])
    assert not schedules.move_next(connection, row, HOURS[3], HOURS[3])

    found = schedules.find(connection, "s")
    assert found and (found.next_fire, found.last_success) == (HOURS[2], HOURS[1])


def test_a_change_without_a_time_of_change_counts_too(connection: Connection):
    row = add_schedule(connection)
    connection.exec_driver_sql("UPDATE schedules SET description = 'x'")

    assert not schedules.move_next(connection, row, HOURS[2], HOURS[2])


def test_a_submitted_fire_time_is_never_overwritten(connection: Connection, builder: TaskBuilder):
    add_schedule(connection)
    uuid = record_task(connection, builder, 1)
    schedules.record_fires(connection, "s", [(HOURS[2], "missed", "Down.", None)])

    schedules.record_fires(connection, "s", [(HOURS[1], "missed", "Down.", None)])
    schedules.record_fires(connection, "s", [(HOURS[2], "submitted", None, uuid)])

    (second, first) = schedules.list_fires(connection, ["s"], 9)["s"]
    assert (first.outcome, first.task_id, first.number) == ("submitted", uuid, 1)
    assert (second.outcome, second.reason) == ("submitted", None)


def test_fires_are_listed_by_schedule_newest_first(connection: Connection):
    for name in ("s", "t"):
        add_schedule(connection, name)
        rows = [(at, "missed", None, None) for at in HOURS[:5]]
        schedules.record_fires(connection, name, rows)

    found = schedules.list_fires(connection, ["s", "t", "gone"], 2)

    assert {name: [fire.fire_time for fire in fires] for name, fires in found.items()} == {
        "s": [HOURS[4], HOURS[3]],
        "t": [HOURS[4], HOURS[3]],
        "gone": [],
    }


def test_handled_and_submitted_times_of_a_range_are_found(
    connection: Connection, builder: TaskBuilder
):
    add_schedule(connection)
    record_task(connection, builder, 1)
    schedules.record_fires(connection, "s", [(HOURS[2], "skipped", None, None)])

    ends = HOURS[0], HOURS[2]
    assert schedules.list_submitted_times(connection, "s", *ends) == {HOURS[1]}
    assert schedules.list_handled_times(connection, "s", *ends) == {HOURS[1], HOURS[2]}
    assert schedules.list_handled_times(connection, "s", HOURS[2], HOURS[2]) == {HOURS[2]}


def test_the_latest_unfinished_task_is_found(connection: Connection, builder: TaskBuilder):
    add_schedule(connection)
    record_task(connection, builder, 1, code=0)
    assert schedules.find_unfinished_task(connection, "s") is None

    uuid = record_task(connection, builder, 2)
    record_task(connection, builder, 3, code=1)

    assert schedules.find_unfinished_task(connection, "s") == (uuid, 2)


def test_the_last_success_before_a_time_is_found(connection: Connection, builder: TaskBuilder):
    add_schedule(connection)
    for hour, code in ((1, 0), (2, 0), (3, 1)):
        record_task(connection, builder, hour, code)

    assert schedules.find_last_success(connection, "s") == HOURS[2]
    assert schedules.find_last_success(connection, "s", HOURS[2]) == HOURS[1]
    assert schedules.find_last_success(connection, "s", HOURS[1]) is None


def test_boot_schedules_are_listed_until_they_fired(connection: Connection):
    add_schedule(connection, kind="boot", boot_id="first", due_at=None)
    add_schedule(connection, "new", kind="boot", due_at=None)

    assert [row.name for row in schedules.list_boot(connection, "first")] == ["new"]
    assert len(schedules.list_boot(connection, "second")) == 2


def test_a_request_makes_schedules_due_without_a_fire_time(connection: Connection):
    add_schedule(connection)
    add_schedule(connection, "t")

    schedules.request_next(connection, ["s"])

    asked, other = schedules.find(connection, "s"), schedules.find(connection, "t")
    assert asked and asked.next_fire is None and (asked.due_at or "9") <= timestamps.now()
    assert other and other.next_fire == HOURS[1]


def test_fires_go_with_their_schedule_and_outlive_their_task(
    connection: Connection, builder: TaskBuilder
):
    add_schedule(connection)
    record_task(connection, builder, 1, code=0)
    for table in ("events", "instances", "tasks"):
        connection.exec_driver_sql(f"DELETE FROM {table}")
    (fire,) = schedules.list_fires(connection, ["s"], 9)["s"]
    assert (fire.outcome, fire.task_id) == ("submitted", None)

    definitions.remove(connection, schema.schedules, "s", "ann")

    assert connection.exec_driver_sql("SELECT count(*) FROM fires").scalar_one() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT min(due_at) FROM schedules WHERE due_at IS NOT NULL",
        "SELECT * FROM schedules WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        "SELECT task_id FROM fires WHERE schedule = ? AND fire_time < ? AND task_id IS NOT NULL"
        " ORDER BY fire_time DESC LIMIT ?",
        "SELECT rowid FROM fires WHERE fire_time < ? AND task_id IS NULL ORDER BY rowid LIMIT 9",
        "SELECT name, refusal FROM schedules WHERE refusal IS NOT NULL LIMIT 9",
        "SELECT schedule FROM fires WHERE task_id IN (SELECT value FROM json_each(?))",
    ],
)
def test_frequent_statements_scan_no_table(connection: Connection, statement: str):
    values = ("1",) * statement.count("?")
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()

    steps = [row[-1] for row in plan]
    scans = {scan.table for scan in query_plans.find_scans(steps, statement)}
    assert scans <= {"json_each"} and steps
