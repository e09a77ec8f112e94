"""Queues and pools: made, changed, closed and taken away, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import queues, slas, templates
from app.service.tasks import actions, views
from db import host
from tests.service.calls import execute, operations, submitted


async def words(call: Call) -> dict[str, str]:
    """What each queue does now."""
    return {row["name"]: row["word"] for row in await queues.queue_ls(call)}


async def test_a_queue_has_by_default_its_pools_cores(call: Call):
    await queues.pool_create(call, name="gpu", cpu="2.5", memory="32G")

    row = await queues.queue_create(call, name="gpu", pool="gpu")

    assert (row["capacity"], row["pool"], row["priority"], row["status"], row["current_load"]) == (
        2,
        "gpu",
        0,
        "active",
        0,
    )
    assert await operations(call) == [("pool create", "pool gpu"), ("queue create", "queue gpu")]


async def test_queues_are_listed_by_priority_then_name_with_what_waits(call: Call):
    await queues.queue_create(call, name="b", capacity=1, priority=5)
    await queues.queue_create(call, name="a", capacity=1, priority=5)
    await submitted(call, queue="b")

    rows = await queues.queue_ls(call)

    assert [(row["name"], row["waiting"], row["oldest_at"] is not None) for row in rows] == [
        ("a", 0, False),
        ("b", 1, True),
        ("default", 0, False),
    ]


async def test_what_a_queue_does_is_one_word(call: Call, worker):
    await queues.pool_create(call, name="p", cpu=1, memory="1G")
    for name in ("open", "full", "no-room", "paused", "draining"):
        await queues.queue_create(call, name=name, pool="p", capacity=1)
    await submitted(call, queue="full")
    await worker.start(1)
    await submitted(call, queue="no-room", cpu=1)
    await call.db.write(lambda c: c.exec_driver_sql("UPDATE pools SET used_cpu = 0.5 WHERE name = 'p'"))
    await queues.queue_pause(call, name="paused")
    await queues.queue_drain(call, name="draining")

    found = await words(call)
    assert {name: found[name] for name in ("open", "full", "no-room", "paused", "draining")} == {
        "open": "open", "full": "full", "no-room": "no room", "paused": "paused", "draining": "draining",
    }  # fmt: skip

    await queues.pool_pause(call, name="p")
    assert (await words(call))["open"] == "pool off"


async def test_pausing_twice_is_recorded_once_with_who(call: Call):
    await queues.queue_pause(call, name="default")
    row = await queues.queue_pause(call, name="default")

    assert (row["status"], row["status_by"], row["status_at"] is not None) == ("paused", "ann", True)
    assert await operations(call) == [("queue pause", "queue default")]


async def test_a_change_is_recorded_as_it_was_and_is(call: Call):
    await queues.queue_set(call, name="default", capacity=7)

    (newest,) = await log.ls(call, limit=1)

    assert (newest["before"]["capacity"] != 7, newest["after"]) == (True, {"capacity": 7})


async def test_a_change_to_what_it_is_already_changes_nothing(call: Call):
    before = await queues.queue_set(call, name="default", capacity=7)

    assert await queues.queue_set(call, name="default", capacity="7") == before
    assert len(await operations(call)) == 1


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
        ({"name": "q", "pool": "defualt"}, NotFound, 'no pool "defualt". Nearest: default'),
        ({"name": "q", "pool": 5}, Usage, "pool"),
        ({"name": "default"}, Conflict, "there is a queue default already. Nothing was changed"),
    ],
)
async def test_a_queue_that_makes_no_sense_is_refused(
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
        ({"name": "p", "cpu": 1, "memory": 1, "sla": "nope"}, NotFound, 'no sla "nope"'),
        ({"name": "default", "cpu": 1, "memory": 1}, Conflict, "there is a pool default already"),
    ],
)
async def test_a_pool_that_makes_no_sense_is_refused(call: Call, given: dict[str, Any], kind: type[Problem], said: str):
    with pytest.raises(kind) as told:
        await queues.pool_create(call, **given)

    assert said in str(told.value)
    assert [row["name"] for row in await queues.pool_ls(call)] == ["default"]


@pytest.mark.parametrize(
    "verb",
    [queues.queue_show, queues.queue_set, queues.queue_rm, queues.queue_pause, queues.queue_resume, queues.queue_drain],
)
async def test_an_unknown_queue_is_named_with_the_nearest(call: Call, verb: Any):
    more = {"capacity": 1} if verb is queues.queue_set else {}
    with pytest.raises(NotFound, match='no queue "defualt". Nearest: default. List: taskdeck queue ls'):
        await verb(call, name="defualt", **more)


@pytest.mark.parametrize(
    "verb",
    [queues.pool_show, queues.pool_set, queues.pool_rm, queues.pool_pause, queues.pool_resume, queues.pool_drain],
)
async def test_an_unknown_pool_is_named_with_the_nearest(call: Call, verb: Any):
    more = {"cpu": 1} if verb is queues.pool_set else {}
    with pytest.raises(NotFound, match='no pool "defualt". Nearest: default. List: taskdeck pool ls'):
        await verb(call, name="defualt", **more)


async def test_a_set_of_nothing_says_what_could_be_set(call: Call):
    with pytest.raises(Usage, match="nothing to set. Say what: --capacity"):
        await queues.queue_set(call, name="default")
    with pytest.raises(Usage, match="nothing to set. Say what: --cpu"):
        await queues.pool_set(call, name="default")


async def test_what_something_refers_to_is_not_removed_and_the_counts_are_named(call: Call):
    await queues.queue_create(call, name="q", capacity=1)
    await submitted(call, queue="q")
    await submitted(call, queue="q")
    await templates.create(call, name="t", engine="exec", schema={"argv": ["true"]}, queue="q")

    with pytest.raises(Refused, match=r"2 tasks and 1 template \(t\) refer to queue q. It was not removed") as told:
        await queues.queue_rm(call, name="q")
    assert told.value.exit_code == 4
    with pytest.raises(Refused, match="2 queues .*pool default"):
        await queues.pool_rm(call, name="default")


async def test_what_refers_to_something_is_named(call: Call):
    await slas.create(call, name="fast", preset="finishes-within", value="1m", queue="default")
    await queues.pool_set(call, name="default", sla="fast")
    for name in "abcd":
        await queues.queue_create(call, name=name, capacity=1)

    with pytest.raises(Refused, match=r"^1 SLA \(fast\) refers to queue default"):
        await queues.queue_rm(call, name="default")
    with pytest.raises(Refused, match=r"^5 queues \(.*, .*, .*, …\) refer to pool default"):
        await queues.pool_rm(call, name="default")
    with pytest.raises(Refused, match=r"^1 pool \(default\) refers to SLA fast"):
        await slas.rm(call, name="fast")


async def test_how_to_make_a_queue_is_told_where_one_is_missing(call: Call):
    for missing in (submitted(call, queue="night shift"), actions.set_(call, ids=[1], fields={"queue": "night shift"})):
        with pytest.raises(NotFound, match="List: taskdeck queue ls. Make it: taskdeck queue create 'night shift'"):
            await missing


async def test_a_queue_whose_tasks_were_removed_can_go(call: Call):
    await queues.queue_create(call, name="q", capacity=1)
    assert await queues.queue_rm(call, name="q") == {"name": "q"}

    assert [row["name"] for row in await queues.queue_ls(call)] == ["default"]
    assert await operations(call) == [("queue create", "queue q"), ("queue rm", "queue q")]


async def test_a_pool_without_queues_can_go(call: Call):
    await queues.pool_create(call, name="p", cpu=1, memory=1)

    await queues.pool_rm(call, name="p")

    assert [row["name"] for row in await queues.pool_ls(call)] == ["default"]


async def test_a_pool_may_point_at_an_sla(call: Call):
    await slas.create(call, name="quick", preset="starts-within", value="5m")
    await queues.pool_create(call, name="p", cpu=1, memory=1, sla="quick")
    await queues.pool_set(call, name="default", sla="quick")

    assert [row["sla"] for row in await queues.pool_ls(call)] == ["quick", "quick"]


async def test_a_pool_may_get_smaller_than_what_waits_for_it_needs_and_why_says_so(call: Call):
    await submitted(call, memory="100M")
    await queues.pool_set(call, name="default", memory="50M")

    ((reason, *_),) = [row["reasons"] for row in await views.why(call, ids=[1])]

    assert "100M" in reason["text"] or reason["code"] == "halted"
    done = await actions.set_(call, ids=[1], fields={"memory": "60M"})
    assert [row["exit_code"] for row in done["refused"]] == [4]


async def test_a_queue_is_not_removed_while_a_run_of_a_task_that_left_it_still_holds_its_slot(call: Call, worker):
    await queues.queue_create(call, name="a", capacity=1)
    await submitted(call, queue="a")
    runid = await worker.start(1)
    await actions.set_(call, ids=[1], fields={"queue": "default"})

    with pytest.raises(Refused, match="1 run refers to queue a. It was not removed"):
        await queues.queue_rm(call, name="a")

    await worker.end(runid)
    assert await queues.queue_rm(call, name="a") == {"name": "a"}


async def test_the_runs_of_a_queue_go_with_it_to_another_pool(call: Call, worker):
    await queues.pool_create(call, name="big", cpu=8, memory="1G")
    await submitted(call, cpu=1)
    await worker.start(1)

    await queues.queue_set(call, name="default", pool="big")

    assert {row["name"]: row["used_cpu"] for row in await queues.pool_ls(call)} == {"big": 1.0, "default": 0.0}


async def test_the_first_in_line_is_the_one_that_starts_first_and_all_that_waits_is_counted(call: Call):
    for name, priority in (("low", 0), ("high", 5), ("off", 9)):
        await queues.queue_create(call, name=name, capacity=1, priority=priority)
    await queues.queue_pause(call, name="off")
    for queue in ("low", "high", "off"):
        await submitted(call, queue=queue)
    urgent, front = await submitted(call, queue="low", priority=7), await submitted(call, queue="low")
    await submitted(call, queue="low", hold=True)

    found = await queues.queue_line(call, names=["low"])
    assert found == {"first": urgent["uuid"], "waiting": {"queued": 3, "held": 1}}
    await actions.front(call, ids=[front["uuid"]], value=None)
    assert (await queues.queue_line(call, names=["low"]))["first"] == front["uuid"]

    both = await queues.queue_line(call, names=["off", "low", "high"])
    assert (await views.show(call, id=both["first"]))["queue"] == "high"
    assert (await queues.queue_line(call, names=["default"])) == {"first": None, "waiting": {}}


async def test_where_none_is_in_line_the_next_attempt_is_first(call: Call):
    late, soon = await submitted(call), await submitted(call)
    for task, at in ((late, "2099-01-02"), (soon, "2099-01-01")):
        await execute(call, f"UPDATE tasks SET status = 'retrying', retry_at = '{at}T00:00:00.000000Z' WHERE uuid = ?", task["uuid"])

    assert (await queues.queue_line(call, names=["default"]))["first"] == soon["uuid"]
    with pytest.raises(NotFound):
        await queues.queue_line(call, names=["nosuch"])


async def test_a_pool_that_is_larger_than_the_machine_is_noted_and_made(live: Call, notes: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host, "here", lambda: host.Machine(2, 24 * 1024))
    await queues.pool_set(live, name="default", cpu=2, memory="24G")

    assert (await queues.pool_set(live, name="default", cpu=200))["total_cpu"] == 200
    await queues.pool_set(live, name="default", description="shared on purpose")
    await queues.pool_set(live, name="default", cpu=1)
    await queues.pool_create(live, name="gpu", cpu=2, memory=0)

    assert notes == [
        "pool default gives out 200 cpu, but this machine has 2: more may start than it can run well.",
        "the pools together give out 3 cpu, but this machine has 2: more may start than it can run well.",
    ]


async def test_a_queue_that_is_so_already_keeps_its_state_without_an_operation(call: Call):
    turns = (queues.queue_pause, queues.queue_pause, queues.queue_drain)
    rows = [await turn(call, name="default") for turn in turns]

    steps = [("active", "paused"), ("paused", "paused"), ("paused", "draining")]
    assert [(row["before"]["status"], row["status"]) for row in rows] == steps
    assert await operations(call) == [("queue pause", "queue default"), ("queue drain", "queue default")]
