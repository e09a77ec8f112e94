"""`taskdeck import`: take over what another program runs; here, the lines of a crontab."""

from __future__ import annotations

import os

from app.cli import output, time_format, user_crontab
from app.cli.commands.definitions.apply_export import read_bytes
from app.cli.commands.definitions.import_tasks import PEER_COMMANDS
from app.cli.parser import Args, Command, Parser, add_json_options, require_text
from app.cli.table_layout import Column, Span
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext
    from app.core.schedules.crontab import Account, CrontabEntry

COLUMNS = [
    Column("LINE", align=">"),
    Column("SCHEDULE", least=8, first=True),
    Column("STATE"),
    Column("FIRES", least=12),
    Column("NEXT"),
    Column("RUNS", least=8),
]
SHELL_WORDS = frozenset({
    ".", ":", "!", "[", "[[", "{", "(", "alias", "case", "cd", "command", "echo", "eval", "exec",
    "exit", "export", "false", "for", "if", "kill", "printf", "read", "set", "shopt", "source",
    "test", "time", "trap", "true", "type", "ulimit", "umask", "unset", "until", "wait", "while",
})  # fmt: skip
"""Words that every shell knows."""
OTHER_PROGRAM = tr_noop(
    "unlike cron, a schedule skips a fire time while its last run has not ended (--overlap queue:"
    " waits); missed fire times are not made up for (--missed run-once: one is);"
    " a task waits until a core is free (--cpu)"
)


def import_crontab(context: CommandContext, args: Args) -> int:
    """Show what each line of a crontab becomes; with --apply, create the schedules."""
    file = _choose_file(args)
    data = user_crontab.read() if file is None else read_bytes(file, "a crontab")
    found = _read_crontab(data, file, args.system)
    answers = _ask(context, os.fsdecode(data), found["entries"], args)
    for entry in found["entries"]:
        entry |= answers.get(entry["line"], {})
        entry.pop("definition", None)
    if args.disable_original:
        found |= _disable_original(context, data, found["entries"])
    if args.json or args.jsonl:
        output.print_json(found["entries"] if args.jsonl else found, args.jsonl)
    else:
        _print_report(found, args)
    return 1 if args.apply and found["malformed"] else 0


def _choose_file(args: Args) -> str | None:
    """Return the file to read, or None for the user's own crontab. Raise Usage."""
    if len(args.files) > 1:
        raise Usage("give one FILE. Nothing was changed.")
    file = args.files[0] if args.files else None
    if args.disable_original and not args.apply:
        raise Usage("--disable-original goes with --apply. Nothing was changed.")
    if args.disable_original and file is not None:
        raise Usage(
            "--disable-original changes your own crontab, never a file. Nothing was changed.",
            "Comment the lines out yourself, or leave FILE out.",
        )
    if file is None and args.system:
        raise Usage("--system needs a FILE, such as /etc/crontab. Nothing was changed.")
    return file


def _read_crontab(data: bytes, file: str | None, system: bool) -> dict[str, Any]:
    """Return the report of a crontab, before the runtime has seen it."""
    from app.core.schedules import crontab
    from app.core.schedules.zones import get_local_zone_name
    from app.core.schema import secrets

    account, zone = _get_account(), get_local_zone_name()
    is_system = system or file is not None and os.path.abspath(file).startswith("/etc/")
    parsed = crontab.parse_crontab(os.fsdecode(data), is_system)
    entries: list[dict[str, Any]] = [
        {
            **entry._asdict(),
            "env": secrets.mask_record(entry.env),
            "name": None,
            "outcome": "refused",
            "reason": _find_obstacle(entry, account, is_system),
            "definition": crontab.make_definition(entry, account, zone),
            "words": None,
            "zone": None,
            "next_fire": None,
            "mailto": crontab.get_mailto(entry),
            "channel": None,
            "kinds": [],
            "notes": crontab.list_notes(entry, account) + _list_missing_programs(entry, account),
        }
        for entry in parsed.entries
    ]
    return {
        "source": "crontab -l" if file is None else file,
        "user": account.name,
        "is_system": is_system,
        "entries": entries,
        "malformed": [fault._asdict() for fault in parsed.faults],
        "original": None,
        "disabled": [],
    }


def _get_account() -> Account:
    import pwd

    from app.core.schedules.crontab import Account

    try:
        found = pwd.getpwuid(os.geteuid())
    except KeyError:
        return Account(str(os.geteuid()), os.path.expanduser("~"))
    return Account(found.pw_name, found.pw_dir)


def _find_obstacle(entry: CrontabEntry, account: Account, is_system: bool) -> str | None:
    """Return why a line cannot be imported here, or None."""
    from app.core.schedules.crontab import find_obstacle

    if is_system and entry.user != account.name:
        return tr("runs as {user}, not as {name}", user=entry.user, name=account.name)
    if not is_system and _has_user_column(entry, account):
        user = entry.command.split()[0]
        return tr("begins with the user {user}, as in a system crontab: use --system", user=user)
    return find_obstacle(entry, account)


def _has_user_column(entry: CrontabEntry, account: Account) -> bool:
    """Return True if a command is no program of this machine, but a user and a program."""
    import pwd

    first, *rest = entry.command.split()[:2]
    try:
        pwd.getpwnam(first)
    except (KeyError, ValueError):
        return False
    return [_is_runnable(word, entry, account) for word in (first, *rest)] == [False, True]


def _is_runnable(word: str, entry: CrontabEntry, account: Account) -> bool:
    """Return True if a shell of cron finds a program of this name."""
    import shutil

    from app.core.schedules.crontab import make_environment

    path = make_environment(entry, account)["PATH"]
    return word in SHELL_WORDS or shutil.which(word, path=path) is not None


def _list_missing_programs(entry: CrontabEntry, account: Account) -> list[str]:
    """Return a note if the shell, or a plain word that begins the command, is no program here."""
    import shutil

    if (shell := entry.env.get("SHELL", "/bin/sh")) and shutil.which(shell) is None:
        return [tr("SHELL={shell} is no program here", shell=shell)]
    first = entry.command.split()[0]
    if not first.replace("-", "").replace("_", "").isalnum():
        return []
    if _is_runnable(first, entry, account):
        return []
    return [
        tr(
            "the PATH of this line has no program {first}; if {first} is a user, give --system",
            first=first,
        )
        if entry.user is None
        else tr("the PATH of this line has no program {first}", first=first)
    ]


def _ask(
    context: CommandContext, text: str, entries: list[dict[str, Any]], args: Args
) -> dict[int, dict[str, Any]]:
    """Return the answer for each line that can be imported, by number."""
    from app.core.schedules.crontab import map_comments, split_input
    from app.core.schedules.crontab_names import make_names

    wanted, comments = [e for e in entries if e["reason"] is None], map_comments(text)
    if not wanted:
        return {}
    names = make_names(
        (split_input(entry["command"])[0], comments.get(entry["line"], "")) for entry in wanted
    )
    lines = [
        {"name": name, **{key: entry[key] for key in ("line", "definition", "mailto")}}
        for name, entry in zip(names, wanted, strict=True)
    ]
    notes = {entry["line"]: entry["notes"] for entry in entries}
    verb = "schedule.import" if args.apply else "schedule.preview_import"
    channel = {} if args.mail_channel is None else {"mail_channel": args.mail_channel}
    return {
        answer["line"]: {**answer, "notes": [*answer["notes"], *notes[answer["line"]]]}
        for answer in context.call(verb, lines=lines, **channel)
    }


def _disable_original(
    context: CommandContext, data: bytes, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    """Comment the imported lines out in the user's crontab; return the lines and the old file."""
    from datetime import datetime

    from app.core.schedules.crontab import comment_out

    lines = sorted(entry["line"] for entry in entries if entry["outcome"] != "refused")
    if not lines:
        return {}
    new = os.fsencode(comment_out(os.fsdecode(data), set(lines)))
    name = f"crontab-{datetime.now():%Y%m%dT%H%M%S.%f}"
    return {"original": user_crontab.replace(data, new, context.home, name), "disabled": lines}


def _print_report(found: dict[str, Any], args: Args) -> None:
    entries = [entry for entry in found["entries"] if entry["outcome"] != "refused"]
    if entries:
        output.print_table(COLUMNS, [_format_entry(entry) for entry in entries], args.wide)
    refused = [*(e for e in found["entries"] if e["outcome"] == "refused"), *found["malformed"]]
    if refused:
        output.print_line(f"\n{tr('not imported:')}" if entries else tr("not imported:"))
    for line in sorted(refused, key=lambda line: line["line"]):
        text = line.get("text") or f"{line['schedule']} {line['command']}"
        output.print_line(
            tr("  line {line} {reason}:", line=line["line"], reason=sanitize(line["reason"]))
        )
        output.print_line(f"    {truncate(sanitize(text), 100)}")
    notes = _collect_notes(entries)
    if notes:
        output.print_line(f"\n{tr('what differs:')}")
    for text, lines in notes:
        output.print_line(f"  {sanitize(text)}{lines}")
    _print_mail([entry for entry in entries if entry["outcome"] != "exists"], args.apply)
    _print_end(found, entries, args)


def _format_entry(entry: dict[str, Any]) -> list[Span]:
    following = entry["next_fire"]
    return [
        (str(entry["line"]), ""),
        (sanitize(entry["name"]), ""),
        (tr(entry["outcome"]), "dim" if entry["outcome"] == "exists" else ""),
        (sanitize(entry["words"]), ""),
        (time_format.format_clock(following, zone=entry["zone"] or ""), ""),
        (truncate(sanitize(entry["command"]), 200), ""),
    ]


def _collect_notes(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return each note once, with the lines that it concerns unless it concerns all."""
    lines: dict[str, list[str]] = {}
    for entry in entries:
        for note in entry["notes"]:
            lines.setdefault(note, []).append(str(entry["line"]))
    notes = [
        (
            note,
            "" if len(numbers) == len(entries) else tr(" (line {lines})", lines=", ".join(numbers)),
        )
        for note, numbers in lines.items()
    ]
    return [*notes, (tr(OTHER_PROGRAM), "")] if entries else notes


def _print_mail(entries: list[dict[str, Any]], is_applied: bool) -> None:
    """Say what becomes of the mail of new schedules, and which channels are missing."""
    lines: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for entry in entries:
        if entry["mailto"] is not None or entry["channel"]:
            lines.setdefault((entry["mailto"], entry["channel"]), []).append(entry)
    if not lines:
        return
    output.print_line(f"\n{tr('mail:')}")
    for (mailto, channel), found in lines.items():
        numbers = ", ".join(str(entry["line"]) for entry in found)
        what = _describe_mail(mailto, channel, found[0]["kinds"])
        output.print_line(f"  {sanitize(what)}{tr(' (line {lines})', lines=numbers)}")
    if missing := [mailto for mailto, channel in lines if mailto and channel is None]:
        _print_missing_channels(missing, is_applied)


def _describe_mail(mailto: str | None, channel: str | None, kinds: list[str]) -> str:
    if mailto == "":
        return tr('MAILTO="" → no notification')
    shown = f"MAILTO={mailto}" if mailto else tr("no MAILTO")
    if channel is None:
        return tr("{shown} → no channel yet, so nobody hears of failures", shown=shown)
    return tr(
        "{shown} → channel {channel} ({kinds}), notify on failed (cron mails output;"
        " Taskdeck keeps it as the log of the task)",
        shown=shown,
        channel=channel,
        kinds=", ".join(kinds),
    )


def _print_missing_channels(addresses: list[str], is_applied: bool) -> None:
    """Print what to add to config.toml for addresses without a channel."""
    import socket

    from app import config, paths
    from app.core.schedules.crontab_mail import make_channel

    path = paths.get_config_path()
    taken = set(config.read(path).notifications.channels)
    then = (
        tr("repeat the import, which then names the commands") if is_applied else tr("import then")
    )
    output.print_line("")
    output.print_line(tr("add this to {path} and {then};", path=sanitize(path), then=then))
    output.print_line(tr("until then the mail is not kept:"))
    for mailto in addresses:
        name, lines = make_channel(mailto, taken, socket.gethostname())
        taken.add(name)
        for line in lines:
            output.print_line(f"  {sanitize(line)}")


def _print_end(found: dict[str, Any], entries: list[dict[str, Any]], args: Args) -> None:
    """Say what was done, or what to type to do it."""
    created = sum(entry["outcome"] == "created" for entry in entries)
    new = sum(entry["outcome"] == "new" for entry in entries)
    if not args.apply:
        source = f" {_quote(args.files[0])}" if args.files else ""
        more = " --system" if args.system else ""
        more += f" --mail-channel {_quote(args.mail_channel)}" if args.mail_channel else ""
        words = f"{source}{more}"
        output.print_note(
            tr(
                "nothing was changed: {schedules} would be created."
                " To create them: taskdeck import crontab{words} --apply",
                schedules=_count(new),
                words=words,
            )
            if new
            else tr("nothing was changed: {schedules} would be created.", schedules=_count(new))
        )
        return
    exist = len(entries) - created
    output.print_note(
        tr("{schedules} created, {n} existed already.", schedules=_count(created), n=exist)
        if exist
        else tr("{schedules} created.", schedules=_count(created))
    )
    if found["original"]:
        output.print_note(
            tr(
                "commented out {n} lines of your crontab. The original is"
                " {original}; to restore it: crontab {file}",
                n=len(found["disabled"]),
                original=sanitize(found["original"]),
                file=_quote(found["original"]),
            )
        )
    elif entries and not args.files:
        output.print_note(
            tr(
                "cron still runs these lines, too. To comment them out: taskdeck import crontab"
                " --apply --disable-original"
            )
        )


def _quote(path: str) -> str:
    """Return a path as it is typed in a shell."""
    from shlex import quote

    return sanitize(quote(path))


def _count(number: int) -> str:
    return tr_n(number, "{n} schedule", "{n} schedules")


def _add_crontab_arguments(parser: Parser) -> None:
    add = parser.add_option
    add("files", nargs="*", metavar="FILE", help="crontab to read; - is stdin (default: yours)")
    add("--apply", action="store_true", help="create the schedules, all or none")
    add(
        "--disable-original",
        action="store_true",
        help="with --apply: comment the imported lines out in your own crontab",
    )
    add(
        "--system",
        action="store_true",
        help="lines name a user, as in /etc/crontab (known by itself for files in /etc)",
    )
    add(
        "--mail-channel",
        type=require_text,
        metavar="CHANNEL",
        help="channel told of failures, in place of the mail (default: the one with that address)",
    )
    add("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


EXAMPLES = """\
  taskdeck import crontab
  taskdeck import crontab --apply --disable-original
  taskdeck import crontab /etc/cron.d/backup --apply
  crontab -l | taskdeck import crontab - --json"""

COMMANDS = {
    "crontab": Command(
        "show or create the schedules that a crontab describes",
        import_crontab,
        _add_crontab_arguments,
        EXAMPLES,
        usage="[FILE] [OPTION …]",
        asks=lambda args: "schedule.import" if args.apply else "schedule.preview_import",
    ),
    **PEER_COMMANDS,
}
