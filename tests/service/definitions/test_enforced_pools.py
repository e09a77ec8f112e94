"""Pools whose limits the kernel enforces: the setting, and its tasks while that is not possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.core.scheduling.enforcement import Lack
from app.errors import Conflict, Usage
from app.service import enforced_limits
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import apply, queues
from app.service.scheduling import dispatch_view
from app.service.tasks.inspection import views
from app.service.undo import undo
from tests.service.calls import submit_task
from tests.service.conftest import FakeRuntimeHandle

DIVIDED = {"root": "/sys/fs/cgroup/x", "controllers": ["memory", "cpu"], "why": ""}


@pytest.fixture(autouse=True)
def unknown_cgroups() -> Iterator[None]:
    enforced_limits.set_cgroups(None)  # a keeper of an earlier test may have told
    yield
    enforced_limits.set_cgroups(None)


async def plan(call: Call) -> list[int]:
    _, starts = await call.db.write(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def test_the_setting_is_shown_exported_and_undone(runtime_call: Call):
    shown = await queues.pool_set(runtime_call, name="default", enforce=["cpu", "memory"])
    text = await apply.export(runtime_call)

    assert (shown["enforce"], shown["trouble"]) == (["memory", "cpu"], None)
    assert 'enforce = ["memory", "cpu"]' in text
    changes = (await apply.apply(runtime_call, text=text))["changes"]
    assert {one["change"] for one in changes} == {"same"}
    await undo.undo(runtime_call, ids=[(await log.ls(runtime_call))[0]["id"]])
    assert (await queues.pool_show(runtime_call, name="default"))["enforce"] == []
    await apply.apply(runtime_call, text=text)
    shown = await queues.pool_set(runtime_call, name="default", enforce="none")
    assert shown["enforce"] == []


async def test_what_the_kernel_cannot_enforce_is_refused(
    runtime_call: Call, fake_runtime: FakeRuntimeHandle
):
    fake_runtime.lack = Lack("the keeper has runs now", "taskdeck stop --drain")
    before = await queues.pool_ls(runtime_call)
    file = "[pools.tight]\ntotal_cpu = 1\ntotal_memory = '1G'\nenforce = ['memory']\n"

    for change in (
        queues.pool_set(runtime_call, name="default", enforce="memory,cpu"),
        queues.pool_create(runtime_call, name="tight", cpu=1, memory="1G", enforce="memory"),
        apply.apply(runtime_call, text=file),
    ):
        with pytest.raises(Conflict, match="cannot enforce memory.* of runs here: the keeper has"):
            await change

    assert await queues.pool_ls(runtime_call) == before
    assert (await queues.pool_set(runtime_call, name="default", memory="2G"))["enforce"] == []


async def test_slurm_enforces_by_itself(call: Call):
    await queues.pool_create(call, name="big", kind="slurm")

    for change in (
        queues.pool_set(call, name="big", enforce="cpu"),
        queues.pool_create(call, name="more", kind="slurm", enforce="cpu"),
        apply.apply(call, text="[pools.big]\nkind = 'slurm'\nenforce = ['cpu']\n"),
    ):
        with pytest.raises(Usage, match="Slurm enforces the limits of its jobs"):
            await change


@pytest.mark.parametrize(
    ("cgroups", "why"),
    [
        ({}, "the keeper is of an earlier version"),
        (DIVIDED | {"controllers": ["cpu"]}, "/sys/fs/cgroup/x has no controller memory"),
        ({"root": "", "controllers": [], "why": "the folder is gone"}, "the folder is gone"),
    ],
)
async def test_nothing_starts_without_its_limits(runtime_call: Call, cgroups: Any, why: str):
    await queues.pool_set(runtime_call, name="default", enforce="memory,cpu")
    number = (await submit_task(runtime_call, name="held"))["number"]
    enforced_limits.set_cgroups(cgroups)

    assert await plan(runtime_call) == []
    (answer,) = await views.explain(runtime_call, ids=[number])
    assert [one["text"] for one in answer["reasons"]] == [
        f"pool default starts nothing: the kernel cannot enforce its limits: {why}"
        " (taskdeck doctor)"
    ]
    assert why in (await queues.pool_show(runtime_call, name="default"))["trouble"]
    enforced_limits.set_cgroups(DIVIDED)
    assert await plan(runtime_call) == [number]


async def test_a_lost_folder_holds_the_pool_for_a_while(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await queues.pool_set(call, name="default", enforce="cpu")
    number = (await submit_task(call, name="held"))["number"]
    enforced_limits.set_cgroups(DIVIDED)

    enforced_limits.note_failure("no such folder")

    assert await plan(call) == []
    monkeypatch.setattr(enforced_limits, "RETRY", 0.0)
    assert await plan(call) == [number]
