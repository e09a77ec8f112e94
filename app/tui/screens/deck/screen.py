"""Deck screen: queues, pools, work, alerts, a message line and the keys of the current row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from app.core.board import Board, RunningEntry, RuntimeFacts
from app.translation import tr, tr_noop
from app.tui.error_boundary import ErrorBoundary
from app.tui.panes.work import WorkPane
from app.tui.screens.deck import welcome
from app.tui.screens.deck.filtering import DeckFilter
from app.tui.screens.deck.layout import PANES, Pane
from app.tui.screens.deck.redraw_pace import RedrawPace, drop_measurements
from app.tui.screens.tasks.task_actions import TaskActions, can_open
from app.tui.state.row_changes import RowChanges
from app.tui.style import Span
from app.tui.widgets.banner import format_staleness, needs_room
from app.tui.widgets.filter_input import FILTER_HINTS, FilterInput
from app.tui.widgets.footer import (
    HISTORY_HINTS,
    KeyHint,
    KeyLine,
    MessageLine,
    keep_read_only_hints,
    list_deck_hints,
)
from app.tui.widgets.header import PLACES, SHORT_NAMES, Header, HeaderContext
from app.tui.widgets.mark_hints import list_marked_alert_hints, list_marked_hints
from app.tui.widgets.modal import find_modal_keys, is_visible_under_modal
from app.tui.widgets.table import Table

STARTING_BOARD = Board(runtime=RuntimeFacts("starting"))
"""Board shown until the first one arrives."""
MAKE_ROOM = KeyHint("↵", "what can go", "enter", 1)
"""Hint on a full disk, for rows that open nothing."""
SHOW_ALL = KeyHint("z", "all panes", "z", 2)
NEWS_DURATION = 10.0
"""Seconds for which another user's action stays in the message line."""

SUCCESS_DURATION = 3600.0
"""Seconds for which a succeeded task stays under `Just ended`; a failed one stays until seen."""


class DeckScreen(DeckFilter, TaskActions, ErrorBoundary, Screen[None]):
    """Overview of the home, with every action on its rows."""

    AUTO_FOCUS = "#work"
    ALLOW_SELECT = False
    SHOWS_PAST = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *TaskActions.BINDINGS,
        Binding("n", "new", "New task", id="deck.new"),
        Binding(
            "slash,fullwidth_solidus",
            "filter",
            "Filter: words, status:, queue:, !word",
            id="deck.filter",
        ),
        Binding("f", "states", "All, active, waiting, failed", id="deck.states"),
        Binding("comma", "app.back_in_time(-1)", "The deck a minute ago", id="deck.earlier"),
        Binding("full_stop", "app.back_in_time(1)", "Forward a minute", id="deck.later"),
        Binding(
            "semicolon", "app.back_in_time(-60)", "The deck an hour ago", id="deck.hour-earlier"
        ),
        Binding("F", "failed", "Only what failed", id="deck.failed"),
        Binding("z", "zoom", "Toggle zoom", id="deck.zoom"),
        Binding("greater_than_sign", "resize(1)", "The pane a line taller", id="deck.taller"),
        Binding("less_than_sign", "resize(-1)", "The pane a line shorter", id="deck.shorter"),
        Binding("tab", "pane(1)", "Next pane", id="deck.next-pane"),
        Binding("shift+tab", "pane(-1)", "Previous pane", id="deck.previous-pane"),
        Binding("escape", "clear", "Clear filter and marks, hide tips", id="deck.clear"),
        Binding("q", "app.leave", "Leave; nothing stops", id="deck.leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.changes = RowChanges()
        self._shows_welcome = True
        self._faults: Sequence[dict[str, Any]] = ()
        self._asked_doctor = False
        self._is_ready = False
        self._pace = RedrawPace()

    def on_mount(self) -> None:
        self._is_ready = True
        zoomed = self.deck.memory.get("zoomed", "")
        self.zoomed = zoomed if zoomed in PANES else None
        self.watch(self.app, "board", self._handle_board)
        self.set_interval(1.0, self._tick)
        self.query_one(WorkPane).select_ended = lambda rows: self.deck.read_marks.list_shown_ended(
            rows, self.deck.now(), SUCCESS_DURATION
        )
        if self.zoomed:
            self.set_focus(self.panes[PANES.index(self.zoomed)])

    def get_task_table(self) -> Table:
        return self.query_one(WorkPane)

    # Display

    def _handle_board(self, board: Board | None) -> None:
        if board is None:
            return
        self.changes.record_board(board, self.deck.ticks())
        known, self.board = self.board, board
        is_new = known is None or drop_measurements(known) != drop_measurements(board)
        if is_new:
            self._pace.record_change(self.deck.ticks())
        if not is_visible_under_modal(self):
            return
        if is_new:
            self.show_board()
        else:
            self._show_measurements(board)

    def _show_measurements(self, board: Board) -> None:
        """Show the machine's figures of an otherwise unchanged board; the header ticks anyway."""
        if not self.deck.time_travel.is_active:
            for pane in self.panes:
                if pane.id == "pools" and pane.display:
                    self._show_pane(pane, board)

    def _tick(self) -> None:
        """Redraw ages, clocks and lingering rows."""
        if not is_visible_under_modal(self) or self.deck.resting:
            return
        board = self.deck.time_travel.board or self.board or STARTING_BOARD
        if self._pace.is_due(board, self.deck.now(), self.deck.ticks()):
            self.show_board()
        else:
            self._refresh_chrome(board)

    def on_screen_resume(self) -> None:
        self.show_board()

    def on_resize(self) -> None:
        self.show_board()

    def show_board(self) -> None:
        """Show the latest board in the present size."""
        if not self._is_ready:
            return
        board = self.deck.time_travel.board or self.board or STARTING_BOARD
        self._update_welcome(board)
        self.place_panes(board)
        for pane in self.panes:
            pane.moment = self.deck.time_travel.shown_at
            pane.note = (
                ""
                if self.deck.time_travel.is_active or pane.id == "pools"
                else format_staleness(board, self.deck.now())
            )
            if pane.display:
                self._show_pane(pane, board)
        self._refresh_chrome(board)

    def _show_pane(self, pane: Pane, board: Board) -> None:
        """Show a pane; an error is shown inside the pane and the others continue."""
        try:
            pane.show_board(board)
        except Exception as error:
            self.deck.report(error, pane)
            text = self.look.sanitize(
                tr(
                    "This pane failed ({name}: {error}). The others work.",
                    name=type(error).__name__,
                    error=error,
                )
            )
            pane.draw([self.look.strip([(text, "broken")], pane.size.width)])

    def _update_welcome(self, board: Board) -> None:
        first_run = self._shows_welcome and self.board is not None and not board.ever
        if first_run and not self._asked_doctor:
            self._asked_doctor = True
            self.deck.read_queue.send("doctor", {}, self._store_doctor_faults)
        narrow = self.app.size.width < 100
        self.query_one(WorkPane).guidance = (
            welcome.build_welcome(board.home, self._faults, self.look, narrow) if first_run else ()
        )

    def _store_doctor_faults(self, answer: Any, error: Exception | None) -> None:
        self._faults = [check for check in answer or () if not check.get("ok", True)]

    def _refresh_chrome(self, board: Board) -> None:
        failures = self.deck.read_marks.count_unseen(board)
        tabs = tuple((str(n + 1), "") for n in range(4)) if self.small else PLACES
        here = str(PANES.index(self.table.id or "work") + 1) if self.small else ""
        self.query_one(Header).show(
            board,
            HeaderContext(
                places=tabs,
                here="0",
                shown_time=self.deck.time_travel.label,
                failures=failures,
                read_only=self.deck.read_only,
                tab=here,
            ),
        )
        self.refresh_bottom()

    def refresh_bottom(self) -> None:
        """Draw the message line and the keys."""
        self.refresh_keys()
        self.query_one(MessageLine).show(self._make_message(self.board or STARTING_BOARD))

    def refresh_keys(self) -> None:
        """Draw the keys that work now: those of an open modal box, else those of the deck."""
        if self._is_ready:
            self.query_one(KeyLine).show(find_modal_keys(self) or self._list_keys())

    def _list_keys(self) -> Sequence[KeyHint]:
        board = self.board or STARTING_BOARD
        stopped = board.runtime.state == "stopped" or (
            board.runtime.state == "none" and not self.deck.may_start
        )
        hints = list_deck_hints(
            self.table.item,
            self._list_marked_hints(),
            undo=self.deck.undo_stack.can_undo,
            stopped=stopped,
            pane=self.table.id or "work",
        )
        hints[:0] = (
            [MAKE_ROOM]
            if needs_room(board) and self.table.item is not None and not can_open(self.table.item)
            else []
        )
        hints[:0] = [SHOW_ALL] if self.zoomed and not self.small else []
        keys = (
            HISTORY_HINTS
            if self.deck.time_travel.is_active
            else keep_read_only_hints(hints)
            if self.deck.read_only
            else hints
        )
        return FILTER_HINTS if self.query_one(FilterInput).is_open else keys

    def _list_marked_hints(self) -> list[KeyHint] | None:
        """Return the hints for the marked rows of the pane, or None without marks."""
        rows = self.table.list_marked()
        if not rows:
            return None
        return (
            list_marked_alert_hints(rows) if self.table.id == "alerts" else list_marked_hints(rows)
        )

    def _make_message(self, board: Board) -> Sequence[Span]:
        """Return the last message, else details of the current row, else recent news."""
        if message := self.deck.get_message():
            return [message]
        if self.deck.time_travel.is_active:
            notes = "  ".join(self.deck.time_travel.notes)
            return [
                (
                    self.look.sanitize(
                        notes or tr(", and . step through the minutes, 0 returns to live.")
                    ),
                    "dim",
                )
            ]
        row = self.table.item
        if self.app.size.width < 100 and isinstance(row, RunningEntry) and row.output:
            return [(f"#{row.number}: ", "dim"), (self.look.sanitize_output(row.output), "")]
        if self.query_one(WorkPane).guidance:
            return [
                (
                    tr(
                        "This is the first start. esc hides these lines; :welcome shows them again."
                    ),
                    "dim",
                )
            ]
        news = board.news
        if news and self.deck.now() - news.at < NEWS_DURATION and news.origin != self.deck.origin:
            when = tr(", just now.")
            what = self.look.sanitize(f"{news.by} {news.text}")
            return [
                (self.look.cut(what, self.app.size.width - len(when) - 2, "middle") + when, "dim")
            ]
        return (
            [(self.look.adapt_text(_list_narrow_places()), "dim")]
            if self.app.size.width < 100
            else []
        )

    def refresh_message(self) -> None:
        """Draw the last message and the current keys.

        Do nothing while the deck is closing, when the widgets are gone.
        """
        if self._is_ready and self.app.screen is self and self.query(WorkPane):
            self.refresh_bottom()

    @on(Table.Moved)
    def _handle_cursor_move(self) -> None:
        if self._is_ready:
            self.show_banner(self.deck.time_travel.board or self.board or STARTING_BOARD)
            self.refresh_bottom()

    def action_new(self) -> None:
        """Open the form for a new task, queue, pool or rule, depending on the pane."""
        if self.deck.refuse_changes():
            return
        if self.table.id not in ("queues", "pools", "alerts"):
            self.deck.open_form()
            return
        from app.tui.screens.definitions.edit_form import (
            make_new_pool_screen,
            make_new_queue_screen,
        )
        from app.tui.screens.definitions.rule_form import make_rule_screen

        new = {
            "queues": make_new_queue_screen,
            "pools": make_new_pool_screen,
            "alerts": make_rule_screen,
        }[self.table.id]
        form, table = new(self.deck.client_factory), self.table
        self.app.push_screen(
            form, lambda sent: table.go_when_listed(form.created_key) if sent else None
        )

    def action_clear(self) -> None:
        """Return to live, else clear the filter, the marks or the welcome text."""
        if self.deck.time_travel.return_to_live():
            self.deck.show_message(tr("The deck is live again."))
        elif filtered := self.clear_filter():
            self.deck.show_message(
                tr("The filter is cleared: all {filtered} is shown.", filtered=filtered)
            )
        elif self.table.clear_marks():
            self.deck.show_message(tr("The marks are cleared."))
        else:
            self._shows_welcome = False
        self.show_board()

    def action_welcome(self) -> None:
        self._shows_welcome = True
        self.show_board()

    def on_key(self, event: events.Key) -> None:
        """Explain keys of the task list, and once each those known from other programs."""
        if event.key in TASK_LIST_KEYS and not isinstance(self.focused, Input):
            event.stop()
            self.deck.show_message(tr(TASK_LIST_HINT), "warn")
        if event.key in FOREIGN_KEYS and not isinstance(self.focused, Input):
            self.deck.show_message_once(
                tr("{key} is {here} here.", key=event.key.upper(), here=FOREIGN_KEYS[event.key])
            )


def _list_narrow_places() -> str:
    """Return the places for terminals too narrow for the header's second line."""
    return "  ".join(
        f"{key} {tr(name if key.isdigit() else SHORT_NAMES[name])}" for key, name in PLACES
    )


TASK_LIST_KEYS = ("asterisk", "v")
TASK_LIST_HINT = tr_noop(
    "* and v mark in the list of tasks: 5 opens it (5, then F: what failed). space marks one row."
)
FOREIGN_KEYS: dict[str, str] = {
    "f3": "/",
    "f4": "/",
    "f9": "x",
    "f10": "q",
    "delete": "D",
    "insert": "n",
}
"""Keys known from other programs, with their equivalents here."""
