"""`taskdeck status --watch`: the status after every change, until ^C.

A thread queries the runtime, so that a hanging runtime does not freeze the screen. A pipe wakes the
main thread for answers and signals. A terminal is redrawn line by line; other outputs get a
status only if it differs from the last.
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
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from app.cli.table_layout import Line

RETRY_INTERVAL = 1.0
"""Seconds between checks for a runtime."""
SILENCE_LIMIT = 5.0
"""Seconds without an answer before a warning."""
_VOLATILE_FIELDS = ("tick_lag", "measured_cpu", "measured_memory", "size")
"""Values that change without an event."""


class StatusPoller(threading.Thread):
    """Thread that keeps the latest answer of `status` and signals each one."""

    def __init__(self, home: str, notify: Callable[[], object]) -> None:
        super().__init__(name="status", daemon=True)
        self.status: dict[str, Any] | None = None
        self.problem: Problem | None = None
        self.answered = time.monotonic()
        self._home, self._ring = home, notify
        self._ended = threading.Event()
        self._open: tuple[Any, ...] = ()

    def run(self) -> None:
        """Query after every change, and periodically without a runtime."""
        from app.client import Client

        while not self._ended.is_set():
            changes, answers = self._open = (
                Client(self._home, autostart=False),
                Client(self._home, autostart=False),
            )
            try:
                for _ in changes.watch():
                    self._query(answers)
                self._query(answers)
            except Problem as problem:
                self._publish(self.status, problem)
            finally:
                self.close_clients()
            self._ended.wait(RETRY_INTERVAL)

    def stop(self) -> None:
        """Stop querying."""
        self._ended.set()
        self.close_clients()

    def close_clients(self) -> None:
        """Close the connections."""
        for line in self._open:
            line.close()

    def _query(self, answers: Any) -> None:
        self._publish(answers.call("status"), None)

    def _publish(self, found: dict[str, Any] | None, problem: Problem | None) -> None:
        self.status, self.problem, self.answered = (
            found,
            problem,
            self.answered if problem else time.monotonic(),
        )
        self._ring()


def watch_status(home: str, page: Callable[[dict[str, Any]], list[Line]], document: bool) -> int:
    """Show `page` of the status repeatedly, or each answer as a JSON line. Ends only by ^C."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    poller = StatusPoller(home, lambda: _signal(writer))
    shown = (
        _TerminalView(page) if output.can_redraw() and not document else _StreamView(page, document)
    )
    signals = {
        number: signal.signal(number, shown.reset) for number in (signal.SIGWINCH, signal.SIGCONT)
    }
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    poller.start()
    try:
        while True:
            if select.select([reader], [], [], 1.0)[0]:
                os.read(reader, 4096)
            shown.show(poller)
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in signals.items():
            signal.signal(number, handler)
        poller.stop()
        poller.join(1.0)
        os.close(reader)
        os.close(writer)


def _signal(writer: int) -> None:
    try:
        os.write(writer, b".")
    except OSError:
        pass  # already signalled, or the reader is gone


class _TerminalView:
    """Terminal output, drawn from the top."""

    def __init__(self, page: Callable[[dict[str, Any]], list[Line]]) -> None:
        self._page = page
        self._drawn: list[str] | None = None

    def reset(self, number: int, frame: FrameType | None) -> None:
        """Redraw everything after a resize or a suspension."""
        self._drawn = None

    def show(self, poller: StatusPoller) -> None:
        """Draw the lines that changed."""
        page = self._page(poller.status) if poller.status else []
        trouble = _format_trouble(poller)
        if page or trouble:
            self._drawn = output.redraw(
                [*page, *([[], [(trouble, "warn")]] if trouble else [])], self._drawn
            )


class _StreamView:
    """Output to a pipe or a file: complete answers in sequence."""

    def __init__(self, page: Callable[[dict[str, Any]], list[Line]], document: bool) -> None:
        self._page, self._document = page, document
        self._last: Any = None
        self._told = ""

    def reset(self, number: int, frame: FrameType | None) -> None:
        """Ignore the signal."""

    def show(self, poller: StatusPoller) -> None:
        """Print the answer if it differs from the last."""
        trouble = _format_trouble(poller) if poller.problem else ""
        if trouble and trouble != self._told:
            output.print_message(trouble)
        self._told = trouble
        lasting = _drop_volatile(poller.status)
        if poller.status is None or lasting == self._last:
            return
        if self._document:
            output.print_json(poller.status, True)
        else:
            page = self._page(poller.status)
            output.print_lines([[], *page] if self._last and len(page) > 1 else page)
        output.flush()
        self._last = lasting


def _drop_volatile(found: Any) -> Any:
    """Return an answer without values that change all the time."""
    if isinstance(found, dict):
        return {
            key: _drop_volatile(value)
            for key, value in found.items()
            if key not in _VOLATILE_FIELDS
        }
    return [_drop_volatile(item) for item in found] if isinstance(found, list) else found


def _format_trouble(poller: StatusPoller) -> str:
    """Return a message about a failed or overdue query."""
    silent = time.monotonic() - poller.answered
    if poller.problem is not None:
        return f"taskdeck: {poller.problem}"
    return (
        tr("taskdeck: the runtime has not answered for {age}.", age=units.format_age(silent))
        if silent > SILENCE_LIMIT
        else ""
    )
