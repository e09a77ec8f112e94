"""`taskdeck status --watch`: the status after every change, until ^C, whatever becomes of the runtime.

A thread asks, so that a runtime that hangs does not freeze the screen; a pipe wakes the main thread for an answer and for a signal.
On a terminal only the lines that differ are written again; elsewhere a status that says the same as the last is not repeated.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

from app.cli import output
from app.core.text import units
from app.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from app.cli.table import Line

RETRY_INTERVAL = 1.0
"""Seconds between two looks for a runtime where there is none."""
SILENCE_LIMIT = 5.0
"""Seconds without an answer after which that is told."""
_VOLATILE_FIELDS = ("tick_lag", "measured_cpu", "measured_memory", "size")
"""What differs from one look to the next though nothing happened."""


class StatusPoller(threading.Thread):
    """Keeps the latest answer to `status`, and rings for each."""

    def __init__(self, home: str, ring: Callable[[], object]) -> None:
        super().__init__(name="status", daemon=True)
        self.found: dict[str, Any] | None = None
        self.problem: Problem | None = None
        self.answered = time.monotonic()
        self._home, self._ring = home, ring
        self._ended = threading.Event()
        self._open: tuple[Any, ...] = ()

    def run(self) -> None:
        """Ask after every change, and once in a while where there is no runtime."""
        from app.client import Client

        while not self._ended.is_set():
            changes, answers = self._open = Client(self._home, autostart=False), Client(self._home, autostart=False)
            try:
                for _ in changes.watch():
                    self._query(answers)
                self._query(answers)
            except Problem as problem:
                self._publish(self.found, problem)
            finally:
                self.close_clients()
            self._ended.wait(RETRY_INTERVAL)

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self.close_clients()

    def close_clients(self) -> None:
        """Let go of the runtime."""
        for line in self._open:
            line.close()

    def _query(self, answers: Any) -> None:
        self._publish(answers.call("status"), None)

    def _publish(self, found: dict[str, Any] | None, problem: Problem | None) -> None:
        self.found, self.problem, self.answered = found, problem, self.answered if problem else time.monotonic()
        self._ring()


def watch_status(home: str, page: Callable[[dict[str, Any]], list[Line]], document: bool) -> int:
    """Show `page` of the status again and again, or the answer itself as a JSON document a line. Ends by ^C only."""
    bell, rope = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    asking = StatusPoller(home, lambda: _signal(rope))
    shown = _TerminalView(page) if output.can_redraw() and not document else _StreamView(page, document)
    signals = {number: signal.signal(number, shown.reset) for number in (signal.SIGWINCH, signal.SIGCONT)}
    before = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    asking.start()
    try:
        while True:
            if select.select([bell], [], [], 1.0)[0]:
                os.read(bell, 4096)
            shown.show(asking)
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in signals.items():
            signal.signal(number, handler)
        asking.stop()
        asking.join(1.0)
        os.close(bell)
        os.close(rope)


def _signal(rope: int) -> None:
    try:
        os.write(rope, b".")
    except OSError:
        pass  # it has been rung already, or nobody listens any more


class _TerminalView:
    """A terminal that is drawn on from its top."""

    def __init__(self, page: Callable[[dict[str, Any]], list[Line]]) -> None:
        self._page = page
        self._drawn: list[str] | None = None

    def reset(self, number: int, frame: FrameType | None) -> None:
        """The terminal has another size, or somebody else drew on it."""
        self._drawn = None

    def show(self, asking: StatusPoller) -> None:
        """Draw what is not there yet."""
        page = self._page(asking.found) if asking.found else []
        told = _format_trouble(asking)
        if page or told:
            self._drawn = output.redraw([*page, *([[], [(told, "warn")]] if told else [])], self._drawn)


class _StreamView:
    """A pipe or a file: whole answers, one after the other."""

    def __init__(self, page: Callable[[dict[str, Any]], list[Line]], document: bool) -> None:
        self._page, self._document = page, document
        self._last: Any = None
        self._told = ""

    def reset(self, number: int, frame: FrameType | None) -> None:
        """Nothing is drawn here."""

    def show(self, asking: StatusPoller) -> None:
        """Print the answer, if it says something new."""
        told = _format_trouble(asking) if asking.problem else ""
        if told and told != self._told:
            output.print_message(told)
        self._told = told
        lasting = _drop_volatile(asking.found)
        if asking.found is None or lasting == self._last:
            return
        if self._document:
            output.print_json(asking.found, True)
        else:
            page = self._page(asking.found)
            output.print_lines([[], *page] if self._last and len(page) > 1 else page)
        output.flush()
        self._last = lasting


def _drop_volatile(found: Any) -> Any:
    """An answer without what moves all the time."""
    if isinstance(found, dict):
        return {key: _drop_volatile(value) for key, value in found.items() if key not in _VOLATILE_FIELDS}
    return [_drop_volatile(item) for item in found] if isinstance(found, list) else found


def _format_trouble(asking: StatusPoller) -> str:
    """What is wrong with the asking itself, and how old the answer is that stands above."""
    silent = time.monotonic() - asking.answered
    if asking.problem is not None:
        return f"taskdeck: {asking.problem}"
    return f"taskdeck: the runtime has not answered for {units.format_age(silent)}." if silent > SILENCE_LIMIT else ""
