"""`taskdeck db cleanup`: what is old leaves by the rules of config.toml, or is only named."""

from __future__ import annotations

from app.cli import output
from app.cli.options import Args, Command, Parser, as_json
from app.cli.table import Column, Span
from app.core import amounts
from app.core.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

COLUMNS = [
    Column("RULE", least=8, first=True),
    Column("BECAUSE", least=10),
    Column("RUNS", ">"),
    Column("TASKS", ">"),
    Column("LOGS", ">"),
    Column("ROWS", ">"),
]


def cleanup(session: Session, args: Args) -> int:
    """Remove what the rules let go, or say what that is, for which no runtime need be up."""
    from app import offline

    alone = args.dry_run and not session.client.runtime_up()
    given = {"dry_run": args.dry_run}
    found = offline.read(session.home, "db.cleanup", given) if alone else session.call("db.cleanup", **given)
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
        return 0
    if found["rules"]:
        output.table(COLUMNS, [_row(rule) for rule in found["rules"]])
    for text in _said(found):
        output.line(text)
    return 0


def _row(rule: dict[str, Any]) -> list[Span]:
    figures = f"{rule['runs']:,}", f"{rule['tasks']:,}", amounts.size(rule["logs"]), amounts.size(rule["rows"])
    return [(clean(rule["rule"]), ""), (clean(rule["because"]), "dim"), *((figure, "") for figure in figures)]


def _said(found: dict[str, Any]) -> list[str]:
    """The sums in words."""
    freed, would = amounts.size(found["logs"] + found["rows"]), found["dry_run"]
    others = ", ".join(f"{many:,} {clean(table)}" for table, many in found["others"].items())
    if not (found["rules"] or others):
        return ["nothing is old enough to go"]
    head = f"{'would remove' if would else 'removed'} {found['runs']:,} runs and {found['tasks']:,} tasks, about {freed}"
    before, after = (amounts.size(found["size"][when]) for when in ("before", "after"))
    shrunk = [] if would else [f"the database had {before}, it has {after}"]
    return [head, *([f"and of what was noted: {others}"] if others else []), *shrunk]


def _arguments(parser: Parser) -> None:
    parser.option("--dry-run", action="store_true", help="only say what would go, by which rule")
    as_json(parser)


COMMANDS = {
    "cleanup": Command(
        "remove what the rules of config.toml no longer keep",
        cleanup,
        _arguments,
        '  taskdeck db cleanup --dry-run\n  in config.toml: [retention] keep = "30d", runs = 10000, logs = "10G"\n'
        '                  [retention.queue.scratch] keep = "1d"',
    )
}
