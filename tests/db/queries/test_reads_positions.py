"""Lists and positions of many tasks, by few statements and rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from db.queries import reads
from tests.db.builders import TaskBuilder


def test_positions_counted_together_equal_those_counted_singly(
    connection: Connection, builder: TaskBuilder
):
    uuids = [builder.submit_task(priority=(0, 5, -5)[at % 3] if at % 7 else 9) for at in range(90)]
    rows = reads.list_by_uuid(connection, uuids)
    each = {row.number: reads.count_before(connection, row) for row in rows}

    assert sorted(each.values()) == list(range(90))
    for wanted in ([90], [1], [1, 2, 3, 45, 88, 89, 90], list(each)):
        asked = [row for row in rows if row.number in wanted]
        assert reads.count_before_each(connection, "default", asked, 90) == {
            number: each[number] for number in wanted
        }


def test_tasks_moved_to_the_front_are_counted_too(connection: Connection, builder: TaskBuilder):
    uuids = [builder.submit_task() for _ in range(20)]
    connection.exec_driver_sql("UPDATE tasks SET front = number - 15 WHERE number > 15")
    rows = reads.list_by_uuid(connection, uuids)
    each = {row.number: reads.count_before(connection, row) for row in rows}

    assert (each[20], each[16], each[1]) == (0, 4, 5)
    asked = [row for row in rows if row.number in (1, 2, 17)]
    assert reads.count_before_each(connection, "default", asked, 20) == {
        row.number: each[row.number] for row in asked
    }


def test_the_uuids_of_many_tasks_are_one_row_newest_first(
    connection: Connection, builder: TaskBuilder
):
    uuids = [builder.submit_task(hold=at % 2 == 0) for at in range(30)]
    fetched: list[Any] = []
    driver: Any = connection.connection.driver_connection
    driver.row_factory = lambda cursor, row: fetched.append(row) or row

    assert reads.list_uuids(connection, statuses=["queued"]) == uuids[:0:-2]
    assert len(fetched) == 1
