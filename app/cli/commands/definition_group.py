"""What the groups of definitions have in common: list them, show one, do something to one by name."""

from __future__ import annotations

from functools import partial

from app.cli import output, styles
from app.cli.parser import Args, Command, Parser, as_json, as_rows, one
from app.cli.table import Column, Line, Span, wrap
from app.core.text.sanitize import clean, clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from app.cli.context import Session

    Row = dict[str, Any]


def listing(
    group: str, columns: list[Column], row: Callable[[Row], list[Span]], fields: Sequence[str], seen: Callable[[Row], Row] = dict
) -> Command:
    """`GROUP ls`; `fields` are what it prints for other programs, the name first; `seen` makes of a row what may be seen."""

    def ls(session: Session, args: Args) -> int:
        found = [seen(one_) for one_ in session.call(f"{group}.ls")]
        return shown(args, found, columns, row, fields, f"no {group} yet")

    return Command("list them", ls, _listing_arguments)


def _listing_arguments(parser: Parser) -> None:
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser)


def shown(
    args: Args, found: list[Row], columns: list[Column], row: Callable[[Row], list[Span]], fields: Sequence[str], none: str
) -> int:
    """Print rows as a table, or for other programs."""
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    elif args.rows:
        output.rows(fields, [[one_.get(field) for field in fields] for one_ in found], args.rows)
    elif found:
        output.table(columns, [row(one_) for one_ in found], args.wide)
    else:
        output.say(none)
    return 0


def showing(group: str, facts: Callable[[Row], list[tuple[str, str]]], seen: Callable[[Row], Row] = dict) -> Command:
    """`GROUP show NAME`; `seen` makes of the row what may be seen."""

    def show(session: Session, args: Args) -> int:
        found = seen(session.call(f"{group}.show", name=one(args, group)))
        if args.json or args.jsonl:
            output.document(found, args.jsonl)
        else:
            output.lines(_page(found, facts(found)))
        return 0

    return Command("everything about one", show, named)


def _page(found: Row, facts: list[tuple[str, str]]) -> list[Line]:
    room = output.room()
    page: list[Line] = [[(clean(found["name"]), "bold")], []]
    for label, text in facts:
        for at, line in enumerate(clean_lines(text).split("\n") if text else ()):
            pieces = [line] if room is None else wrap(line, max(20, room - 15))
            page += [[(f"  {label if not at + n else '':<13}", "dim"), (piece, "")] for n, piece in enumerate(pieces)]
    return page


def named(parser: Parser) -> None:
    """One NAME."""
    parser.option("names", nargs="*", metavar="NAME", help="its name")
    as_json(parser)


def acting(group: str, verb: str, summary: str, past: str) -> Command:
    """`GROUP pause NAME` and the like: a verb that takes a name and nothing else."""
    return Command(summary, partial(_act, group=group, verb=verb, past=past), named)


def _act(session: Session, args: Args, group: str, verb: str, past: str) -> int:
    name = one(args, group)
    answer = session.call(f"{group}.{verb}", name=name)
    return done(args, answer, f"{group} {clean(name)} {_became(answer, past)}")


def _became(answer: Row, past: str) -> str:
    """What became of it, where it was in another state than the usual one before."""
    was, now = (answer.get("before") or {}).get("status"), answer.get("status", "")
    if was is None or "active" in (was, now) and was != now:
        return past
    return f"is {styles.place(now)[0]} already" if was == now else f"{past} (it was {styles.place(was)[0]})"


def done(args: Args, answer: Any, said: str) -> int:
    """Say in a line what was done, or print the row as it is now."""
    if args.json or args.jsonl:
        output.document(answer, args.jsonl)
    else:
        output.line(said)
    return 0


def given(args: Args, *keys: str) -> Row:
    """Those of the options that were given."""
    return {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
