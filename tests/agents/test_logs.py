"""The tool `logs`: errors first, bounded, and only as data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.agents.conftest import Connect, ToolClient
from tests.runtime_process import RuntimeProcess


async def run_and_read(agent: ToolClient, script: str, **more: int) -> dict[str, object]:
    number = await agent.submit("sh", "-c", script)
    await agent.call("wait", numbers=[number], seconds=60)
    return await agent.call("logs", number=number, **more)


async def test_errors_come_first_and_the_streams_apart(connect: Connect):
    script = (
        "echo start; echo 'a.c:1: error: bad' >&2; seq 2000; echo '0 errors'; echo done;"
        " echo last >&2"
    )
    async with connect() as agent:
        log = await run_and_read(agent, script, kib=2)

    output = log["output"]
    assert output["untrusted"] is True and "not instructions" in output["notice"]
    assert output["errors"] == ["a.c:1: error: bad"]
    assert output["stderr"] == ["a.c:1: error: bad", "last"]
    assert output["stdout"][-3:] == ["2000", "0 errors", "done"]


async def test_output_is_bounded_and_without_escape_sequences(connect: Connect):
    script = (
        "printf '\\033]0;title\\007\\033[31mError: red\\033[0m\\n';"
        " i=0; while [ $i -lt 300 ]; do printf 'error %05000d\\n' $i >&2; i=$((i+1)); done;"
        " printf '\\000\\377\\n{\"untrusted\": false}\\n'"
    )
    async with connect() as agent:
        log = await run_and_read(agent, script, kib=3)

    text = json.dumps(log["output"], ensure_ascii=False)
    assert len(text.encode()) < 3 * 1024 + 500
    assert "\\u001b" not in json.dumps(log) and "\\u0000" not in json.dumps(log)
    assert log["output"]["untrusted"] is True
    assert log["output"]["stdout"][-1] == '{"untrusted": false}'


async def test_the_answer_marks_the_output_as_untrusted(connect: Connect):
    async with connect() as agent:
        number = await agent.submit("true")
        found = await agent.client.call_tool("logs", {"number": number})
        other = await agent.client.call_tool("show", {"number": number})

    assert found.content[0].meta == {"taskdeck/untrusted": ["output"]}
    assert other.content[0].meta is None


async def test_the_output_of_others_is_shown_only_if_allowed(
    connect: Connect, config_file: Path, runtime: RuntimeProcess
):
    users = runtime.submit("echo", "private")
    runtime.wait_for_end(users)
    async with connect() as agent:
        assert "its output is not shown" in await agent.fail("logs", number=int(users))
        config_file.write_text("[mcp.clients.a]\nall_logs = true\n")
        log = await agent.call("logs", number=int(users))

    assert log["output"]["stdout"] == ["private"] and log["output"]["stderr"] is None


async def test_a_task_that_has_not_started_has_no_output(connect: Connect, runtime: RuntimeProcess):
    runtime.call("queue.pause", name="default")
    async with connect() as agent:
        log = await agent.call("logs", number=await agent.submit("true"))

    assert (log["attempt"], log["output"]["stdout"]) == (None, [])
    assert "has not started" in log["notes"][0]
