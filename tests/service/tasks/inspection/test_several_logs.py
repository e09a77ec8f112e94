"""Tests of the logs of several tasks and groups."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import NotFound, Usage
from app.service.context import Call
from app.service.tasks.inspection import several_logs
from db import timestamps
from tests.service.calls import execute_sql, submit_task
from tests.service.tasks.submission.test_groups import submit_group


async def end_tasks(call: Call, *numbers: int, at: str) -> None:
    for number in numbers:
        change = "UPDATE tasks SET status = 'failed', ended_at = ? WHERE number = ?"
        await execute_sql(call, change, at, number)


def list_numbers(reply: dict[str, Any]) -> list[int]:
    return [task["number"] for task in reply["tasks"]]


async def test_ended_and_running_tasks_of_a_group_come_in_pages(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(several_logs, "PAGE", 2)
    await submit_group(call, 5)
    now = timestamps.now()
    await end_tasks(call, 2, at="2026-01-01T00:00:01.000000Z")
    await end_tasks(call, 1, 3, at=now)
    await execute_sql(call, "UPDATE tasks SET status = 'running' WHERE number = 4")

    first = await several_logs.list_logs(call, ids=["g1"])
    assert (sorted(list_numbers(first)), first["more"], first["left"]) == ([1, 2, 4], True, 2)
    second = await several_logs.list_logs(call, ids=["g1"], after=first["after"])
    assert sorted(list_numbers(second)) == [3, 4]
    monkeypatch.setattr(several_logs, "PAGE", 9)
    last = await several_logs.list_logs(call, ids=["g1"], after=f"{now} 9")
    assert (list_numbers(last), last["more"]) == ([4], False)


async def test_tasks_that_ended_at_the_same_time_come_on_several_pages(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(several_logs, "PAGE", 2)
    await submit_group(call, 5)
    await end_tasks(call, 5, 1, 4, 2, 3, at=timestamps.now())

    after, found = None, list[tuple[list[int], bool]]()
    while len(found) < 3:
        reply = await several_logs.list_logs(call, ids=["g1"], after=after)
        after, found = reply["after"], [*found, (list_numbers(reply), reply["more"])]

    assert found == [([1, 2], True), ([3, 4], True), ([5], False)]


async def test_an_end_that_is_stored_late_is_found(call: Call):
    await submit_group(call, 2)
    await end_tasks(call, 1, at="2026-01-01T00:00:05.000000Z")
    first = await several_logs.list_logs(call, ids=["g1"])

    await end_tasks(call, 2, at="2026-01-01T00:00:04.000000Z")

    again = await several_logs.list_logs(call, ids=["g1"], after=first["after"])
    assert sorted(list_numbers(again)) == [1, 2] and again["left"] == 0


async def test_tasks_named_by_number_are_in_each_answer(call: Call):
    await submit_task(call)
    await submit_task(call)

    found = await several_logs.list_logs(call, ids=[2, 1])

    assert (list_numbers(found), found["left"], found["after"]) == ([2, 1], 2, None)
    with pytest.raises(NotFound, match='there is no group "g9"'):
        await several_logs.list_logs(call, ids=["g9"])
    with pytest.raises(Usage, match="after must be"):
        await several_logs.list_logs(call, ids=[1], after="x")
