"""Pools of kind slurm: their settings, files, undo, and the tasks that they hold or refuse."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Refused, Usage
from app.service import operations as log
from app.service import outer
from app.service.context import Call
from app.service.definitions import apply, bookings, queues
from app.service.scheduling import dispatch_view
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.undo import undo
from tests.service.calls import execute_sql, submit_task

OPTIONS = {"partition": "long", "options": ["--constraint=a100"]}


@pytest.fixture
async def sims(call: Call) -> dict[str, Any]:
    """Create a Slurm pool and return its queue."""
    await queues.pool_create(call, name="big", kind="slurm", **OPTIONS)
    return await queues.queue_create(call, name="sims", pool="big")


async def test_a_slurm_pool_keeps_its_options_and_its_queue_takes_100(call: Call, sims: Any):
    pool = await queues.pool_show(call, name="big")

    assert (pool["kind"], pool["partition"], pool["options"]) == (
        "slurm",
        "long",
        [*OPTIONS["options"]],
    )
    assert (sims["capacity"], sims["word"]) == (100, "open")
    changed = await queues.pool_set(call, name="big", qos="high", partition="")
    assert (changed["qos"], changed.get("partition")) == ("high", None)
    await undo.undo(call, ids=[(await log.ls(call))[0]["id"]])
    assert await queues.pool_show(call, name="big") | {"updated_at": ""} == pool | {
        "updated_at": ""
    }


async def test_an_exported_slurm_pool_applies_without_a_change(call: Call, sims: Any):
    text = await apply.export(call)

    assert (
        '[pools.big]\nkind = "slurm"\npartition = "long"\noptions = ["--constraint=a100"]' in text
    )
    assert {one["change"] for one in (await apply.apply(call, text=text))["changes"]} == {"same"}
    with pytest.raises(Refused, match="the kind of a pool cannot change; it is slurm"):
        await apply.apply(call, text="[pools.big]\ntotal_cpu = 1\ntotal_memory = '1G'\n")
    with pytest.raises(Usage, match="a pool of kind slurm takes no total_cpu"):
        await apply.apply(call, text="[pools.b]\nkind = 'slurm'\ntotal_cpu = 1\n")
    with pytest.raises(Usage, match=r"pools.b: needs total_cpu and total_memory"):
        await apply.apply(call, text="[pools.b]\n")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "slurm", "cpu": 4}, "takes no cpu: Slurm admits its jobs"),
        ({"kind": "slurm", "resources": {"gpu": 1}}, "takes no resources"),
        ({"cpu": 1, "memory": "1G", "partition": "x"}, "partition is for pools of kind slurm"),
        ({"kind": "pbs"}, "kind must be local or slurm"),
        ({"kind": "slurm", "options": ["--array=1-9"]}, "Taskdeck sets it"),
        ({"kind": "slurm", "nodes": "n1"}, "a pool has no setting"),
    ],
)
async def test_settings_that_do_not_fit_the_kind_are_refused(
    call: Call, given: dict[str, Any], why: str
):
    with pytest.raises(Usage, match=why):
        await queues.pool_create(call, name="other", **given)


async def test_a_slurm_pool_takes_no_cpu_later(call: Call, sims: Any):
    with pytest.raises(Usage, match="takes no cpu and memory"):
        await queues.pool_set(call, name="big", cpu=1, memory="1G")


async def test_a_task_is_held_and_told_why_while_slurm_takes_nothing(call: Call, sims: Any):
    task = await submit_task(call, queue="sims", cpu=64, memory="900G", resources={"gpu": 8})

    (why,) = await views.explain(call, ids=[task["number"]])

    (text,) = [one["text"] for one in why["reasons"] if one["code"] == "pool-trouble"]
    assert text == f"pool big hands nothing over: {outer.NO_RUNTIME}"
    assert why["expected_in"] is None
    assert not await call.db.read(_list_starts)


async def test_any_request_of_cpu_memory_and_gpus_starts_once_slurm_answers(
    call: Call, sims: Any, monkeypatch: pytest.MonkeyPatch
):
    await submit_task(call, queue="sims", cpu=64, memory="900G", resources={"gpu": 8})
    monkeypatch.setattr(outer, "_trouble", None)

    assert await call.db.read(_list_starts) == [1]


def _list_starts(c: Any) -> list[int]:
    _, starts = dispatch_view.plan_starts(c, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"resources": {"licence": 1}}, "Slurm, which does not know the resource licence"),
        ({"stdin": True}, "--stdin needs the keeper of this machine"),
        ({"split": True}, "--split needs the keeper"),
    ],
)
async def test_a_slurm_pool_refuses_tasks_that_need_this_machine(
    call: Call, sims: Any, given: dict[str, Any], why: str
):
    with pytest.raises(Refused, match=why):
        await submit_task(call, queue="sims", **given)


async def test_a_waiting_task_moves_to_slurm_only_without_named_resources(call: Call, sims: Any):
    await queues.pool_set(call, name="default", resources={"licence": 1})
    plain = await submit_task(call, queue="default", hold=True)
    named = await submit_task(call, queue="default", hold=True, resources={"licence": 1})

    found = await actions.set_(
        call, ids=[plain["number"], named["number"]], fields={"queue": "sims"}
    )

    assert "does not know the resource licence" in str(found)
    rows = await execute_sql(call, "SELECT queue FROM tasks ORDER BY number")
    assert [row[0] for row in rows] == ["sims", "default"]


async def test_nothing_of_a_slurm_pool_can_be_reserved_here(call: Call, sims: Any):
    times = {"begin": "mon 09:00", "end": "fri 18:00"}
    with pytest.raises(Refused, match="pool big is of kind slurm: nothing is reserved here"):
        await bookings.create(call, pool="big", tag="team=a", resources={"gpu": 1}, **times)
    text = "[reservations.r]\npool = 'big'\ntag = 'team=a'\ncpu = 1\n"
    with pytest.raises(Refused, match="reservations.r: pool big is of kind slurm"):
        await apply.apply(call, text=f"{text}from = '2026-01-01T08:00'\nto = '2099-01-01T08:00'\n")
