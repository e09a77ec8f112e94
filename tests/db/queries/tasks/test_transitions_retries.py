"""Retries: which outcomes get another attempt, how many, and what a manual retry counts."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from db.queries import reads
from db.queries.tasks import transitions
from tests.db.builders import TaskBuilder


def run_attempt(made: TaskBuilder, uuid: str, **end) -> str:
    """Run one attempt with no delay before the next; return the status."""
    made.record_end(made.start_run(uuid), **end)
    return made.read_status(uuid)


def test_a_task_makes_as_many_retries_as_it_asked_for(builder: TaskBuilder):
    uuid = builder.submit_task(retries=2, retry_delay=0.0)

    assert [run_attempt(builder, uuid, code=1) for _ in range(3)] == ["queued", "queued", "failed"]
    assert [run.attempt for run in builder.list_runs(uuid)] == [1, 2, 3]
    assert (builder.read_row(uuid).attempts, builder.read_row(uuid).reason) == (3, "exit 1")


def test_a_successful_attempt_is_the_last(builder: TaskBuilder):
    uuid = builder.submit_task(retries=5, retry_delay=0.0)

    assert [run_attempt(builder, uuid, code=1), run_attempt(builder, uuid, code=0)] == [
        "queued",
        "succeeded",
    ]


def test_a_task_waits_for_its_delay_between_attempts(builder: TaskBuilder):
    uuid = builder.submit_task(retries=1, retry_delay=300.0)

    assert run_attempt(builder, uuid, code=1) == "retrying"

    row, (run,) = builder.read_row(uuid), builder.list_runs(uuid)
    assert row.retry_at is not None and run.end_time is not None and row.retry_at > run.end_time
    assert row.ended_at is None


@pytest.mark.parametrize(
    ("end", "retries", "status"),
    [
        ({"code": None, "stop": "timeout"}, 1, "queued"),
        ({"code": None, "signal": 9}, 1, "queued"),
        ({"code": 127, "reason": "no program"}, 1, "queued"),
        ({"code": None, "lost": True}, 1, "queued"),
        ({"code": None, "lost": True}, 0, "lost"),
        ({"code": None, "stop": "timeout"}, 0, "timed_out"),
        ({"code": None, "stop": "cancel"}, 1, "cancelled"),
    ],
)
def test_only_failures_timeouts_and_losses_are_retried(
    builder: TaskBuilder, end: dict, retries: int, status: str
):
    uuid = builder.submit_task(timeout=5.0, retries=retries, retry_delay=0.0)

    assert run_attempt(builder, uuid, **end) == status


def test_a_manual_retry_is_not_counted_as_a_retry(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task(retries=1, retry_delay=0.0)
    assert [run_attempt(builder, uuid, code=1) for _ in range(2)] == ["queued", "failed"]

    transitions.retry(connection, [uuid], "ann")
    row = builder.read_row(uuid)
    assert (row.status, row.ended_at, row.reason, row.attempts) == ("queued", None, None, 2)

    assert [run_attempt(builder, uuid, code=1) for _ in range(2)] == ["queued", "failed"]
    assert [run.attempt for run in builder.list_runs(uuid)] == [1, 2, 3, 4]


def test_a_refused_run_does_not_use_up_a_retry(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task(retries=1, retry_delay=0.0)
    transitions.unclaim(connection, builder.claim_tasks(uuid))

    assert [run_attempt(builder, uuid, code=1) for _ in range(2)] == ["queued", "failed"]


def test_a_task_that_runs_again_leaves_the_ended_list_and_returns(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    run_attempt(builder, uuid, code=1)
    transitions.retry(connection, [uuid], "ann")
    assert reads.list_just_ended(connection, ("failed",), "2000", 10) == []

    run_attempt(builder, uuid, code=0)

    assert [row.uuid for row in reads.list_just_ended(connection, ("succeeded",), "2000", 10)] == [
        uuid
    ]


def test_an_end_gives_up_the_place_at_the_front(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    connection.exec_driver_sql("UPDATE tasks SET front = 3 WHERE uuid = ?", (uuid,))

    run_attempt(builder, uuid, code=1)

    assert builder.read_row(uuid).front == 0
