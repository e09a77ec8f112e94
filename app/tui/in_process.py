"""Deck with an embedded runtime (`--in-process`).

This deck restarts its own runtime instead of starting one in the background. If another runtime
took over (`serve --replace`), the deck uses that one.
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
from app.translation import tr
from app.tui.app import INTERRUPT_WINDOW, TaskdeckApp
from app.tui.screens.dialogs.quit import QuitScreen
from app.tui.terminal.driver import ClickDriver

STOP_TIMEOUT = 4.0
"""Seconds a runtime gets to stop; the next runtime repairs unfinished work."""

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class EmbeddedRuntime(Protocol):
    """Interface of the embedded runtime."""

    @property
    def is_alive(self) -> bool:
        """True if the runtime is running in this process."""
        ...

    def start(self) -> None:
        """Start and return when the runtime answers. Raise Problem."""
        ...

    def stop(self, seconds: float) -> bool:
        """Stop for good; return False if still running after `seconds`."""
        ...


@dataclass
class SignalExit:
    """Exit code set by a signal."""

    code: int = 0


class _SignalReceived(BaseException):
    """Raised by a signal while no deck is open."""


@contextmanager
def shutdown_on_exit(runtime: EmbeddedRuntime) -> Iterator[SignalExit]:
    """Run the body, which a signal ends early, then stop the runtime.

    Yield the exit code of the signal.
    """
    signal_exit = SignalExit()

    def tell(number: int, frame: FrameType | None) -> None:
        signal_exit.code = 128 + number
        raise _SignalReceived

    for number in SIGNALS:
        signal.signal(number, tell)
    try:
        yield signal_exit
    except _SignalReceived:
        pass
    finally:
        _ignore_signals()
        runtime.stop(STOP_TIMEOUT)


def stop_runtime(runtime: EmbeddedRuntime, home: Path, board: Board, keep_runtime: bool) -> Board:
    """Stop the runtime after the deck closed and return the final board.

    With `keep_runtime`, start a runtime in the background. Raise Problem.
    """
    _ignore_signals()
    if not runtime.is_alive:
        return board
    ended = runtime.stop(STOP_TIMEOUT)
    return board._replace(
        runtime=_start_background_runtime(home, ended) if keep_runtime else RuntimeFacts("none")
    )


def _start_background_runtime(home: Path, ended: bool) -> RuntimeFacts:
    from app import client, runtime_launcher

    if not ended:
        message = tr(
            "the runtime did not stop within {stop_timeout:.0f} s, so none was started in"
            " the background.",
            stop_timeout=STOP_TIMEOUT,
        )
        raise Problem(message, "Start one: taskdeck serve --detach")
    runtime_launcher.ensure_runtime(os.fspath(home))
    line = client.connect(os.fspath(home))
    if line is None:
        return RuntimeFacts("none")
    line.close()
    return RuntimeFacts("running", pid=line.pid)


def _ignore_signals() -> None:
    """Ignore further signals while exiting."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class InProcessClient(Client):
    """A client that starts the embedded runtime if the home has none."""

    def __init__(self, home: Path, runtime: EmbeddedRuntime, umask: int) -> None:
        super().__init__(home, source="deck")
        self._runtime = runtime
        self._umask = umask

    def start(self, resume: bool = False) -> None:
        """Start the embedded runtime."""
        self._drop_connection()  # an open connection may belong to a dead runtime
        if self.is_runtime_up():
            return
        if paths.read_stop_marker(self.home) and not resume:
            return super().start()  # raises, naming who stopped it
        try:
            self._runtime.start()
        except Problem as problem:
            if problem.code != "runtime-exists":
                raise
            super().start(resume)  # another runtime is starting: wait for it

    def call(
        self,
        verb: str,
        args: dict[str, Any] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Any:
        """Call a verb; submissions get the user's umask, not the runtime's."""
        extra_args = {"umask": self._umask} if verb in SUBMIT_VERBS else {}
        return super().call(verb, {**(args or {}), **extra_args}, note)


def make_client_factory(runtime: EmbeddedRuntime, home: Path, umask: int) -> Callable[[], Client]:
    """Return a factory of clients for the deck."""
    return lambda: InProcessClient(home, runtime, umask)


class InProcessDeckApp(TaskdeckApp):
    """A deck whose exit ends the runtime, so it asks about running and waiting tasks."""

    def __init__(
        self, client_factory: Callable[[], Client], *, runtime: EmbeddedRuntime, **more: Any
    ) -> None:
        super().__init__(client_factory, **more)
        self.runtime = runtime
        self.keeps_runtime = False
        """True if a runtime is to be left in the background."""

    def on_load(self) -> None:
        """Install a SIGINT handler that ends the deck like SIGTERM.

        ctrl+c sends no signal here.
        """
        if current_thread() is main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._exit_on_interrupt)

    def _exit_on_interrupt(self) -> None:
        """Exit, unless ctrl+c was typed for a program that has the terminal."""
        if self.command_runner is None or not self.command_runner.is_suspended:
            self.exit(128 + signal.SIGINT)

    def action_leave(self) -> None:
        """Leave, after a confirmation if tasks are running or waiting."""
        board = self.board or Board()
        if not self.runtime.is_alive or not (board.running or board.waiting_total):
            self.exit(0)
        elif not isinstance(self.screen, QuitScreen):
            self.push_screen(QuitScreen(board), self._finish_leaving)

    def action_help_quit(self) -> None:
        """Confirm on the second ctrl+c, too."""
        if self.ticks() - self._interrupted_at < INTERRUPT_WINDOW:
            self.action_leave()
        else:
            super().action_help_quit()

    def _finish_leaving(self, answer: str | None) -> None:
        if answer is not None:
            self.keeps_runtime = answer == "b"
            self.exit(0)


class InProcessDriver(ClickDriver):
    """A terminal driver that stops the runtime before the process exits."""

    exit_signals = (*ClickDriver.exit_signals, signal.SIGINT)

    def before_exit(self) -> None:
        cast(InProcessDeckApp, self._app).runtime.stop(STOP_TIMEOUT)
