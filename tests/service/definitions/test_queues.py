"""Queues and pools: creating, changing, pausing, deleting, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import apply, queues, slas, templates
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.undo import undo
from db import host
from tests.service.calls import execute_sql, list_operations, submit_task


async def map_queue_words(call: Call) -> dict[str, str]:
    return {row["name"]: row["word"] for row in await queues.queue_ls(call)}


async def test_the_default_capacity_of_a_queue_is_the_cores_of_its_pool(call: Call):
    await queues.pool_create(call, name="gpu", cpu="2.5", memory="32G")

    row = await queues.queue_create(call, name="gpu", pool="gpu")

    assert (row["capacity"], row["pool"], row["priority"], row["status"], row["current_load"]) == (
        2,
        "gpu",
        0,
        "active",
        0,
    )
    assert await list_operations(call) == [
        ("pool create", "pool gpu"),
        ("queue create", "queue gpu"),
    ]


async def test_the_hours_of_a_queue_are_stored_exported_and_undone(call: Call):
    await queues.queue_create(call, name="night", open="mon-fri 18:00-8:00, sat-sun")

    row = await queues.queue_set(call, name="night", open="always")

    assert row["open"] is row["opens_at"] is None
    await undo.undo(call, ids=[(await log.ls(call))[0]["id"]])
    row = await queues.queue_show(call, name="night")
    assert row["open"] == "mon-fri 18:00-08:00, sat-sun"
    text = await apply.export(call)
    assert 'open = "mon-fri 18:00-08:00, sat-sun"' in text
    assert {one["change"] for one in (await apply.apply(call, text=text))["changes"]} == {"same"}
    with pytest.raises(Usage, match="open must be hours such as 22:00-06:00"):
        await queues.queue_set(call, name="night", open="22:00")


async def test_a_capacity_above_the_cores_of_the_pool_is_noted(
    runtime_call: Call, caller_notes: list[str]
):
    await queues.pool_create(runtime_call, name="small", cpu=2, memory="1G")
    caller_notes.clear()

    await queues.queue_create(runtime_call, name="fits", pool="small", capacity=2)
    assert caller_notes == []
    await queues.queue_set(runtime_call, name="fits", capacity=8)

    assert caller_notes == [
        "pool small has 2 cpu, so at most 2 tasks of 1 cpu run at once, whatever the capacity of"
        " the queue."
    ]


async def test_queues_are_listed_by_priority_then_name_with_waiting_counts(call: Call):
    await queues.queue_create(call, name="b", capacity=1, priority=5)
    await queues.queue_create(call, name="a", capacity=1, priority=5)
    await submit_task(call, queue="b")

    rows = await queues.queue_ls(call)

    assert [(row["name"], row["waiting"], row["oldest_at"] is not None) for row in rows] == [
        ("a", 0, False),
        ("b", 1, True),
        ("default", 0, False),
    ]


async def test_the_state_of_a_queue_is_one_word(call: Call, worker):
    await queues.pool_create(call, name="p", cpu=1, memory="1G")
    for name in ("open", "full", "no-room", "paused", "draining"):
        await queues.queue_create(call, name=name, pool="p", capacity=1)
    await submit_task(call, queue="full")
    await worker.start(1)
    await submit_task(call, queue="no-room", cpu=1)
    await call.db.write(
        lambda c: c.exec_driver_sql("UPDATE pools SET used_cpu = 0.5 WHERE name = 'p'")
    )
    await queues.queue_pause(call, name="paused")
    await queues.queue_drain(call, name="draining")

    found = await map_queue_words(call)
    assert {name: found[name] for name in ("open", "full", "no-room", "paused", "draining")} == {
        "open": "open", "full": "full", "no-room": "no room", "paused": "paused",
        "draining": "draining",
    }  # fmt: skip

    await queues.pool_pause(call, name="p")
    assert (await map_queue_words(call))["open"] == "pool off"


async def test_pausing_twice_is_recorded_once_with_its_author(call: Call):
    await queues.queue_pause(call, name="default")
    row = await queues.queue_pause(call, name="default")

    assert (row["status"], row["status_by"], row["status_at"] is not None) == (
        "paused",
        "ann",
        True,
    )
    assert await list_operations(call) == [("queue pause", "queue default")]


async def test_a_change_is_recorded_with_old_and_new_values(call: Call):
    await queues.queue_set(call, name="default", capacity=7)

    (newest,) = await log.ls(call, limit=1)

    assert (newest["before"]["capacity"] != 7, newest["after"]) == (True, {"capacity": 7})


async def test_a_change_to_the_current_value_changes_nothing(call: Call):
    before = await queues.queue_set(call, name="default", capacity=7)

    assert await queues.queue_set(call, name="default", capacity="7") == before
    assert len(await list_operations(call)) == 1


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"name": "a/b"}, Usage, "name"),
        ({"name": ".a"}, Usage, "name"),
        ({"name": ""}, Usage, "name"),
        ({"name": "a\x1b[1m"}, Usage, "name"),
        ({"name": "x" * 201}, Usage, "name"),
        ({"name": "q", "capacity": -1}, Usage, "capacity"),
        ({"name": "q", "capacity": "many"}, Usage, "capacity"),
        ({"name": "q", "capacity": 1.5}, Usage, "capacity"),
        ({"name": "q", "capacity": 10**9}, Usage, "capacity"),
        ({"name": "q", "priority": "high"}, Usage, "priority"),
        (
            {"name": "q", "pool": "defualt"},
            NotFound,
            'there is no pool "defualt". Nearest: default',
        ),
        ({"name": "q", "pool": 5}, Usage, "pool"),
        ({"name": "default"}, Conflict, "there is a queue default already. Nothing was changed"),
    ],
)
async def test_an_invalid_queue_is_refused(
    call: Call, given: dict[str, Any], kind: type[Problem], said: str
):
    with pytest.raises(kind) as told:
        await queues.queue_create(call, **given)

    assert said in str(told.value) and "\x1b" not in str(told.value)
    assert [row["name"] for row in await queues.queue_ls(call)] == ["default"]


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"name": "p", "cpu": -1, "memory": 1}, Usage, "cpu"),
        ({"name": "p", "cpu": float("nan"), "memory": 1}, Usage, "cpu"),
        ({"name": "p", "cpu": 1, "memory": "lots"}, Usage, "memory"),
        ({"name": "p", "cpu": 1, "memory": "1e30"}, Usage, "memory"),
        ({"name": "..", "cpu": 1, "memory": 1}, Usage, "name"),
        ({"name": "p", "cpu": 1, "memory": 1, "sla": "nope"}, NotFound, 'there is no rule "nope"'),
        ({"name": "default", "cpu": 1, "memory": 1}, Conflict, "there is a pool default already"),
    ],
)
async def test_an_invalid_pool_is_refused(
    call: Call, given: dict[str, Any], kind: type[Problem], said: str
):
    with pytest.raises(kind) as told:
        await queues.pool_create(call, **given)

    assert said in str(told.value)
    assert [row["name"] for row in await queues.pool_ls(call)] == ["default"]


@pytest.mark.parametrize(
    "verb",
    [
        queues.queue_show,
        queues.queue_set,
        queues.queue_rm,
        queues.queue_pause,
        queues.queue_resume,
        queues.queue_drain,
    ],
)
async def test_an_unknown_queue_is_refused_with_the_nearest_name(call: Call, verb: Any):
    more = {"capacity": 1} if verb is queues.queue_set else {}
    with pytest.raises(
        NotFound, match='there is no queue "defualt". Nearest: default. List: taskdeck queue ls'
    ):
        await verb(call, name="defualt", **more)


@pytest.mark.parametrize(
    "verb",
    [
        queues.pool_show,
        queues.pool_set,
        queues.pool_rm,
        queues.pool_pause,
        queues.pool_resume,
        queues.pool_drain,
    ],
)
async def test_an_unknown_pool_is_refused_with_the_nearest_name(call: Call, verb: Any):
    more = {"cpu": 1} if verb is queues.pool_set else {}
    with pytest.raises(
        NotFound, match='there is no pool "defualt". Nearest: default. List: taskdeck pool ls'
    ):
        await verb(call, name="defualt", **more)


async def test_an_empty_set_names_the_settable_fields(call: Call):
    with pytest.raises(Usage, match="nothing to set. Options: --capacity"):
        await queues.queue_set(call, name="default")
    with pytest.raises(Usage, match="nothing to set. Options: --cpu"):
        await queues.pool_set(call, name="default")


async def test_a_referenced_definition_is_not_deleted_and_the_counts_are_given(call: Call):
    await queues.queue_create(call, name="q", capacity=1)
    await submit_task(call, queue="q")
    await submit_task(call, queue="q")
    await templates.create(call, name="t", engine="exec", schema={"argv": ["true"]}, queue="q")

    with pytest.raises(
        Refused, match=r"2 tasks and 1 template \(t\) refer to queue q. It was not removed"
    ) as told:
        await queues.queue_rm(call, name="q")
    assert told.value.exit_code == 4
    with pytest.raises(Refused, match="2 queues .*pool default"):
        await queues.pool_rm(call, name="default")


async def test_the_referring_definitions_are_named(call: Call):
    await slas.create(call, name="fast", preset="finishes-within", value="1m", queue="default")
    await queues.pool_set(call, name="default", sla="fast")
    for name in "abcd":
        await queues.queue_create(call, name=name, capacity=1)

    with pytest.raises(Refused, match=r"^1 rule \(fast\) refers to queue default"):
        await queues.queue_rm(call, name="default")
    with pytest.raises(Refused, match=r"^5 queues \(.*, .*, .*, …\) refer to pool default"):
        await queues.pool_rm(call, name="default")
    with pytest.raises(Refused, match=r"^1 pool \(default\) refers to rule fast"):
        await slas.rm(call, name="fast")


async def test_a_missing_queue_error_tells_how_to_create_one(call: Call):
    for missing in (
        submit_task(call, queue="night shift"),
        actions.set_(call, ids=[1], fields={"queue": "night shift"}),
    ):
        with pytest.raises(
            NotFound,
            match="List: taskdeck queue ls. Create it: taskdeck queue create 'night shift'",
        ):
            await missing


async def test_a_queue_whose_tasks_were_deleted_can_be_deleted(call: Call):
    await queues.queue_create(call, name="q", capacity=1)
    assert await queues.queue_rm(call, name="q") == {"name": "q"}

    assert [row["name"] for row in await queues.queue_ls(call)] == ["default"]
    assert await list_operations(call) == [("queue create", "queue q"), ("queue rm", "queue q")]


async def test_a_pool_without_queues_can_be_deleted(call: Call):
    await queues.pool_create(call, name="p", cpu=1, memory=1)

    await queues.pool_rm(call, name="p")

    assert [row["name"] for row in await queues.pool_ls(call)] == ["default"]


async def test_a_pool_may_refer_to_an_sla(call: Call):
    await slas.create(call, name="quick", preset="starts-within", value="5m")
    await queues.pool_create(call, name="p", cpu=1, memory=1, sla="quick")
    await queues.pool_set(call, name="default", sla="quick")

    assert [row["sla"] for row in await queues.pool_ls(call)] == ["quick", "quick"]


async def test_a_pool_may_shrink_below_waiting_requests_and_why_explains(call: Call):
    await submit_task(call, memory="100M")
    await queues.pool_set(call, name="default", memory="50M")

    ((reason, *_),) = [row["reasons"] for row in await views.explain(call, ids=[1])]

    assert "100M" in reason["text"] or reason["code"] == "halted"
    done = await actions.set_(call, ids=[1], fields={"memory": "60M"})
    assert [row["exit_code"] for row in done["refused"]] == [4]


async def test_a_queue_stays_while_a_run_still_holds_its_slot(call: Call, worker):
    await queues.queue_create(call, name="a", capacity=1)
    await submit_task(call, queue="a")
    runid = await worker.start(1)
    await actions.set_(call, ids=[1], fields={"queue": "default"})

    with pytest.raises(Refused, match="1 run refers to queue a. It was not removed"):
        await queues.queue_rm(call, name="a")

    await worker.end(runid)
    assert await queues.queue_rm(call, name="a") == {"name": "a"}


async def test_running_tasks_follow_their_queue_to_another_pool(call: Call, worker):
    await queues.pool_create(call, name="big", cpu=8, memory="1G")
    await submit_task(call, cpu=1)
    await worker.start(1)

    await queues.queue_set(call, name="default", pool="big")

    assert {row["name"]: row["used_cpu"] for row in await queues.pool_ls(call)} == {
        "big": 1.0,
        "default": 0.0,
    }


async def test_the_first_in_line_starts_first_and_all_waiting_tasks_are_counted(call: Call):
    for name, priority in (("low", 0), ("high", 5), ("off", 9)):
        await queues.queue_create(call, name=name, capacity=1, priority=priority)
    await queues.queue_pause(call, name="off")
    for queue in ("low", "high", "off"):
        await submit_task(call, queue=queue)
    urgent, front = (
        await submit_task(call, queue="low", priority=7),
        await submit_task(call, queue="low"),
    )
    await submit_task(call, queue="low", hold=True)

    found = await queues.queue_line(call, names=["low"])
    assert found == {"first": urgent["uuid"], "waiting": {"queued": 3, "held": 1}}
    await actions.front(call, ids=[front["uuid"]], value=None)
    assert (await queues.queue_line(call, names=["low"]))["first"] == front["uuid"]

    both = await queues.queue_line(call, names=["off", "low", "high"])
    assert (await views.show(call, id=both["first"]))["queue"] == "high"
    assert (await queues.queue_line(call, names=["default"])) == {"first": None, "waiting": {}}


async def test_without_queued_tasks_the_next_retry_is_first_in_line(call: Call):
    late, soon = await submit_task(call), await submit_task(call)
    for task, at in ((late, "2099-01-02"), (soon, "2099-01-01")):
        await execute_sql(
            call,
            f"UPDATE tasks SET status = 'retrying', retry_at = '{at}T00:00:00.000000Z' WHERE"
            " uuid = ?",
            task["uuid"],
        )

    assert (await queues.queue_line(call, names=["default"]))["first"] == soon["uuid"]
    with pytest.raises(NotFound):
        await queues.queue_line(call, names=["nosuch"])


async def test_the_queue_of_a_new_home_leaves_the_limit_to_the_pool(
    runtime_call: Call, caller_notes: list[str]
):
    await queues.pool_set(runtime_call, name="default", cpu=16, resources={"gpu": 8})

    assert (await queues.queue_show(runtime_call, name="default"))["capacity"] == 1000
    assert not [note for note in caller_notes if "at once" in note]


async def test_a_pool_that_outgrows_its_queues_names_each(
    runtime_call: Call, caller_notes: list[str]
):
    await queues.pool_set(runtime_call, name="default", cpu=2)
    await queues.queue_set(runtime_call, name="default", capacity=2)
    await queues.queue_create(runtime_call, name="one by one", capacity=1)
    await queues.queue_create(runtime_call, name="two's", capacity=2)
    caller_notes.clear()

    await queues.pool_set(runtime_call, name="default", cpu=16, resources={"gpu": 8})
    await queues.pool_set(runtime_call, name="default", memory="1G")

    assert [note for note in caller_notes if "at once" in note] == [
        f"queue {name} runs at most 2 tasks at once, and pool default now has room for 16 of 1 cpu."
        f" To let the pool limit: taskdeck queue set {word} --capacity 16"
        for name, word in (("default", "default"), ("two's", "'two'\"'\"'s'"))
    ]


async def test_a_pool_larger_than_the_machine_is_noted_and_created(
    runtime_call: Call, caller_notes: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(2, 24 * 1024))
    await queues.pool_set(runtime_call, name="default", cpu=2, memory="24G")

    assert (await queues.pool_set(runtime_call, name="default", cpu=200))["total_cpu"] == 200
    await queues.pool_set(runtime_call, name="default", description="shared on purpose")
    await queues.pool_set(runtime_call, name="default", cpu=1)
    await queues.pool_create(runtime_call, name="gpu", cpu=2, memory=0)

    assert caller_notes == [
        (
            "pool default gives out 200 cpu, but this machine has 2: more may start than it can run"
            " well."
        ),
        (
            "the pools together give out 3 cpu, but this machine has 2: more may start than it can"
            " run well."
        ),
    ]


async def test_setting_the_current_state_records_no_operation(call: Call):
    turns = (queues.queue_pause, queues.queue_pause, queues.queue_drain)
    rows = [await turn(call, name="default") for turn in turns]

    steps = [("active", "paused"), ("paused", "paused"), ("paused", "draining")]
    assert [(row["before"]["status"], row["status"]) for row in rows] == steps
    assert await list_operations(call) == [
        ("queue pause", "queue default"),
        ("queue drain", "queue default"),
    ]


# --- named resources --------------------------------------------------------------------


async def test_named_resources_of_a_pool_are_changed_one_by_one(call: Call):
    made = await queues.pool_create(call, name="big", cpu=4, memory="1G", resources={"gpu": 2})
    more = await queues.pool_set(call, name="big", resources={"tape": 1})
    less = await queues.pool_set(call, name="big", resources={"gpu": 0})

    assert made["resources"] == {"gpu": 2}
    assert more["resources"] == {"gpu": 2, "tape": 1}
    assert less["resources"] == {"tape": 1}


async def test_a_task_asks_for_named_resources_that_its_pool_has(call: Call):
    await queues.pool_create(call, name="big", cpu=4, memory="1G", resources={"gpu": 2})
    await queues.queue_create(call, name="train", pool="big")

    await submit_task(call, queue="train", resources={"gpu": 2, "tape": 0})

    assert (await views.show(call, id=1))["resources"] == {"gpu": 2}
    with pytest.raises(Refused, match="needs 3 gpu, but pool big has 2 in all") as refused:
        await submit_task(call, queue="train", resources={"gpu": 3})
    assert refused.value.hint.endswith("which has 2 gpu in all. Ask for less: --gpu 2")
    report = await actions.set_(call, ids=[1], fields={"resources": {"tape": 1}})
    assert "needs 1 tape, but pool big has 0 in all" in report["refused"][0]["message"]


async def test_a_set_of_named_resources_keeps_the_others_and_is_undone(call: Call):
    await queues.pool_set(call, name="default", resources={"gpu": 2, "tape": 1})
    await submit_task(call, resources={"gpu": 1})

    await actions.set_(call, ids=[1], fields={"resources": {"tape": 1}})
    changed = (await views.show(call, id=1))["resources"]
    last = await execute_sql(call, "SELECT max(id) FROM operations")
    await undo.undo(call, ids=[last[0][0]])

    assert changed == {"gpu": 1, "tape": 1}
    assert (await views.show(call, id=1))["resources"] == {"gpu": 1}


async def test_a_template_gives_its_tasks_named_resources(call: Call):
    await queues.pool_set(call, name="default", resources={"gpu": 2})
    await templates.create(
        call, name="train", engine="exec", schema={"argv": ["true"]}, resources={"gpu": 1}
    )
    await submit_task(call, template="train")
    await submit_task(call, template="train", resources={"gpu": 0})

    assert [(await views.show(call, id=n))["resources"] for n in (1, 2)] == [{"gpu": 1}, {}]


async def test_runs_hold_named_resources_until_they_end(runtime_call: Call, worker):
    await queues.pool_set(runtime_call, name="default", resources={"gpu": 1})
    await submit_task(runtime_call, resources={"gpu": 1}, cpu=0)
    await submit_task(runtime_call, resources={"gpu": 1}, cpu=0)
    await worker.start(1)

    why = (await views.explain(runtime_call, ids=[2]))[0]["reasons"]

    assert (await queues.pool_show(runtime_call, name="default"))["used_resources"] == {"gpu": 1}
    assert why[0]["code"] == "pool-gpu"
    assert why[0]["text"].startswith("needs 1 gpu of pool default, 0 free")


SHARED = """
[resources.licence]
total = 1
[pools.other]
total_cpu = 1
total_memory = "1G"
[queues.other]
pool = "other"
"""


async def test_an_amount_of_what_all_pools_share_is_told(
    runtime_call: Call, caller_notes: list[str]
):
    await apply.apply(runtime_call, text="[resources.tape]\ntotal = 2\n")
    await queues.pool_set(runtime_call, name="default", resources={"tape": 1, "gpu": 1})

    (note,) = caller_notes
    assert note.startswith("all pools share tape, 2 in all: pool default uses at most 1. To change")


async def test_pools_share_a_resource_of_the_definitions_file(runtime_call: Call, worker):
    await apply.apply(runtime_call, text=SHARED, format="toml")
    await submit_task(runtime_call, resources={"licence": 1}, queue="other")
    await submit_task(runtime_call, resources={"licence": 1})
    await worker.start(1)

    why = (await views.explain(runtime_call, ids=[2]))[0]["reasons"]
    exported = await apply.export(runtime_call)

    assert why[0]["text"].startswith("needs 1 licence, 0 free")
    assert "[resources.licence]\ntotal = 1" in exported
    with pytest.raises(Refused, match="needs 2 licence, but all pools together have 1"):
        await submit_task(runtime_call, resources={"licence": 2})
