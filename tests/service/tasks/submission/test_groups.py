"""Tests of groups: their submission, and what becomes of them with their tasks."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import make_uuid7
from app.errors import Conflict, NotFound, Usage
from app.service.context import Call
from app.service.tasks.changes import actions, retry
from app.service.tasks.inspection import pages, views, wait
from app.service.tasks.submission import bulk, submit
from db.maintenance.integrity import find_inconsistencies, repair_database
from db.queries.home import retention
from db.queries.tasks import task_fields
from tests.service.calls import execute_sql, submit_task

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


# --- groups where verbs take tasks


async def test_a_group_names_its_tasks_in_every_verb(call: Call):
    await submit_group(call, 3)

    for verb, status in ((actions.hold, "held"), (actions.release, "queued")):
        done = await verb(call, ids=["g1"])
        assert [(row["number"], row["status"]) for row in done["done"]] == [
            (number, status) for number in (1, 2, 3)
        ]
    assert len((await actions.set_(call, ids=["g1"], fields={"priority": 5}))["done"]) == 3
    assert len((await actions.front(call, ids=["g1"]))["done"]) == 3
    assert len((await actions.cancel(call, ids=[2, "g1", "g1"]))["done"]) == 3
    assert [end["code"] for end in await wait.wait(call, ids=["g1"])] == [125] * 3
    assert len((await actions.rm(call, ids=["g1"]))["done"]) == 3
    with pytest.raises(NotFound, match="g1 has no tasks any more"):
        await wait.wait(call, ids=["g1"])


async def test_a_verb_takes_the_tasks_of_a_group_that_it_can_change(call: Call):
    await submit_group(call, 4)
    for number, status in ((1, "failed"), (2, "lost"), (3, "cancelled")):
        change = "UPDATE tasks SET status = ?, ended_at = updated_at WHERE number = ?"
        await execute_sql(call, change, status, number)

    cancelled = await actions.cancel(call, ids=["g1"])
    retried = await retry.retry(call, ids=["g1"])
    nothing = await actions.release(call, ids=["g1"])

    assert [row["number"] for row in cancelled["done"]] == [4] and cancelled["notes"] == []
    assert [row["number"] for row in retried["done"]] == [1, 2] and retried["refused"] == []
    assert nothing == {
        "done": [],
        "refused": [],
        "notes": ["nothing to release: no task of g1 is held."],
    }
    only = await retry.retry(call, ids=[3], failed=True)
    assert only["notes"] == ["#3 is cancelled, not failed."]


async def test_a_selection_of_groups_takes_those_tasks_that_match(call: Call):
    await submit_task(call)
    await submit_group(call, 3)
    await submit_group(call, 2)
    await actions.hold(call, ids=[1, 2, 4, 5])
    select: dict[str, Any] = {"group": ["g1", "g2"], "status": ["held"]}

    for brief in (False, True):
        found = await views.ls(call, **select, brief=brief)
        assert found["total"] == 3
    assert (await views.ls(call, **select, name="no such name"))["total"] == 0
    done = await actions.cancel(call, select=select)

    assert {row["number"] for row in done["done"]} == {2, 4, 5}
    for word in ("g9", "42"):
        with pytest.raises(NotFound, match=f'no group "{word}"'):
            await actions.cancel(call, select={"group": word, "status": ["held"]})


async def test_a_large_group_is_changed_while_others_write(call: Call):
    await submit_group(call, MANY)

    done = await actions.cancel(call, ids=["g1"], brief=True)

    assert [(row["status"], row["count"]) for row in done["done"]] == [("cancelled", MANY)]


async def test_a_wrong_name_of_a_group_is_explained(call: Call):
    await submit_group(call, 2)
    await submit_task(call, name="g7")

    done = await actions.cancel(call, ids=["g99", "G1", "g", "g7", "g1"])

    assert [refusal["message"] for refusal in done["refused"]] == [
        'there is no group "g99". List: taskdeck ls --groups',
        'there is no task "G1". Groups are written as g12. List: taskdeck ls --groups',
        'there is no task "g". Groups are written as g12. List: taskdeck ls --groups',
    ]
    assert [row["number"] for row in done["done"]] == [3, 1, 2]
    with pytest.raises(Conflict, match="g1 is a group, and this takes a single task"):
        await views.show(call, id="g1")
    with pytest.raises(NotFound, match='there is no group "g99"'):
        await wait.wait(call, ids=["g99"])


async def test_a_name_of_a_task_and_a_group_is_ambiguous(call: Call):
    await submit_group(call, 1)
    await submit_task(call, name="g1")

    done = await actions.cancel(call, ids=["g1"])

    assert done["refused"][0]["message"] == (
        '"g1" is a group and the name of task #2. Give the number, or for the group: --filter'
        " group:g1"
    )


async def test_a_filter_selects_the_tasks_of_groups(call: Call):
    await submit_task(call)
    await submit_group(call, 3)
    await submit_task(call)
    await submit_group(call, 2)
    await actions.cancel(call, ids=[3, 4])

    async def list_numbers(line: str) -> list[int]:
        found = await pages.browse(call, filter=line)
        at = found["columns"].index("number")
        assert (await pages.review(call, filter=line))["total"] == len(found["rows"])
        return sorted(row[at] for row in found["rows"])

    assert await list_numbers("group:g1") == [2, 3, 4]
    assert await list_numbers("group:g1,g2 status:queued") == [2, 6, 7]
    assert await list_numbers("group:g1 !status:queued queue:default") == [3, 4]
    assert await list_numbers("!group:g1") == [1, 5, 6, 7]
    with pytest.raises(NotFound, match='there is no group "g9"'):
        await list_numbers("!group:g9")
    done = await actions.cancel(call, select={"filter": "group:g1 status:queued"})
    assert [row["number"] for row in done["done"]] == [2]


async def test_an_action_does_not_miss_tasks_that_are_still_to_be_stored(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    uuid, store = make_uuid7(), bulk.store_published
    said = list[str]()

    async def cancel_between(*args: Any) -> None:
        await call.db.write(bulk._store_some, args[1])
        said.extend(row["message"] for row in (await actions.cancel(call, ids=["g1"]))["refused"])
        await store(*args)

    monkeypatch.setattr(bulk, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(bulk, "store_published", cancel_between)
    await submit_group(call, MANY, uuid=uuid)

    assert said == ["g1 is still being stored. Nothing was done. Try again."]
    assert len((await actions.cancel(call, ids=["g1"]))["done"]) == MANY


async def test_a_lost_group_is_found_and_recreated(call: Call):
    await submit_task(call)
    await submit_group(call, 2)
    await execute_sql(call, "DELETE FROM groups")

    assert find_inconsistencies(call.home / "taskdeck.db") == [
        "2 tasks refer to the missing group g1"
    ]
    done = await call.db.write(repair_database)

    assert done == ["group g1 recreated, without a maximum of running tasks"]
    assert (await views.show(call, id=3))["group"] == "g1" and await list_groups(call)
    assert find_inconsistencies(call.home / "taskdeck.db") == []
