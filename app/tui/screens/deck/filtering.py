"""Filter of the deck: the filter line, the cycle of states and the filters of the panes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from textual import on

from app.core import filter_query
from app.core.board import AlertEntry, Board
from app.core.text.status_glyphs import FAILED_STATES
from app.translation import tr, tr_n, tr_noop
from app.tui.data.list_rows import PoolTableRow
from app.tui.panes.alerts import AlertsPane
from app.tui.panes.work import WorkPane
from app.tui.screens.deck.layout import DeckLayout, Pane
from app.tui.widgets import row_filter
from app.tui.widgets.filter_input import PLACEHOLDER, FilterInput
from app.tui.widgets.footer import MessageLine
from app.tui.widgets.header import COUNTER_FILTERS
from app.tui.widgets.table import Table

PANE_FILTER_HELP = tr_noop("part of a name or of a state, !word")
"""Help of the filter line for panes without tasks."""


class DeckFilter(DeckLayout):
    """Filters of the work pane and of the other panes."""

    def __init__(self) -> None:
        super().__init__()
        self.board: Board | None = None
        self._state = 0
        self.words = ""
        """Filter of the work pane, as typed in the filter line."""
        self._pane: Pane | None = None
        """Pane that the open filter line filters, or None for the work pane."""
        self._pane_words: dict[str, str] = {}
        """Filters of the other panes, by pane id."""

    @property
    def table(self) -> Table:
        """Pane being filtered, else the focused pane, else the work pane."""
        return (
            self._pane
            if self._pane is not None and self.query_one(FilterInput).is_open
            else super().table
        )

    def action_filter(self) -> None:
        line = self.query_one(FilterInput)
        self._pane = next(
            (pane for pane in self.panes if pane.has_focus and not isinstance(pane, WorkPane)), None
        )
        if self._pane is None:
            queues = [queue.name for queue in self.board.queues] if self.board else []
            line.set_completer(lambda text: filter_query.find_completions(text, {"queue": queues}))
            line.open(self.words, PLACEHOLDER)
        else:
            line.set_completer(lambda text: ())
            line.open(self._pane_words.get(self._pane.id or "", ""), PANE_FILTER_HELP)
        self.query_one(MessageLine).display = False
        self.set_focus(line)
        self.show_board()

    @on(FilterInput.Changed)
    def _handle_filter_change(self, event: FilterInput.Changed) -> None:
        if self._pane is not None:
            self._filter_pane(self._pane, event.value)
        else:
            self.words = event.value
            self._apply_filter()

    @on(FilterInput.Left)
    def _handle_filter_close(self, event: FilterInput.Left) -> None:
        pane, self._pane = self._pane, None
        if pane is not None:
            if not event.keep:
                self._filter_pane(pane, "")
        elif not event.keep:
            self.words = ""
            self._apply_filter()
        elif row_filter.needs_task_list(self.words, self._moment):
            words, self.words = self.words, ""
            self._apply_filter()
            self.deck.open_tasks(words)
        self.query_one(MessageLine).display = True
        self.set_focus(pane or self.query_one(WorkPane))
        self.show_board()

    def _filter_pane(self, pane: Pane, words: str) -> None:
        """Show only the rows of a pane whose name or state matches."""
        self._pane_words[pane.id or ""] = words
        pane.filter(row_filter.make_row_predicate(words, _collect_facts), self.look.sanitize(words))
        if pane.cursor is not None:
            pane.go_to_row(pane.cursor)
        self.show_board()

    def _apply_filter(self) -> None:
        name, state = ("", None) if not self._state else row_filter.STATES[self._state - 1]
        try:
            keep = row_filter.combine_filters(
                row_filter.parse_filter(self.words, self._moment), state
            )
        except filter_query.QueryError as error:
            self.deck.show_message(self.look.sanitize(str(error)), "warn")
            return
        if self.words or self._state:
            self.deck.clear_message()
        self.query_one(WorkPane).filter(
            keep, self.look.sanitize(f"{tr(name)} {self.words}".strip())
        )
        self.query_one(AlertsPane).ignores_filter = keep is not None
        self.show_board()

    @property
    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.deck.now(), UTC)

    def action_states(self) -> None:
        self._set_state((self._state + 1) % (len(row_filter.STATES) + 1))

    def action_failed(self) -> None:
        """Show only failures, with the cursor on the latest; again shows all."""
        if self._state == len(row_filter.STATES):
            self._set_state(0)
        else:
            self._set_state(len(row_filter.STATES), tr("The latest that failed."))
            work = self.query_one(WorkPane)
            self.set_focus(work)
            work.action_edge(-1)

    def _set_state(self, state: int, default_message: str = "") -> None:
        """Show one state, or all.

        Showing failures marks all of them as seen. The message reports the number of marked
        failures; if there was none to mark, the message is `default_message`.
        """
        self._state = state
        message = self._mark_all_seen() if state == len(row_filter.STATES) else ""
        self._apply_filter()
        if message or default_message:
            self.deck.show_message(
                tr("{message} To list all failures: 5, then F.", message=message or default_message)
            )

    def _mark_all_seen(self) -> str:
        """Mark the failures so far as seen; return the message, or "" if there was none."""
        if self.board is None:
            return ""
        count = self.deck.read_marks.count_unseen(self.board)
        self.deck.read_marks.mark_all_viewed(self.board.at)
        listed = sum(line.status in FAILED_STATES for line in self.board.ended)
        hidden = (
            tr(", {more:,} of them not listed here", more=count - listed) if count > listed else ""
        )
        return (
            tr_n(
                count,
                "{n:,} failure marked as seen{hidden}.",
                "{n:,} failures marked as seen{hidden}.",
                hidden=hidden,
            )
            if count
            else ""
        )

    def show_counted(self, words: str) -> None:
        """Show the tasks that a counter of the header counts."""
        self.clear_filter()
        self.set_focus(self.query_one(WorkPane))
        if words == COUNTER_FILTERS["failed"]:
            self.action_failed()
        else:
            self.words = words
            self._apply_filter()

    def clear_filter(self) -> str:
        """Clear the filters of all panes.

        Return a word for the hidden rows, or "" if nothing was filtered.
        """
        filtered = [pane.id for pane in self.panes if pane.keep is not None]
        self.words, self._state, self._pane_words = "", 0, {}
        for pane in self.panes:
            pane.filter(None)
        self.query_one(AlertsPane).ignores_filter = False
        return tr("work") if "work" in filtered else tr("of it") if filtered else ""


def _collect_facts(row: Any) -> Mapping[str, Any]:
    """Return the values by which a queue, pool or alert is filtered."""
    if isinstance(row, AlertEntry):
        return {"rule": row.sla, "severity": row.severity, "status": row.status, "on": row.object}
    place = row.pool if isinstance(row, PoolTableRow) else row
    return {"name": place.name, "status": place.status}
