"""The database: how large it is, what was slow, and what its indexes are worth. Opened from the palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.tui.databasedoc import sections
from app.tui.doc import Doc
from app.tui.footer import Hint
from app.tui.screens.page import PageScreen

if TYPE_CHECKING:
    from app.client import Client

Read = tuple[Sequence[Mapping[str, Any]], Mapping[str, Any] | None]
"""What `db.slow` and `db.stats` answer."""


class DatabaseScreen(PageScreen):
    """What was slow is read again with the board; sizes, which take reading the whole file, once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "measure", "Measure again", id="database.measure"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "DatabaseScreen { Doc { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self._listed: Sequence[Mapping[str, Any]] | None = None
        self._stats: Mapping[str, Any] | None = None
        self._open: set[str] = set()

    def body(self) -> Iterable[Widget]:
        yield Doc(id="database")

    def on_mount(self) -> None:
        self.query_one(Doc).focus()

    def heading(self) -> str:
        return self.look.own("Deck › Database")

    def hints(self) -> list[Hint]:
        return [Hint("↵", "its plan", "enter", 1), Hint("j k", "move", "j", 3), Hint("R", "measure again", "R", 4)]

    def reread(self) -> None:
        measure = self._listed is not None and self._stats is None
        self.read(lambda client: (client.call("db.slow"), client.call("db.stats") if measure else None), self._take)

    def _take(self, found: Read) -> None:
        """What was slow is shown at once, and only then the file is measured."""
        self._listed, self._stats = found[0], found[1] or self._stats
        self._draw()
        if self._stats is None:
            self.reread()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        if self._listed is not None:
            room = self.app.size.width
            self.query_one(Doc).show(sections(self._listed, self._stats, self._open, self.now, room, self.look))

    @on(Doc.Opened)
    def _opened(self, event: Doc.Opened) -> None:
        """Show a statement whole, or in its line again."""
        self._open ^= {event.target}
        self._draw()

    def action_measure(self) -> None:
        """Read the whole file again."""
        self._stats = None
        self._draw()
        self.reread()
