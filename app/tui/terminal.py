"""The terminal behind the deck: mouse clicks and the wheel only, and an end when the terminal goes.

Textual asks for every movement of the mouse (mode 1003), which costs bytes on each move over ssh and shows nothing here;
clicks (1000) in SGR form (1006) are enough. It also asks for sizes in band, and then for the mouse in pixels; SIGWINCH does.
"""

from __future__ import annotations

import os
import select
import signal
from threading import Thread

from textual.drivers.linux_driver import LinuxDriver


class ClicksOnlyDriver(LinuxDriver):
    """A Linux terminal that reports clicks and the wheel."""

    def start_application_mode(self) -> None:
        super().start_application_mode()
        Thread(target=end_with_terminal, args=(self.fileno,), name="hangup", daemon=True).start()

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


def end_with_terminal(fd: int) -> None:
    """Wait until the terminal hangs up, then end this process at once.

    Where HUP does not reach the deck (nohup, no controlling terminal), reading a terminal that is gone would spin, and
    writing to it would block. There is nothing to put in order: the deck holds nothing.
    """
    gone = select.poll()
    gone.register(fd, 0)
    gone.poll()
    os._exit(128 + signal.SIGHUP)
