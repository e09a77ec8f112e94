"""The loop of the thread that reads a log: what was asked comes first, then looks at its size, then what is left to count."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from app.tui.logviewer.pager import Page, Pager

LOOK_EVERY = 0.1
"""Seconds between looks at the size of a log that is being written; twice as long while it grows all the time."""
_SHOW_EVERY = 0.05
_REST = 0.02
"""Seconds for which counting and searching stand back after a key, so that the interpreter draws what came of it."""
Command = Callable[[Pager], object]


class Resize(NamedTuple):
    """The command of a screen of another size, which no reader gave: what was noted stays."""

    width: int
    height: int

    def __call__(self, pager: Pager) -> None:
        pager.resize(self.width, self.height)


class Reader:
    """Does what `commands` asks with a pager until it asks None, and shows each page that differs from the one before.

    `watches` tells whether new output is to be looked for when nothing is asked.
    """

    def __init__(
        self,
        pager: Pager,
        commands: SimpleQueue[Command | None],
        watches: Callable[[], bool],
        show: Callable[[Page], object],
    ) -> None:
        self._pager = pager
        self._commands = commands
        self._watches = watches
        self._show = show
        self._shown: Page | None = None
        self._show_at = 0.0
        self._look_at = 0.0
        self._rest_until = 0.0
        self._owes_page = False

    def work(self) -> None:
        """Go on until told to end."""
        self._page()
        while (command := self._next()) is not None:
            if command is Pager.step:
                self._step()
            else:
                self._obey(command)

    def _next(self) -> Command | None:
        """What to do next."""
        try:
            return self._commands.get(timeout=self._patience())
        except Empty:
            return Pager.grown if self._watches() and monotonic() >= self._look_at else Pager.step

    def _patience(self) -> float | None:
        """Seconds to wait for a command; None for ever."""
        if self._pager.busy:
            return max(0.0, self._rest_until - monotonic())
        return max(0.0, self._look_at - monotonic()) if self._watches() else None

    def _step(self) -> None:
        """Do a little of what is left; pages that only count on are not shown too often."""
        if not self._pager.busy:
            return
        self._pager.step()
        if not self._pager.busy or monotonic() >= self._show_at:
            self._page()

    def _obey(self, command: Command) -> None:
        """Do as asked, on the log as it is by now: a look at its size is due before, and is all that `grown` asks."""
        if command is not Pager.grown and not isinstance(command, Resize):
            self._pager.hush()
        grew = self._look() if command is Pager.grown or monotonic() >= self._look_at else False
        changed = command is not Pager.grown and command(self._pager) is not False
        self._owes_page = self._owes_page or grew or changed
        # Of keys that came faster than they can be drawn, the last one's page is shown.
        if self._owes_page and (self._commands.empty() or monotonic() >= self._show_at):
            self._page()
        self._rest_until = monotonic() + _REST

    def _look(self) -> bool:
        grew = self._pager.grown()
        self._look_at = monotonic() + LOOK_EVERY * (1 + grew)
        return grew

    def _page(self) -> None:
        """Show what is seen now, if it is not shown already."""
        page, self._owes_page = self._pager.page(), False
        self._show_at = monotonic() + _SHOW_EVERY
        if page != self._shown:
            self._shown = page
            self._show(page)
