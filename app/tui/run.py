"""Deck start: fetch the first board and probe the terminal while Textual loads.

Imports are light here. `run_deck` imports the rest after the fetch has begun.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from app.config import LoadedConfig, read
from app.core.board import COPY_STATE, Board
from app.core.text.joining import join_sentences
from app.paths import DEMO_ENDS, get_config_path
from app.translation import tr, tr_n

if TYPE_CHECKING:
    from app.client import Client
    from app.core.user_commands import UserCommand
    from app.tui.app import TaskdeckApp
    from app.tui.in_process import EmbeddedRuntime

# Read when Textual is imported: milliseconds a lone escape waits for more input.
os.environ.setdefault("ESCDELAY", "25")
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")


def run_deck(
    home: Path, *, ascii: bool | None = None, read_only: bool = False, plain: bool = False
) -> int:
    """Run the deck on a home and return the exit code.

    With `ascii` None the terminal decides.
    """
    found = read(get_config_path())
    settings = found.settings
    first = FirstBoard(home)
    first.start()
    options = _make_app_options(ascii, plain, found)
    from app.tui.app import TaskdeckApp
    from app.tui.terminal.driver import ClickDriver

    # Keeps the feed's thread from delaying keys by the interpreter's default of 5 ms.
    sys.setswitchinterval(0.001)
    gc.freeze()  # without this, a full collection scans all modules: 70 ms without input
    gc.enable()
    app = TaskdeckApp(
        lambda: _make_client(home, read_only or not settings.autostart),
        read_only=read_only,
        home=home,
        first=first.board,
        driver_class=ClickDriver,
        **options,
    )
    app.demo_ends = read_demo_end()
    code = app.run(mouse=settings.mouse != "off")
    _print_farewell(app, app.board)
    return 1 if app.fatal else code or 0


def read_demo_end() -> float | None:
    """Return when the demo of this deck ends, in monotonic seconds; None without a demo.

    The variable is removed, so that no task inherits it.
    """
    try:
        return float(os.environ.pop(DEMO_ENDS, ""))
    except ValueError:
        return None


def run_deck_in_process(
    runtime: EmbeddedRuntime, home: Path, *, ascii: bool | None, umask: int, plain: bool = False
) -> int:
    """Run the deck with an embedded runtime that ends with the deck.

    Raise Problem before the deck opens. `umask` is the user's, for submissions; the process has the
    runtime's.
    """
    from app.tui import in_process

    found = read(get_config_path())
    settings = found.settings
    with in_process.shutdown_on_exit(runtime) as signal_exit:
        runtime.start()
        first = FirstBoard(home)
        first.start()
        options = _make_app_options(ascii, plain, found)
        from app.tui.in_process import InProcessDeckApp, InProcessDriver, make_client_factory

        sys.setswitchinterval(0.0005)
        app = InProcessDeckApp(
            make_client_factory(runtime, home, umask), runtime=runtime, home=home,
            first=first.board, driver_class=InProcessDriver, **options
        )  # fmt: skip
        gc.freeze()
        code = app.run(mouse=settings.mouse != "off")
        left = in_process.stop_runtime(runtime, home, app.board or Board(), app.keeps_runtime)
        with suppress(OSError):  # the terminal may be gone
            _print_farewell(app, left)
        return 1 if app.fatal else code or 0
    return signal_exit.code


def _make_app_options(ascii: bool | None, plain: bool, found: LoadedConfig) -> dict[str, Any]:
    """Return look, settings and a message about invalid settings, which are ignored."""
    from app.tui.terminal import capabilities

    poor, utf8 = (
        capabilities.detect_characters(sys.stdin.fileno(), sys.stderr.fileno())
        if sys.stdin.isatty()
        else (True, False)
    )
    from app.tui.style import Look

    settings, notice = found.settings, found.short_notice
    if settings.keys:
        from app.tui.keymap import resolve_keys

        keys, odd = resolve_keys(settings.keys, os.path.basename(found.path))
        settings, notice = settings._replace(keys=keys), notice or odd
    commands: tuple[UserCommand, ...] = ()
    if found.commands:
        from app.tui.command_keys import resolve_commands

        name = os.path.basename(found.path)
        commands, faults = resolve_commands(found.commands, settings.keys, name)
        notice = notice or summarize_faults(faults)
    if ascii is None and settings.glyphs != "auto":
        ascii = settings.glyphs == "ascii"
    look = Look(
        ascii=plain or (poor if ascii is None else ascii),
        colour=capabilities.can_use_colour(),
        utf8=utf8,
        plain=plain,
    )
    return {"look": look, "settings": settings, "told": notice, "commands": commands}


def summarize_faults(faults: Sequence[str]) -> str:
    """Return the first fault, and how many more there are; empty without faults."""
    more = tr(" And {more} more: taskdeck doctor", more=len(faults) - 1) if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


def _print_farewell(app: TaskdeckApp, board: Board | None) -> None:
    if farewell := format_farewell(board, app.failure):
        print_wrapped(farewell, app.size.width)


class FirstBoard(Thread):
    """Thread that fetches the first board. The feed reports errors later."""

    def __init__(self, home: Path) -> None:
        super().__init__(name="first board", daemon=True)
        self._home = home
        self.board: Board | None = None

    def run(self) -> None:
        from app.tui.state.preferences import Preferences
        from app.tui.state.read_marks import ReadMarks

        client = _make_client(self._home, read_only=True)
        try:
            if client.is_runtime_up():
                self.board = Board.from_dict(
                    client.call("board", ReadMarks(Preferences(self._home)).make_board_args())
                )
        except Exception:
            self.board = None
        finally:
            client.close()


def _make_client(home: Path, read_only: bool) -> Client:
    from app.client import Client

    return Client(home, autostart=not read_only, source="deck")


def format_farewell(board: Board | None, failure: BaseException | None = None) -> str:
    """Return the line printed after the deck: running work, and how to return or stop.

    Return "" when a demo ends, since the demo prints its own last line.
    """
    sorry = (
        [tr("The deck failed ({name}). See run/deck.log in the home.", name=type(failure).__name__)]
        if failure
        else []
    )
    if board is None or (not board.at and board.database != "ok"):
        return join_sentences(*sorry, tr("Back: taskdeck"))
    if board.runtime.demo:
        return join_sentences(*sorry)
    if board.runtime.state == COPY_STATE:
        home = shlex.quote(board.home)
        return join_sentences(*sorry, tr("Back: taskdeck --read-only --home {home}", home=home))
    pid = board.runtime.pid
    runtime = (
        tr(
            "The runtime stays up (pid {pid}). Back: taskdeck   Stop the runtime: taskdeck stop",
            pid=pid,
        )
        if pid and board.runtime.state == "running"
        else tr("No runtime is running. Back: taskdeck")
    )
    work = _describe_work(len(board.running), board.waiting_total)
    return join_sentences(*sorry, work, runtime)


def print_wrapped(text: str, width: int) -> None:
    """Print text to stderr, wrapped at `width` on a terminal."""
    from app.tui.message_fit import wrap_message

    lines = wrap_message(text, width) if sys.stderr.isatty() and width else [text]
    sys.stderr.write("\n".join(lines) + "\n")


def _describe_work(running: int, waiting: int) -> str:
    if not running and not waiting:
        return tr("No task is running or waiting.")
    jobs = tr_n(running, "{n:,} job continues.", "{n:,} jobs continue.")
    waits = tr_n(waiting, "{n:,} task waits.", "{n:,} tasks wait.")
    return join_sentences(*([jobs] if running else []), *([waits] if waiting else []))
