"""Tests of groups: their submission, and what becomes of them with their tasks."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import make_uuid7
from app.errors import Usage
from app.service.context import Call
from app.service.tasks import actions, bulk, submit, views
from db.maintenance.integrity import repair_database
from db.queries import retention, task_fields
from tests.service.calls import execute_sql

MANY = submit.SMALL_BATCH + 51


async def submit_group(call: Call, count: int = 3, **more: Any) -> list[dict[str, Any]]:
    """Submit a group of tasks that do nothing, named like its command."""
    tasks = [{"argv": ["true", str(at)]} for at in range(count)]
    group = more.pop("group", {"argv": ["true", "{}"]})
    return await submit.submit(call, tasks=tasks, env={}, group=group, **more)


async def list_places(call: Call) -> list[tuple[Any, ...]]:
    """Return group, index and swept values of all tasks, by number."""
    found = "SELECT group_number, group_index, sweep FROM tasks ORDER BY number"
    return [tuple(row) for row in await execute_sql(call, found)]


async def list_groups(call: Call) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await execute_sql(call, "SELECT number, name FROM groups")]


@pytest.mark.parametrize("count", [1, 3, MANY])
async def test_tasks_of_a_group_know_their_place(call: Call, count: int):
    places = await submit_group(call, count)

    assert {place["group"] for place in places} == {"g1"} and len(places) == count
    assert await list_places(call) == [(1, at, None) for at in range(1, count + 1)]
    assert await list_groups(call) == [(1, "true {}")]
    assert (await submit_group(call))[0]["group"] == "g2"


@pytest.mark.parametrize("count", [2, MANY])
async def test_indexes_and_swept_values_are_stored_with_each_task(call: Call, count: int):
    indexes = [*range(10, 10 + count)]
    sweep = {"names": ["lr", "api_token"], "values": [[f"{at}", "x"] for at in indexes]}
    group = {"name": "grid", "argv": ["true"], "indexes": indexes, "sweep": sweep}

    await submit_group(call, count, group=group)

    shown = await views.show(call, id=2)
    assert (shown["group"], shown["group_index"]) == ("g1", 11)
    assert shown["sweep"] == {"lr": "11", "api_token": "•••"}
    assert len(await list_places(call)) == count and await list_groups(call) == [(1, "grid")]


@pytest.mark.parametrize("count", [3, MANY])
async def test_a_submission_sent_twice_is_one_group(call: Call, count: int):
    uuid = make_uuid7()

    first = await submit_group(call, count, uuid=uuid)
    again = await submit_group(call, count, uuid=uuid)

    assert [(place["number"], place["group"]) for place in again] == [
        (place["number"], place["group"]) for place in first
    ]
    assert await list_groups(call) == [(1, "true {}")]


async def test_an_interrupted_group_is_completed(call: Call, monkeypatch: pytest.MonkeyPatch):
    async def stop(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "store_published", stop)
        with pytest.raises(ConnectionError):
            await submit_group(call, MANY)
    assert await list_places(call) == []

    await bulk.finish_interrupted(call.db, call.home)

    assert await list_places(call) == [(1, at, None) for at in range(1, MANY + 1)]


@pytest.mark.parametrize(
    "group",
    [
        {"argv": ["x"], "indexes": [1, 2]},
        {"argv": ["x"], "indexes": [1, 1, 2]},
        {"argv": ["x"], "indexes": [-1, 1, 2]},
        {"argv": ["x"], "sweep": {"names": ["a"], "values": [["1"], ["2"]]}},
        {"argv": ["x"], "sweep": {"names": ["a", "a"], "values": [["1", "2"]] * 3}},
        {"argv": ["x"], "sweep": {"names": ["a-b"], "values": [["1"]] * 3}},
        {"argv": ["x"], "size": 3},
        {},
    ],
)
async def test_a_group_that_does_not_fit_its_tasks_is_refused(call: Call, group: dict[str, Any]):
    with pytest.raises(Usage, match="Nothing was submitted"):
        await submit_group(call, group=group)
    assert await list_places(call) == []


async def list_counters(call: Call) -> dict[str, int]:
    found = "SELECT name, value FROM counters WHERE name LIKE 'groups/%' AND value <> 0"
    return {row[0]: row[1] for row in await execute_sql(call, found)}


@pytest.mark.parametrize("count", [3, MANY])
async def test_tasks_of_a_group_are_counted_by_status(call: Call, count: int):
    places = await submit_group(call, count)
    assert await list_counters(call) == {"groups/1/queued": count}

    await actions.cancel(call, ids=[place["number"] for place in places[: count - 1]])
    assert await list_counters(call) == {"groups/1/cancelled": count - 1, "groups/1/queued": 1}
    await actions.rm(call, ids=[places[0]["number"]])
    assert (await list_counters(call))["groups/1/cancelled"] == count - 2

    await execute_sql(call, "UPDATE counters SET value = 7 WHERE name = 'groups/1/queued'")
    assert "counter groups/1/queued set from 7 to 1" in await call.db.write(repair_database)
    await execute_sql(call, "DELETE FROM tasks")
    assert await list_counters(call) == {}


async def test_a_group_goes_with_the_rows_of_its_last_task(call: Call):
    places = await submit_group(call, 2)
    first, second = (place["uuid"] for place in places)
    await execute_sql(call, "UPDATE tasks SET status = 'cancelled', ended_at = updated_at")
    await call.db.write(task_fields.mark_deleted, [first, second])

    await call.db.write(retention.remove_runs, [], [first])
    assert await list_groups(call) == [(1, "true {}")]
    await call.db.write(retention.remove_runs, [], [second])

    assert await list_groups(call) == []
    assert (await submit_group(call))[0]["group"] == "g2"
