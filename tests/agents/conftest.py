"""Sessions of clients on a real runtime, and the SDK's own client for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from app.agents.server import make_server
from app.agents.session import AgentSession
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess


class ToolClient:
    """The SDK's client, with the answers of tools as plain values."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **args: Any) -> Any:
        """Return the structured answer of a tool, which must not be an error."""
        found = await self.client.call_tool(tool, args)
        (content,) = found.content
        assert not found.is_error, content
        assert json.loads(content.text) == found.structured_content
        return found.structured_content

    async def fail(self, tool: str, /, **args: Any) -> str:
        """Return the text of the error of a tool."""
        found = await self.client.call_tool(tool, args)
        (content,) = found.content
        assert found.is_error, content
        assert found.structured_content["error"]["message"] in content.text
        assert "Traceback" not in content.text
        return content.text

    async def submit(self, *argv: str, **more: Any) -> int:
        """Submit a command and return its number."""
        return (await self.call("submit", argv=list(argv), **more))["number"]


Connect = Callable[..., AbstractAsyncContextManager[ToolClient]]


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of config.toml, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))
    path = tmp_path / "config" / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def connect(runtime: RuntimeProcess, config_file: Path) -> Connect:
    """Return a function that opens a session of a client with a name."""

    @asynccontextmanager
    async def open_session(name: str = "a", **more: Any) -> Any:
        env = {"PATH": os.environ["PATH"], HOME_VARIABLE: os.fspath(runtime.home)}
        context = {"cwd": os.fspath(runtime.home), "umask": 0o022, "env": env}
        session = AgentSession(os.fspath(runtime.home), name, context=context, **more)
        async with Client(make_server(session)) as client:
            yield ToolClient(client)

    return open_session
