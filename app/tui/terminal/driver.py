"""Terminal driver: clicks and wheel only, plain pastes, exit if the terminal is gone or stuck.

Textual enables reports of every mouse movement (mode 1003), which costs bytes on each move over ssh
and shows nothing here. Clicks (1000) in SGR form (1006) suffice. Textual also requests in-band
sizes and then mouse positions in pixels; SIGWINCH suffices.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import termios
from contextlib import suppress
from threading import Lock, Thread
from time import sleep
from types import FrameType
from typing import Any, ClassVar

from textual import constants, events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from app.tui.terminal.app_internals import TerminalApp
from app.tui.terminal.input_parser import MAX_COLUMNS, MAX_LINES, InputParser

STDERR = 2
"""File descriptor on which Textual draws."""
TITLELESS = ("", "dumb", "linux")
"""Values of TERM of terminals without a title."""
MAX_TITLE = 200
EXIT_GRACE = 1.5
"""Seconds a deck gets to exit cleanly after a signal."""
RESTORE_SEQUENCE = (
    b"\x1b[?2026l\x1b[?1000l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h"
)
"""Escape sequences that restore the terminal, in one write."""


class ClickDriver(LinuxDriver):
    """A Linux terminal driver that reports clicks and the wheel."""

    exit_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM, signal.SIGHUP)
    """Signals that end the app."""
    _is_active = False
    """Set while the terminal is in application mode."""
    _is_exiting = False
    _watches_hangup = False
    _has_title = False

    def __init__(self, app: App[Any], *, mouse: bool = True, **more: Any) -> None:
        super().__init__(app, mouse=mouse, **more)
        self.host = app
        self._size = self._get_terminal_size()  # until the first resize, else Rich's unlimited one
        self._captures_mouse = mouse
        if isinstance(app, TerminalApp):
            app.click_driver = self
        # held by the code that ends the deck: the app's loop, or the late exit
        self._exit_lock = Lock()

    def start_application_mode(self) -> None:
        self._is_active = True
        super().start_application_mode()
        loop = asyncio.get_running_loop()
        # The size is read in the app's loop: after two signals Textual's handler may report the
        # later size first, leaving the app at the other one.
        signal.signal(
            signal.SIGWINCH, lambda number, frame: loop.call_soon_threadsafe(self._post_size)
        )
        for number in self.exit_signals:
            signal.signal(number, self._on_exit_signal)  # the signal still wakes the app's loop
        if not self._watches_hangup:  # the mode is started again after each program
            self._watches_hangup = True
            Thread(target=self._exit_on_hangup, name="hangup", daemon=True).start()

    def write(self, data: str) -> None:
        """Write to the terminal, unless a program has it: nobody would read Textual's queue."""
        if self._is_active:
            super().write(data)

    def _get_terminal_size(self) -> tuple[int, int]:
        """Return the terminal's size, at most the size that can be drawn in time.

        Exported COLUMNS and LINES may be outdated.
        """
        columns = lines = 0
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self.fileno)
        if not (columns and lines):
            columns, lines = super()._get_terminal_size()
        return min(columns, MAX_COLUMNS), min(lines, MAX_LINES)

    def _post_size(self) -> None:
        size = Size(*self._get_terminal_size())
        self.host.post_message(events.Resize(size, size))

    def stop_application_mode(self) -> None:
        self.restore_title()
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        with self._exit_lock:
            self._is_active = False

    def before_exit(self) -> None:
        """Run before the process exits without closing the deck; a hook for subclasses."""

    def _exit_on_hangup(self) -> None:
        """Wait until the terminal hangs up, then exit at once.

        Without SIGHUP (nohup, no controlling terminal), reading a terminal that is gone would spin
        and writing to it would block. The deck holds nothing that needs a clean exit.
        """
        hangup_poll = select.poll()
        hangup_poll.register(self.fileno, 0)
        hangup_poll.poll()
        self.before_exit()
        os._exit(128 + signal.SIGHUP)

    def _on_exit_signal(self, number: int, frame: FrameType | None) -> None:
        """Start the late exit: the app's loop cannot run while a write to the terminal hangs."""
        if not self._is_exiting:
            self._is_exiting = True
            Thread(target=self._exit_late, args=(number,), name="hurry", daemon=True).start()

    def _exit_late(self, number: int) -> None:
        sleep(EXIT_GRACE)
        if select.select([], [STDERR], [], 0)[1]:  # slow, not stuck
            sleep(EXIT_GRACE)
        with self._exit_lock:
            if self._is_active:
                self.before_exit()
                self._restore_terminal(number)
                os._exit(128 + number)

    def _restore_terminal(self, number: int) -> None:
        """Restore a stuck terminal as far as possible, discarding pending output."""
        out, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDERR)  # later drawing goes to /dev/null
        os.set_blocking(out, False)
        with suppress(OSError, termios.error):
            termios.tcflush(self.fileno, termios.TCOFLUSH)
            if self._writer_thread and self._writer_thread.is_alive():
                # The writer thread sleeps in its write, holding the terminal's lock, until somebody
                # reads; any handled signal wakes it.
                signal.pthread_kill(self._writer_thread.ident or 0, number)
            _write_with_retry(out, RESTORE_SEQUENCE)
        os.set_blocking(out, True)
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    def _run_input_thread(self) -> None:
        """Pass errors to the app for its log, instead of Textual's rendered traceback."""
        try:
            self.run_input_thread()
        except Exception as error:
            self.host.call_later(self.host._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read input and dispatch its events until the terminal is restored."""
        keyboard = InputParser(constants.DEBUG)
        ready = select.poll()
        ready.register(self.fileno, select.POLLIN)
        while not self.exit_event.is_set():
            if ready.poll(keyboard.poll_interval * 1000):
                data = read_input(self.fileno)
                if not data:  # the terminal is gone, as `_exit_on_hangup` sees, too
                    return
                for event in keyboard.feed(data):
                    self.process_message(event)
            for event in keyboard.tick():
                self.process_message(event)

    def show_cursor(self) -> None:
        """Show the terminal's own cursor, for screen readers."""
        self.write("\x1b[?25h")

    def show_title(self, text: str) -> None:
        """Set the terminal's title to a sanitized text; the first time, the old one is saved."""
        if os.environ.get("TERM", "") in TITLELESS:
            return
        save = "" if self._has_title else "\x1b[22;2t"
        self._has_title = True
        self.write(f"{save}\x1b]2;{text[:MAX_TITLE]}\x07")

    def restore_title(self) -> None:
        """Restore the title of before the first `show_title`."""
        if self._has_title:
            self._has_title = False
            self.write("\x1b[23;2t")

    def use_mouse(self, on: bool) -> None:
        """Capture the mouse, or leave it to the terminal."""
        if on:
            self._captures_mouse = True
            self._enable_mouse_support()
        else:
            self._disable_mouse_support()
            self._captures_mouse = False

    def _enable_mouse_support(self) -> None:
        if self._captures_mouse:
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._captures_mouse:
            self.write("\x1b[?1000l\x1b[?1006l")

    def _query_in_band_window_resize(self) -> None:
        """Request no in-band sizes; SIGWINCH reports them."""


def read_input(fd: int) -> bytes:
    """Read available bytes; return b"" if the terminal is gone."""
    try:
        return os.read(fd, 4096)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _write_with_retry(out: int, data: bytes) -> None:
    """Write as soon as the pending write, which locks the terminal, has ended."""
    for _ in range(20):
        with suppress(BlockingIOError):
            os.write(out, data)
            return
        sleep(0.01)
