"""`taskdeck operations`: who did what to what, newest first."""

from __future__ import annotations

from app.cli import groups, times
from app.cli.options import LIMIT, Args, Command, Parser, as_rows
from app.cli.table import Column, Span
from app.core.clean import clean, cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

COLUMNS = [
    Column("AT"),
    Column("BY"),
    Column("DID", least=6),
    Column("TO", least=10),
    Column("CHANGE", least=10, first=True),
]

FIELDS = ("id", "at", "by", "verb", "object", "before", "after")


def operations(session: Session, args: Args) -> int:
    """List them."""
    return groups.shown(args, session.call("operations", limit=args.limit), COLUMNS, _row, FIELDS, "nothing was done yet")


def _row(operation: dict[str, Any]) -> list[Span]:
    return [
        (times.clock(operation["at"], seconds=True), "dim"),
        (clean(operation["by"]), ""),
        (clean(operation["verb"]), ""),
        (clean(operation["object"] or ""), ""),
        (_change(operation.get("before"), operation.get("after")), "dim"),
    ]


def _change(before: Any, after: Any) -> str:
    """`priority 0 → 5`: what is different afterwards."""
    was, now = (value if isinstance(value, dict) else {} for value in (before, after))
    different = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return ", ".join(
        f"{clean(key)} {_short(was[key]) + ' → ' if key in was else ''}{_short(now.get(key))}" for key in different
    )


def _short(value: Any) -> str:
    import json

    return cut(clean(value if isinstance(value, str) else json.dumps(value)), 40)


def _arguments(parser: Parser) -> None:
    parser.option("--limit", type=LIMIT, default=50, metavar="N", help="at most N (default: 50)")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "ids only, one a line")


COMMANDS = {"operations": Command("who did what", operations, _arguments)}
