"""How the deck comes up: the first board is fetched and the terminal asked what it can show while Textual is loaded.

Light on purpose; everything heavy is imported in `run_deck`, after the fetch began.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from app.core.board import Board

if TYPE_CHECKING:
    from app.client import Client

# Read when Textual is imported: how long a lone escape waits for more (milliseconds).
os.environ.setdefault("ESCDELAY", "25")
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")


def run_deck(home: Path, *, ascii: bool | None = None, read_only: bool = False) -> int:
    """Open the deck on a home until it is left; the exit code. `ascii` None: as the terminal can."""
    first = FirstBoard(home)
    first.start()
    from app.tui import probe

    plain, utf8 = probe.wants_ascii(sys.stdin.fileno(), sys.stderr.fileno()) if sys.stdin.isatty() else (True, False)
    colour = probe.wants_colour()
    from app.tui.app import TaskdeckApp
    from app.tui.look import Look
    from app.tui.terminal import ClicksOnlyDriver

    # The feed's thread must not keep a key waiting for the interpreter's usual 5 ms.
    sys.setswitchinterval(0.001)
    app = TaskdeckApp(
        lambda: _client(home, read_only),
        look=Look(ascii=plain if ascii is None else ascii, colour=colour, utf8=utf8),
        read_only=read_only,
        home=home,
        first=first.board,
        driver_class=ClicksOnlyDriver,
    )
    code = app.run()
    if said := farewell(app.board or Board(), app.failure):
        tell(said, app.size.width)
    return 1 if app.fatal else code or 0


class FirstBoard(Thread):
    """Fetches the first board, before the feed can. What fails here, the feed will meet again and say."""

    def __init__(self, home: Path) -> None:
        super().__init__(name="first board", daemon=True)
        self._home = home
        self.board: Board | None = None

    def run(self) -> None:
        client = _client(self._home, read_only=True)
        try:
            if client.runtime_up():
                self.board = Board.from_dict(client.call("board"))
        except Exception:
            self.board = None
        finally:
            client.close()


def _client(home: Path, read_only: bool) -> Client:
    from app.client import Client

    return Client(home, autostart=not read_only)


def farewell(board: Board, failure: BaseException | None = None) -> str:
    """The line that the shell gets: what goes on, and how to come back or to stop it; "" when a demo ends, which says more."""
    sorry = f"The deck failed ({type(failure).__name__}); details in run/deck.log of the home. " if failure else ""
    if board.runtime.demo:
        return sorry.rstrip()
    running, waiting = len(board.running), board.waiting_total
    work = f"{_jobs(running)}, {waiting:,} wait" if running or waiting else "Nothing runs or waits"
    pid = board.runtime.pid
    runtime = f"runtime pid {pid}" if pid and board.runtime.state == "running" else "no runtime is up"
    stop = "   Stop it: taskdeck stop" if pid and board.runtime.state == "running" else ""
    return f"{sorry}{work}; {runtime}. Back: taskdeck{stop}"


def tell(text: str, width: int) -> None:
    """Say something on stderr; on a terminal of `width` cells broken at spaces."""
    from textwrap import wrap

    lines = wrap(text, width) if sys.stderr.isatty() and width else [text]
    sys.stderr.write("\n".join(lines) + "\n")


def _jobs(count: int) -> str:
    return "1 job goes on" if count == 1 else f"{count:,} jobs go on"
