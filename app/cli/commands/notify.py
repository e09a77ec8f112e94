"""`taskdeck notify`: list channels and test them."""

from __future__ import annotations

from app.cli import definition_group, output
from app.cli.parser import Args, Command, Parser, add_json_options, add_row_options
from app.cli.table_layout import Column, Span
from app.core.text.sanitize import sanitize
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [Column("CHANNEL", least=8, first=True), Column("SENDS", least=10), Column("NOTE")]
FIELDS = ("name", "kinds", "urls", "default", "faulty")


def list_channels(session: CommandContext, args: Args) -> int:
    """List the channels of config.toml."""
    found = session.call("notify.ls")
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
        return 0
    empty = "no channels yet; how to make one: taskdeck help notifications"
    return definition_group.print_list(args, found["channels"], COLUMNS, _format_row, FIELDS, empty)


def _format_row(channel: dict[str, Any]) -> list[Span]:
    note: Span = ("default for tasks", "") if channel["default"] else ("", "")
    if channel["faulty"]:
        note = ("a mistake in config.toml; see: taskdeck doctor", "broken")
    sends = ", ".join(channel["urls"])
    return [(sanitize(channel["name"]), ""), (sanitize(sends), ""), note]


def send_test(session: CommandContext, args: Args) -> int:
    """Send one message to a channel."""
    if len(args.channels) != 1:
        raise Usage("test which channel? Give one name.", "List: taskdeck notify ls")
    (name,) = args.channels
    answer = session.call("notify.test", channel=name)
    return definition_group.print_result(args, answer, f"{sanitize(name)}: sent")


def _add_list_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser)


def _add_test_arguments(parser: Parser) -> None:
    parser.add_option("channels", nargs="*", metavar="CHANNEL", help="name of the channel")
    add_json_options(parser)


COMMANDS = {
    "ls": Command("list channels", list_channels, _add_list_arguments),
    "test": Command(
        "send one message to a channel, now", send_test, _add_test_arguments,
        "  taskdeck notify test ops",
    ),
}  # fmt: skip
