"""Bounds of clients: their tag, their limit, the number of their tasks, and the tasks of others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.errors import Conflict, Refused, Usage
from app.service.context import Call
from app.service.definitions import limits
from app.service.tasks.changes import actions, retry
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from tests.service.calls import list_operations, submit_task

A = {"name": "a", "tasks": 2}


async def submit_as(call: Call, client: dict[str, Any], **spec: Any) -> int:
    task = {"argv": ["true"], **spec}
    (place,) = await submit.submit(call, tasks=[task], env={}, client=client)
    return place["number"]


async def read_status(call: Call, number: int) -> str:
    return (await views.show(call, id=number))["status"]


async def test_each_task_of_a_client_has_its_tag(call: Call):
    number = await submit_as(call, A, tags={"client": "b", "team": "x"})

    assert (await views.show(call, id=number))["tags"] == {"client": "a", "team": "x"}


async def test_the_first_task_of_a_client_stores_its_limit(call: Call):
    for _ in range(2):
        await submit_as(call, {**A, "cpu": 2.0, "memory": 512.0, "running": 3})

    (limit,) = await limits.ls(call)
    assert (limit["name"], limit["cpu"], limit["memory"], limit["running"]) == (
        "client=a", 2.0, 512.0, 3
    )  # fmt: skip
    assert [one for one in await list_operations(call) if one[0] != "submit"] == [
        ("limit create", "limit client=a")
    ]


async def test_a_changed_limit_is_stored_with_the_next_task(call: Call):
    await submit_as(call, {**A, "cpu": 2.0})
    await submit_as(call, {**A, "cpu": 3.0})

    assert (await limits.show(call, name="client=a"))["cpu"] == 3.0


async def test_a_task_above_the_limit_of_its_client_is_refused(call: Call):
    with pytest.raises(Refused, match="client=a gives at most 1 in all"):
        await submit_as(call, {**A, "cpu": 1.0}, cpu=2.0)
    assert await limits.ls(call) == []


async def test_a_client_has_no_more_tasks_than_it_may(call: Call, worker):
    for _ in range(2):
        await submit_as(call, A)
    with pytest.raises(Conflict, match="client a may have 2 tasks"):
        await submit_as(call, A)

    await submit_as(call, {"name": "b", "tasks": 1})
    await worker.run(1, 0)

    assert await submit_as(call, A) == 4


async def test_requests_at_once_pass_no_bound(call: Call):
    found = await asyncio.gather(*(submit_as(call, A) for _ in range(9)), return_exceptions=True)

    assert sum(isinstance(one, int) for one in found) == 2
    assert {type(one) for one in found} == {int, Conflict}


async def test_a_submission_sent_twice_is_one_task_at_the_bound(call: Call):
    uuid = "01890000-0000-7000-8000-000000000001"
    task = {"argv": ["true"]}
    bounds = {"name": "a", "tasks": 1}
    first, again = [
        await submit.submit(call, tasks=[task], uuid=uuid, env={}, client=bounds) for _ in range(2)
    ]

    assert first[0]["number"] == again[0]["number"]


async def test_a_dry_run_tells_that_a_client_has_no_room(call: Call):
    with pytest.raises(Conflict, match="may have 0 tasks"):
        await submit.submit(
            call, tasks=[{"argv": ["true"]}], dry_run=True, client={"name": "a", "tasks": 0}
        )


async def test_many_tasks_do_not_go_with_a_client(call: Call):
    with pytest.raises(Usage, match="does not go with a client"):
        await submit.submit(call, tasks=[{"argv": ["true"]}] * 201, client={"name": "a"})


async def test_a_client_cancels_only_its_own_tasks(call: Call):
    theirs, own = await submit_as(call, {"name": "b"}), await submit_as(call, A)
    users = (await submit_task(call))["number"]

    done = await actions.cancel(call, ids=[theirs, users, own], client=A)

    assert [row["number"] for row in done["done"]] == [own]
    assert [row["message"] for row in done["refused"]] == [
        f"#{number} is no task of client a: it was left alone." for number in (theirs, users)
    ]
    assert [await read_status(call, number) for number in (theirs, users)] == ["queued"] * 2


async def test_a_client_cannot_end_the_dependents_of_others(call: Call):
    parent = await submit_as(call, A)
    child = await submit_as(call, A, after=[parent])
    users = (await submit_task(call, after=[child]))["number"]

    done = await actions.cancel(call, ids=[parent], client=A)

    assert done["done"] == []
    assert f"#{users}, which is no task of client a, waits" in done["refused"][0]["message"]
    assert await read_status(call, parent) == "queued"


async def test_a_client_cancels_its_own_dependents(call: Call):
    parent = await submit_as(call, A)
    child = await submit_as(call, A, after=[parent])

    await actions.cancel(call, ids=[parent], client=A)

    assert await read_status(call, child) == "cancelled"


async def test_a_client_retries_only_its_own_tasks_within_its_bound(call: Call, worker):
    for client in (A, A, {"name": "b"}):
        await worker.run(await submit_as(call, client), 1)
    await submit_as(call, A)

    done = await retry.retry(call, ids=[1, 2, 3], client={**A, "cpu": 2.0})

    assert [row["number"] for row in done["done"]] == [1]
    assert [row["message"] for row in done["refused"]] == [
        "client a may have 2 tasks that wait or run, and no more. #2 was left alone."
        " Wait for tasks to end, or cancel some.",
        "#3 is no task of client a: it was left alone.",
    ]
    assert (await limits.show(call, name="client=a"))["cpu"] == 2.0


async def test_a_client_with_broken_bounds_is_refused(call: Call):
    with pytest.raises(Usage, match="client"):
        await submit_as(call, {"name": ""})
    with pytest.raises(Usage, match="signal does not go with a client"):
        await actions.cancel(call, ids=[1], signal=15, client=A)
