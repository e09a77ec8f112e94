"""`taskdeck db slow`: slow statements, slowest first."""

from __future__ import annotations

from app.cli import definition_group, output, time_format
from app.cli.parser import Args, Command, Parser, add_row_options
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("WORST", ">"),
    Column("LAST", ">"),
    Column("TOTAL", ">"),
    Column("TIMES", ">"),
    Column("WHEN"),
    Column("CALLER"),
    Column("STATEMENT", least=20, first=True),
]
FIELDS = (
    "id",
    "caller",
    "count",
    "seconds",
    "worst",
    "total",
    "created_at",
    "updated_at",
    "statement",
    "plan",
)
NO_STATEMENTS = tr_noop("no slow statements")


def list_slow_statements(context: CommandContext, args: Args) -> int:
    """List or clear slow statements."""
    if args.clear:
        answer = context.call("db.slow.clear")
        many = answer["cleared"]
        return definition_group.print_result(
            args, answer, tr_n(many, "{n} slow statement cleared", "{n} slow statements cleared")
        )
    found = context.call("db.slow")
    if args.plan and found and not (args.json or args.jsonl or args.rows):
        for statement in found:
            _print_with_plan(statement)
        return 0
    return definition_group.print_list(args, found, COLUMNS, _format_row, FIELDS, tr(NO_STATEMENTS))


def _format_row(found: dict[str, Any]) -> list[Span]:
    return [
        (units.format_latency(found["worst"]), "warn" if found["worst"] >= 1 else ""),
        (units.format_latency(found["seconds"]), ""),
        (units.format_latency(found["total"]), ""),
        (str(found["count"]), ""),
        (time_format.format_clock(found["updated_at"]), "dim"),
        (sanitize(found["caller"]) or units.MISSING, ""),
        (sanitize(found["statement"]), ""),
    ]


def _print_with_plan(found: dict[str, Any]) -> None:
    count = tr_n(found["count"], "{n} time", "{n} times")
    by = tr(" by {caller}", caller=sanitize(found["caller"])) if found["caller"] else ""
    output.print_line(
        tr(
            "{worst} at worst, {count}{by}, last {time}",
            worst=units.format_latency(found["worst"]),
            count=count,
            by=by,
            time=time_format.format_clock(found["updated_at"]),
        )
    )
    output.print_line(f"  {sanitize(found['statement'])}")
    for line in (found["plan"] or tr("plan unknown")).split("\n"):
        output.print_line(f"    {sanitize(line)}")


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--plan", action="store_true", help="show full statements with their query plans"
    )
    parser.add_option("--clear", action="store_true", help="clear the recorded statements")
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "ids only, one per line")


COMMANDS = {
    "slow": Command(
        "list slow statements and their callers", list_slow_statements, _add_arguments,
        "  taskdeck db slow --plan",
        asks=lambda args: "db.slow.clear" if args.clear else "db.slow",
    ),
}  # fmt: skip
