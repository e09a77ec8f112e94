"""Tests of messages about the end of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from db.engine import Database
from db.queries.rules import deliveries, task_notices
from db.queries.rules.task_notices import DefaultNotice
from tests.db.builders import TaskBuilder

NO_DEFAULT = DefaultNotice("", "failed")


@pytest.fixture
async def ended(db: Database) -> Database:
    """Return a database with a followed event and five ended tasks: own, own, none, none, never."""
    await db.write(task_notices.start_cursor)

    def end(c: Connection) -> None:
        builder = TaskBuilder(c)
        for notify, code in (
            ("ended ops", 0),
            ("failed ops", 0),
            (None, 1),
            (None, 0),
            ("never ", 1),
        ):
            builder.complete_run(builder.submit_task(notify=notify, name=str(notify)), code)

    await db.write(end)
    return db


async def list_ended(db: Database, default: DefaultNotice) -> dict[str, list[int]]:
    after, last = await db.read(task_notices.read_span)
    found = await db.read(task_notices.list_ended, after, last, default)
    return {channel: [task.number for task in tasks] for channel, tasks in found.items()}


async def list_rows(db: Database) -> Sequence[Any]:
    return await db.read(deliveries.list_latest, 10)


async def test_only_tasks_with_a_channel_are_told_without_a_default(ended: Database):
    assert await list_ended(ended, NO_DEFAULT) == {"ops": [1]}


@pytest.mark.parametrize(
    ("on", "numbers"),
    [("failed", {"ops": [1], "all": [3]}), ("ended", {"ops": [1], "all": [3, 4]})],
)
async def test_the_default_tells_the_other_tasks(
    ended: Database, on: str, numbers: dict[str, list[int]]
):
    assert await list_ended(ended, DefaultNotice("all", on)) == numbers


async def test_a_task_that_runs_again_is_not_told(db: Database):
    await db.write(task_notices.start_cursor)

    def fail_once(c: Connection) -> None:
        builder = TaskBuilder(c)
        builder.complete_run(builder.submit_task(notify="ended ops", retries=1), 1)

    await db.write(fail_once)

    assert await list_ended(db, NO_DEFAULT) == {}


async def test_tasks_that_end_together_share_a_message(ended: Database):
    after, last = await ended.read(task_notices.read_span)
    default = DefaultNotice("ops", "ended")
    found = await ended.read(task_notices.list_ended, after, last, default)
    await ended.write(task_notices.enqueue, last - 1, {"ops": found["ops"][:1]})
    await ended.write(task_notices.enqueue, last, {"ops": found["ops"][1:]})

    (row,) = await list_rows(ended)

    assert (row.payload["count"], [t["number"] for t in row.payload["tasks"]]) == (3, [1, 3, 4])
    assert await ended.read(task_notices.read_span) == (last, last)


async def test_an_earlier_cursor_is_kept(ended: Database):
    before = await ended.read(task_notices.read_span)

    await ended.write(task_notices.start_cursor)

    assert await ended.read(task_notices.read_span) == before
