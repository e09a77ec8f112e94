"""The loop of the thread that reads a log: what was asked comes first, then looks at its size, then what is left to count."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from app.tui.logviewer.pager import LogPage, LogPager

CHECK_INTERVAL = 0.1
"""Seconds between looks at the size of a log that is being written; twice as long while it grows all the time."""
_SHOW_INTERVAL = 0.05
_KEY_PAUSE = 0.02
"""Seconds for which counting and searching stand back after a key, so that the interpreter draws what came of it."""
PagerCommand = Callable[[LogPager], object]


class ResizeCommand(NamedTuple):
    """The command of a screen of another size, which no reader gave: what was noted stays."""

    width: int
    height: int

    def __call__(self, pager: LogPager) -> None:
        pager.resize(self.width, self.height)


class LogReader:
    """Does what `commands` asks with a pager until it asks None, and shows each page that differs from the one before.

    `watches` tells whether new output is to be looked for when nothing is asked.
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
        self._look_at = 0.0
        self._rest_until = 0.0
        self._has_unshown = False

    def run(self) -> None:
        """Go on until told to end."""
        self._show_page()
        while (command := self._next_command()) is not None:
            if command is LogPager.step:
                self._step()
            else:
                self._run_command(command)

    def _next_command(self) -> PagerCommand | None:
        """What to do next."""
        try:
            return self._commands.get(timeout=self._compute_timeout())
        except Empty:
            return LogPager.check_growth if self._watches() and monotonic() >= self._look_at else LogPager.step

    def _compute_timeout(self) -> float | None:
        """Seconds to wait for a command; None for ever."""
        if self._pager.is_busy:
            return max(0.0, self._rest_until - monotonic())
        return max(0.0, self._look_at - monotonic()) if self._watches() else None

    def _step(self) -> None:
        """Do a little of what is left; pages that only count on are not shown too often."""
        if not self._pager.is_busy:
            return
        self._pager.step()
        if not self._pager.is_busy or monotonic() >= self._show_at:
            self._show_page()

    def _run_command(self, command: PagerCommand) -> None:
        """Do as asked, on the log as it is by now: a look at its size is due before, and is all that `grown` asks."""
        if command is not LogPager.check_growth and not isinstance(command, ResizeCommand):
            self._pager.clear_note()
        grew = self._check_growth() if command is LogPager.check_growth or monotonic() >= self._look_at else False
        changed = command is not LogPager.check_growth and command(self._pager) is not False
        self._has_unshown = self._has_unshown or grew or changed
        # Of keys that came faster than they can be drawn, the last one's page is shown.
        if self._has_unshown and (self._commands.empty() or monotonic() >= self._show_at):
            self._show_page()
        self._rest_until = monotonic() + _KEY_PAUSE

    def _check_growth(self) -> bool:
        grew = self._pager.check_growth()
        self._look_at = monotonic() + CHECK_INTERVAL * (1 + grew)
        return grew

    def _show_page(self) -> None:
        """Show what is seen now, if it is not shown already."""
        page, self._has_unshown = self._pager.make_page(), False
        self._show_at = monotonic() + _SHOW_INTERVAL
        if page != self._shown:
            self._shown = page
            self._show(page)
