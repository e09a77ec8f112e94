"""`taskdeck usage`: tasks, hours and waits of a period, by queue, group, user or tag."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import AGE, Args, Command, Parser, add_row_options, require_text
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

FIELDS = (
    "name", "tasks", "runs", "failed", "run_hours", "cpu_hours", "cpu_used_hours",
    "memory_gib_hours", "gpu_hours", "mean_wait", "longest_wait", "resource_hours",
)  # fmt: skip
_TITLES = ("TASKS", "RUNS", "FAILED", "CPU H", "USED H", "MEM GIB H", "GPU H", "WAIT", "LONGEST")


def show_usage(context: CommandContext, args: Args) -> int:
    """Print what the tasks of a period used."""
    asked = {"by": args.by} | ({} if args.since is None else {"since": args.since})
    found = context.call("usage", **asked)
    rows = found["rows"]
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    elif args.rows:
        output.print_rows(FIELDS, [[row[field] for field in FIELDS] for row in rows], args.rows)
    elif rows:
        title = found["by"].removeprefix("tag:").upper()
        columns = [
            Column(sanitize(title), least=8, first=True),
            *(Column(word, ">") for word in _TITLES),
        ]
        is_named = bool(found["total"].get("resource_hours"))
        columns += [Column("OTHER H", least=8)] if is_named else []
        total = [found["total"] | {"name": "all"}] if len(rows) > 1 else []
        output.print_table(
            columns, [_format_row(row, is_named) for row in [*rows, *total]], args.wide
        )
    else:
        output.print_message(tr("no runs in this time"))
    if since := found["complete_since"]:
        output.print_note(
            tr(
                "complete since {time}: cleanup removed older runs.",
                time=time_format.format_clock(since),
            )
        )
    return 0


def _format_row(row: dict[str, Any], is_named: bool) -> list[Span]:
    hours = ("cpu_hours", "cpu_used_hours", "memory_gib_hours", "gpu_hours")
    return [
        (sanitize(row["name"]) if row["name"] is not None else units.MISSING, ""),
        *((f"{row[key]:,}", "") for key in ("tasks", "runs", "failed")),
        *((units.format_hours(row[key]), "") for key in hours),
        *((units.format_duration(row[key]), "") for key in ("mean_wait", "longest_wait")),
        *([(_format_named(row), "")] if is_named else []),
    ]


def _format_named(row: dict[str, Any]) -> str:
    """Format hours of other named resources: `1.25 license.matlab`."""
    found = row["resource_hours"].items()
    return (
        sanitize(", ".join(f"{units.format_hours(hours)} {name}" for name, hours in found))
        or units.MISSING
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--by",
        type=require_text,
        default="queue",
        metavar="GROUP",
        help="queue (default), template, user, group, name or tag:KEY",
    )
    parser.add_option(
        "--since", metavar="TIME", type=AGE, help="since 7d (ago), yesterday, … (default: 30d)"
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "names only, one per line")


COMMANDS = {
    "usage": Command(
        "show what tasks used: hours of CPU, memory and GPUs, waits",
        show_usage,
        _add_arguments,
        "  taskdeck usage --by tag:exp --since 7d\n  taskdeck usage --by user --json",
    )
}
