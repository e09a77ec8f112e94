"""`taskdeck db replica` and `db promote`: a warm copy of the database on a second disk or host, and making it the home."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, as_json
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Conflict, Problem, Usage
from app.health.finding import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

WHAT = ("set", "status", "off")
NO_LOGS = ". The logs of runs (runs/) are not copied there"


def replica(session: Session, args: Args) -> int:
    """Say where the copy is, or put it elsewhere."""
    if args.what not in WHAT:
        raise Usage(f'db replica does not know "{clean(args.what)}".', "Type: taskdeck db replica set FOLDER, status, or off")
    if (args.what == "set") != (args.to is not None):
        raise Usage(f"db replica {args.what} takes {'a folder' if args.what == 'set' else 'no folder'}.", "See: taskdeck db replica --help")
    found = session.call(f"db.replica.{args.what}", **({"to": args.to} if args.to is not None else {}))
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    elif args.what == "off" and (was := found.get("was")) is not None:
        output.line(f"replica off: {clean(was)} is no longer copied to; what is there stays.")
    else:
        output.line(_said(found) + (NO_LOGS if args.what == "set" and not found["promoted"] else ""))
    return 0 if not found["problem"] else 1


def _said(found: dict[str, Any]) -> str:
    if found["target"] is None:
        return "there is no replica; taskdeck db replica set FOLDER makes one"
    age = f"{units.age(found['lag'])} old" if found["lag"] is not None else "never copied yet"
    if found["promoted"]:
        ways = "Another: taskdeck db replica set FOLDER; none: taskdeck db replica off"
        return f"replica {clean(found['target'])}: {clean(found['problem'])}. Nothing is copied there any more. {ways}"
    late = ", late" if found["late"] else ""
    problem = f"; the last copy failed, and is tried again: {clean(found['problem'])}" if found["problem"] else ""
    return f"replica {clean(found['target'])}: {age}{late}{problem}"


def promote(session: Session, args: Args) -> int:
    """Make a copy the home."""
    from app.offline import replica as replica_module

    found = replica_module.copy_at(session.home)
    _refuse_while_it_lives(found["origin"])
    for line in _warning(found, session.home):
        output.note(line)
    if not args.yes and not (output.keyboard() and output.ask(f"make {clean(session.home)} the home?")):
        raise Usage("nothing was changed: promoting needs a yes.", "Type: taskdeck db promote --yes")
    from app.offline import replica as offline_replica

    first = offline_replica.promote_home(session.home)
    if args.json or args.jsonl:
        output.document({"of": found['origin'], "at": found['at'], "was_running": found['running'], "next_number": first + 1}, args.jsonl)
    else:
        said = f"{clean(session.home)} is a home of its own now; its tasks go on at #{first + 1}."
        output.line(f"{said} Type: taskdeck --home {quote(session.home)} serve --detach")
    return 0


def _refuse_while_it_lives(origin: str) -> None:
    """Raise Conflict while the home that is copied, as HOST:FOLDER, has a runtime on this machine, which would start what waits too, or
    jobs, which would be started again here."""
    import os
    import socket

    from app.client import dial, listener

    host, colon, folder = origin.partition(":")
    if not colon or host != socket.gethostname() or not os.path.isdir(folder):
        return
    try:
        line = dial(folder)
    except Problem:
        return  # it is somebody else's, who is warned of below
    if line is not None:
        with line:
            lives = f"{clean(folder)}, of which this is the copy, has a runtime (pid {listener(line)})"
        raise Conflict(f"{lives}: both would start what waits. Nothing was changed.", f"First: taskdeck --home {quote(folder)} stop")
    if jobs := _jobs(folder):
        lives = f"{clean(folder)}, of which this is the copy, has jobs that still run (pid {jobs[0]})"
        home = f"taskdeck --home {quote(folder)}"
        raise Conflict(
            f"{lives}: here they might be started again. Nothing was changed.",
            f"Wait for their end, or: {home} serve --detach && {home} cancel TASK && {home} stop",
        )


def _jobs(home: str) -> list[int]:
    """The pids of what the keeper of a home on this machine has started."""
    import os
    from contextlib import suppress

    from psutil import Error, Process

    from app.health.procfs import all_ours

    keepers = {one.pid for one in all_ours() if one.kind == "keeper" and os.path.realpath(one.home) == home}
    jobs: set[int] = set()
    for pid in keepers:
        with suppress(Error):  # it has ended
            jobs |= {child.pid for child in Process(pid).children()} - keepers
    return sorted(jobs)


def _warning(found: dict[str, Any], home: str) -> list[str]:
    age = f"as of {time_format.clock(found['at'])}, {units.age(time_format.since(found['at']))} ago" if found['at'] else "of an unknown time"
    running = f" What ran at that time ({_some(found['running'])}) has an end that is not known here: it is marked lost."
    return [
        f"This is the copy of {clean(found['origin'])} {age}.",
        "What was submitted, started or ended there since is missing here." + (running if found['running'] else ""),
        "End the runtime there first, if that host still lives: both would start the tasks that wait.",
        f"The logs of runs are not in a copy. To have them: rsync -a {quote(_runs(found['origin']))} {quote(home.rstrip('/') + '/runs/')}",
    ]


def _runs(origin: str) -> str:
    """Where the logs of the home lie that is named as HOST:FOLDER, for rsync."""
    import socket

    host, _, folder = origin.partition(":")
    return f"{folder if host == socket.gethostname() else origin}/runs/"


def _some(numbers: list[int]) -> str:
    shown = ", ".join(f"#{number}" for number in numbers[:8])
    return shown if len(numbers) <= 8 else f"{shown}, …"


def _replica_arguments(parser: Parser) -> None:
    told = "set: copy to FOLDER from now on; status (or no word): where the copy is, and how old; off: copy nowhere any more"
    parser.option("what", metavar="set|status|off", nargs="?", default="status", help=told)
    parser.option("to", metavar="FOLDER", nargs="?", help="with set: a folder of another disk, or HOST:FOLDER over ssh")
    as_json(parser)


def _promote_arguments(parser: Parser) -> None:
    parser.option("--yes", action="store_true", help="do not ask")
    as_json(parser)


COMMANDS = {
    "replica": Command(
        "a warm copy on a second disk or host", replica, _replica_arguments,
        "  taskdeck db replica set /mnt/second/taskdeck\n  taskdeck db replica set backup@other:/srv/taskdeck\n  taskdeck db replica",
        usage="[OPTION …] [set FOLDER | status | off]", asks=lambda args: f"db.replica.{args.what}",
    ),
    "promote": Command(
        "make a copy the home", promote, _promote_arguments, "  taskdeck --home /mnt/second/taskdeck db promote",
    ),
}  # fmt: skip
