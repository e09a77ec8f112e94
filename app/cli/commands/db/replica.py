"""`taskdeck db replica` and `db promote`: warm standby copy of the database."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text import units
from app.core.text.replica_text import format_age_and_missed
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage
from app.health.finding import quote_word
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

ACTIONS = ("set", "status", "off")
LOGS_NOT_COPIED = tr_noop(". Logs of runs (runs/) are not copied")


def manage_replica(context: CommandContext, args: Args) -> int:
    """Show, set or turn off the replica."""
    if args.what not in ACTIONS:
        raise Usage(
            'unknown action "{what}" of db replica.',
            "Use: taskdeck db replica set FOLDER, status, or off",
            what=sanitize(args.what),
        )
    if (args.what == "set") != (args.to is not None):
        raise Usage(
            "db replica {what} takes {rest}.",
            "See: taskdeck db replica --help",
            what=args.what,
            rest=tr("a folder") if args.what == "set" else tr("no folder"),
        )
    found = context.call(
        f"db.replica.{args.what}", **({"to": args.to} if args.to is not None else {})
    )
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    elif args.what == "off" and (old_folder := found.get("was")) is not None:
        output.print_line(
            tr(
                "replica off: {folder} no longer receives copies; its files remain.",
                folder=sanitize(old_folder),
            )
        )
    else:
        output.print_line(
            _describe_replica(found)
            + (tr(LOGS_NOT_COPIED) if args.what == "set" and not found["promoted"] else "")
        )
    return 0 if not found["problem"] else 1


def _describe_replica(found: dict[str, Any]) -> str:
    if found["target"] is None:
        return tr("there is no replica. To create a replica: taskdeck db replica set FOLDER")
    age = format_age_and_missed(found)
    if found["promoted"]:
        return tr(
            "replica {target}: {problem}. Copying has stopped. To use another: taskdeck db"
            " replica set FOLDER. To stop: taskdeck db replica off",
            target=sanitize(found["target"]),
            problem=sanitize(found["problem"]),
        )
    late = tr(", late") if found["late"] else ""
    problem = (
        tr(
            "; the last copy failed and will be retried: {problem}",
            problem=sanitize(found["problem"]),
        )
        if found["problem"]
        else ""
    )
    return tr(
        "replica {target}: {state}", target=sanitize(found["target"]), state=age + late + problem
    )


def promote_replica(context: CommandContext, args: Args) -> int:
    """Turn a replica into a home."""
    from app.offline import replica as offline_replica

    found = offline_replica.describe_replica(context.home)
    _refuse_active_origin(found["origin"])
    for line in _make_warnings(found, context.home):
        output.print_note(line)
    if not args.yes and not (
        output.is_stdin_terminal()
        and output.ask_yes_no(tr("Make {folder} the home?", folder=sanitize(context.home)))
    ):
        raise Usage(
            "promoting needs a confirmation. Nothing was changed.",
            "Confirm: taskdeck db promote --yes",
        )
    from app.offline import replica

    first = replica.promote_home(context.home)
    if args.json or args.jsonl:
        output.print_json(
            {
                "of": found["origin"],
                "at": found["at"],
                "was_running": found["running"],
                "next_number": first + 1,
            },
            args.jsonl,
        )
    else:
        output.print_line(
            tr(
                "{folder} is now a home; its next task is #{number}."
                " Start it: taskdeck --home {word} serve --detach",
                folder=sanitize(context.home),
                number=first + 1,
                word=quote_word(context.home),
            )
        )
    return 0


def _refuse_active_origin(origin: str) -> None:
    """Raise Conflict while the origin (HOST:FOLDER) is active on this machine.

    Its runtime would start waiting tasks twice, and its running jobs would be started again here.
    """
    import os
    import socket

    from app.client import get_peer_pid, open_socket

    host, colon, folder = origin.partition(":")
    if not colon or host != socket.gethostname() or not os.path.isdir(folder):
        return
    try:
        line = open_socket(folder)
    except Problem:
        return  # another user's home; the warning below covers it
    if line is not None:
        with line:
            reason = tr(
                "the original home {folder} has a runtime (pid {pid})",
                folder=sanitize(folder),
                pid=get_peer_pid(line),
            )
        raise Conflict(
            "{reason}: both would start the waiting tasks. Nothing was changed.",
            "First: taskdeck --home {folder} stop",
            reason=reason,
            folder=quote_word(folder),
        )
    if jobs := _find_jobs(folder):
        reason = tr(
            "the original home {folder} still has running jobs (pid {pid})",
            folder=sanitize(folder),
            pid=jobs[0],
        )
        home = f"taskdeck --home {quote_word(folder)}"
        raise Conflict(
            "{reason}: they might be started again here. Nothing was changed.",
            "Wait for them to end, or: {home} serve --detach && {home} cancel TASK && {home} stop",
            reason=reason,
            home=home,
        )


def _find_jobs(home: str) -> list[int]:
    import os
    from contextlib import suppress

    from psutil import Error, Process

    from app.health.procfs import find_taskdeck_processes

    keepers = {
        one.pid
        for one in find_taskdeck_processes()
        if one.kind == "keeper" and os.path.realpath(one.home) == home
    }
    jobs: set[int] = set()
    for pid in keepers:
        with suppress(Error):  # the process has ended
            jobs |= {child.pid for child in Process(pid).children()} - keepers
    return sorted(jobs)


def _make_warnings(found: dict[str, Any], home: str) -> list[str]:
    age = (
        tr(
            "as of {time}, {age} ago",
            time=time_format.format_clock(found["at"]),
            age=units.format_age(time_format.seconds_since(found["at"])),
        )
        if found["at"]
        else tr("of an unknown time")
    )
    running = tr(
        " The outcome of tasks running then ({numbers}) is unknown here: they are marked lost.",
        numbers=_format_numbers(found["running"]),
    )
    return [
        tr("This is a replica of {origin} {age}.", origin=sanitize(found["origin"]), age=age),
        tr("Changes that were made on that host after this time are missing here.")
        + (running if found["running"] else ""),
        tr(
            "If that host is still running, stop its runtime first: both would start the"
            " waiting tasks."
        ),
        tr(
            "A replica has no logs of runs. To copy them: rsync -a {source} {target}",
            source=quote_word(_get_runs_source(found["origin"])),
            target=quote_word(home.rstrip("/") + "/runs/"),
        ),
    ]


def _get_runs_source(origin: str) -> str:
    import socket

    host, _, folder = origin.partition(":")
    return f"{folder if host == socket.gethostname() else origin}/runs/"


def _format_numbers(numbers: list[int]) -> str:
    shown = ", ".join(f"#{number}" for number in numbers[:8])
    return shown if len(numbers) <= 8 else f"{shown}, …"


def _add_replica_arguments(parser: Parser) -> None:
    help_text = tr_noop(
        "set: copy to FOLDER from now on; status (default): show the copy and its age; off: stop"
    )
    parser.add_option("what", metavar="set|status|off", nargs="?", default="status", help=help_text)
    parser.add_option(
        "to",
        metavar="FOLDER",
        nargs="?",
        help="with set: a folder on another disk, or HOST:FOLDER over ssh",
    )
    add_json_options(parser)


def _add_promote_arguments(parser: Parser) -> None:
    parser.add_option("--yes", action="store_true", help="do not ask")
    add_json_options(parser)


COMMANDS = {
    "replica": Command(
        "keep a warm copy on a second disk or host", manage_replica, _add_replica_arguments,
        "  taskdeck db replica set /mnt/second/taskdeck\n"
        "  taskdeck db replica set backup@other:/srv/taskdeck\n"
        "  taskdeck db replica",
        usage="[OPTION …] [set FOLDER | status | off]", asks=lambda args: f"db.replica.{args.what}",
    ),
    "promote": Command(
        "turn a replica into a home", promote_replica, _add_promote_arguments,
        "  taskdeck --home /mnt/second/taskdeck db promote",
    ),
}  # fmt: skip
