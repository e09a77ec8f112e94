"""How the deck comes up: the first board is fetched and the terminal asked what it can show while Textual is loaded.

Light on purpose; everything heavy is imported in `run_deck`, after the fetch began.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from app.config import LoadedConfig, read
from app.core.board import Board
from app.paths import get_config_path

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.app import TaskdeckApp
    from app.tui.in_process import EmbeddedRuntime

# Read when Textual is imported: how long a lone escape waits for more (milliseconds).
os.environ.setdefault("ESCDELAY", "25")
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")


def run_deck(home: Path, *, ascii: bool | None = None, read_only: bool = False, plain: bool = False) -> int:
    """Open the deck on a home until it is left; the exit code. `ascii` None: as the terminal can."""
    found = read(get_config_path())
    settings = found.settings
    first = FirstBoard(home)
    first.start()
    given = _make_app_options(ascii, plain, found)
    from app.tui.app import TaskdeckApp
    from app.tui.terminal.driver import ClickDriver

    # The feed's thread must not keep a key waiting for the interpreter's usual 5 ms.
    sys.setswitchinterval(0.001)
    gc.freeze()  # each full collection would look through all modules again: 70 ms in which no key is heard
    gc.enable()
    app = TaskdeckApp(
        lambda: _make_client(home, read_only or not settings.autostart),
        read_only=read_only,
        home=home,
        first=first.board,
        driver_class=ClickDriver,
        **given,
    )
    code = app.run(mouse=settings.mouse != "off")
    _print_farewell(app, app.board)
    return 1 if app.fatal else code or 0


def run_deck_in_process(runtime: EmbeddedRuntime, home: Path, *, ascii: bool | None, umask: int, plain: bool = False) -> int:
    """The same with a runtime in this process, which ends with the deck, whatever ends that. Raises Problem before the deck opens.

    `umask` is the user's, for what the deck submits; the process has the runtime's.
    """
    from app.tui import in_process

    found = read(get_config_path())
    settings = found.settings
    with in_process.shutdown_on_exit(runtime) as told:
        runtime.start()
        first = FirstBoard(home)
        first.start()
        given = _make_app_options(ascii, plain, found)
        from app.tui.in_process import InProcessDeckApp, InProcessDriver, make_client_factory

        sys.setswitchinterval(0.0005)
        app = InProcessDeckApp(
            make_client_factory(runtime, home, umask), runtime=runtime, home=home, first=first.board, driver_class=InProcessDriver, **given
        )  # fmt: skip
        gc.freeze()
        code = app.run(mouse=settings.mouse != "off")
        left = in_process.stop_runtime(runtime, home, app.board or Board(), app.keeps_runtime)
        with suppress(OSError):  # the terminal may be gone
            _print_farewell(app, left)
        return 1 if app.fatal else code or 0
    return told.code


def _make_app_options(ascii: bool | None, plain: bool, found: LoadedConfig) -> dict[str, Any]:
    """How the deck looks on this terminal, and what the settings say; what is wrong in them is passed over and told."""
    from app.tui.terminal import capabilities

    poor, utf8 = capabilities.detect_characters(sys.stdin.fileno(), sys.stderr.fileno()) if sys.stdin.isatty() else (True, False)
    from app.tui.style import Look

    settings, told = found.settings, found.short_notice
    if settings.keys:
        from app.tui.keymap import resolve_keys

        keys, odd = resolve_keys(settings.keys, os.path.basename(found.path))
        settings, told = settings._replace(keys=keys), told or odd
    if ascii is None and settings.glyphs != "auto":
        ascii = settings.glyphs == "ascii"
    look = Look(ascii=plain or (poor if ascii is None else ascii), colour=capabilities.can_use_colour(), utf8=utf8, plain=plain)
    return {"look": look, "settings": settings, "told": told}


def _print_farewell(app: TaskdeckApp, board: Board | None) -> None:
    if said := format_farewell(board, app.failure):
        print_wrapped(said, app.size.width)


class FirstBoard(Thread):
    """Fetches the first board, before the feed can. What fails here, the feed will meet again and say."""

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
                self.board = Board.from_dict(client.call("board", ReadMarks(Preferences(self._home)).make_board_args()))
        except Exception:
            self.board = None
        finally:
            client.close()


def _make_client(home: Path, read_only: bool) -> Client:
    from app.client import Client

    return Client(home, autostart=not read_only, source="deck")


def format_farewell(board: Board | None, failure: BaseException | None = None) -> str:
    """The line that the shell gets: what goes on as far as that is known, and how to come back or to stop it; "" when a demo ends,
    which says more."""
    sorry = f"The deck failed ({type(failure).__name__}); details in run/deck.log of the home. " if failure else ""
    if board is None or (not board.at and board.database != "ok"):
        return f"{sorry}Back: taskdeck"
    if board.runtime.demo:
        return sorry.rstrip()
    running, waiting = len(board.running), board.waiting_total
    work = f"{_format_jobs(running)}, {waiting:,} {'waits' if waiting == 1 else 'wait'}" if running or waiting else "Nothing runs or waits"
    pid = board.runtime.pid
    runtime = f"runtime pid {pid}" if pid and board.runtime.state == "running" else "no runtime is up"
    stop = "   Stop it: taskdeck stop" if pid and board.runtime.state == "running" else ""
    return f"{sorry}{work}; {runtime}. Back: taskdeck{stop}"


def print_wrapped(text: str, width: int) -> None:
    """Say something on stderr; on a terminal of `width` cells broken at spaces."""
    from textwrap import wrap

    lines = wrap(text, width) if sys.stderr.isatty() and width else [text]
    sys.stderr.write("\n".join(lines) + "\n")


def _format_jobs(count: int) -> str:
    return "1 job goes on" if count == 1 else f"{count:,} jobs go on"
