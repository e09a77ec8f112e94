"""Further attempts: which outcomes get them, how many, and what a person's retry does to the count."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from db.queries import reads, transitions
from tests.db.builders import Made


def attempt(made: Made, uuid: str, **end) -> str:
    """One attempt, with no delay before the next; where the task stands then."""
    made.end(made.run(uuid), **end)
    return made.status(uuid)


def test_a_task_makes_as_many_further_attempts_as_it_asked_for(made: Made):
    uuid = made.task(retries=2, retry_delay=0.0)

    assert [attempt(made, uuid, code=1) for _ in range(3)] == ["queued", "queued", "failed"]
    assert [run.attempt for run in made.runs(uuid)] == [1, 2, 3]
    assert (made.row(uuid).attempts, made.row(uuid).reason) == (3, "exit 1")


def test_an_attempt_that_succeeds_is_the_last(made: Made):
    uuid = made.task(retries=5, retry_delay=0.0)

    assert [attempt(made, uuid, code=1), attempt(made, uuid, code=0)] == ["queued", "succeeded"]


def test_between_attempts_a_task_waits_for_its_delay(made: Made):
    uuid = made.task(retries=1, retry_delay=300.0)

    assert attempt(made, uuid, code=1) == "retrying"

    row, (run,) = made.row(uuid), made.runs(uuid)
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
def test_only_failures_timeouts_and_losses_are_tried_again(made: Made, end: dict, retries: int, status: str):
    uuid = made.task(timeout=5.0, retries=retries, retry_delay=0.0)

    assert attempt(made, uuid, **end) == status


def test_a_retry_by_a_person_is_not_counted_as_one_of_the_retries(c: Connection, made: Made):
    uuid = made.task(retries=1, retry_delay=0.0)
    assert [attempt(made, uuid, code=1) for _ in range(2)] == ["queued", "failed"]

    transitions.retry(c, [uuid], "ann")
    row = made.row(uuid)
    assert (row.status, row.ended_at, row.reason, row.attempts) == ("queued", None, None, 2)

    assert [attempt(made, uuid, code=1) for _ in range(2)] == ["queued", "failed"]
    assert [run.attempt for run in made.runs(uuid)] == [1, 2, 3, 4]


def test_a_refused_run_does_not_use_up_a_retry(c: Connection, made: Made):
    uuid = made.task(retries=1, retry_delay=0.0)
    transitions.unclaim(c, made.claim(uuid))

    assert [attempt(made, uuid, code=1) for _ in range(2)] == ["queued", "failed"]


def test_a_task_that_runs_again_leaves_just_ended_and_comes_back(c: Connection, made: Made):
    uuid = made.task()
    attempt(made, uuid, code=1)
    transitions.retry(c, [uuid], "ann")
    assert reads.just_ended(c, ("failed",), "2000", 10) == []

    attempt(made, uuid, code=0)

    assert [row.uuid for row in reads.just_ended(c, ("succeeded",), "2000", 10)] == [uuid]


def test_the_front_place_is_given_up_with_the_end(c: Connection, made: Made):
    uuid = made.task()
    c.exec_driver_sql("UPDATE tasks SET front = 3 WHERE uuid = ?", (uuid,))

    attempt(made, uuid, code=1)

    assert made.row(uuid).front == 0
