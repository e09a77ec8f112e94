"""`taskdeck db backup`, `backups` and `verify`: take, list and check backups."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, add_json_options, add_row_options
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

EXIT_PARTIAL = 1
"""Exit code when the backup succeeded but its follow-up program failed."""
EXIT_DAMAGED = 5
"""Exit code when a backup is bad."""

COLUMNS = [
    Column("BACKUP"),  # never truncated: people type it
    Column("TAKEN"),
    Column("KIND"),
    Column("SIZE", align=">"),
    Column("STATE", least=8),
]
FIELDS = ("id", "kind", "at", "bytes", "verified", "base", "path", "problem", "stranger")


def take_backup(context: CommandContext, args: Args) -> int:
    """Take a backup in the runtime, or here if none is running."""
    from app import config, paths

    given = {"full": args.full, "to": _resolve_folder(args.to)}
    if not args.to:
        config.read(paths.get_config_path()).require_folder()  # before the client ignores the fault
    up = context.client.is_runtime_up()
    taken = context.call("db.backup", **given) if up else _take_offline(context.home, given)
    if taken["after"]:
        output.print_note(taken["after"])
    if args.json or args.jsonl:
        output.print_json(taken, args.jsonl)
    else:
        output.print_line(
            tr(
                "{id}  {size}, test-restored without errors: {path}",
                id=taken["id"],
                size=units.format_bytes(taken["bytes"]),
                path=sanitize(taken["path"]),
            )
        )
    return EXIT_PARTIAL if taken["after"] else 0


def _take_offline(home: str, args: dict[str, Any]) -> dict[str, Any]:
    from app.offline import backup

    return backup.take_backup(home, args, output.print_note)


def _resolve_folder(folder: str | None) -> str | None:
    import os

    if folder == "":
        raise Usage("--to must not be empty. Nothing was done.", "Use: --to=DIR")
    return os.path.abspath(folder) if folder else None


def _note_config_faults() -> None:
    from app import config, paths

    if notice := config.read(paths.get_config_path()).ignored_notice:
        output.print_note(notice)


def list_backups(context: CommandContext, args: Args) -> int:
    """List backups, oldest first, and the databases kept by restores and upgrades."""
    from app.cli import definition_group
    from app.offline import backup_list

    found = backup_list.list_backups(context.home)
    _note_config_faults()
    minutes = [time_format.format_clock(one["at"]) for one in found]
    seconds = len({*minutes}) < len(minutes)
    code = definition_group.print_list(
        args,
        found,
        COLUMNS,
        lambda one: format_backup_row(one, seconds),
        FIELDS,
        "" if found else _explain_no_backup(backup_list.find_left_behind(context.home)),
    )
    if not (args.json or args.jsonl or args.rows) and (
        notice := describe_kept(backup_list.find_kept(context.home))
    ):
        output.print_note(notice)
    return code


def _explain_no_backup(left: dict[str, Any] | None) -> str:
    if left is None:
        return tr("no backups yet. Take one: taskdeck db backup")
    import shlex

    folder = left["path"].rpartition("/")[0]
    return tr_n(
        left["good"],
        "no backups yet in the folder of config.toml, but {folder} has {n} good one, the newest of"
        " {time}. Restore it: taskdeck db restore {path}",
        "no backups yet in the folder of config.toml, but {folder} has {n} good ones, the newest of"
        " {time}. Restore it: taskdeck db restore {path}",
        folder=sanitize(folder),
        time=time_format.format_clock(left["at"], True),
        path=sanitize(shlex.quote(left["path"])),
    )


def describe_kept(found: dict[str, Any]) -> str:
    """Return a sentence about databases kept by restores and upgrades, or an empty string."""
    files = found["files"]
    if not files:
        return ""
    last, many = files[-1], len(files)
    size = units.format_bytes(sum(one["bytes"] for one in files))
    removal = (
        tr("; all but the newest are removed after {age}", age=units.format_age(found["keep"]))
        if found["keep"] is not None
        else ""
    )
    return tr_n(
        many,
        "1 database kept by a restore or an upgrade is in the home ({size}){removal}."
        " Restore the newest, of {time}: taskdeck db restore {file}",
        "{n} databases kept by restores or upgrades are in the home ({size}){removal}."
        " Restore the newest, of {time}: taskdeck db restore {file}",
        size=size,
        removal=removal,
        time=time_format.format_clock(last["at"], True),
        file=format_file_name(last),
    )


def format_file_name(found: dict[str, Any]) -> str:
    """Return the file name without its folder, sanitized."""
    return sanitize(found["path"].rpartition("/")[2])


def format_backup_row(found: dict[str, Any], seconds: bool) -> list[Span]:
    """Return one line of `db backups`, with `seconds` if minutes are not unique."""
    return [
        (sanitize(found["id"]), ""),
        (time_format.format_clock(found["at"], seconds), ""),
        (found["kind"], ""),
        (units.format_bytes(found["bytes"]), ""),
        _format_state(found),
    ]


def _format_state(found: dict[str, Any]) -> Span:
    if found["stranger"]:
        home = truncate(sanitize(found["stranger"]), 100)
        return tr("belongs to another home: {home}", home=home), "warn"
    return (
        (tr("good"), "well")
        if found["verified"]
        else (tr("bad: {problem}", problem=truncate(sanitize(found["problem"]), 100)), "broken")
    )


def verify_backups(context: CommandContext, args: Args) -> int:
    """Check one backup by rebuilding it, or all files and the newest; return 5 if one is bad."""
    from app.offline import backup_list as offline_backup_list

    if len(args.ids) > 1:
        raise Usage(
            "give one ID, or none to check all backups. Nothing was done.",
            "List: taskdeck db backups",
        )
    if "" in args.ids:
        raise Usage(
            "the ID of a backup must not be empty. Nothing was done.",
            "List: taskdeck db backups. To check all: no ID",
        )
    found = offline_backup_list.verify_backups(
        context.home, args.ids[0] if args.ids else None, marks=not context.read_only
    )
    _note_config_faults()
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    else:
        for line in describe_findings(found):
            output.print_line(line)
        if found["bad"] and context.read_only:
            output.print_note(
                tr("--read-only: the bad backup was not marked. To exclude it: taskdeck db verify")
            )
        elif found["bad"]:
            output.print_note(
                tr("bad backups are ignored. Take a new one: taskdeck db backup --full")
            )
    has_bad_copies = any(copy["problem"] for copy in found["copies"])
    return (
        EXIT_DAMAGED
        if found["bad"] or found["odd"] or found["damaged_lines"] or has_bad_copies
        else 0
    )


def describe_findings(found: dict[str, Any]) -> list[str]:
    """Return one line per problem found."""
    wrong = [
        tr("{id} is bad: {problem}", id=sanitize(bad["id"]), problem=sanitize(bad["problem"]))
        for bad in found["bad"]
    ]
    wrong += [
        tr(
            "{id}: {problem}; the backup is still usable",
            id=sanitize(odd["id"]),
            problem=sanitize(odd["problem"]),
        )
        for odd in found["odd"]
    ]
    lines = [
        tr(
            "line {number} of manifest.jsonl is damaged; its facts are read from the files",
            number=number,
        )
        for number in found["damaged_lines"]
    ]
    foreign_files = [
        tr(
            "{id} belongs to another home ({home}) and is never chosen",
            id=sanitize(one["id"]),
            home=sanitize(one["of"]),
        )
        for one in found["strangers"]
    ]
    copies = [
        tr(
            "{id}, the copy kept by an upgrade, is {state}",
            id=sanitize(one["id"]),
            state=_format_problem(one["problem"]),
        )
        for one in found.get("copies", ())
    ]
    checked = found["checked"]
    well = (
        tr_n(checked, "{n} backup checked, all good", "{n} backups checked, all good")
        if checked
        else tr("no backups yet")
    )
    return [*([*wrong, *lines] or [well]), *foreign_files, *copies]


def _format_problem(problem: str | None) -> str:
    return tr("bad: {problem}", problem=sanitize(problem)) if problem else tr("good")


def _add_backup_arguments(parser: Parser) -> None:
    parser.add_option(
        "--full", action="store_true", help="back up the whole database, not only the changes"
    )
    parser.add_option(
        "--to", metavar="DIR", help="write to another folder, where nothing is ever removed"
    )
    add_json_options(parser)


def _add_backups_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser)


def _add_verify_arguments(parser: Parser) -> None:
    parser.add_option(
        "ids",
        nargs="*",
        metavar="ID",
        help="ID of a backup, its first letters, or a file, to rebuild and check; none: check all"
        " files and rebuild the newest",
    )
    add_json_options(parser)


COMMANDS = {
    "backup": Command("take a backup now", take_backup, _add_backup_arguments),
    "backups": Command("list the backups", list_backups, _add_backups_arguments),
    "verify": Command(
        "check backups; exit 5 if one is bad",
        verify_backups,
        _add_verify_arguments,
        usage="[OPTION …] [ID]",
    ),
}
