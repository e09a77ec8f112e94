"""The terminal behind the deck: mouse clicks and the wheel only.

Textual asks for every movement of the mouse (mode 1003), which costs bytes on each move over ssh and shows nothing here;
clicks (1000) in SGR form (1006) are enough. It also asks for sizes in band, and then for the mouse in pixels; SIGWINCH does.
"""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class ClicksOnlyDriver(LinuxDriver):
    """A Linux terminal that reports clicks and the wheel."""

    def _enable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000l\x1b[?1006l")

    def _query_in_band_window_resize(self) -> None:
        """Nothing is asked: the signal tells."""
