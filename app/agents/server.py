"""Server of the Model Context Protocol on standard input and output, by the SDK `mcp`."""

from __future__ import annotations

import json
import logging
import signal
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from app.agents.arguments import parse_arguments
from app.agents.session import AgentSession, ToolCall
from app.agents.tools import INSTRUCTIONS, ToolKind, list_tools
from app.errors import Problem, problem_to_dict
from app.translation import ENGLISH, use_language
from app.version import VERSION

MAX_CALLS = 16
"""Calls of tools that run at once; further calls wait."""
UNTRUSTED = "taskdeck/untrusted"
"""Mark of an answer, with the fields that hold text of programs."""


def serve_agent(session: AgentSession) -> int:
    """Answer the calls of one client until it closes the input, or goes."""
    use_language(ENGLISH)  # descriptions of tools are English, so answers are, too
    # Without a handler the SDK would log tracebacks to stderr. Answers name the failure.
    logging.getLogger().addHandler(logging.NullHandler())
    # The thread that reads the input cannot be interrupted, and there is nothing to clean up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server = make_server(session)
    try:
        anyio.run(_serve, server)
    except* (BrokenPipeError, anyio.BrokenResourceError):
        pass
    return 0


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def make_server(session: AgentSession) -> Server[Any]:
    """Return a server with the tools of a client. Raise Usage for faulty limits."""
    tools = {tool.name: tool for tool in list_tools(session.is_read_only())}
    limiter = anyio.CapacityLimiter(MAX_CALLS)

    async def list_all(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_describe_tool(tool) for tool in tools.values()])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:60]!r}")
        return await _run_tool(session, tool, params.arguments or {}, context, limiter)

    return Server(
        "taskdeck",
        version=VERSION,
        title="Taskdeck",
        instructions=INSTRUCTIONS,
        on_list_tools=list_all,
        on_call_tool=call_tool,
    )


def _describe_tool(tool: ToolKind) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=_drop_titles(tool.arguments.model_json_schema()),
        output_schema=_drop_titles(tool.answer.model_json_schema(mode="serialization")),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.changes,
            destructive_hint=tool.is_destructive,
            idempotent_hint=tool.is_idempotent or not tool.changes,
            open_world_hint=tool.is_open,
        ),
    )


def _drop_titles(schema: Any) -> Any:
    """Return a schema without the titles that repeat names: an agent reads all of it."""
    if isinstance(schema, list):
        return [_drop_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _drop_titles(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }


async def _run_tool(
    session: AgentSession,
    tool: ToolKind,
    given: dict[str, Any],
    context: ServerRequestContext[Any],
    limiter: anyio.CapacityLimiter,
) -> types.CallToolResult:
    """Run a tool in a thread. A problem becomes an answer with the error."""
    call = ToolCall(
        session, lambda *progress: anyio.from_thread.run(context.session.report_progress, *progress)
    )
    try:
        found = await anyio.to_thread.run_sync(
            lambda: tool.run(call, parse_arguments(tool.arguments, given)).model_dump(mode="json"),
            abandon_on_cancel=True,
            limiter=limiter,
        )
    except Problem as problem:
        return _make_error(problem_to_dict(problem))
    except Exception as error:
        return _make_error(_describe_crash(error))
    finally:
        call.close()
    meta = {UNTRUSTED: list(tool.untrusted)} if tool.untrusted else None
    text = types.TextContent(text=json.dumps(found, ensure_ascii=False), _meta=meta)
    return types.CallToolResult(content=[text], structured_content=found)


def _make_error(problem: dict[str, Any]) -> types.CallToolResult:
    hint = problem["hint"]
    label = "Hint for a user: " if "taskdeck " in hint else ""  # not for the agent to run
    text = f"{problem['message']} {label}{hint}" if hint else problem["message"]
    error = {name: problem[name] for name in ("code", "message", "hint")}
    return types.CallToolResult(
        content=[types.TextContent(text=text)], structured_content={"error": error}, is_error=True
    )


def _describe_crash(error: Exception) -> dict[str, Any]:
    return {
        "code": "internal",
        "message": f"internal error ({type(error).__name__}) in taskdeck mcp.",
        "hint": "Please report it.",
    }
