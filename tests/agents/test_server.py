"""The server of `taskdeck mcp`: its list of tools, its answers, its errors, and its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from app.agents.server import make_server
from app.agents.session import AgentSession
from app.errors import Usage
from tests.agents.conftest import Connect, ToolClient
from tests.runtime_process import RuntimeProcess

CHANGING = {"submit", "cancel", "retry"}


async def test_each_tool_tells_its_effects(connect: Connect):
    async with connect() as agent:
        tools = {tool.name: tool for tool in (await agent.client.list_tools()).tools}

    assert tools.keys() == {
        "submit", "list", "show", "why", "logs", "wait", "cancel", "retry", "status", "what_if"
    }  # fmt: skip
    for name, tool in tools.items():
        assert tool.annotations is not None and tool.description and tool.output_schema
        assert tool.annotations.read_only_hint == (name not in CHANGING)
        assert tool.annotations.destructive_hint == (name == "cancel")
        assert tool.input_schema["additionalProperties"] is False
    assert '"title"' not in json.dumps(tools["submit"].input_schema)


async def test_a_read_only_client_gets_no_tool_that_changes(connect: Connect):
    async with connect(read_only=True) as agent:
        names = {tool.name for tool in (await agent.client.list_tools()).tools}
        with pytest.raises(MCPError, match="there is no tool 'submit'"):
            await agent.submit("true")

    assert "list" in names and names.isdisjoint(CHANGING)


async def test_a_client_becomes_read_only_while_it_is_connected(
    connect: Connect, config_file: Path
):
    async with connect() as agent:
        config_file.write_text("[mcp.clients.a]\nread_only = true")

        assert "client a is read-only" in await agent.fail("submit", argv=["true"])


def test_limits_that_cannot_be_read_stop_the_server(config_file: Path):
    config_file.write_text("[mcp.clients.a]\ncpus = 4\n")

    with pytest.raises(Usage, match="The limits of clients are therefore unknown"):
        make_server(AgentSession("/nowhere", "a"))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"argv": ["x"], "memry": "2G"}, 'there is no argument "memry"'),
    ({"argv": []}, "argv: "),
    ({"argv": "make"}, "argv: "),
    ({"argv": ["x" * 70_000]}, "argv: is longer than 65,536 characters"),
    ({"argv": ["x"] * 1001}, "argv: "),
    ({"argv": ["x\0y"]}, "argv"),
    ({"argv": ["x"], "cpu": 0}, "cpu: "),
    ({"argv": ["x"], "cpu": -1}, "cpu: "),
    ({"argv": ["x"], "cpu": 1e300}, "cpu: "),
    ({"argv": ["x"], "memory": "lots"}, "memory: must be a size such as 512M"),
    ({"argv": ["x"], "timeout": "0"}, "timeout: must be above 0"),
    ({"argv": ["x"], "cwd": "relative"}, "cwd must be the absolute path of a directory"),
    ({"argv": ["x"], "cwd": "/nowhere\0"}, "cwd must be the absolute path of a directory"),
    ({"argv": ["x"], "tags": {"client": "b"}}, "the tag client is set by Taskdeck"),
    ({"argv": ["x"], "tags": {"\x1b[31m": "b"}}, "tags: "),
    ({"argv": ["x"], "name": "a/b\x1b]0;x\x07"}, "name must not contain"),
    ({"argv": ["x"], "queue": "nope"}, 'there is no queue "nope".'),
    ({"argv": ["\ud800"]}, "argv"),
    ({}, "argv: "),
]
"""Wrong arguments of `submit`, and what is told."""


async def test_wrong_arguments_are_told_and_nothing_is_submitted(connect: Connect):
    async with connect() as agent:
        told = [await agent.fail("submit", **args) for args, _ in WRONG]
        total = (await agent.call("list"))["total"]

    assert [text for text, (_, said) in zip(told, WRONG, strict=True) if said not in text] == []
    assert not any("\x1b" in text or len(text) > 400 for text in told)
    assert total == 0


async def test_the_command_serves_an_agent_over_its_pipes(
    lazy_runtime: RuntimeProcess, config_file: Path
):
    runtime = lazy_runtime  # the first submission starts it
    config_file.write_text("[mcp.clients.a]\ncpu = 1\n")
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "taskdeck", "--home", os.fspath(runtime.home), "mcp", "--client", "a"],
        env={"XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"], "PYTHONPATH": os.getcwd()},
        cwd=runtime.home,
    )
    steps: list[float] = []

    async def note_progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    async with Client(parameters, mode="legacy") as client:
        agent = ToolClient(client)
        number = await agent.submit("sh", "-c", "pwd; echo broken >&2; exit 3")
        found = await client.call_tool(
            "wait", {"numbers": [number], "seconds": 60}, progress_callback=note_progress
        )
        assert found.structured_content["tasks"][0]["exit_code"] == 3
        log = await agent.call("logs", number=number)

    assert log["output"]["stdout"] == [os.fspath(runtime.home)]
    assert log["output"]["stderr"] == ["broken"]
    assert runtime.show(str(number))["tags"] == {"client": "a"}


@pytest.mark.parametrize("end", ["interrupt", "close"])
def test_the_command_ends_with_its_agent(runtime: RuntimeProcess, config_file: Path, end: str):
    words = ["--home", os.fspath(runtime.home), "mcp", "--client", "a"]
    command = [sys.executable, "-P", "-m", "taskdeck", *words]
    pipe = subprocess.PIPE
    ask = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(ask).encode() + b"\n")
        server.stdin.flush()
        assert server.stdout.readline()
        if end == "interrupt":
            server.send_signal(signal.SIGINT)
        else:
            server.stdout.close()
            server.stdin.write(json.dumps(ask).encode() + b"\n")
            server.stdin.close()
        code = server.wait(60)
        told = server.stderr.read() if server.stderr else b""

    assert (code, told) == ((-signal.SIGINT, b"") if end == "interrupt" else (0, b""))
