"""Queued tasks by age: order, places and policies."""

from __future__ import annotations

from sqlalchemy import Connection

from db.queries import reads
from db.queries.scheduling import age_order
from tests.db.builders import TaskBuilder


def test_the_oldest_tasks_follow_those_at_the_front(connection: Connection, builder: TaskBuilder):
    uuids = [builder.submit_task(priority=at) for at in range(6)]
    connection.exec_driver_sql("UPDATE tasks SET front = number - 3 WHERE number IN (4, 5)")

    rows = age_order.list_queued(connection, "default", 5)

    assert [row.number for row in rows] == [5, 4, 1, 2, 3]
    tasks = reads.list_by_uuid(connection, uuids)
    places = age_order.count_before_each(connection, "default", tasks)
    assert sorted(places, key=places.__getitem__) == [5, 4, 1, 2, 3, 6]
    assert sorted(places.values()) == list(range(6))
    assert age_order.count_before_each(connection, "default", tasks[-1:])[6] == 5


def test_only_queues_of_pools_with_another_policy_are_named(
    connection: Connection, builder: TaskBuilder
):
    assert age_order.map_policies(connection) == {}
    connection.exec_driver_sql("UPDATE pools SET policy = 'fifo'")
    assert age_order.map_policies(connection) == {"default": "fifo"}
