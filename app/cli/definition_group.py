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
from app.core.text.sanitize import pad, sanitize, sanitize_lines
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from app.cli.context import CommandContext

    Row = dict[str, Any]


_TEXTS = {
    "queue": (
        tr_noop("list queues"),
        tr_noop("show one queue in detail"),
        tr_noop("no queues yet"),
    ),
    "pool": (tr_noop("list pools"), tr_noop("show one pool in detail"), tr_noop("no pools yet")),
    "resource": (tr_noop("list resources"), "", tr_noop("no resources yet")),
    "limit": (
        tr_noop("list limits"),
        tr_noop("show one limit in detail"),
        tr_noop("no limits yet"),
    ),
    "reserve": (tr_noop("list reservations"), "", tr_noop("no reservations yet")),
    "template": (
        tr_noop("list templates"),
        tr_noop("show one template in detail"),
        tr_noop("no templates yet"),
    ),
    "schedule": (
        tr_noop("list schedules"),
        tr_noop("show one schedule in detail"),
        tr_noop("no schedules yet"),
    ),
    "sla": (tr_noop("list rules"), tr_noop("show one rule in detail"), tr_noop("no rules yet")),
}
"""Summaries of `ls` and `show` of each group, and the message for an empty list."""


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
    summary, _, no_rows = _TEXTS[group]

    def ls(context: CommandContext, args: Args) -> int:
        is_table = brief and not (args.json or args.jsonl or args.rows)
        rows = context.call(f"{group}.ls", **({"brief": True} if is_table else {}))
        found = [mask(one_) for one_ in rows]
        code = print_list(args, found, columns, row, fields, tr(no_rows))
        if below and not (args.json or args.jsonl or args.rows) and (lines := below(found)):
            output.print_lines([[], *lines])
        return code

    return Command(summary, ls, _add_list_arguments)


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

    return Command(_TEXTS[group][1], show, add_name)


def format_page(title: str, facts: list[tuple[str, str]]) -> list[Line]:
    """Return the lines of a `show` command; empty facts are left out."""
    room = output.get_room()
    page: list[Line] = [[(sanitize(title), "bold")], []]
    for label, text in facts:
        for at, line in enumerate(sanitize_lines(text).split("\n") if text else ()):
            pieces = [line] if room is None else wrap_text(line, max(20, room - 15))
            page += [
                [(f"  {pad('' if at + n else label, 12)} ", "dim"), (piece, "")]
                for n, piece in enumerate(pieces)
            ]
    return page


def add_name(parser: Parser) -> None:
    """Add the NAME argument of a command such as `taskdeck queue set`."""
    kind = name_kind(parser.prog.split()[-2])
    parser.add_option("names", nargs="*", metavar="NAME", help=tr("name of the {kind}", kind=kind))
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
            tr(
                "a draining {kind} starts nothing, as a paused one does; the word tells others that"
                " the {kind} is emptied on purpose. To end the drain:"
                " taskdeck {group} resume {name}",
                kind=name_kind(group),
                group=group,
                name=sanitize(quote(name)),
            )
        )
    return print_result(
        args,
        answer,
        f"{name_kind(group)} {sanitize(name)} {_format_result(answer, tr(participle))}",
    )


def _format_result(answer: Row, participle: str) -> str:
    """Return the result, including the previous state if it was unusual."""
    old_status, now = (answer.get("before") or {}).get("status"), answer.get("status", "")
    if old_status is None or "active" in (old_status, now) and old_status != now:
        return participle
    return (
        tr("is {state} already", state=styles.format_pool_state(now)[0])
        if old_status == now
        else tr(
            "{participle} (was {state})",
            participle=participle,
            state=styles.format_pool_state(old_status)[0],
        )
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
