"""`taskdeck db slow`: statements that took long, the slowest first."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.commands import definition_group
from app.cli.parser import Args, Command, Parser, as_rows
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("WORST", ">"),
    Column("LAST", ">"),
    Column("TOTAL", ">"),
    Column("TIMES", ">"),
    Column("WHEN"),
    Column("ASKED BY"),
    Column("STATEMENT", least=20, first=True),
]
FIELDS = ("id", "caller", "count", "seconds", "worst", "total", "created_at", "updated_at", "statement", "plan")
NONE = "no statement was slow"


def slow(session: Session, args: Args) -> int:
    """List them, or forget them."""
    if args.clear:
        answer = session.call("db.slow.clear")
        many = answer["cleared"]
        return definition_group.done(args, answer, f"{many} slow statement{'' if many == 1 else 's'} forgotten")
    found = session.call("db.slow")
    if args.plan and found and not (args.json or args.jsonl or args.rows):
        for statement in found:
            _with_plan(statement)
        return 0
    return definition_group.shown(args, found, COLUMNS, _row, FIELDS, NONE)


def _row(found: dict[str, Any]) -> list[Span]:
    return [
        (units.moment(found["worst"]), "warn" if found["worst"] >= 1 else ""),
        (units.moment(found["seconds"]), ""),
        (units.moment(found["total"]), ""),
        (str(found["count"]), ""),
        (time_format.clock(found["updated_at"]), "dim"),
        (clean(found["caller"]) or units.MISSING, ""),
        (clean(found["statement"]), ""),
    ]


def _with_plan(found: dict[str, Any]) -> None:
    """A statement whole, and its plan below."""
    count = f"{found['count']} time{'' if found['count'] == 1 else 's'}"
    by = f" by {clean(found['caller'])}" if found["caller"] else ""
    output.line(f"{units.moment(found['worst'])} at worst, {count}{by}, last {time_format.clock(found['updated_at'])}")
    output.line(f"  {clean(found['statement'])}")
    for line in (found["plan"] or "its plan is not known").split("\n"):
        output.line(f"    {clean(line)}")


def _arguments(parser: Parser) -> None:
    parser.option("--plan", action="store_true", help="each whole, with how SQLite went about it")
    parser.option("--clear", action="store_true", help="forget them, and begin anew")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "ids only, one a line")


COMMANDS = {
    "slow": Command(
        "statements that took long, and who asked", slow, _arguments, "  taskdeck db slow --plan",
        asks=lambda args: "db.slow.clear" if args.clear else "db.slow",
    ),
}  # fmt: skip
