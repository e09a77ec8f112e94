"""`taskdeck db backup`, `backups` and `verify`: copies of the database, and whether they can be trusted."""

from __future__ import annotations

from app.cli import output, times
from app.cli.options import Args, Command, Parser, as_json, as_rows
from app.cli.table import Column, Span
from app.core import amounts
from app.core.clean import clean, cut
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

DAMAGED = 5
"""The exit code when a backup is bad."""

COLUMNS = [
    Column("BACKUP", least=16, first=True),
    Column("TAKEN", least=8),
    Column("KIND"),
    Column("SIZE", align=">"),
    Column("STATE", least=8),
]
FIELDS = ("id", "kind", "at", "bytes", "verified", "base", "path", "problem")


def backup(session: Session, args: Args) -> int:
    """Take one, by the runtime when one is up, else here while none can come up."""
    from app import offline

    given = {"full": args.full, "to": _absolute(args.to)}
    taken = session.call("db.backup", **given) if session.client.runtime_up() else offline.backup(session.home, given)
    if taken["after"]:
        output.note(taken["after"])
    if args.json or args.jsonl:
        output.document(taken, args.jsonl)
    else:
        output.line(f"{taken['id']}  {amounts.size(taken['bytes'])}, restored once and well: {clean(taken['path'])}")
    return 0


def _absolute(folder: str | None) -> str | None:
    import os

    if folder == "":
        raise Usage("--to must not be empty. Nothing was done.", "Type: --to=DIR")
    return os.path.abspath(folder) if folder else None


def backups(session: Session, args: Args) -> int:
    """List them, oldest first."""
    from app import offline
    from app.cli import groups

    return groups.shown(args, offline.backups(session.home), COLUMNS, row, FIELDS, "no backup yet; take one: taskdeck db backup")


def row(found: dict[str, Any]) -> list[Span]:
    """One line of `db backups`."""
    good = found["verified"]
    return [
        (clean(found["id"]), ""),
        (times.clock(found["at"]), ""),
        (found["kind"], ""),
        (amounts.size(found["bytes"]), ""),
        ("good" if good else f"bad: {cut(clean(found['problem']), 100)}", "well" if good else "broken"),
    ]


def verify(session: Session, args: Args) -> int:
    """Build one up and check it, or check the files of all; 5 when something is wrong."""
    from app import offline

    if len(args.ids) > 1:
        raise Usage("one backup at a time, or none for all. Nothing was done.", "List: taskdeck db backups")
    found = offline.verify(session.home, args.ids[0] if args.ids else None)
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    else:
        for line in said(found):
            output.line(line)
    return DAMAGED if found["bad"] or found["damaged_lines"] else 0


def said(found: dict[str, Any]) -> list[str]:
    """What was found, a line for each thing that is wrong."""
    wrong = [f"{clean(bad['id'])} is bad: {clean(bad['problem'])}" for bad in found["bad"]]
    lines = [f"line {number} of manifest.jsonl is damaged; what can be known is taken from the files" for number in found["damaged_lines"]]
    checked = found["checked"]
    return [*wrong, *lines] or [f"{checked} backup{'' if checked == 1 else 's'} checked, all well" if checked else "no backup yet"]


def _backup_arguments(parser: Parser) -> None:
    parser.option("--full", action="store_true", help="the whole database, not only what changed since the last")
    parser.option("--to", metavar="DIR", help="into another folder, in which nothing is ever removed")
    as_json(parser)


def _backups_arguments(parser: Parser) -> None:
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser)


def _verify_arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help="the one to build up and check; without it the files of all, and the newest")
    as_json(parser)


COMMANDS = {
    "backup": Command("take a backup now", backup, _backup_arguments),
    "backups": Command("list the backups", backups, _backups_arguments),
    "verify": Command("check backups; 5 when one is bad", verify, _verify_arguments),
}
