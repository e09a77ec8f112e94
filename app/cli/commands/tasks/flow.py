"""`taskdeck flow`: the tasks of a group as a tree, with times and the critical path."""

from __future__ import annotations

import time

from app.cli import output, styles, time_format
from app.cli.parser import Args, Command, Parser, add_json_options, add_task_ids
from app.cli.table_layout import Column, Span
from app.core.dependency_kinds import describe_waits
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr
from db.states import ENDED, SKIPPED, is_skipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

CRITICAL = "*"
"""Mark of the tasks of the critical path."""
MAX_INDENT = 10


def show_flow(context: CommandContext, args: Args) -> int:
    """Print the tasks of a group, or those around a task."""
    if len(args.ids) != 1:
        raise Usage("flow takes one group or task: taskdeck flow g12", "List: taskdeck ls")
    found = context.call("flow", id=args.ids[0])
    if args.json or args.jsonl:
        output.print_json(found["tasks"] if args.jsonl else found, args.jsonl)
        return 0
    output.print_line(_format_heading(found))
    if found["critical_seconds"]:
        output.print_line(_format_critical_path(found))
    columns = [
        Column(""),
        Column("ID", ">"),
        Column("TASK", least=12, first=True),
        Column("STATE"),
        Column("TIME", ">"),
        Column("AFTER", least=8),
    ]
    output.print_table(columns, [_format_row(task) for task in found["tasks"]], args.wide)
    if not found["is_complete"]:
        output.print_note(tr("only the first {n:,} tasks are shown.", n=len(found["tasks"])))
    return 0


def _format_heading(found: dict[str, Any]) -> str:
    counts = ", ".join(
        f"{count:,} {styles.format_status(status)}" for status, count in found["statuses"].items()
    )
    name = " ".join(filter(None, (found["group"], sanitize(found["name"]))))
    return f"{name}: {counts}"


def _format_critical_path(found: dict[str, Any]) -> str:
    left = found["left_seconds"]
    more = tr(", at least {time} left", time=units.format_duration(left)) if left else ""
    return tr(
        "critical path ({sign}): {time}{more}",
        sign=CRITICAL,
        time=units.format_duration(found["critical_seconds"]),
        more=more,
    )


def _format_row(task: dict[str, Any]) -> list[Span]:
    depth = min(task["depth"], MAX_INDENT)
    branch = f"{'   ' * (depth - 1)}└─ " if depth else ""
    if output.is_ascii_only():
        branch = branch.replace("└─", "`-")
    state = SKIPPED if is_skipped(task["status"], task.get("reason")) else task["status"]
    return [
        (CRITICAL if task["critical"] else "", "warn"),
        (f"{task['number']}", ""),
        (f"{branch}{sanitize(task['name'])}", ""),
        styles.format_state(state, output.is_ascii_only()),
        (_format_time(task), ""),
        (describe_waits(task["after"]), "dim"),
    ]


def _format_time(task: dict[str, Any]) -> str:
    """Return the time that a task took, `5m of 40m` while it runs, or `~40m` if it waits."""
    seconds = task["seconds"]
    if task["status"] in ENDED:
        return units.MISSING if seconds is None else units.format_duration(seconds)
    usual = "" if seconds is None else f"~{units.format_duration(seconds)}"
    if task["status"] != "running":
        return usual or units.MISSING
    ran = units.format_duration(time_format.seconds_since(task["started_at"], time.time()))
    return tr("{share} of {limit}", share=ran, limit=usual) if usual else ran


def _add_arguments(parser: Parser) -> None:
    add_task_ids(parser, "group such as g12, or a task of it")
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


COMMANDS = {
    "flow": Command(
        "show tasks in a tree of dependencies, with the critical path",
        show_flow,
        _add_arguments,
        "  taskdeck flow g12\n  taskdeck flow 42 --json",
        usage="ID [--wide]",
    )
}
