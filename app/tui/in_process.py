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
from app.client import SUBMIT_VERBS, Client
from app.core.board import Board, RuntimeFacts
from app.errors import Problem
from app.tui.app import INTERRUPT_WINDOW, TaskdeckApp
from app.tui.screens.dialogs.quit import QuitScreen
from app.tui.terminal.driver import ClickDriver

STOP_TIMEOUT = 4.0
"""Seconds that a runtime is given to end; the next one makes up for what it could not put in order."""

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class EmbeddedRuntime(Protocol):
    """What a deck asks of the runtime in its process."""

    @property
    def is_alive(self) -> bool:
        """Whether it lives here now."""
        ...

    def start(self) -> None:
        """Return when it answers. Raises Problem."""
        ...

    def stop(self, seconds: float) -> bool:
        """End it for good; whether it had ended after so many seconds."""
        ...


@dataclass
class SignalExit:
    """What a signal made of the deck."""

    code: int = 0


class _SignalReceived(BaseException):
    """A signal asked for the end while no deck was open to hear it."""


@contextmanager
def shutdown_on_exit(runtime: EmbeddedRuntime) -> Iterator[SignalExit]:
    """A signal ends the body and gives its code; behind the body the runtime is ended."""
    told = SignalExit()

    def tell(number: int, frame: FrameType | None) -> None:
        told.code = 128 + number
        raise _SignalReceived

    for number in SIGNALS:
        signal.signal(number, tell)
    try:
        yield told
    except _SignalReceived:
        pass
    finally:
        _ignore_signals()
        runtime.stop(STOP_TIMEOUT)


def stop_runtime(runtime: EmbeddedRuntime, home: Path, board: Board, goes_on: bool) -> Board:
    """The deck was left: end its runtime, with `goes_on` leave one in the background. The board as it then is. Raises Problem."""
    _ignore_signals()
    if not runtime.is_alive:
        return board
    ended = runtime.stop(STOP_TIMEOUT)
    return board._replace(runtime=_start_background_runtime(home, ended) if goes_on else RuntimeFacts("none"))


def _start_background_runtime(home: Path, ended: bool) -> RuntimeFacts:
    from app import client, runtime_launcher

    if not ended:
        said = f"the runtime was still busy after {STOP_TIMEOUT:.0f} s, so none was left in the background."
        raise Problem(said, "Start one: taskdeck serve --detach")
    runtime_launcher.ensure_runtime(os.fspath(home))
    line = client.connect(os.fspath(home))
    if line is None:
        return RuntimeFacts("none")
    line.close()
    return RuntimeFacts("running", pid=line.pid)


def _ignore_signals() -> None:
    """The end has begun, and needs no second word for it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class InProcessClient(Client):
    """Speaks to the runtime of the home, and brings up the one in this process when there is none."""

    def __init__(self, home: Path, runtime: EmbeddedRuntime, umask: int) -> None:
        super().__init__(home, source="deck")
        self._runtime = runtime
        self._umask = umask

    def start(self, resume: bool = False) -> None:
        """As any client does, but here."""
        self._drop_connection()  # a line that was open may be a dead runtime's
        if self.is_runtime_up():
            return
        if paths.read_stop_marker(self.home) and not resume:
            return super().start()  # which refuses, and says who stopped it
        try:
            self._runtime.start()
        except Problem as problem:
            if problem.code != "runtime-exists":
                raise
            super().start(resume)  # another comes up at this moment: wait for that

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Callable[[str], None] | None = None) -> Any:
        """What the verb answers; what is submitted gets the user's umask, not the runtime's."""
        mine = {"umask": self._umask} if verb in SUBMIT_VERBS else {}
        return super().call(verb, {**(args or {}), **mine}, note)


def make_client_factory(runtime: EmbeddedRuntime, home: Path, umask: int) -> Callable[[], Client]:
    """Makes clients for the deck."""
    return lambda: InProcessClient(home, runtime, umask)


class InProcessDeckApp(TaskdeckApp):
    """Leaving it ends the runtime, so it asks what is to become of the queue."""

    def __init__(self, client_factory: Callable[[], Client], *, runtime: EmbeddedRuntime, **more: Any) -> None:
        super().__init__(client_factory, **more)
        self.runtime = runtime
        self.keeps_runtime = False
        """Whether a runtime is to be left in the background."""

    def on_load(self) -> None:
        """INT, which nobody can type here, ends it as TERM does."""
        if current_thread() is main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.exit, 128 + signal.SIGINT)

    def action_leave(self) -> None:
        """Leave, after a question when something runs or waits."""
        board = self.board or Board()
        if not self.runtime.is_alive or not (board.running or board.waiting_total):
            self.exit(0)
        elif not isinstance(self.screen, QuitScreen):
            self.push_screen(QuitScreen(board), self._finish_leaving)

    def action_help_quit(self) -> None:
        """The second ctrl+c asks too."""
        if self.ticks() - self._interrupted_at < INTERRUPT_WINDOW:
            self.action_leave()
        else:
            super().action_help_quit()

    def _finish_leaving(self, answer: str | None) -> None:
        if answer is not None:
            self.keeps_runtime = answer == "b"
            self.exit(0)


class InProcessDriver(ClickDriver):
    """A terminal whose end is the end of the process, but first of its runtime."""

    exit_signals = (*ClickDriver.exit_signals, signal.SIGINT)

    def before_exit(self) -> None:
        cast(InProcessDeckApp, self._app).runtime.stop(STOP_TIMEOUT)
