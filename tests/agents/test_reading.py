"""Tools that read: own tasks in full, others in part."""

from __future__ import annotations

from tests.agents.conftest import Connect
from tests.runtime_process import RuntimeProcess


async def test_a_list_has_the_own_tasks_or_all(connect: Connect, runtime: RuntimeProcess):
    runtime.call("queue.pause", name="default")
    users = int(runtime.submit("true"))
    async with connect() as agent:
        mine = await agent.submit("true")
        own = await agent.call("list")
        everyone = await agent.call("list", everyone=True, status=["queued"], limit=1)
        failed = await agent.call("list", status=["failed"])

    assert [row["number"] for row in own["tasks"]] == [mine]
    assert own["tasks"][0]["client"] == "a" and "paused" in own["tasks"][0]["reason"]
    assert ([row["number"] for row in everyone["tasks"]], everyone["total"]) == ([mine], 2)
    assert failed["tasks"] == [] and users < mine


async def test_a_task_of_others_is_shown_without_its_command(
    connect: Connect, runtime: RuntimeProcess
):
    runtime.call("queue.pause", name="default")
    users = int(runtime.submit("echo", "secret"))
    async with connect() as agent:
        theirs = await agent.call("show", number=users)
        mine = await agent.call("show", number=await agent.submit("x\x1b[31m", "y" * 9000))

    assert (theirs["status"], theirs["argv"], theirs["cwd"], theirs["tags"]) == (
        "queued", None, None, None
    )  # fmt: skip
    assert mine["tags"] == {"client": "a"}
    assert "\x1b" not in str(mine) and sum(map(len, mine["argv"])) < 5000


async def test_a_wait_and_its_end_are_explained(connect: Connect, runtime: RuntimeProcess):
    runtime.call("queue.pause", name="default")
    async with connect() as agent:
        found = await agent.call("why", number=await agent.submit("true"))
        missing = await agent.fail("why", number=77)

    assert "paused" in found["reasons"][0]
    assert missing == 'there is no task "77". Hint for a user: List: taskdeck ls'


async def test_the_state_names_queues_and_pools(connect: Connect):
    async with connect() as agent:
        found = await agent.call("status")

    assert found["runtime"] == "running"
    assert found["queues"][0]["name"] == "default" and found["pools"][0]["cpu"] > 0


async def test_a_forecast_changes_nothing(connect: Connect, runtime: RuntimeProcess):
    async with connect() as agent:
        number = await agent.submit("sleep", "60", timeout="1m")
        found = await agent.call(
            "what_if",
            submit=[{"argv": ["true"], "timeout": "5s"}],
            cancel=[number],
            settings=["queue.default.capacity=1"],
        )

    assert {row["change"] for row in found["tasks"]} >= {"new"}
    assert runtime.show(str(number))["status"] in ("queued", "running")
