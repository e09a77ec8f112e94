"""Tools that change something: limits of clients, and the tasks of others."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path
from typing import Any

from app.agents.arguments import SubmitArguments
from app.agents.changes import submit_task
from app.agents.session import AgentSession, ToolCall
from app.client import Client
from app.errors import Problem
from tests.agents.conftest import Connect
from tests.runtime_process import RuntimeProcess


async def test_a_submission_tells_number_start_and_wait(connect: Connect, runtime: RuntimeProcess):
    async with connect() as agent:
        runtime.call("queue.pause", name="default")
        found = await agent.call("submit", argv=["sleep", "9"], tags={"team": "x"}, timeout="1m")

    assert found["status"] == "queued" and "paused" in found["waits_for"][0]
    shown = runtime.show(str(found["number"]))
    assert shown["tags"] == {"team": "x", "client": "a"}
    assert (shown["timeout"], shown["split"]) == (60.0, True)


def test_a_stored_task_is_told_although_its_reasons_are_lost(runtime: RuntimeProcess):
    class LateCall(ToolCall):
        def call(self, verb: str, /, **args: Any) -> Any:
            if verb == "why":
                raise Problem("the runtime ended.")
            return super().call(verb, **args)

    with closing(LateCall(AgentSession(os.fspath(runtime.home), "a"))) as call:
        found = submit_task(call, SubmitArguments(argv=["true"]))

    assert (found.number, found.status) == (1, "submitted")
    assert "submitted, but: the runtime ended." in found.notes


async def test_a_dry_run_submits_nothing(connect: Connect, runtime: RuntimeProcess):
    async with connect() as agent:
        found = await agent.call("submit", argv=["true"], dry_run=True)
        runtime.call("queue.pause", name="default")
        later = await agent.call("submit", argv=["true"], dry_run=True)
        total = (await agent.call("list", everyone=True))["total"]

    assert (found["number"], found["starts_in_seconds"], found["waits_for"]) == (None, [0, 0], [])
    assert later["waits_for"] == ["queue default is paused"]
    assert total == 0


async def test_a_task_runs_in_the_directory_asked_for(
    connect: Connect, runtime: RuntimeProcess, tmp_path: Path
):
    async with connect() as agent:
        number = await agent.submit("pwd", cwd=os.fspath(tmp_path))
        await agent.call("wait", numbers=[number], seconds=60)
        log = await agent.call("logs", number=number)

    assert log["output"]["stdout"] == [os.fspath(tmp_path)]


async def test_the_limits_of_a_client_hold(
    connect: Connect, config_file: Path, runtime: RuntimeProcess
):
    runtime.call("pool.set", name="default", cpu=8)
    config_file.write_text(
        '[mcp.clients.a]\nqueue = "default"\ncpu = 2\nmemory = "1G"\ntasks = 3\nrunning = 1\n'
    )
    async with connect() as agent:
        assert "memory" in await agent.fail("submit", argv=["true"])
        assert "cpu 3 is more than the 2" in await agent.fail(
            "submit", argv=["true"], cpu=3, memory="1M"
        )
        assert "only queue of this client is default" in await agent.fail(
            "submit", argv=["true"], queue="x", memory="1M"
        )
        for _ in range(3):
            await agent.submit("sleep", "60", memory="1M")
        assert "client a may have 3 tasks" in await agent.fail("submit", argv=["true"], memory="1M")
        client = (await agent.call("status"))["client"]

    (limit,) = runtime.call("limit.ls")
    assert (limit["name"], limit["running"], limit["cpu"]) == ("client=a", 1, 2.0)
    assert (client["tasks"], client["tasks_now"], client["memory_mib"]) == (3, 3, 1024.0)


async def test_submissions_at_once_pass_no_bound(connect: Connect, config_file: Path):
    config_file.write_text("[mcp.defaults]\ntasks = 4\n")
    async with connect() as one, connect() as other:
        calls = [
            agent.client.call_tool("submit", {"argv": ["sleep", "60"]})
            for agent in (one, other)
            for _ in range(5)
        ]
        found = await asyncio.gather(*calls)

    assert sum(not answer.is_error for answer in found) == 4


async def test_a_client_changes_only_its_own_tasks(connect: Connect, runtime: RuntimeProcess):
    runtime.call("queue.pause", name="default")
    async with connect("a") as one, connect("b") as other:
        mine, theirs = await one.submit("true"), await other.submit("true")
        users = int(runtime.submit("true"))
        found = await one.call("cancel", numbers=[theirs, users, mine])
        again = await other.call("retry", numbers=[mine])

    assert found["done"] == [{"number": mine, "status": "cancelled"}]
    assert [row["number"] for row in found["refused"]] == [theirs, users]
    assert again["done"] == [] and "is no task of client b" in again["refused"][0]["message"]
    assert [runtime.show(str(n))["status"] for n in (theirs, users)] == ["queued"] * 2


async def test_a_failed_task_runs_again(connect: Connect):
    async with connect() as agent:
        number = await agent.submit("false")
        await agent.call("wait", numbers=[number], seconds=60)
        await agent.call("retry", numbers=[number])
        await agent.call("wait", numbers=[number], seconds=60)
        runs = (await agent.call("show", number=number))["runs"]

    assert [(run["attempt"], run["exit_code"]) for run in runs] == [(1, 1), (2, 1)]


async def test_the_operations_of_a_client_are_not_those_of_its_terminal(
    connect: Connect, runtime: RuntimeProcess
):
    async with connect("a") as agent:
        await agent.submit("true")

    with closing(Client(runtime.home, origin="mcp a")) as client:
        assert client.call("operations")[0]["here"]
    assert not runtime.call("operations")[0]["here"]
