"""The deck's filter: the line of words, the round of states, the queue of a row."""

from __future__ import annotations

from datetime import UTC, datetime

from textual import on

from app.core import query
from app.core.board import Board
from app.tui import filters
from app.tui.filterline import FilterLine
from app.tui.footer import MessageLine
from app.tui.header import COUNTED
from app.tui.panes.work import WorkPane
from app.tui.screens.decklayout import DeckLayout


class DeckFilter(DeckLayout):
    """What of the work is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.board: Board | None = None
        self._state = 0
        self.words = ""
        """What stands in the filter line."""

    def action_filter(self) -> None:
        """Open the filter line."""
        line = self.query_one(FilterLine)
        queues = [queue.name for queue in self.board.queues] if self.board else []
        line.offer(lambda text: query.completions(text, {"queue": queues}))
        line.open(self.words)
        self.query_one(MessageLine).display = False
        self.set_focus(line)
        self.show_board()

    @on(FilterLine.Changed)
    def _filtering(self, event: FilterLine.Changed) -> None:
        self.words = event.value
        self._apply_filter()

    @on(FilterLine.Left)
    def _filtered(self, event: FilterLine.Left) -> None:
        if not event.keep:
            self.words = ""
            self._apply_filter()
        elif filters.asks_elsewhere(self.words, self._moment):
            words, self.words = self.words, ""
            self._apply_filter()
            self.deck.open_tasks(words)
        self.query_one(MessageLine).display = True
        self.set_focus(self.query_one(WorkPane))
        self.show_board()

    def _apply_filter(self) -> None:
        name, state = ("", None) if not self._state else filters.STATES[self._state - 1]
        try:
            keep = filters.both(filters.parse(self.words, self._moment), state)
        except query.BadQuery as error:
            self.deck.say(self.look.theirs(str(error)), "warn")
            return
        if self.words or self._state:
            self.deck.hush()
        self.query_one(WorkPane).filter(keep, self.look.theirs(f"{name} {self.words}".strip()))
        self.show_board()

    @property
    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.deck.now(), UTC)

    def action_states(self) -> None:
        """All, active, waiting, failed, and round again."""
        self._state = (self._state + 1) % (len(filters.STATES) + 1)
        if self._state == len(filters.STATES) and self.board:
            self.deck.seen.all(self.board.at)
        self._apply_filter()

    def action_failed(self) -> None:
        """Only what failed, with the cursor on the latest; again all."""
        self._state = 0 if self._state == len(filters.STATES) else len(filters.STATES) - 1
        if self._state:
            self.action_states()
            work = self.query_one(WorkPane)
            self.set_focus(work)
            work.action_edge(-1)
            self.deck.say("The latest that failed. All of them, and older ones: 5, then F.")
        else:
            self._apply_filter()

    def show_counted(self, words: str) -> None:
        """What a counter of the header counts."""
        self.clear_filter()
        self.set_focus(self.query_one(WorkPane))
        if words == COUNTED["failed"]:
            self.action_failed()
        else:
            self.words = words
            self._apply_filter()

    def clear_filter(self) -> bool:
        """Show all work again; False when all was shown."""
        work = self.query_one(WorkPane)
        filtered = work.keep is not None
        self.words, self._state = "", 0
        work.filter(None)
        return filtered
