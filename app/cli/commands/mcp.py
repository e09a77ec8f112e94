"""`taskdeck mcp`: offer tools to a coding agent, which starts this command and talks to it."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, make_type
from app.core.agent_clients import DEFAULT_CLIENT, is_client_name
from app.core.text import units
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext


def serve_agent(context: CommandContext, args: Args) -> int:
    """Answer a coding agent on standard input and output, until it closes them."""
    if output.is_stdin_terminal():
        raise Usage(
            "mcp is started by a coding agent, which talks to it on standard input and output.",
            "To set one up: taskdeck help agents",
        )
    return context.agents(
        context.home,
        name=args.client,
        read_only=args.read_only or context.read_only,
        autostart=context.client.autostart,
    )


def _parse_client(text: str) -> str:
    if not is_client_name(text):
        raise ValueError(
            tr(
                "must have at most 40 letters, digits and . _ -, and begin with a letter or digit,"
                " not {text}",
                text=units.quote(text),
            )
        )
    return text


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--client",
        metavar="NAME",
        type=make_type(_parse_client),
        default=DEFAULT_CLIENT,
        help="name of the agent, for its tag and its limits (default agent)",
    )
    parser.add_option("--read-only", action="store_true", help="offer only tools that read")


COMMANDS = {
    "mcp": Command(
        "offer tools to a coding agent (Model Context Protocol)",
        serve_agent,
        _add_arguments,
        "  taskdeck mcp --client a\n  taskdeck mcp --client reader --read-only\n"
        "  taskdeck help agents",
    )
}
