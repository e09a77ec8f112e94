"""The deck: header, queues, pools, work, alerts, a message line and the keys for the row under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Input

from app.core.board import Board, QueueLine, RunningLine
from app.core.clean import width
from app.tui import filters, guidance
from app.tui.arrange import FULL, LEAST, arrange
from app.tui.changes import Changes
from app.tui.filterline import FilterLine
from app.tui.footer import KeyLine, MessageLine, hints_for
from app.tui.header import Banner, Bearings, Header, banner_lines
from app.tui.lines import Lines, Sturdy
from app.tui.look import Look, Span
from app.tui.panes.alerts import AlertsPane
from app.tui.panes.pools import PoolsPane
from app.tui.panes.queues import QueuesPane
from app.tui.panes.work import WorkPane
from app.tui.screens.deckverbs import DeckVerbs
from app.tui.table import Table
from app.tui.times import ago

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp

NEWS = 300.0
"""Seconds for which what somebody did stays in the message line."""
PANES = ("queues", "pools", "work", "alerts")
Pane = QueuesPane | PoolsPane | WorkPane | AlertsPane


class TooSmall(Lines):
    """The one line of a terminal that is too small for anything else."""

    def on_resize(self, event: events.Resize) -> None:
        width, height = self.app.size
        text = f"Terminal too small ({width}x{height}): needs {LEAST[0]}x{LEAST[1]}. Everything goes on; q leaves."
        self.draw([self.look.strip([(line, "")], width) for line in wrap(text, max(10, width))])


class DeckScreen(DeckVerbs, Sturdy, Screen[None]):
    """Everything at a glance, and every verb on it."""

    AUTO_FOCUS = "#work"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *DeckVerbs.BINDINGS,
        # What opens a field takes priority, so that keys typed ahead go to the field and not to verbs.
        Binding("n", "new", "New task", id="deck.new", priority=True),
        Binding(
            "slash,fullwidth_solidus",
            "filter",
            "Filter: words, status:, queue:, !word",
            id="deck.filter",
            priority=True,
        ),
        Binding("colon,fullwidth_colon", "commands", "Palette: every command", id="deck.palette", priority=True),
        Binding("f", "states", "All, active, waiting, failed", id="deck.states"),
        Binding("z", "zoom", "Zoom the pane, again back", id="deck.zoom"),
        Binding("tab", "pane(1)", "Next pane", id="deck.next-pane"),
        Binding("shift+tab", "pane(-1)", "Previous pane", id="deck.previous-pane"),
        Binding("escape", "clear", "Clear filter, marks, guidance", id="deck.clear"),
        Binding("q", "app.leave", "Leave; nothing stops", id="deck.leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()
        self.board: Board | None = None
        self._zoomed: str | None = None
        self._small = False
        self._guided = True
        self._faults: Sequence[dict[str, Any]] = ()
        self._asked_doctor = False
        self._state_filter = 0
        self._words = ""
        self._seen_failures = 0
        self._up = False

    def compose(self) -> ComposeResult:
        yield Header()
        yield Banner(id="banner")
        with Container(id="top"):
            yield QueuesPane()
            yield PoolsPane()
        yield WorkPane()
        yield AlertsPane()
        yield FilterLine()
        yield MessageLine()
        yield KeyLine()
        yield TooSmall(id="too-small")

    @property
    def deck(self) -> TaskdeckApp:
        """The app."""
        return cast("TaskdeckApp", self.app)

    @property
    def look(self) -> Look:
        """What the terminal can show."""
        return self.deck.look

    @property
    def panes(self) -> tuple[Pane, ...]:
        """The four panes in their order."""
        return (
            self.query_one(QueuesPane),
            self.query_one(PoolsPane),
            self.query_one(WorkPane),
            self.query_one(AlertsPane),
        )

    @property
    def table(self) -> Table:
        """The pane that has the focus, else the work."""
        return self.focused if isinstance(self.focused, Table) else self.query_one(WorkPane)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a field has the focus, the keys that open one are only letters."""
        return not (action in ("new", "commands", "filter") and isinstance(self.focused, Input))

    def action_commands(self) -> None:
        """The palette."""
        self.deck.action_palette()

    def on_mount(self) -> None:
        self._up = True
        self.watch(self.app, "board", self._new_board)
        self.set_interval(1.0, self._tick)

    # What is shown

    def _new_board(self, board: Board | None) -> None:
        if board is None:
            return
        self.changes.note(board, self.deck.ticks())
        self.board = board
        if self.is_current:
            self.show_board()

    def _tick(self) -> None:
        """A second has gone: ages and clocks, and rows that lingered."""
        if self.is_current:
            self.show_board()

    def on_screen_resume(self) -> None:
        self.show_board()

    def on_resize(self) -> None:
        self.show_board()

    def show_board(self) -> None:
        """Show the latest board at the present size."""
        if not self._up:
            return
        board = self.board or Board()
        self._guide(board)
        self._place(board)
        for pane in self.panes:
            if pane.display:
                self._show_pane(pane, board)
        self._chrome(board)

    def _show_pane(self, pane: Pane, board: Board) -> None:
        """A pane that fails says so in its own place, and the others go on."""
        try:
            pane.show_board(board)
        except Exception as error:
            self.deck.report(error, pane)
            text = self.look.theirs(f"This pane failed ({type(error).__name__}: {error}). The others go on.")
            pane.draw([self.look.strip([(text, "broken")], pane.size.width)])

    def _guide(self, board: Board) -> None:
        first_run = self._guided and self.board is not None and not board.ever
        if first_run and not self._asked_doctor:
            self._asked_doctor = True
            self.deck.errands.send("doctor", {}, self._doctor_says)
        narrow = self.app.size.width < 100
        self.query_one(WorkPane).guidance = (
            guidance.welcome(board.home, self._faults, self.look, narrow) if first_run else ()
        )

    def _doctor_says(self, answer: Any, error: Exception | None) -> None:
        self._faults = [check for check in answer or () if not check.get("ok", True)]

    def _place(self, board: Board) -> None:
        """Give every pane its lines."""
        width, height = self.app.size
        if not width:
            return
        tiny = width < LEAST[0] or height < LEAST[1]
        self._small = not tiny and (width < FULL[0] or height < FULL[1])
        self.set_class(tiny, "-tiny")
        banner = [] if tiny else banner_lines(board, self.deck.now(), self.look, width)
        self.query_one(Banner).show(banner)
        places = arrange(width, height, len(banner), len(board.queues), len(board.pools), len(board.alerts))
        one = self.table.id if self._small else self._zoomed
        self.set_class(places.wide and one is None, "-wide")
        work = self.query_one(WorkPane)
        work.tall = places.tall or (one == "work" and height >= FULL[1])
        self._set_height(self.query_one(Header), places.header)
        heights = {"queues": places.queues, "pools": places.pools, "work": places.work, "alerts": places.alerts}
        for pane in self.panes:
            pane.narrow = not places.wide
            pane.display = not tiny and one in (None, pane.id)
            self._set_height(pane, "1fr" if one else heights[pane.id or ""])
        top = self.query_one("#top")
        top.display = not tiny and one in (None, "queues", "pools")
        self._set_height(top, "1fr" if one else places.top)
        self._widths(one, places.wide, places.queues_width)

    def _widths(self, one: str | None, wide: bool, queues: int) -> None:
        self.query_one(QueuesPane).styles.width = queues if wide and one is None else "1fr"

    def _set_height(self, widget: Any, height: int | str) -> None:
        if widget.styles.height is None or str(widget.styles.height) != str(height):
            widget.styles.height = height

    def _chrome(self, board: Board) -> None:
        failures = max(0, board.today_failed - self._seen_failures)
        tabs = tuple((str(n + 1), "") for n in range(4)) if self._small else (("0", "Deck"),)
        here = str(PANES.index(self.table.id or "work") + 1) if self._small else ""
        self.query_one(Header).show(
            board, Bearings(places=tabs, failures=failures, read_only=self.deck.read_only, tab=here)
        )
        self._bottom(board)

    def _bottom(self, board: Board) -> None:
        stopped = board.runtime.state == "stopped"
        hints = hints_for(self.table.item, undo=bool(self.deck.undoing), stopped=stopped)
        self.query_one(KeyLine).show(hints)
        self.query_one(MessageLine).show(self._message(board))

    def _message(self, board: Board) -> Sequence[Span]:
        """What was just said, else more of the row under the cursor, else what somebody did."""
        if said := self.deck.said():
            return [said]
        row = self.table.item
        if self.app.size.width < 100 and isinstance(row, RunningLine) and row.output:
            return [(f"#{row.number}: ", "dim"), (self.look.output(row.output), "")]
        if self.query_one(WorkPane).guidance:
            return [("First time here. esc hides these lines; :welcome brings them back.", "dim")]
        news = board.news
        if news and self.deck.now() - news.at < NEWS:
            return [(self.look.theirs(f"{news.by} {news.text}, {ago(news.at, self.deck.now())}."), "dim")]
        return []

    def refresh_message(self) -> None:
        """Something was said: show it, and the keys as they are now."""
        if self.is_current:
            self._bottom(self.board or Board())

    @on(Table.Moved)
    def _cursor_moved(self) -> None:
        self._bottom(self.board or Board())

    def on_descendant_focus(self) -> None:
        if self._small or self._zoomed:
            self._zoomed = self.table.id if self._zoomed else None
            self.show_board()

    # Places

    def go_to(self, pane: int) -> None:
        """Put the focus on a pane, 1 to 4; 0 shows the deck as a whole."""
        self._zoomed = None if pane == 0 else PANES[pane - 1] if self._zoomed else None
        wanted = self.panes[pane - 1] if pane else self.query_one(WorkPane)
        wanted.display = True
        self.query_one("#top").display = True
        self.set_focus(wanted)
        self.show_board()

    def action_pane(self, by: int) -> None:
        """The next pane, or the one before."""
        self.go_to((PANES.index(self.table.id or "work") + by) % len(PANES) + 1)

    def action_zoom(self) -> None:
        """The pane alone, or all again."""
        self._zoomed = None if self._zoomed else self.table.id
        self.show_board()

    def action_clear(self) -> None:
        """Clear the filter, then the marks, then the guidance."""
        if self.table.keep is not None:
            self._words, self._state_filter = "", 0
            self.table.filter(None)
        elif not self.table.clear_marks():
            self._guided = False
        self.show_board()

    def action_welcome(self) -> None:
        """Bring the first-run lines back."""
        self._guided = True
        self.show_board()

    # Filter

    def action_filter(self) -> None:
        """Open the filter line."""
        line = self.query_one(FilterLine)
        line.queues = [queue.name for queue in self.board.queues] if self.board else []
        line.open(self._words)
        self.query_one(MessageLine).display = False
        self.set_focus(line)

    @on(FilterLine.Changed)
    def _filtering(self, event: FilterLine.Changed) -> None:
        self._words = event.value
        self._apply_filter()

    @on(FilterLine.Left)
    def _filtered(self, event: FilterLine.Left) -> None:
        if not event.keep:
            self._words = ""
            self._apply_filter()
        self.query_one(MessageLine).display = True
        self.set_focus(self.query_one(WorkPane))

    def on_key(self, event: events.Key) -> None:
        """Keys that hands bring from elsewhere are explained, once each."""
        if isinstance(self.focused, Input):
            return
        if event.character and width(event.character) > 1:
            self.deck.say_once(
                "An input method is on: its wide characters are no keys here. Press shift, or switch it off."
            )
        elif event.key in ELSEWHERE:
            self.deck.say_once(f"{event.key.upper()} is {ELSEWHERE[event.key]} here.")

    def _apply_filter(self) -> None:
        name, state = ("", None) if not self._state_filter else filters.STATES[self._state_filter - 1]
        keep = filters.both(filters.parse(self._words), state)
        self.query_one(WorkPane).filter(keep, self.look.theirs(f"{name} {self._words}".strip()))
        self._bottom(self.board or Board())

    def action_states(self) -> None:
        """All, active, waiting, failed, and round again."""
        self._state_filter = (self._state_filter + 1) % (len(filters.STATES) + 1)
        if self._state_filter == len(filters.STATES) and self.board:
            self._seen_failures = self.board.today_failed
        self._apply_filter()
        self.show_board()

    def filter_queue(self, queue: QueueLine) -> None:
        """Show the work of one queue."""
        self._words = f"queue:{queue.name.lower()}"
        self._apply_filter()
        self.set_focus(self.query_one(WorkPane))

    @on(Header.Clicked)
    def _header_clicked(self, event: Header.Clicked) -> None:
        """A click on the counters goes on to the next state."""
        if event.y == (1 if self.app.size.width >= 100 else 0):
            self.action_states()


ELSEWHERE: dict[str, str] = {"f3": "/", "f4": "/", "f9": "x", "f10": "q", "delete": "D", "insert": "n"}
"""Keys that hands bring from other programs, and what they are here."""
