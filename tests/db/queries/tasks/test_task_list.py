"""Order of `taskdeck ls`: what runs first, then what waits, then what ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection

from db import schema
from db.queries import definitions, reads
from db.queries.tasks import task_list
from tests.db.builders import TaskBuilder


@pytest.fixture
def numbers(connection: Connection, builder: TaskBuilder) -> list[int]:
    """Make a task of every kind; return their numbers in the order of the list."""
    insert = (
        "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at)"
        " VALUES ('fast', 4, 'active', 9, 'default', '', '')"
    )
    connection.exec_driver_sql(insert)
    done, failed, early, late = [builder.submit_task(name="a") for _ in range(4)]
    for uuid, code in ((failed, 1), (done, 0)):
        builder.complete_run(uuid, code)
    builder.start_run(early), builder.start_run(late)
    held, blocked = builder.submit_task(hold=True), builder.submit_task(after=[early])
    later, soon = [
        builder.submit_task(not_before=f"{year}-01-01T00:00:00.000000Z") for year in (2902, 2901)
    ]
    plain, urgent = builder.submit_task(), builder.submit_task(priority=5, tags={"k": "v"})
    fast = builder.submit_task(queue="fast", name="a")
    connection.exec_driver_sql(
        "UPDATE tasks SET ended_at = '2026-01-0' || (3 - number) || 'T00:00:00.000000Z' WHERE"
        " ended_at IS NOT NULL"
    )
    order = [late, early, fast, urgent, plain, soon, later, blocked, held, done, failed]
    return [builder.read_row(uuid).number for uuid in order]


def list_lines(c: Connection, **asked: Any) -> list[int]:
    return [line[1] for line in json.loads(task_list.list_as_text(c, **asked).lines)]


def test_what_runs_comes_first_then_what_waits_then_what_ended(
    connection: Connection, numbers: list[int]
) -> None:
    assert list_lines(connection) == numbers
    uuids = task_list.list_as_text(connection, waiting=6).waiting
    assert [reads.list_by_uuid(connection, [uuid])[0].number for uuid in uuids] == numbers[2:8]


def test_every_limit_cuts_the_same_order(connection: Connection, numbers: list[int]) -> None:
    for limit in range(1, len(numbers) + 2):
        assert list_lines(connection, limit=limit) == numbers[:limit]


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        ({"statuses": ["failed", "queued"]}, [2, 3, 4, 10]),
        ({"statuses": ["retrying"]}, []),
        ({"queue": "fast"}, [2]),
        ({"queue": "default", "statuses": ["queued", "succeeded"]}, [3, 4, 9]),
        ({"name": "a"}, [0, 1, 2, 10, 9]),
        ({"tags": {"k": "v"}}, [3]),
        ({"since": "2999"}, []),
        ({"recent": "2026-01-02"}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_filters_keep_the_order(
    connection: Connection, numbers: list[int], asked: dict[str, Any], places: list[int]
) -> None:
    assert list_lines(connection, **asked) == [numbers[place] for place in places]
    assert list_lines(connection, limit=1, **asked) == [numbers[place] for place in places[:1]]


def test_deleted_tasks_are_not_listed(connection: Connection, numbers: list[int]) -> None:
    connection.exec_driver_sql("UPDATE tasks SET deleted_at = '2026' WHERE status = 'failed'")
    assert list_lines(connection) == numbers[:-1]


def test_a_retried_task_waits_by_its_time(
    connection: Connection, builder: TaskBuilder, numbers: list[int]
) -> None:
    uuid = builder.submit_task(retries=3, retry_delay=3600.0)
    builder.complete_run(uuid, 1)
    assert list_lines(connection)[5] == builder.read_row(uuid).number


def test_queues_of_one_priority_are_merged_and_others_follow(
    connection: Connection, builder: TaskBuilder
) -> None:
    for name, priority in (("first", 9), ("second", 5), ("twin", 5)):
        values = {"pool": "default", "capacity": 1, "priority": priority}
        definitions.create(connection, schema.queues, name, values, "ann")
    places = [("twin", 0), ("default", 7), ("second", 0), ("twin", 3), ("second", 3), ("first", 0)]
    for queue, priority in places:
        builder.submit_task(queue=queue, priority=priority)

    assert list_lines(connection) == [6, 4, 5, 1, 3, 2]
    assert [list_lines(connection, limit=n)[-1] for n in range(1, 7)] == [6, 4, 5, 1, 3, 2]
    assert list_lines(connection, queue="twin") == [4, 1]
