"""`taskdeck notify`: list channels and test them."""

from __future__ import annotations

from app.cli import definition_group, output, time_format
from app.cli.parser import Args, Command, Parser, add_json_options, add_row_options
from app.cli.table_layout import Column, Span
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [Column("CHANNEL", least=8, first=True), Column("SENDS", least=10), Column("NOTE")]
HOOK_PREFIX = "hook "
"""Begin of the target of a hook's failure; names of channels have no spaces."""
STATUSES = {
    "pending": ("waits", ""),
    "sent": ("sent", ""),
    "given_up": (tr_noop("given up"), "broken"),
    "skipped": (tr_noop("not needed"), "dim"),
    "dry_run": (tr_noop("dry run"), "dim"),
}
FIELDS = ("name", "kinds", "urls", "default", "problems", "faulty")


def list_channels(context: CommandContext, args: Args) -> int:
    """List the channels of config.toml."""
    found = context.call("notify.ls")
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
        return 0
    channels, deliveries = found["channels"], found["deliveries"]
    if args.rows:
        return definition_group.print_list(args, channels, COLUMNS, _format_row, FIELDS, "")
    hooks = [one for one in deliveries if one["target"].startswith(HOOK_PREFIX)]
    messages = [one for one in deliveries if one not in hooks]
    tables = [
        (COLUMNS, [_format_row(one) for one in channels]),
        (_make_delivery_columns(tr_noop("TO")), [_format_delivery(one) for one in messages]),
        (_make_delivery_columns(tr_noop("HOOK")), [_format_delivery(one) for one in hooks]),
    ]
    shown = [(columns, rows) for columns, rows in tables if rows]
    for at, (columns, rows) in enumerate(shown):
        if at:
            output.print_line("")
        output.print_table(columns, rows, args.wide)
    if not channels and (text := _explain_none(is_empty=not shown)):
        output.print_message(text)
    return 0


def _make_delivery_columns(target: str) -> list[Column]:
    return [
        Column("WHEN"),
        Column(target, least=8, easy=20),
        Column("ABOUT", least=12, first=True),
        Column("STATE"),
        Column("REASON", least=10, first=True),
    ]


def _explain_none(is_empty: bool) -> str:
    """Return why there are no channels, and how to make one if nothing else is listed."""
    from app.config import read
    from app.paths import get_config_path

    if any(not fault.where for fault in read(get_config_path()).faults):
        return tr("no channels: config.toml cannot be read")
    return (
        tr("there are no channels yet. To make a channel: taskdeck help notifications")
        if is_empty
        else ""
    )


def describe_delivery(row: dict[str, Any]) -> str:
    """Return a delivery as one line of a `show` command, unsanitized."""
    word = tr(STATUSES.get(row["status"], (row["status"], ""))[0])
    attempts = row["attempts"]
    if row["status"] == "pending" and attempts:
        later = (
            tr(", next {time}", time=time_format.format_clock(row["next_at"]))
            if row["next_at"]
            else ""
        )
        word = tr("failing, attempt {attempts}{later}", attempts=attempts, later=later)
    elif attempts > 1:
        word += tr(" after {attempts} attempts", attempts=attempts)
    why = f": {row['last_error']}" if row["last_error"] and row["status"] != "sent" else ""
    when = time_format.format_clock(row["created_at"])
    return f"{when} {row['event']}: {row['target']} {word}{why}"


def _format_delivery(row: dict[str, Any]) -> list[Span]:
    """Return one line about a delivery."""
    status, style = STATUSES.get(row["status"], (row["status"], ""))
    if row["status"] == "pending" and row["attempts"]:
        status, style = tr("failing, attempt {attempts}", attempts=row["attempts"]), "broken"
    return [
        (time_format.format_clock(row["created_at"]), "dim"),
        (sanitize(row["target"].removeprefix(HOOK_PREFIX)), ""),
        (sanitize(f"{row['event']} {row['about']}"), ""),
        (sanitize(status), style),
        (sanitize(row["last_error"] or _explain_wait(row)), ""),
    ]


def _explain_wait(row: dict[str, Any]) -> str:
    """Return until when a new message waits, for the end of a silence or its `after`."""
    if row["status"] != "pending" or not row["next_at"]:
        return ""
    when = time_format.format_future(row["next_at"])
    return tr("until {when}", when=when) if when else ""


def _format_row(channel: dict[str, Any]) -> list[Span]:
    uses = {"default": tr("default for tasks"), "problems": tr("problems of Taskdeck")}
    note: Span = (", ".join(words for use, words in uses.items() if channel.get(use)), "")
    if channel["faulty"]:
        note = (tr("a mistake in config.toml; see: taskdeck doctor"), "broken")
    sends = ", ".join(channel["urls"])
    return [(sanitize(channel["name"]), ""), (sanitize(sends), ""), note]


def send_test(context: CommandContext, args: Args) -> int:
    """Send one message to a channel."""
    if len(args.channels) != 1:
        raise Usage("test which channel? Give one name.", "List: taskdeck notify ls")
    (name,) = args.channels
    answer = context.call("notify.test", channel=name)
    return definition_group.print_result(args, answer, tr("{name}: sent", name=sanitize(name)))


def _add_list_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser)


def _add_test_arguments(parser: Parser) -> None:
    parser.add_option("channels", nargs="*", metavar="CHANNEL", help="name of the channel")
    add_json_options(parser)


COMMANDS = {
    "ls": Command("list channels and the latest messages", list_channels, _add_list_arguments),
    "test": Command(
        "send one message to a channel, now", send_test, _add_test_arguments,
        "  taskdeck notify test ops",
    ),
}  # fmt: skip
