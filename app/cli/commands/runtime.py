"""`taskdeck serve`, `stop` and `version`: the runtime's life."""

from __future__ import annotations

import os
from argparse import SUPPRESS

from app.cli import output
from app.cli.parser import Args, Command, Parser, as_json, read
from app.core.text import units
from app.errors import Conflict, Problem, Usage
from app.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import Session


def serve(session: Session, args: Args) -> int:
    """Be the runtime, or with --detach bring one up in the background and return when it answers."""
    if args.replace:
        from app import runtime_launcher as app_runtime_launcher

        app_runtime_launcher.dismiss(session.home)
    if not args.detach:
        return session.serve(session.home, ready_fd=args.ready_fd, demo=args.demo)
    if args.ready_fd is not None or args.demo:
        raise Usage("--detach goes alone.")
    session.client.start(resume=True)
    output.note("the runtime is up. See it: taskdeck")
    return 0


def stop(session: Session, args: Args) -> int:
    """End the runtime, wait until it has gone, and keep commands from bringing it up again."""
    from app import client, runtime_launcher

    # What the kernel says of who listens: a runtime whose database is damaged has no status.
    sock = client.dial(session.home) if session.client.runtime_up() else None
    if sock is None:
        raise Conflict("no runtime is up; there is nothing to stop.")
    with sock:
        pid = client.listener(sock)
    process, in_deck = os.pidfd_open(pid), runtime_launcher.lives_in_deck(session.home, pid)
    answer = session.call("stop", drain=args.drain)
    try:
        runtime_launcher.ended(session.home, pid, process, in_deck)
    except KeyboardInterrupt:
        output.note("it goes on to drain. To have it start things again: taskdeck serve --detach")
        raise
    if args.drain:
        _drained(session)
    if args.json or args.jsonl:
        output.document(answer, args.jsonl)
    else:
        output.note("the runtime was stopped. Start it: taskdeck serve --detach")
    return 0


def _drained(session: Session) -> None:
    """Raise Problem when the runtime ended in another way than by having nothing left to wait for."""
    found = session.call("status")
    running = found["counts"].get("running", 0)
    if running or found["runtime"]["state"] == "running":
        jobs = "1 task still runs" if running == 1 else f"{running:,} tasks still run"
        raise Problem(f"that runtime ended before the drain did, and {jobs}.", "See: taskdeck status")


def version(session: Session, args: Args) -> int:
    """Which Taskdeck this is."""
    if args.json or args.jsonl:
        output.document({"version": VERSION}, args.jsonl)
    else:
        output.line(f"taskdeck {VERSION}")
    return 0


def _serve_arguments(parser: Parser) -> None:
    parser.option("--detach", action="store_true", help="in the background; return when it answers")
    parser.option("--replace", action="store_true", help="take over from the runtime that is up, of whatever version; no job notices")
    parser.option("--ready-fd", type=read(units.parse_int, 0, 1 << 20), help=SUPPRESS)
    parser.option("--demo", action="store_true", help=SUPPRESS)


def _stop_arguments(parser: Parser) -> None:
    parser.option("--drain", action="store_true", help="start nothing more, and wait for what runs")
    as_json(parser)


COMMANDS = {
    "serve": Command(
        "run the runtime here, or in the background",
        serve,
        _serve_arguments,
        "  taskdeck serve --detach\n  taskdeck serve        (in the foreground, for systemd)",
    ),
    "stop": Command("end the runtime; running tasks go on", stop, _stop_arguments),
    "version": Command("which Taskdeck this is", version, as_json),
}
