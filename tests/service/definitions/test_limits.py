"""Limits of tags: set, listed, filed, undone, and their effect on submissions and starts."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.definitions.document import parse_document
from app.errors import NotFound, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply, limits, queues
from app.service.scheduling import dispatch_view
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from app.service.undo import undo
from db import host
from tests.service.calls import execute_sql, list_operations, submit_task

A = {"team": "a"}


async def list_starts(call: Call) -> list[int]:
    _, starts = await call.db.read(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def undo_last(call: Call) -> None:
    ((last,),) = await execute_sql(call, "SELECT max(id) FROM operations")
    assert (await undo.undo(call, ids=[last]))["done"]


async def test_a_limit_keeps_the_amounts_that_are_not_given(call: Call):
    assert (await limits.set_(call, name="team=a", running=4, resources={"gpu": 2}))["created"]

    row = await limits.set_(call, name="team=a", cpu="16", resources={"tape": 1})

    assert not row["created"] and (row["running"], row["cpu"], row["memory"]) == (4, 16.0, None)
    assert row["resources"] == {"gpu": 2, "tape": 1}
    assert await list_operations(call) == [
        ("limit create", "limit team=a"),
        ("limit set", "limit team=a"),
    ]


@pytest.mark.parametrize(
    "name, given",
    [("team=", {"running": 1}), ("=a", {"running": 1}), ("team", {}), ("team", {"running": -1}),
     ("team", {"description": "all"}), ("a/b", {"running": 1}), ("team", {"resources": 1.5})],
)  # fmt: skip
async def test_a_wrong_limit_is_refused(call: Call, name: str, given: dict[str, Any]):
    with pytest.raises(Usage):
        await limits.set_(call, name=name, **given)

    assert await limits.ls(call) == []


async def test_a_tag_that_no_task_has_is_told_once(runtime_call: Call, caller_notes: list[str]):
    await submit_task(runtime_call, tags={"user": "ann"})
    for name in ("user ann", "user ann", "user", "user=ann"):
        await limits.set_(runtime_call, name=name, running=1)

    assert caller_notes == ["no recent task has the tag user ann. Nearest: user=ann."]


async def test_a_limit_is_removed_and_undone(call: Call):
    await limits.set_(call, name="team", running=4)
    await limits.rm(call, name="team")
    with pytest.raises(NotFound):
        await limits.show(call, name="team")

    await undo_last(call)
    assert (await limits.show(call, name="team"))["running"] == 4
    await limits.rm(call, name="team")
    await limits.set_(call, name="team", cpu=1)
    await undo_last(call)
    assert await limits.ls(call) == []


async def test_an_exported_limit_applies_as_before(call: Call):
    await limits.set_(call, name="team=a", memory="64G", resources={"gpu": 2}, description="ML")

    text = await apply.export(call)
    found = await apply.apply(call, text=text)

    assert parse_document(text)["limits"]["team=a"].memory == 65536
    assert {one["change"] for one in found["changes"]} == {"same"}


async def test_a_task_larger_than_a_limit_is_refused(call: Call):
    await limits.set_(call, name="team", cpu=1)
    await submit_task(call, tags=A)

    with pytest.raises(Refused, match="needs 2 cpu, but limit team gives at most 1 in all"):
        await submit_task(call, cpu=2, tags=A)
    await submit_task(call, cpu=2)


async def test_no_limit_above_the_machine_is_advised(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(4, 1024))
    await limits.set_(call, name="team", cpu=1)
    await queues.pool_set(call, name="default", cpu=9)

    with pytest.raises(Refused) as more:
        await submit_task(call, cpu=4, tags=A)
    with pytest.raises(Refused) as most:
        await submit_task(call, cpu=5, tags=A)

    assert more.value.hint == "Ask for less, or: taskdeck limit set team --cpu 4"
    assert most.value.hint == "The task cannot run on this machine. Ask for less: --cpu 1"


async def test_a_limit_below_what_waits_is_told(runtime_call: Call, caller_notes: list[str]):
    for cpu in (0.5, 1.5, 2):
        await submit_task(runtime_call, cpu=cpu, tags=A)

    await limits.set_(runtime_call, name="team=a", cpu=1)

    assert caller_notes == ["#2 and 1 more ask for more than limit team=a: it can never start."]


async def test_tasks_behind_many_stopped_ones_start(call: Call, worker: Any):
    await queues.queue_set(call, name="default", capacity=8)
    await queues.pool_set(call, name="default", cpu=8)
    await limits.set_(call, name="team", running=1)
    tasks = [{"argv": ["true"], "tags": {"team": t}} for t in ["a"] * 120 + ["b"] * 120 + ["c"]]
    for at in range(0, len(tasks), 150):
        await submit.submit(call, tasks=tasks[at : at + 150], env={})
    await submit_task(call)

    assert 1 in await list_starts(call)
    await worker.start(1)

    assert await list_starts(call) == [121, 241, 242]


async def test_why_tells_limit_next_end_and_the_command_to_raise_it(
    runtime_call: Call, worker: Any
):
    await limits.set_(runtime_call, name="team", running=1)
    for _ in range(2):
        await submit_task(runtime_call, tags=A, timeout="10m")
    await worker.start(1)

    (answer,) = await views.explain(runtime_call, ids=[2])

    assert answer["reasons"][0]["text"].startswith("limit team=a: 1 of 1 running; #1 ends within")
    (row,) = await limits.ls(runtime_call)
    assert row["used"]["team=a"]["running"] == 1
    commands = [" ".join(cure["command"]) for cure in answer["cures"]]
    assert "taskdeck limit set team --running 2" in commands
    assert "taskdeck cancel 1" in commands
