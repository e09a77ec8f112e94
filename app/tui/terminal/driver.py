"""The terminal behind the deck: mouse clicks and the wheel only, pastes that are text, and an end when the terminal goes or is stuck.

Textual asks for every movement of the mouse (mode 1003), which costs bytes on each move over ssh and shows nothing here;
clicks (1000) in SGR form (1006) are enough. It also asks for sizes in band, and then for the mouse in pixels; SIGWINCH does.
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

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from app.tui.terminal.input_parser import InputParser

STDERR = 2
"""What Textual draws on."""
EXIT_GRACE = 1.5
"""Seconds that a deck is given to end in order once it was told to."""
RESTORE_SEQUENCE = b"\x1b[?2026l\x1b[?1000l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h"
"""What gives a terminal back, all at once."""


class ClickDriver(LinuxDriver):
    """A Linux terminal that reports clicks and the wheel."""

    exit_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM, signal.SIGHUP)
    """The signals that the app ends for."""
    _is_active = False
    """Whether the terminal is the deck's, and not yet given back."""
    _is_exiting = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._exit_lock = Lock()  # one of them ends the deck: its own loop, or who has waited for that long enough

    def start_application_mode(self) -> None:
        super().start_application_mode()
        loop = asyncio.get_running_loop()
        # The size is asked in the app's loop: of two signals at once Textual's handler tells the later one's size first, and the app
        # would stay at the other.
        signal.signal(signal.SIGWINCH, lambda number, frame: loop.call_soon_threadsafe(self._post_size))
        self._is_active = True
        for number in self.exit_signals:
            signal.signal(number, self._on_exit_signal)  # the app's loop is woken as before
        Thread(target=self._exit_on_hangup, name="hangup", daemon=True).start()

    def _get_terminal_size(self) -> tuple[int, int]:
        """As the terminal says: COLUMNS and LINES, where somebody exports them, are of the window as it was."""
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self.fileno)
            if columns and lines:
                return columns, lines
        return super()._get_terminal_size()

    def _post_size(self) -> None:
        size = Size(*self._get_terminal_size())
        self._app.post_message(events.Resize(size, size))

    def close(self) -> None:
        super().close()
        with self._exit_lock:
            self._is_active = False

    def before_exit(self) -> None:
        """What must be done before the process ends without having left the deck."""

    def _exit_on_hangup(self) -> None:
        """Wait until the terminal hangs up, then end this process at once.

        Where HUP does not reach the deck (nohup, no controlling terminal), reading a terminal that is gone would spin, and
        writing to it would block. There is nothing to put in order: the deck holds nothing.
        """
        gone = select.poll()
        gone.register(self.fileno, 0)
        gone.poll()
        self.before_exit()
        os._exit(128 + signal.SIGHUP)

    def _on_exit_signal(self, number: int, frame: FrameType | None) -> None:
        """A signal tells the app to end, whose loop hears nothing while it waits for a terminal that takes nothing more."""
        if not self._is_exiting:
            self._is_exiting = True
            Thread(target=self._exit_late, args=(number,), name="hurry", daemon=True).start()

    def _exit_late(self, number: int) -> None:
        sleep(EXIT_GRACE)
        if select.select([], [STDERR], [], 0)[1]:  # not stuck, only slow
            sleep(EXIT_GRACE)
        with self._exit_lock:
            if self._is_active:
                self.before_exit()
                self._restore_terminal(number)
                os._exit(128 + number)

    def _restore_terminal(self, number: int) -> None:
        """Put a terminal that is stuck as it was, as far as it takes that: what it was yet to show is dropped."""
        out, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDERR)  # whoever waits to draw more, draws there
        os.set_blocking(out, False)
        with suppress(OSError, termios.error):
            termios.tcflush(self.fileno, termios.TCOFLUSH)
            if self._writer_thread and self._writer_thread.is_alive():
                # It sleeps in its write, and keeps all others out, until somebody reads: any signal that is heard wakes it.
                signal.pthread_kill(self._writer_thread.ident or 0, number)
            _write_with_retry(out, RESTORE_SEQUENCE)
        os.set_blocking(out, True)
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    def _run_input_thread(self) -> None:
        """Textual would make a picture of what fails here; the log gets the error itself."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Wait for bytes and pass on what they mean, until the terminal is given back."""
        keyboard = InputParser(self._debug)
        ready = select.poll()
        ready.register(self.fileno, select.POLLIN)
        while not self.exit_event.is_set():
            if ready.poll(keyboard.poll_interval * 1000):
                data = read_input(self.fileno)
                if not data:  # gone, as `_end_with_terminal` sees too
                    return
                for event in keyboard.feed(data):
                    self.process_message(event)
            for event in keyboard.tick():
                self.process_message(event)

    def show_cursor(self) -> None:
        """Let the terminal's own cursor be seen, for whoever follows it."""
        self.write("\x1b[?25h")

    def use_mouse(self, on: bool) -> None:
        """Take the mouse, or leave it to the terminal."""
        if on:
            self._mouse = True
            self._enable_mouse_support()
        else:
            self._disable_mouse_support()
            self._mouse = False

    def _enable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000l\x1b[?1006l")

    def _query_in_band_window_resize(self) -> None:
        """Nothing is asked: the signal tells."""


def read_input(fd: int) -> bytes:
    """What the terminal has; nothing when it is gone."""
    try:
        return os.read(fd, 4096)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _write_with_retry(out: int, data: bytes) -> None:
    """Write once the one write that was under way has ended, for it keeps others out."""
    for _ in range(20):
        with suppress(BlockingIOError):
            os.write(out, data)
            return
        sleep(0.01)
