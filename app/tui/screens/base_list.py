"""Base of list screens: a table with a filter, an order and the age of its data.

A screen returns its table sections from `list_sections()`, reads in `reread()` with
`self.read(work, then)` and shows rows with `self.table.show({part: rows})`. Rows are frozen values
with a `key`. The filter matches `collect_facts(row)`; a screen that filters in the runtime (a
million tasks) overrides `apply_filter()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr
from app.tui.actions.question import Answer, Question
from app.tui.screens.base_page import PageScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.widgets import row_filter
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.filter_input import FILTER_HINTS, FilterInput
from app.tui.widgets.footer import BACK_HINT, HELP_HINT, KeyHint, MessageLine
from app.tui.widgets.modal import is_visible_under_modal
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client


class ListScreen(PageScreen):
    """List that fills the screen."""

    TITLE_TEXT: ClassVar[str] = ""
    """Title, such as `5 Tasks`."""
    HEADING_CUT = "end"
    ORDERS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """Orders that `o` offers: letter, name, label."""
    QUALIFIERS: ClassVar[tuple[str, ...]] = ()
    """Qualifiers of the filter, such as `by:`; each names a value of `collect_facts`."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,fullwidth_solidus", "filter", "Filter the list", id="list.filter"),
        Binding("o", "order", "Order: choose a column, again reverses", id="list.order"),
        Binding("escape", "clear", "Clear filter and marks, then back", id="list.clear"),
        Binding("q", "leave", "Back", id="page.back"),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo"),
    ]
    DEFAULT_CSS = """
    ListScreen {
        Table { height: 1fr; width: 1fr; overflow: hidden; }
        #filter { display: none; height: 1; width: 1fr; padding: 0 1; background: $background; }
    }
    """

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.words = ""
        """Text of the filter line."""
        self.order = self.ORDERS[0][1] if self.ORDERS else ""
        self.down = True
        """True if the greatest or newest row comes first."""
        self.settled = asyncio.Event()
        """Set once the rows match the last request; keys wait for the event."""

    @property
    def rows_settled(self) -> asyncio.Event:
        return self.settled

    # Overridden by screens

    def show_detail(self) -> None:
        """Show what `detail` makes below the list."""
        self.query_one(DetailBox).show(self.detail)

    def detail(self, room: int, height: int) -> DetailContent:
        """Return the details of the row under the cursor, in `room` cells and `height` lines."""
        return "", "", []

    def list_sections(self) -> Sequence[TableSection]:
        """Return the sections of the table."""
        raise NotImplementedError

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        """Return the values that the filter matches, by name."""
        return {}

    def list_values(self) -> Mapping[str, Sequence[str]]:
        """Return the known values of each qualifier, by its name."""
        return {}

    def find_completions(self, text: str) -> Sequence[str]:
        """Return the filter lines that tab completes a text to."""
        return row_filter.list_completions(text, self.QUALIFIERS, self.list_values())

    def list_row_hints(self) -> list[KeyHint]:
        """Return the hints for the row under the cursor."""
        return []

    def apply_filter(self) -> None:
        """Apply the changed filter."""
        keep = row_filter.make_row_predicate(self.words, self.collect_facts)
        self.table.filter(keep, self.look.sanitize(self.words))
        self.refresh_chrome()

    def _finish_read(
        self, then: Callable[[Any], None], found: Any, error: Exception | None
    ) -> None:
        super()._finish_read(then, found, error)
        self.settle()

    def settle(self) -> None:
        """Release keys that wait for rows: a reading has ended."""
        self.settled.set()

    def apply_order(self) -> None:
        """Apply the changed order."""
        self.reread()

    # Widgets

    def compose_body(self) -> Iterable[Widget]:
        yield self.make_table()
        yield from self.compose_below()
        yield FilterInput()

    def make_table(self) -> Table:
        """Return the table of the list."""
        return Table(self.list_sections(), id="list")

    def compose_below(self) -> Iterable[Widget]:
        """Return the widgets between the table and the bottom lines."""
        return ()

    @property
    def table(self) -> Table:
        """Focused table, else the first one."""
        focused = self.focused
        return focused if isinstance(focused, Table) else self.query(Table).first()

    def on_mount(self) -> None:
        table = self.query(Table).first()
        table.is_title_elsewhere = len(table.views) == 1
        self.set_focus(table)

    def make_heading(self) -> str:
        """Return the title; that of a table with one section names its rows, marks and filter."""
        table = self.query(Table).first()
        if not table.is_title_elsewhere or not table.views[0].title:
            return self.look.adapt_text(tr(self.TITLE_TEXT))
        return f"{self.PLACE} {table.format_title()}".strip()

    @property
    def breadcrumb(self) -> str:
        return tr(self.TITLE_TEXT).removeprefix(self.PLACE).lstrip()

    def list_hints(self) -> list[KeyHint]:
        hints = self.list_row_hints()
        hints.append(KeyHint("/", "filter", "slash", 4))
        return [*hints, KeyHint("o", "order", "o", 9)] if self.ORDERS else hints

    def list_keys(self) -> list[KeyHint]:
        if self.query_one(FilterInput).is_open:
            return FILTER_HINTS
        undo = [KeyHint("u", "undo", "u", 12)] if self.deck.undo_stack.can_undo else []
        return [*self.list_hints(), *undo, HELP_HINT, BACK_HINT]

    def refresh_freshness(self) -> None:
        is_new = self.table.note != self.freshness
        self.table.note = self.freshness
        self.table.redraw()
        if is_new and self.table.is_title_elsewhere:
            self.refresh_chrome()

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self):
            self.refresh_freshness()

    @on(Table.Moved)
    def _handle_cursor_move(self) -> None:
        self.refresh_chrome()

    # Filter

    def action_filter(self) -> None:
        line = self.query_one(FilterInput)
        line.set_completer(self.find_completions)
        line.open(self.words)
        self.query_one(MessageLine).display = False
        self.set_focus(line)
        self.refresh_chrome()

    @on(FilterInput.Changed)
    def _handle_filter_change(self, event: FilterInput.Changed) -> None:
        event.stop()
        self.words = event.value
        self.apply_filter()

    @on(FilterInput.Left)
    def _handle_filter_close(self, event: FilterInput.Left) -> None:
        if not event.keep and self.words:
            self.words = ""
            self.apply_filter()
        self.query_one(MessageLine).display = True
        self.set_focus(self.query(Table).first())
        self.refresh_chrome()

    def filter_by(self, words: str) -> None:
        """Set the filter."""
        self.words = words
        self.apply_filter()

    def action_clear(self) -> None:
        """Clear the filter, else the marks, else close the screen."""
        if self.words:
            self.filter_by("")
            self.show_message(tr("The filter is cleared."), stays=False)
        elif self.table.clear_marks():
            self.show_message(tr("The marks are cleared."), stays=False)
        else:
            self.dismiss(None)

    # Order

    def list_orders(self) -> Sequence[tuple[str, str, str]]:
        """Return the orders that `o` offers now."""
        return self.ORDERS

    def action_order(self) -> None:
        """Ask for the order; choosing the current order reverses it."""
        if not self.ORDERS:
            self.show_message(tr("This list has one order."), stays=False)
            return
        answers = [
            Answer(letter, self._format_order(name, words))
            for letter, name, words in self.list_orders()
        ]
        question = Question(
            tr("Order by"),
            [],
            [*answers, Answer("n", tr("keep"))],
            safe="n",
            column=True,
            confirm_delay=0.0,
        )
        self.app.push_screen(ChoiceScreen(question), self._apply_order_choice)

    def _format_order(self, name: str, words: str) -> str:
        current = tr(" (current; again to reverse)") if name == self.order else ""
        return f"{tr(words)}{current}"

    def _apply_order_choice(self, letter: str | None) -> None:
        chosen = next((name for key, name, _ in self.list_orders() if key == letter), None)
        if chosen is not None:
            self.down = not self.down if chosen == self.order else True
            self.order = chosen
            self.apply_order()
