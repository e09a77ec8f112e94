"""`taskdeck serve`, `stop` and `version`: control the runtime."""

from __future__ import annotations

import os
from argparse import SUPPRESS

from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options, make_type
from app.core.slurm.pool_options import SLURM
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage
from app.translation import tr, tr_n
from app.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from app.cli.context import CommandContext
    from app.core.http_settings import HttpSettings


def serve(context: CommandContext, args: Args) -> int:
    """Run the runtime here, or start one in the background with --detach."""
    from app import cluster, runtime_launcher

    http = _parse_http(args)
    if args.replace:
        cluster.refuse_replacement(context.home)
    if http and args.ready_fd is None:
        _check_http(context, args, http)
    replaces = args.replace and runtime_launcher.stop_for_replacement(context.home)
    by_cluster = bool(args.cluster or replaces or args.demo or args.ready_fd is not None)
    if not by_cluster and not (args.detach and context.client.is_runtime_up()):
        cluster.refuse_start(context.home)
    if not args.detach:
        return context.serve(
            context.home, ready_fd=args.ready_fd, demo=args.demo, **({"http": http} if http else {})
        )
    if args.ready_fd is not None or args.demo:
        raise Usage("--detach cannot be combined with these options.")
    if by_cluster or http:
        runtime_launcher.ensure_runtime(
            context.home, resume=True, by_cluster=by_cluster, serve_words=_list_http_words(http)
        )
    else:
        context.client.start(resume=True)
    output.print_note(tr("the runtime is running. Open the deck: taskdeck"))
    _print_http(context)
    return 0


def _print_http(context: CommandContext) -> None:
    """Tell the address of HTTP, or why config.toml turned nothing on."""
    try:
        http = context.call("status").get("http") or {}
    except Problem:  # the start itself went well
        return
    if http.get("problem"):
        output.print_note(tr("HTTP is not served: {problem}", problem=http["problem"]))
    elif http.get("url"):
        output.print_note(tr("HTTP is served at {url}", url=http["url"]))


def _parse_http(args: Args) -> HttpSettings | None:
    """Return the settings of the options, None without any."""
    if args.http is None:
        if args.http_token_file is not None:
            raise Usage("--http-token-file needs --http.", "Example: --http 127.0.0.1:8650")
        return None
    from app.core.http_settings import HttpSettings, parse_address

    try:
        address = parse_address(args.http)
    except ValueError as error:
        raise Usage("--http {fault}. No runtime was started.", fault=error) from None
    file = args.http_token_file
    return HttpSettings(address, os.path.abspath(file) if file else None)


def _check_http(context: CommandContext, args: Args, http: HttpSettings) -> None:
    """Raise Problem if the options cannot take effect, before anything is stopped."""
    from app import runtime_launcher

    if args.replace:
        runtime_launcher.refuse_faulty_http(context.home, http)
    elif context.client.is_runtime_up():
        raise Conflict(
            "a runtime is up, and serves HTTP only from its start on. Nothing was changed.",
            "Replace the runtime; tasks keep running:"
            " taskdeck serve --replace --detach --http {address}",
            address=http.listen,
        )


def _list_http_words(http: HttpSettings | None) -> list[str]:
    if http is None:
        return []
    file = ["--http-token-file", http.token_file] if http.token_file else []
    return ["--http", str(http.listen), *file]


def stop_runtime(context: CommandContext, args: Args) -> int:
    """Stop the runtime, wait for its end and prevent automatic restarts."""
    if args.cluster:
        return _stop_for_cluster(context, args)
    from app import client, cluster, runtime_launcher

    cluster.refuse_stop()
    # The pid comes from the kernel: a runtime with a damaged database has no status.
    sock = client.open_socket(context.home) if context.client.is_runtime_up() else None
    if sock is None:
        raise Conflict("no runtime is running.")
    with sock:
        pid = client.get_peer_pid(sock)
    process, in_deck = os.pidfd_open(pid), runtime_launcher.is_in_deck(context.home, pid)
    answer = context.call("stop", drain=args.drain)
    try:
        if args.drain and output.is_stderr_terminal():
            _report_drain(context)
        runtime_launcher.wait_for_end(context.home, pid, process, in_deck)
    except KeyboardInterrupt:
        output.print_note(tr("still draining. To resume: taskdeck serve --detach"))
        raise
    if args.drain:
        _check_drained(context)
    if args.json or args.jsonl:
        output.print_json(answer, args.jsonl)
    else:
        output.print_note(tr("the runtime was stopped. Start it: taskdeck serve --detach"))
    return 0


def _stop_for_cluster(context: CommandContext, args: Args) -> int:
    """Stop what the home has on this host, for the agent of the cluster."""
    from app.cli.cluster_stop import leave_host

    leave_host(context.home, args.cluster, args.within or DEFAULT_STOP_SECONDS, args.keep_runs)
    return 0


DEFAULT_STOP_SECONDS = 60.0
"""Seconds for the stop by a cluster that names no limit."""
SHOWN_RUNNING = 5
"""Maximum number of tasks named in the note about a drain."""


def _report_drain(context: CommandContext) -> None:
    """Name the tasks that a drain waits for, as they become fewer, until the runtime ends."""
    from app.client import Client

    reader, left = Client(context.home, autostart=False), 0
    try:
        outer = _list_slurm_queues(reader.call("status"))
        for _ in context.client.watch():
            found = reader.call("ls", {"status": ["running"], "limit": 0})["tasks"]
            tasks = [task for task in found if task["queue"] not in outer]
            if tasks and len(tasks) != left:
                output.print_note(_format_drain(tasks))
            left = len(tasks)
    except Problem:  # the runtime ended before its answer
        pass
    finally:
        reader.close()


def _list_slurm_queues(status: Mapping[str, Any]) -> set[str]:
    """Return the queues whose jobs go on in Slurm without a runtime."""
    pools = {pool["name"] for pool in status["pools"] if pool.get("kind") == SLURM}
    return {queue["name"] for queue in status["queues"] if queue["pool"] in pools}


def _format_drain(tasks: Sequence[Mapping[str, Any]]) -> str:
    named = ", ".join(
        f"#{task['number']} {sanitize(task['name'])}" for task in tasks[:SHOWN_RUNNING]
    )
    more = tr(" and {n:,} more", n=len(tasks) - SHOWN_RUNNING) if len(tasks) > SHOWN_RUNNING else ""
    count = tr_n(len(tasks), "{n:,} running task", "{n:,} running tasks")
    return tr("the drain waits for {tasks}: {named}{more}.", tasks=count, named=named, more=more)


def _check_drained(context: CommandContext) -> None:
    """Raise Problem if the runtime ended before the drain was complete."""
    from app.cli.commands.status import count_local_runs

    found = context.call("status")
    running = count_local_runs(found)
    if running or found["runtime"]["state"] == "running":
        jobs = tr_n(running, "{n:,} task still runs", "{n:,} tasks still run")
        raise Problem(
            "the runtime ended before the drain was complete, and {jobs}.",
            "See: taskdeck status",
            jobs=jobs,
        )


def print_version(context: CommandContext, args: Args) -> int:
    """Print the version."""
    if args.json or args.jsonl:
        output.print_json({"version": VERSION}, args.jsonl)
    else:
        output.print_line(f"taskdeck {VERSION}")
    return 0


def _add_serve_arguments(parser: Parser) -> None:
    parser.add_option(
        "--detach",
        action="store_true",
        help="run in the background; return when the runtime answers",
    )
    parser.add_option(
        "--replace", action="store_true", help="replace the running runtime; jobs keep running"
    )
    parser.add_option(
        "--http",
        metavar="ADDRESS",
        help="serve a read-only API at HOST:PORT or unix:PATH; see: taskdeck help http",
    )
    parser.add_option(
        "--http-token-file", metavar="FILE", help="file with the token that HTTP requests need"
    )
    parser.add_option("--ready-fd", type=make_type(units.parse_int, 0, 1 << 20), help=SUPPRESS)
    parser.add_option("--demo", action="store_true", help=SUPPRESS)
    parser.add_option("--cluster", help=SUPPRESS)


def _add_stop_arguments(parser: Parser) -> None:
    parser.add_option(
        "--drain", action="store_true", help="start no more tasks and wait for running ones"
    )
    parser.add_option("--cluster", help=SUPPRESS)
    parser.add_option("--keep-runs", action="store_true", help=SUPPRESS)
    parser.add_option("--within", type=make_type(units.parse_duration), help=SUPPRESS)
    add_json_options(parser)


COMMANDS = {
    "serve": Command(
        "run the runtime in the foreground or background",
        serve,
        _add_serve_arguments,
        "  taskdeck serve --detach\n  taskdeck serve        (in the foreground, for systemd)",
    ),
    "stop": Command("stop the runtime; running tasks continue", stop_runtime, _add_stop_arguments),
    "version": Command("print the version", print_version, add_json_options),
}
