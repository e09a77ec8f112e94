"""`taskdeck db cleanup`: what is old leaves by the rules of config.toml, or is only named."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, as_json
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Remote, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("RULE", least=8, first=True),
    Column("BECAUSE", least=10),
    Column("RUNS", ">"),
    Column("TASKS", ">"),
    Column("LOGS", ">"),
    Column("ROWS", ">"),
]
NOTED = {"forgotten": "tasks remembered as gone"}
"""What tables hold, where their names do not say it."""


def cleanup(session: Session, args: Args) -> int:
    """Remove what the rules let go, or say what that is, for which no runtime need be up. Raises Usage while that is not known."""
    alone = args.dry_run and not session.client.runtime_up()
    given = {"dry_run": args.dry_run, "sure": args.yes}
    try:
        found = _alone(session.home, given) if alone else session.call("db.cleanup", **given)
    except Remote as refused:
        raise Remote(_unsaid(refused.message), refused.hint, refused.code, refused.exit_code) from None
    if found["paused"]:
        raise Usage(_unsaid(f"{found['paused']} Nothing is removed."), "Mend it; nothing is removed while it is wrong.")
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
        return 0
    if found["rules"]:
        output.table(COLUMNS, [_row(rule) for rule in found["rules"]])
    for text in _said(found):
        output.line(text)
    return 0


def _alone(home: str, given: dict[str, Any]) -> dict[str, Any]:
    from app.offline import read_only

    return read_only.read(home, "db.cleanup", given)


def _unsaid(text: str) -> str:
    """Of a refusal what was not told with what is passed over in config.toml."""
    from app import config, paths

    return text.removeprefix(config.read(paths.config_file()).doubt).lstrip()


def _row(rule: dict[str, Any]) -> list[Span]:
    figures = f"{rule['runs']:,}", f"{rule['tasks']:,}", units.size(rule["logs"]), units.size(rule["rows"])
    return [(clean(rule["rule"]), ""), (clean(rule["because"]), "dim"), *((figure, "") for figure in figures)]


def _said(found: dict[str, Any]) -> list[str]:
    """The sums in words, and what stays though it is old."""
    verb = "would remove" if found["dry_run"] else "removed"
    others = ", ".join(f"{many:,} {NOTED.get(table, clean(table))}" for table, many in found["others"].items())
    freed = units.size(found["logs"] + found["rows"])
    work = [f"{verb} {_many(found['runs'], 'run')} and {_many(found['tasks'], 'task')}, about {freed}"] if found["rules"] else []
    noted = [f"{'and' if work else verb} of what was noted: {others}"] if others else []
    odd = (f"in config.toml {clean(said)}" for said in found["unknown"])
    stay = [*_first(found["freed"]), *_waiting(found["waiting"]), *_kept(found["kept"]), *odd]
    if not (work or noted):
        return ["nothing is old enough to go", *stay]
    before, after = (units.size(found["size"][when]) for when in ("before", "after"))
    shrunk = [] if found["dry_run"] else [f"the database had {before}, it has {after}"]
    return [*work, *noted, *shrunk, *stay]


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _first(freed: dict[str, int]) -> list[str]:
    """Which logs had to make room for the cleanup itself, if any."""
    many, size = freed["logs"], units.size(freed["bytes"])
    return [f"the disk was full, so {_many(many, 'log')} of runs that go went first, {size}"] if many else []


def _waiting(found: dict[str, int]) -> list[str]:
    """What goes a moment later, if anything."""
    runs, size = found["runs"], units.size(found["logs"])
    if not runs:
        return []
    go = "goes once the history has counted it" if runs == 1 else "go once the history has counted them"
    return [f"{_many(runs, 'run')} more, {size} of logs, {go}: within minutes, unless the disk is full"]


def _kept(many: int) -> list[str]:
    """What is old and stays, if anything."""
    if not many:
        return []
    return [f"kept: {many:,} last success{'' if many == 1 else 'es'}, the newest of each task name and of each template, however old"]


def _arguments(parser: Parser) -> None:
    parser.option("--dry-run", action="store_true", help="only say what would go, by which rule")
    parser.option("--yes", action="store_true", help="the clock is right, though it was put far ahead")
    as_json(parser)


COMMANDS = {
    "cleanup": Command(
        "remove what the rules of config.toml no longer keep",
        cleanup,
        _arguments,
        '  taskdeck db cleanup --dry-run\n  in config.toml: [retention] keep = "30d", runs = 10000, logs = "10G"\n'
        '                  [retention.queue.scratch] keep = "1d"\n'
        "  whatever the rules say, it keeps what is active or pinned, and the last success of each task name and of each template",
    )
}
