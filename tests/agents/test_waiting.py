"""The tool `wait`."""

from __future__ import annotations

from tests.agents.conftest import Connect
from tests.runtime_process import RuntimeProcess


async def test_a_wait_tells_how_far_each_task_is(connect: Connect, runtime: RuntimeProcess):
    async with connect() as agent:
        done = await agent.submit("sh", "-c", "exit 5")
        await agent.call("wait", numbers=[done], seconds=60)
        runtime.call("queue.pause", name="default")
        left = await agent.submit("true")
        found = await agent.call("wait", numbers=[done, left], seconds=0)

    assert not found["all_ended"]
    assert [(row["status"], row["exit_code"]) for row in found["tasks"]] == [
        ("failed", 5),
        ("queued", None),
    ]
    assert "paused" in found["tasks"][1]["reason"]


async def test_a_wait_ends_with_the_tasks_of_others(connect: Connect, runtime: RuntimeProcess):
    number = int(runtime.submit("true"))
    async with connect() as agent:
        found = await agent.call("wait", numbers=[number], seconds=60)

    assert found["all_ended"] and found["tasks"][0]["exit_code"] == 0


async def test_a_wait_for_an_unknown_task_fails(connect: Connect):
    async with connect() as agent:
        assert 'there is no task "7"' in await agent.fail("wait", numbers=[7])
        assert "seconds: " in await agent.fail("wait", numbers=[7], seconds=3600)
