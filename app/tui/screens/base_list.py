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
from app.tui.widgets.detail import Detail, Made
from app.tui.widgets.filter_input import FILTERING, FilterLine
from app.tui.widgets.footer import BACK, HELP, Hint, MessageLine
from app.tui.widgets.modal import in_sight
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import Part

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
        self.query_one(Detail).show(self.detail)

    def detail(self, room: int, height: int) -> Made:
        """Return what there is to know about the row under the cursor, in so many cells and lines."""
        return "", "", []

    def parts(self) -> Sequence[Part]:
        """The parts of the table."""
        raise NotImplementedError

    def facts(self, row: Any) -> Mapping[str, Any]:
        """What words and qualifiers of the filter look at, by name."""
        return {}

    def names(self) -> Mapping[str, Sequence[str]]:
        """What each qualifier is completed to, by its name."""
        return {}

    def completions(self, text: str) -> Sequence[str]:
        """The lines that what was typed may become by tab."""
        return row_filter.completions(text, self.QUALIFIERS, self.names())

    def row_hints(self) -> list[Hint]:
        """The keys for the row under the cursor."""
        return []

    def filtered(self) -> None:
        """The filter says something else: show what it means."""
        keep = row_filter.over(self.words, self.facts)
        self.table.filter(keep, self.look.theirs(self.words))

    def _have_read(self, then: Callable[[Any], None], found: Any, error: Exception | None) -> None:
        super()._have_read(then, found, error)
        self.settle()

    def settle(self) -> None:
        """Something was read."""
        self.settled.set()

    def ordered(self) -> None:
        """Another order was chosen."""
        self.reread()

    # -- the widgets ------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        yield self.make_table()
        yield from self.below()
        yield FilterLine()

    def make_table(self) -> Table:
        """The table of the list."""
        return Table(self.parts(), id="list")

    def below(self) -> Iterable[Widget]:
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

    def heading(self) -> str:
        return self.look.own(self.TITLE_TEXT)

    @property
    def crumb(self) -> str:
        return self.TITLE_TEXT.removeprefix(self.PLACE).lstrip()

    def hints(self) -> list[Hint]:
        hints = self.row_hints()
        hints.append(Hint("/", "filter", "slash", 4))
        return [*hints, Hint("o", "order", "o", 9)] if self.ORDERS else hints

    def keys(self) -> list[Hint]:
        if self.query_one(FilterLine).is_open:
            return FILTERING
        undo = [Hint("u", "undo", "u", 12)] if self.deck.can_undo else []
        return [*self.hints(), *undo, HELP, BACK]

    def freshened(self) -> None:
        self.table.note = self.freshness
        self.table.redraw()

    def every_second(self) -> None:
        super().every_second()
        if in_sight(self):
            self.freshened()

    @on(Table.Moved)
    def _cursor_moved(self) -> None:
        self.refresh_chrome()

    # -- the filter -------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Open the filter line."""
        line = self.query_one(FilterLine)
        line.offer(self.completions)
        line.open(self.words)
        self.query_one(MessageLine).display = False
        self.set_focus(line)
        self.refresh_chrome()

    @on(FilterLine.Changed)
    def _typed(self, event: FilterLine.Changed) -> None:
        event.stop()
        self.words = event.value
        self.filtered()

    @on(FilterLine.Left)
    def _left(self, event: FilterLine.Left) -> None:
        if not event.keep and self.words:
            self.words = ""
            self.filtered()
        self.query_one(MessageLine).display = True
        self.set_focus(self.query(Table).first())
        self.refresh_chrome()

    def filter_by(self, words: str) -> None:
        """Show what these words mean."""
        self.words = words
        self.filtered()

    def action_clear(self) -> None:
        """Clear the filter, then the marks; then there is nothing left but to go back."""
        if self.words:
            self.filter_by("")
            self.say("The filter is cleared.", stays=False)
        elif self.table.clear_marks():
            self.say("The marks are taken away.", stays=False)
        else:
            self.dismiss(None)

    # -- the order --------------------------------------------------------------------------------------------------

    def action_order(self) -> None:
        """Choose a column to order by; the same again turns it round."""
        if not self.ORDERS:
            self.say("This list has one order.", stays=False)
            return
        answers = [Answer(letter, self._order_words(name, words)) for letter, name, words in self.ORDERS]
        question = Question("Order by", [], [*answers, Answer("n", "as it is")], safe="n", column=True, deaf=0.0)
        self.app.push_screen(ChoiceScreen(question), self._order_chosen)

    def _order_words(self, name: str, words: str) -> str:
        return f"{words}{', now; again turns it round' if name == self.order else ''}"

    def _order_chosen(self, letter: str | None) -> None:
        chosen = next((name for key, name, _ in self.ORDERS if key == letter), None)
        if chosen is not None:
            self.down = not self.down if chosen == self.order else True
            self.order = chosen
            self.ordered()
