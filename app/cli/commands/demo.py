"""`taskdeck demo`: a busy deck in a temporary home.

Jobs are niced and limited to a pool of 2 cores and 512 MiB. The deck is a separate process, so this
process can always stop the runtime, end the jobs and remove the home. The demo ends after ten
minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from random import Random, SystemRandom

from app.cli import output, styles
from app.cli.demo import workload
from app.cli.demo.teardown import end_all, preserve_terminal
from app.cli.parser import DURATION, Args, Command, Parser, make_type
from app.client import Client
from app.core.ids import make_uuid7
from app.core.text import units
from app.core.text.sanitize import pad, sanitize
from app.errors import Problem, Usage
from app.paths import DEMO_ENDS
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    from app.cli.context import CommandContext

MAX_DURATION = 600.0
NICENESS = 10
CLOSE_TIMEOUT = 5.0
"""Seconds for the deck to close after a signal."""

MAX_BACKLOG = 40
"""Number of waiting tasks above which submissions pause."""

WAITING_STATES = ("queued", "blocked", "retrying")


class DemoEnd(BaseException):
    """Request to end the demo by a signal."""

    def __init__(self, number: int) -> None:
        self.number = number


def run_demo(context: CommandContext, args: Args) -> int:
    """Run the demo until the deck closes, time is up or a signal arrives; then clean up."""
    if not args.headless and not (output.is_stdout_terminal() and output.is_stdin_terminal()):
        raise Usage(
            "the demo needs a terminal. Without a terminal: taskdeck demo --headless --for 30s"
        )
    seed = args.seed if args.seed is not None else SystemRandom().randrange(10_000)
    try:
        with _temporary_home() as home, _submit_in_background(home, seed):
            seconds = min(args.seconds or MAX_DURATION, MAX_DURATION)
            return _run_headless(home, seed, seconds) if args.headless else _run_deck(home, seconds)
    except DemoEnd as over:
        return 128 + over.number


@contextmanager
def _temporary_home() -> Iterator[str]:
    """Create a home with a runtime and always remove both afterwards."""
    root = tempfile.mkdtemp(prefix="taskdeck-demo-")
    home = os.path.join(root, "home")
    os.nice(NICENESS)
    os.environ["XDG_CONFIG_HOME"] = os.path.join(root, "config")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _raise_demo_end)
    try:
        _start_runtime(home)
        yield home
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_all(home)
        shutil.rmtree(root, ignore_errors=True)
        output.print_note(
            tr(
                "the demo is over: its jobs were ended, its runtime stopped and {root} removed.",
                root=sanitize(root),
            )
        )


def _raise_demo_end(number: int, frame: FrameType | None) -> None:
    raise DemoEnd(number)


def _start_runtime(home: str) -> None:
    """Start a demo runtime, apply the definitions and submit the first tasks."""
    from app import runtime_launcher

    runtime_launcher.ensure_runtime(home, demo=True)
    client = Client(home)
    try:
        client.call("apply", {"text": workload.DEFINITIONS, "format": "toml"})
        for schedule in workload.SCHEDULES:
            client.call("schedule.create", {**schedule, **_make_context()})
        _submit(client, workload.make_opening_tasks())
    finally:
        client.close()


def _make_context() -> dict[str, Any]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {"cwd": "/", "umask": 0o077, "env": env}


def _submit(client: Client, tasks: list[dict[str, Any]]) -> None:
    client.call("submit", {"tasks": tasks, "uuid": make_uuid7(), **_make_context()})


@contextmanager
def _submit_in_background(home: str, seed: int) -> Iterator[None]:
    """Submit the stream of this seed in a thread while the body runs."""
    over = threading.Event()
    thread = threading.Thread(target=_keep_submitting, args=(home, seed, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _keep_submitting(home: str, seed: int, over: threading.Event) -> None:
    client = Client(home, autostart=False)
    try:
        for rest, task in workload.generate_stream(Random(seed)):
            while not over.wait(rest) and _count_waiting(client) > MAX_BACKLOG:
                pass
            if over.is_set():
                return
            _submit(client, [task])
    except Problem:  # the runtime was stopped from the deck
        return
    finally:
        client.close()


def _count_waiting(client: Client) -> int:
    counts = client.call("status")["counts"]
    return sum(counts.get(status, 0) for status in WAITING_STATES)


def _run_deck(home: str, seconds: float) -> int:
    with preserve_terminal():
        ends = {DEMO_ENDS: repr(time.monotonic() + seconds)}
        deck = subprocess.Popen(
            [sys.executable, "-P", "-m", "taskdeck", "--home", home], env=os.environ | ends
        )
        try:
            return deck.wait(seconds)
        except subprocess.TimeoutExpired:
            return 0
        finally:
            _close_deck(deck)


def _close_deck(deck: subprocess.Popen[bytes]) -> None:
    """Close a deck that is still open and return to the terminal's main screen."""
    if deck.poll() is None:
        deck.terminate()
        try:
            deck.wait(CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            deck.kill()
            deck.wait()
        output.leave_screen()


def _run_headless(home: str, seed: int, seconds: float) -> int:
    began = time.monotonic()
    threading.Event().wait(seconds)
    client = Client(home, autostart=False)
    try:
        _print_summary(client, seed, time.monotonic() - began)
    finally:
        client.close()
    return 0


def _print_summary(client: Client, seed: int, seconds: float) -> None:
    counts = client.call("status")["counts"]
    starts = len(client.call("instances", {"limit": 1_000_000}))
    alerts = len(client.call("alert.ls", {"all": True}))
    output.print_line(
        tr(
            "{time} on 2 cores and 512M, seed {seed}",
            time=units.format_duration(seconds),
            seed=seed,
        )
    )
    for status, number in sorted(counts.items(), key=lambda item: -item[1]):
        output.print_line(f"  {pad(styles.format_status(status), 10)} {number:>6,}")
    output.print_line(
        tr(
            "  {label} {n:>6,}, {rate:.1f} a second",
            label=pad(tr("starts"), 10),
            n=starts,
            rate=starts / seconds,
        )
    )
    output.print_line(f"  {pad(tr('alerts'), 10)} {alerts:>6,}")


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--seed",
        type=make_type(units.parse_int, 0, 2**63),
        metavar="N",
        help="repeat the submissions of an earlier run",
    )
    parser.add_option(
        "--headless", action="store_true", help="run without a screen and print a summary"
    )
    parser.add_option(
        "--for",
        dest="seconds",
        type=DURATION,
        metavar="TIME",
        help="end after this time (at most 10m)",
    )


EXAMPLES = """\
  taskdeck demo
  taskdeck demo --headless --for 30s --seed 3"""

COMMANDS = {
    "demo": Command(
        "start a busy demo deck in a temporary home", run_demo, _add_arguments, EXAMPLES
    )
}
