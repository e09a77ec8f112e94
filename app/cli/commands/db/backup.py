"""`taskdeck db backup`, `backups` and `verify`: copies of the database, and whether they can be trusted."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, as_json, as_rows
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean, cut
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

PARTLY = 1
"""The exit code when a backup was taken and the program that is run after it failed."""
DAMAGED = 5
"""The exit code when a backup is bad."""

COLUMNS = [
    Column("BACKUP"),  # never cut: it is typed
    Column("TAKEN"),
    Column("KIND"),
    Column("SIZE", align=">"),
    Column("STATE", least=8),
]
FIELDS = ("id", "kind", "at", "bytes", "verified", "base", "path", "problem", "stranger", "unreadable")


def backup(session: Session, args: Args) -> int:
    """Take one, by the runtime when one is up, else here while none can come up."""
    from app import config, paths

    given = {"full": args.full, "to": _absolute(args.to)}
    if not args.to:
        config.read(paths.config_file()).require_folder()  # before the client passes over what is wrong there
    up = session.client.runtime_up()
    taken = session.call("db.backup", **given) if up else _alone(session.home, given)
    if taken["after"]:
        output.note(taken["after"])
    if args.json or args.jsonl:
        output.document(taken, args.jsonl)
    else:
        how = "" if taken["unreadable"] else " and well"
        output.line(f"{taken['id']}  {units.size(taken['bytes'])}, restored once{how}: {clean(taken['path'])}")
    if taken["unreadable"]:
        output.note(f"not all of it can be read: {'; '.join(taken['unreadable'])}. Set that aside: taskdeck db check --repair")
    return PARTLY if taken["after"] or taken["unreadable"] else 0


def _alone(home: str, given: dict[str, Any]) -> dict[str, Any]:
    from app.offline import backup as offline_backup

    return offline_backup.backup(home, given, output.note)


def _absolute(folder: str | None) -> str | None:
    import os

    if folder == "":
        raise Usage("--to must not be empty. Nothing was done.", "Type: --to=DIR")
    return os.path.abspath(folder) if folder else None


def _tell_settings() -> None:
    """What is wrong in config.toml and was passed over."""
    from app import config, paths

    if said := config.read(paths.config_file()).passed_over:
        output.note(said)


def backups(session: Session, args: Args) -> int:
    """List them, oldest first, and say what restores and upgrades have put aside."""
    from app.cli.commands import definition_group
    from app.offline import backup_list

    found = backup_list.listed(session.home)
    _tell_settings()
    minutes = [time_format.clock(one["at"]) for one in found]
    seconds = len({*minutes}) < len(minutes)
    code = definition_group.shown(
        args, found, COLUMNS, lambda one: row(one, seconds), FIELDS, "" if found else _none(backup_list.left_behind(session.home))
    )
    if not (args.json or args.jsonl or args.rows) and (said := kept(backup_list.kept(session.home))):
        output.note(said)
    return code


def _none(left: dict[str, Any] | None) -> str:
    """That there is no backup, and where there are some that were taken before the settings named another folder."""
    if left is None:
        return "no backup yet; take one: taskdeck db backup"
    import shlex

    folder = left["path"].rpartition("/")[0]
    there = f"{left['good']} good one{'' if left['good'] == 1 else 's'} in {clean(folder)}, the newest of {time_format.clock(left['at'], True)}"
    return f"no backup yet in the folder of config.toml, but {there}: taskdeck db restore {clean(shlex.quote(left['path']))}"


def kept(found: dict[str, Any]) -> str:
    """What restores and upgrades have put aside, in a sentence; nothing where there is none."""
    files = found["files"]
    if not files:
        return ""
    last, many = files[-1], len(files)
    size = units.size(sum(one["bytes"] for one in files))
    lie = "a database that a restore or an upgrade kept lies" if many == 1 else f"{many} databases that restores or upgrades kept lie"
    stay = f"; all but the newest go after {units.age(found['keep'])}" if found["keep"] is not None else ""
    return f"{lie} in the home ({size}){stay}. Back to the newest, of {time_format.clock(last['at'], True)}: taskdeck db restore {name(last)}"


def name(found: dict[str, Any]) -> str:
    """The name of a file, without its folder, as the shell takes it."""
    return clean(found["path"].rpartition("/")[2])


def row(found: dict[str, Any], seconds: bool) -> list[Span]:
    """One line of `db backups`; with `seconds` where minutes do not tell one from another."""
    return [
        (clean(found["id"]), ""),
        (time_format.clock(found["at"], seconds), ""),
        (found["kind"], ""),
        (units.size(found["bytes"]), ""),
        _state(found),
    ]


def _state(found: dict[str, Any]) -> Span:
    if found["stranger"]:
        return f"of another home: {cut(clean(found['stranger']), 100)}", "warn"
    if found["unreadable"] and found["verified"]:
        return f"good, but {cut(clean('; '.join(found['unreadable'])), 100)}", "warn"
    return ("good", "well") if found["verified"] else (f"bad: {cut(clean(found['problem']), 100)}", "broken")


def verify(session: Session, args: Args) -> int:
    """Build one up and check it, or check the files of all; 5 when something is wrong."""
    from app.offline import backup_list as offline_backup_list

    if len(args.ids) > 1:
        raise Usage("one backup at a time, or none for all. Nothing was done.", "List: taskdeck db backups")
    if "" in args.ids:
        raise Usage("the ID of a backup must not be empty. Nothing was done.", "List: taskdeck db backups. All of them: no ID")
    found = offline_backup_list.verify(session.home, args.ids[0] if args.ids else None, marks=not session.read_only)
    _tell_settings()
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    else:
        for line in said(found):
            output.line(line)
        if found["bad"] and session.read_only:
            output.note("--read-only: that it is bad was not written down. To have it count no more: taskdeck db verify")
        elif found["bad"]:
            output.note("what is bad counts no more. Take a new one: taskdeck db backup --full")
    spoilt = any(copy["problem"] for copy in found["copies"])
    return DAMAGED if found["bad"] or found["odd"] or found["damaged_lines"] or spoilt else 0


def said(found: dict[str, Any]) -> list[str]:
    """What was found, a line for each thing that is wrong."""
    wrong = [f"{clean(bad['id'])} is bad: {clean(bad['problem'])}" for bad in found["bad"]]
    wrong += [f"{clean(odd['id'])}: {clean(odd['problem'])}; it still counts as it did" for odd in found["odd"]]
    lines = [f"line {number} of manifest.jsonl is damaged; what can be known is taken from the files" for number in found["damaged_lines"]]
    theirs = [f"{clean(one['id'])} is of another home ({clean(one['of'])}), and is never chosen" for one in found["strangers"]]
    copies = [f"{clean(one['id'])}, a copy from before an upgrade, is {_how(one['problem'])}" for one in found.get("copies", ())]
    checked = found["checked"]
    well = f"{checked} backup{'' if checked == 1 else 's'} checked, all well" if checked else "no backup yet"
    return [*([*wrong, *lines] or [well]), *theirs, *copies]


def _how(problem: str | None) -> str:
    return f"bad: {clean(problem)}" if problem else "well"


WHICH = "its ID, the first letters of that, or its file,"
"""How one backup is named."""


def _backup_arguments(parser: Parser) -> None:
    parser.option("--full", action="store_true", help="the whole database, not only what changed since the last")
    parser.option("--to", metavar="DIR", help="into another folder, in which nothing is ever removed")
    as_json(parser)


def _backups_arguments(parser: Parser) -> None:
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser)


def _verify_arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help=f"{WHICH} to build up and check; none: the files of all, and the newest built up")
    as_json(parser)


COMMANDS = {
    "backup": Command("take a backup now", backup, _backup_arguments),
    "backups": Command("list the backups", backups, _backups_arguments),
    "verify": Command("check backups; 5 when one is bad", verify, _verify_arguments, usage="[OPTION …] [ID]"),
}
