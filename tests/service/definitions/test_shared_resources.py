"""Tests of the totals of resources that all pools share."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from app.errors import NotFound, Refused, Usage
from app.service.context import Call
from app.service.definitions import queues, shared_resources
from app.service.tasks.changes import actions
from app.service.undo import undo
from app.service.what_if import forecast
from db.queries.scheduling import resources
from tests.service.calls import execute_sql, submit_task

NAME = "license.matlab"


async def read_totals(call: Call) -> list[tuple[str, int, int]]:
    return [(row["name"], row["total"], row["used"]) for row in await shared_resources.ls(call)]


async def undo_last(call: Call) -> None:
    ((last,),) = await execute_sql(call, "SELECT max(id) FROM operations")
    assert (await undo.undo(call, ids=[last]))["done"]


async def test_a_new_name_like_a_known_one_is_noted(call: Call):
    notes: list[str] = []
    noted = replace(call, note=notes.append)
    await queues.pool_set(call, name="default", resources={"tape": 4})
    await shared_resources.set_(noted, name="cache", total=2)
    await shared_resources.set_(noted, name=NAME, total=2)
    assert notes == []

    await shared_resources.set_(noted, name="licence.matlab", total=3)
    await shared_resources.set_(noted, name="tapes", total=3)

    assert notes == [
        "licence.matlab is new, beside license.matlab. If it is mistyped: taskdeck resource rm"
        " licence.matlab",
        "tapes is new, beside tape. If it is mistyped: taskdeck resource rm tapes",
    ]


async def test_a_shared_total_is_set_changed_and_undone(call: Call):
    assert (await shared_resources.set_(call, name=NAME, total=2, description="floating"))[
        "created"
    ]
    row = await shared_resources.set_(call, name=NAME, total=5)

    assert (row["created"], row["total"], row["description"]) == (False, 5, "floating")
    await undo_last(call)
    assert await read_totals(call) == [(NAME, 2, 0)]
    await shared_resources.rm(call, name=NAME)
    assert await read_totals(call) == []
    await undo_last(call)
    assert await read_totals(call) == [(NAME, 2, 0)]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cpu", {"total": 1}, "no named resource"),
        ("a b", {"total": 1}, "is no name of a resource"),
        (NAME, {}, "nothing to set"),
        (NAME, {"total": -1}, "total"),
        (NAME, {"description": "x"}, "needs total"),
    ],
)
async def test_a_wrong_total_is_refused(call: Call, name: str, given: dict[str, Any], said: str):
    with pytest.raises(Usage, match=said):
        await shared_resources.set_(call, name=name, **given)

    assert await read_totals(call) == []


async def test_tasks_that_ask_for_more_are_told_and_keep_the_resource(
    runtime_call: Call, worker, caller_notes: list[str]
):
    await shared_resources.set_(runtime_call, name=NAME, total=3)
    for amount in (2, 3, 3):
        await submit_task(runtime_call, resources={NAME: amount})
    await worker.start(1)
    assert await read_totals(runtime_call) == [(NAME, 3, 2)]

    await shared_resources.set_(runtime_call, name=NAME, total=2)

    assert caller_notes == ["#2 and 1 more ask for more than this total, and cannot start."]
    with pytest.raises(Refused, match=f"taskdeck resource set {NAME} --total 9"):
        await submit_task(runtime_call, resources={NAME: 9})
    found = await forecast.forecast_changes(runtime_call, settings=[f"resource.{NAME}.total=9"])
    command = ("taskdeck", "resource", "set", NAME, "--total", "9")
    assert found["steps"][0]["command"] == [*command]
    await actions.cancel(runtime_call, ids=[2, 3])
    with pytest.raises(Refused, match=f"#1 asks for {NAME}. It was not removed."):
        await shared_resources.rm(runtime_call, name=NAME)
    with pytest.raises(NotFound, match="license.mathlab"):
        await shared_resources.rm(runtime_call, name="license.mathlab")


async def test_waiting_tasks_are_counted_outside_of_the_writer(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    threads: list[str] = []
    count = resources.count_asking

    def note(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return count(*args)

    monkeypatch.setattr(resources, "count_asking", note)

    await shared_resources.set_(call, name=NAME, total=2)
    await shared_resources.rm(call, name=NAME)

    assert len(threads) == 2 and "taskdeck-writer" not in "".join(threads)


async def test_a_task_submitted_during_the_check_keeps_the_resource(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await shared_resources.set_(call, name=NAME, total=2)
    read = call.db.read_on_thread

    async def submit_after(*args: Any) -> Any:
        found = await read(*args)
        await submit_task(call, resources={NAME: 1})
        return found

    monkeypatch.setattr(call.db, "read_on_thread", submit_after)

    with pytest.raises(Refused, match=f"#1 asks for {NAME}"):
        await shared_resources.rm(call, name=NAME)


async def test_an_amount_of_a_pool_names_the_command_for_the_total(
    runtime_call: Call, caller_notes: list[str]
):
    await shared_resources.set_(runtime_call, name=NAME, total=2)

    await queues.pool_set(runtime_call, name="default", resources={NAME: 1})

    assert f"To change the total: taskdeck resource set {NAME} --total N" in caller_notes[-1]
