"""The deck with the runtime in its own process (`--in-process`): what it starts, asks and ends is that one.

Where a usual deck would bring up a runtime in the background, this one lets its own begin again. Another that took over
meanwhile (`serve --replace`) is simply used: then this is a deck like any other.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Protocol, cast

from app import paths
from app.client import SUBMITTING, Client
from app.core.board import Board, RuntimeFacts
from app.errors import Problem
from app.tui.app import TWICE, TaskdeckApp
from app.tui.screens.dialogs.quit import LeaveScreen
from app.tui.terminal.driver import ClicksOnlyDriver

PATIENCE = 4.0
"""Seconds that a runtime is given to end; the next one makes up for what it could not put in order."""

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class OwnRuntime(Protocol):
    """What a deck asks of the runtime in its process."""

    @property
    def alive(self) -> bool:
        """Whether it lives here now."""
        ...

    def start(self) -> None:
        """Return when it answers. Raises Problem."""
        ...

    def stop(self, seconds: float) -> bool:
        """End it for good; whether it had ended after so many seconds."""
        ...


@dataclass
class Told:
    """What a signal made of the deck."""

    code: int = 0


class _Signal(BaseException):
    """A signal asked for the end while no deck was open to hear it."""


@contextmanager
def in_order(runtime: OwnRuntime) -> Iterator[Told]:
    """A signal ends the body and gives its code; behind the body the runtime is ended."""
    told = Told()

    def tell(number: int, frame: FrameType | None) -> None:
        told.code = 128 + number
        raise _Signal

    for number in SIGNALS:
        signal.signal(number, tell)
    try:
        yield told
    except _Signal:
        pass
    finally:
        _deaf()
        runtime.stop(PATIENCE)


def left(runtime: OwnRuntime, home: Path, board: Board, goes_on: bool) -> Board:
    """The deck was left: end its runtime, with `goes_on` leave one in the background. The board as it then is. Raises Problem."""
    _deaf()
    if not runtime.alive:
        return board
    ended = runtime.stop(PATIENCE)
    return board._replace(runtime=_in_background(home, ended) if goes_on else RuntimeFacts("none"))


def _in_background(home: Path, ended: bool) -> RuntimeFacts:
    from app import client, runtime_launcher

    if not ended:
        said = f"the runtime was still busy after {PATIENCE:.0f} s, so none was left in the background."
        raise Problem(said, "Start one: taskdeck serve --detach")
    runtime_launcher.runtime(os.fspath(home))
    line = client.connect(os.fspath(home))
    if line is None:
        return RuntimeFacts("none")
    line.close()
    return RuntimeFacts("running", pid=line.pid)


def _deaf() -> None:
    """The end has begun, and needs no second word for it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class OwnClient(Client):
    """Speaks to the runtime of the home, and brings up the one in this process when there is none."""

    def __init__(self, home: Path, runtime: OwnRuntime, umask: int) -> None:
        super().__init__(home, source="deck")
        self._runtime = runtime
        self._umask = umask

    def start(self, resume: bool = False) -> None:
        """As any client does, but here."""
        self._drop()  # a line that was open may be a dead runtime's
        if self.runtime_up():
            return
        if paths.stopped(self.home) and not resume:
            return super().start()  # which refuses, and says who stopped it
        try:
            self._runtime.start()
        except Problem as problem:
            if problem.code != "runtime-exists":
                raise
            super().start(resume)  # another comes up at this moment: wait for that

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Callable[[str], None] | None = None) -> Any:
        """What the verb answers; what is submitted gets the user's umask, not the runtime's."""
        mine = {"umask": self._umask} if verb in SUBMITTING else {}
        return super().call(verb, {**(args or {}), **mine}, note)


def client_to(runtime: OwnRuntime, home: Path, umask: int) -> Callable[[], Client]:
    """Makes clients for the deck."""
    return lambda: OwnClient(home, runtime, umask)


class DeckWithRuntime(TaskdeckApp):
    """Leaving it ends the runtime, so it asks what is to become of the queue."""

    def __init__(self, client_factory: Callable[[], Client], *, runtime: OwnRuntime, **more: Any) -> None:
        super().__init__(client_factory, **more)
        self.runtime = runtime
        self.goes_on = False
        """Whether a runtime is to be left in the background."""

    def on_load(self) -> None:
        """INT, which nobody can type here, ends it as TERM does."""
        if current_thread() is main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.exit, 128 + signal.SIGINT)

    def action_leave(self) -> None:
        """Leave, after a question when something runs or waits."""
        board = self.board or Board()
        if not self.runtime.alive or not (board.running or board.waiting_total):
            self.exit(0)
        elif not isinstance(self.screen, LeaveScreen):
            self.push_screen(LeaveScreen(board), self._leave)

    def action_help_quit(self) -> None:
        """The second ctrl+c asks too."""
        if self.ticks() - self._broke_at < TWICE:
            self.action_leave()
        else:
            super().action_help_quit()

    def _leave(self, answer: str | None) -> None:
        if answer is not None:
            self.goes_on = answer == "b"
            self.exit(0)


class OrderlyDriver(ClicksOnlyDriver):
    """A terminal whose end is the end of the process, but first of its runtime."""

    endings = (*ClicksOnlyDriver.endings, signal.SIGINT)

    def last_words(self) -> None:
        cast(DeckWithRuntime, self._app).runtime.stop(PATIENCE)
