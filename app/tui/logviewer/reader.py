"""Log reader thread: commands first, then growth checks, then background work."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from app.tui.logviewer.pager import LogPage, LogPager

CHECK_INTERVAL = 0.1
"""Seconds between growth checks of a live log; doubled while it grows."""
_SHOW_INTERVAL = 0.05
_KEY_PAUSE = 0.02
"""Seconds without background work after a key, so that the result is drawn first."""
PagerCommand = Callable[[LogPager], object]


class ResizeCommand(NamedTuple):
    """Command for a new screen size. A resize is not a user action, so notes stay."""

    width: int
    height: int

    def __call__(self, pager: LogPager) -> None:
        pager.resize(self.width, self.height)


class LogReader:
    """Loop that runs `commands` on a pager until None, and shows each page that changed.

    `watches` returns True if growth is to be checked while there are no commands.
    """

    def __init__(
        self,
        pager: LogPager,
        commands: SimpleQueue[PagerCommand | None],
        watches: Callable[[], bool],
        show: Callable[[LogPage], object],
    ) -> None:
        self._pager = pager
        self._commands = commands
        self._watches = watches
        self._show = show
        self._shown: LogPage | None = None
        self._show_at = 0.0
        self._check_at = 0.0
        self._rest_until = 0.0
        self._has_unshown = False

    def run(self) -> None:
        """Run until the command queue yields None."""
        self._show_page()
        while (command := self._next_command()) is not None:
            if command is LogPager.step:
                self._step()
            else:
                self._run_command(command)

    def _next_command(self) -> PagerCommand | None:
        """Return the next command."""
        try:
            return self._commands.get(timeout=self._compute_timeout())
        except Empty:
            return (
                LogPager.check_growth
                if self._watches() and monotonic() >= self._check_at
                else LogPager.step
            )

    def _compute_timeout(self) -> float | None:
        """Return the seconds to wait for a command; None for no limit."""
        if self._pager.is_busy:
            return max(0.0, self._rest_until - monotonic())
        return max(0.0, self._check_at - monotonic()) if self._watches() else None

    def _step(self) -> None:
        """Do one step of background work, limiting how often pages are shown."""
        if not self._pager.is_busy:
            return
        self._pager.step()
        if not self._pager.is_busy or monotonic() >= self._show_at:
            self._show_page()

    def _run_command(self, command: PagerCommand) -> None:
        """Run a command on the current log.

        A growth check comes first if due; the command `check_growth` does nothing else.
        """
        if command is not LogPager.check_growth and not isinstance(command, ResizeCommand):
            self._pager.clear_note()
        grew = (
            self._check_growth()
            if command is LogPager.check_growth or monotonic() >= self._check_at
            else False
        )
        changed = command is not LogPager.check_growth and command(self._pager) is not False
        self._has_unshown = self._has_unshown or grew or changed
        # If keys arrive faster than pages are drawn, only the last page is shown.
        if self._has_unshown and (self._commands.empty() or monotonic() >= self._show_at):
            self._show_page()
        self._rest_until = monotonic() + _KEY_PAUSE

    def _check_growth(self) -> bool:
        grew = self._pager.check_growth()
        self._check_at = monotonic() + CHECK_INTERVAL * (1 + grew)
        return grew

    def _show_page(self) -> None:
        """Show the current page if it changed."""
        page, self._has_unshown = self._pager.make_page(), False
        self._show_at = monotonic() + _SHOW_INTERVAL
        if page != self._shown:
            self._shown = page
            self._show(page)
