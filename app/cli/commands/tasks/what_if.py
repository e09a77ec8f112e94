"""`taskdeck what-if`: waits and ends of tasks before and after supposed changes."""

from __future__ import annotations

from app.cli import output
from app.cli.definition_group import format_page
from app.cli.parser import LIMIT, Args, Command, Parser, add_json_options, require_text
from app.cli.table_layout import Column, Line, Span, format_table
from app.core.scheduling.forecasts import what_if_words as words
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Problem, Usage
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

DEFAULT_LIMIT = 30
MAX_BYTES = 4 << 20
"""Longest file of a supposed submission; it travels in one request."""
COLUMNS = [
    Column("TASK", ">"),
    Column("NAME", least=8, first=True),
    Column("QUEUE", least=4, easy=8),
    Column("STARTS IN", ">"),
    Column(""),
    Column("ENDS IN", ">"),
    Column(""),
    Column("CHANGE"),
]


def suppose(context: CommandContext, args: Args) -> int:
    """Print the forecast before and after changes; make the changes with --apply."""
    if args.apply and args.submit == "-":
        raise Usage("--apply needs a file for --submit, not standard input. Nothing was changed.")
    if not (args.set or args.cancel or args.submit):
        raise Usage(
            "no change was given, so there is nothing to compare.",
            "For example: taskdeck what-if --set queue.default.capacity=8",
        )
    lines = {} if args.submit is None else {"lines": _read_lines(args.submit)}
    found = context.call("forecast", settings=args.set or (), cancel=args.cancel or (), **lines)
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    else:
        _print_forecast(args, found)
    return _apply(context, args, found["steps"]) if args.apply else 0


def _read_lines(file: str) -> str:
    shown = tr("standard input") if file == "-" else truncate(sanitize(file), 200)
    try:
        if file == "-":
            data = output.open_stdin("JSON lines").read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as source:
                data = source.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound("{shown} does not exist. Nothing was changed.", shown=shown) from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or tr("invalid file name")).lower()
        raise Usage(
            "{shown} cannot be read: {why}. Nothing was changed.", shown=shown, why=why
        ) from None
    if len(data) > MAX_BYTES:
        raise Usage(
            "{shown} is larger than 4M, the limit of what-if. Nothing was changed.", shown=shown
        )
    return data.decode("utf-8", "surrogateescape")


def _print_forecast(args: Args, found: dict[str, Any]) -> None:
    limit = DEFAULT_LIMIT if args.limit is None else args.limit
    rows = found["tasks"][: limit or None]
    page: list[Line] = []
    if rows:
        room = output.get_room(args.wide)
        page += [*format_table(COLUMNS, [format_row(row) for row in rows], room), []]
    output.print_lines(page + format_page("", words.list_facts(found))[2:])
    if left := len(found["tasks"]) - len(rows):
        output.print_note(tr("{n:,} more tasks; all: --limit 0", n=left))
    for note in words.list_notes(found):
        output.print_note(note)


def format_row(row: dict[str, Any]) -> list[Span]:
    """Return the line of one task: start and end, before and after."""
    cells = [
        f"#{row['number']}" if row["number"] is not None else tr("new"),
        words.format_name(row),
        sanitize(row["queue"]),
        *words.format_task_times(row),
        row["change"] or "",
    ]
    return [(cell, "dim" if words.is_unchanged(row) else "") for cell in cells]


def _apply(context: CommandContext, args: Args, steps: list[dict[str, Any]]) -> int:
    """Make the changes with the verbs of the ordinary commands; stop at the first refusal."""
    done: list[str] = []
    try:
        for step in steps:
            answer = context.call(step["verb"], **step["args"])
            shown = _describe_step(step)
            for refusal in answer.get("refused") or ():
                raise Problem(refusal["message"], refusal.get("hint") or "")
            done.append(shown)
            output.print_message(tr("applied: {change}", change=shown))
        if args.submit is not None:
            _submit(context, args, done)
    except Problem as problem:
        if done:
            problem.message += tr(" Applied before: {changes}.", changes="; ".join(done))
        raise
    return 0


def _describe_step(step: dict[str, Any]) -> str:
    from shlex import join

    if not step["command"]:  # reservations are changed as by a definitions file
        names = ", ".join(step["args"]["tables"]["reservations"])
        return sanitize(tr("reservation {names}", names=names))
    return sanitize(join(step["command"][1:]))


def _submit(context: CommandContext, args: Args, done: list[str]) -> None:
    from app.cli.submission.context import collect_context
    from app.cli.submission.each_line import open_lines
    from app.core.ids import make_uuid7

    first = make_uuid7()
    where = {"cwd": None, "keep_env": None, "env": None}
    with open_lines(args.submit, context.home, first) as (lines, _):
        stored = context.call("submit.lines", uuid=first, **lines, **collect_context(Args(**where)))
    count = sum(n for _, _, n in stored["spans"]) if "spans" in stored else len(stored["numbers"])
    done.append(f"submit --from {sanitize(args.submit)}")
    many = tr_n(count, "{n:,} task", "{n:,} tasks")
    output.print_message(tr("applied: {change} ({tasks})", change=done[-1], tasks=many))


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="suppose a setting, such as pool.gpu.resources.gpu=10; repeatable",
    )
    parser.add_option(
        "--submit",
        metavar="FILE",
        type=require_text,
        help="suppose the tasks of a file of JSON lines (submit --from); - is stdin",
    )
    parser.add_option(
        "--cancel", nargs="+", metavar="ID", help="suppose that these tasks are cancelled"
    )
    parser.add_option("--apply", action="store_true", help="print the forecast, then do it")
    parser.add_option(
        "--limit",
        type=LIMIT,
        metavar="N",
        help=tr("tasks in the table (default {n}; 0: all)", n=DEFAULT_LIMIT),
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


COMMANDS = {
    "what-if": Command(
        "forecast waits and ends as if something were changed",
        suppose,
        _add_arguments,
        "  taskdeck what-if --set pool.gpu.resources.gpu=10\n"
        "  taskdeck what-if --set queue.night.capacity=4 --set task.12.priority=5 --cancel 13 14\n"
        "  taskdeck what-if --submit jobs.jsonl --json\n"
        "  taskdeck help what-if",
        asks=lambda args: "submit" if args.apply else "forecast",
    )
}
