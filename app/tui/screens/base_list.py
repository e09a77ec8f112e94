"""The base of the screens that are a list: a table under a title, `/` to filter, `o` to order, its age when reading fails.

A screen names its parts in `parts()`, reads in `reread()` with `self.read(work, then)`, and shows rows with
`self.table.show({part: rows})`. Rows are frozen things with a `key`. The filter looks at `facts(row)`; a screen that filters
where the data is (a million tasks) has `filtered()` of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.tui.screens.base_page import PageScreen
from app.tui.screens.dialogs.choice import Answer, ChoiceScreen, Question
from app.tui.widgets import row_filter
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.filter_input import FILTER_HINTS, FilterInput
from app.tui.widgets.footer import BACK_HINT, HELP_HINT, KeyHint, MessageLine
from app.tui.widgets.modal import is_visible_under_modal
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.app import TaskdeckApp


class ListScreen(PageScreen):
    """A list that fills the screen."""

    TITLE_TEXT: ClassVar[str] = ""
    """Where one is: `5 Tasks`."""
    ORDERS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """What `o` offers: the letter, the name of the order, its words."""
    QUALIFIERS: ClassVar[tuple[str, ...]] = ()
    """The qualifiers its filter knows, such as `by:`; all are names in `facts`."""
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
        """What stands in the filter line."""
        self.order = self.ORDERS[0][1] if self.ORDERS else ""
        self.down = True
        """Whether the greatest, or newest, stands first."""
        self.settled = asyncio.Event()
        """Whether the rows are those that were asked for; a key waits for them, so that none is lost and no verb meets a row of before."""

    # -- what a screen gives ----------------------------------------------------------------------------------------

    def show_detail(self) -> None:
        """Show what `detail` makes below the list."""
        self.query_one(DetailBox).show(self.detail)

    def detail(self, room: int, height: int) -> DetailContent:
        """Return what there is to know about the row under the cursor, in so many cells and lines."""
        return "", "", []

    def list_sections(self) -> Sequence[TableSection]:
        """The parts of the table."""
        raise NotImplementedError

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        """What words and qualifiers of the filter look at, by name."""
        return {}

    def list_values(self) -> Mapping[str, Sequence[str]]:
        """What each qualifier is completed to, by its name."""
        return {}

    def find_completions(self, text: str) -> Sequence[str]:
        """The lines that what was typed may become by tab."""
        return row_filter.list_completions(text, self.QUALIFIERS, self.list_values())

    def list_row_hints(self) -> list[KeyHint]:
        """The keys for the row under the cursor."""
        return []

    def apply_filter(self) -> None:
        """The filter says something else: show what it means."""
        keep = row_filter.make_row_predicate(self.words, self.collect_facts)
        self.table.filter(keep, self.look.sanitize(self.words))

    def _finish_read(self, then: Callable[[Any], None], found: Any, error: Exception | None) -> None:
        super()._finish_read(then, found, error)
        self.settle()

    def settle(self) -> None:
        """Something was read."""
        self.settled.set()

    def apply_order(self) -> None:
        """Another order was chosen."""
        self.reread()

    # -- the widgets ------------------------------------------------------------------------------------------------

    def compose_body(self) -> Iterable[Widget]:
        yield self.make_table()
        yield from self.compose_below()
        yield FilterInput()

    def make_table(self) -> Table:
        """The table of the list."""
        return Table(self.list_sections(), id="list")

    def compose_below(self) -> Iterable[Widget]:
        """What stands between the table and the bottom lines."""
        return ()

    @property
    def table(self) -> Table:
        """The list, or the one that has the focus where there are several."""
        focused = self.focused
        return focused if isinstance(focused, Table) else self.query(Table).first()

    @property
    def deck(self) -> TaskdeckApp:
        """The app."""
        return cast("TaskdeckApp", self.app)

    def on_mount(self) -> None:
        self.set_focus(self.query(Table).first())

    def make_heading(self) -> str:
        return self.look.adapt_text(self.TITLE_TEXT)

    @property
    def breadcrumb(self) -> str:
        return self.TITLE_TEXT.removeprefix(self.PLACE).lstrip()

    def list_hints(self) -> list[KeyHint]:
        hints = self.list_row_hints()
        hints.append(KeyHint("/", "filter", "slash", 4))
        return [*hints, KeyHint("o", "order", "o", 9)] if self.ORDERS else hints

    def list_keys(self) -> list[KeyHint]:
        if self.query_one(FilterInput).is_open:
            return FILTER_HINTS
        undo = [KeyHint("u", "undo", "u", 12)] if self.deck.can_undo else []
        return [*self.list_hints(), *undo, HELP_HINT, BACK_HINT]

    def refresh_freshness(self) -> None:
        self.table.note = self.freshness
        self.table.redraw()

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self):
            self.refresh_freshness()

    @on(Table.Moved)
    def _handle_cursor_move(self) -> None:
        self.refresh_chrome()

    # -- the filter -------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Open the filter line."""
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
        """Show what these words mean."""
        self.words = words
        self.apply_filter()

    def action_clear(self) -> None:
        """Clear the filter, then the marks; then there is nothing left but to go back."""
        if self.words:
            self.filter_by("")
            self.show_message("The filter is cleared.", stays=False)
        elif self.table.clear_marks():
            self.show_message("The marks are taken away.", stays=False)
        else:
            self.dismiss(None)

    # -- the order --------------------------------------------------------------------------------------------------

    def action_order(self) -> None:
        """Choose a column to order by; the same again turns it round."""
        if not self.ORDERS:
            self.show_message("This list has one order.", stays=False)
            return
        answers = [Answer(letter, self._format_order(name, words)) for letter, name, words in self.ORDERS]
        question = Question("Order by", [], [*answers, Answer("n", "as it is")], safe="n", column=True, deaf=0.0)
        self.app.push_screen(ChoiceScreen(question), self._apply_order_choice)

    def _format_order(self, name: str, words: str) -> str:
        return f"{words}{', now; again turns it round' if name == self.order else ''}"

    def _apply_order_choice(self, letter: str | None) -> None:
        chosen = next((name for key, name, _ in self.ORDERS if key == letter), None)
        if chosen is not None:
            self.down = not self.down if chosen == self.order else True
            self.order = chosen
            self.apply_order()
