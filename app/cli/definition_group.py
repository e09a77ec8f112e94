"""Shared commands of the definition groups: `ls`, `show`, and those that take one name."""

from __future__ import annotations

from functools import partial

from app.cli import output, styles
from app.cli.parser import (
    Args,
    Command,
    Parser,
    add_json_options,
    add_row_options,
    name_kind,
    require_one_name,
)
from app.cli.table_layout import Column, Line, Span, wrap_text
from app.core.text.sanitize import sanitize, sanitize_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from app.cli.context import CommandContext

    Row = dict[str, Any]


def make_list_command(
    group: str,
    columns: list[Column],
    row: Callable[[Row], list[Span]],
    fields: Sequence[str],
    mask: Callable[[Row], Row] = dict,
    brief: bool = False,
    below: Callable[[list[Row]], list[Line]] | None = None,
) -> Command:
    """Build `GROUP ls`.

    `fields` are the machine-readable fields, the name first; `mask` masks secrets of a row. With
    `brief`, the verb can leave out what the table does not show. `below` makes lines below the
    table.
    """

    def ls(context: CommandContext, args: Args) -> int:
        is_table = brief and not (args.json or args.jsonl or args.rows)
        rows = context.call(f"{group}.ls", **({"brief": True} if is_table else {}))
        found = [mask(one_) for one_ in rows]
        code = print_list(args, found, columns, row, fields, f"no {name_kind(group)}s yet")
        if below and not (args.json or args.jsonl or args.rows) and (lines := below(found)):
            output.print_lines([[], *lines])
        return code

    return Command(f"list {name_kind(group)}s", ls, _add_list_arguments)


def _add_list_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser)


def print_list(
    args: Args,
    found: list[Row],
    columns: list[Column],
    row: Callable[[Row], list[Span]],
    fields: Sequence[str],
    empty_message: str,
) -> int:
    """Print rows as a table or in a machine-readable format."""
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    elif args.rows:
        output.print_rows(
            fields, [[one_.get(field) for field in fields] for one_ in found], args.rows
        )
    elif found:
        output.print_table(columns, [row(one_) for one_ in found], args.wide)
    else:
        output.print_message(empty_message)
    return 0


def make_show_command(
    group: str, facts: Callable[[Row], list[tuple[str, str]]], mask: Callable[[Row], Row] = dict
) -> Command:
    """Build `GROUP show NAME`; `mask` masks secrets of the row."""

    def show(context: CommandContext, args: Args) -> int:
        found = mask(context.call(f"{group}.show", name=require_one_name(args, group)))
        if args.json or args.jsonl:
            output.print_json(found, args.jsonl)
        else:
            output.print_lines(format_page(found["name"], facts(found)))
        return 0

    return Command(f"show one {name_kind(group)} in detail", show, add_name)


def format_page(title: str, facts: list[tuple[str, str]]) -> list[Line]:
    """Return the lines of a `show` command; empty facts are left out."""
    room = output.get_room()
    page: list[Line] = [[(sanitize(title), "bold")], []]
    for label, text in facts:
        for at, line in enumerate(sanitize_lines(text).split("\n") if text else ()):
            pieces = [line] if room is None else wrap_text(line, max(20, room - 15))
            page += [
                [(f"  {label if not at + n else '':<12} ", "dim"), (piece, "")]
                for n, piece in enumerate(pieces)
            ]
    return page


def add_name(parser: Parser) -> None:
    """Add the NAME argument of a command such as `taskdeck queue set`."""
    kind = name_kind(parser.prog.split()[-2])
    parser.add_option("names", nargs="*", metavar="NAME", help=f"name of the {kind}")
    add_json_options(parser)


def make_name_command(group: str, verb: str, summary: str, participle: str) -> Command:
    """Build a command that takes only a name, such as `GROUP pause NAME`."""
    return Command(
        summary, partial(_run_verb, group=group, verb=verb, participle=participle), add_name
    )


def _run_verb(context: CommandContext, args: Args, group: str, verb: str, participle: str) -> int:
    name = require_one_name(args, group)
    answer = context.call(f"{group}.{verb}", name=name)
    if verb == "drain":
        from shlex import quote

        output.print_note(
            f"a draining {group} starts nothing, as a paused one does; the word tells others that"
            f" it is emptied on purpose. To end it: taskdeck {group} resume {sanitize(quote(name))}"
        )
    return print_result(
        args, answer, f"{name_kind(group)} {sanitize(name)} {_format_result(answer, participle)}"
    )


def _format_result(answer: Row, participle: str) -> str:
    """Return the result, including the previous state if it was unusual."""
    old_status, now = (answer.get("before") or {}).get("status"), answer.get("status", "")
    if old_status is None or "active" in (old_status, now) and old_status != now:
        return participle
    return (
        f"is {styles.format_pool_state(now)[0]} already"
        if old_status == now
        else f"{participle} (was {styles.format_pool_state(old_status)[0]})"
    )


def print_result(args: Args, answer: Any, text: str) -> int:
    """Print the result in one line, or the row as JSON."""
    if args.json or args.jsonl:
        output.print_json(answer, args.jsonl)
    else:
        output.print_line(text)
    return 0


def collect_options(args: Args, *keys: str) -> Row:
    """Return the options that were given."""
    return {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
