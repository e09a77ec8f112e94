"""The database: how large it is, its backups, what goes next, what was slow, what its indexes are worth. Opened from the palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.tui.databasedoc import sections
from app.tui.doc import Doc
from app.tui.footer import Hint
from app.tui.screens.page import PageScreen

if TYPE_CHECKING:
    from app.client import Client

Told = Mapping[str, Any]


class Read(NamedTuple):
    """What `db.slow` and `db.backups` answer; `db.stats`, and of `db.cleanup` what would go, once they were measured."""

    slow: Sequence[Told]
    backups: Sequence[Told]
    stats: Told | None = None
    going: Told | None = None


class DatabaseScreen(PageScreen):
    """What was slow is read again with the board; sizes, which take reading the whole file, once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "measure", "Measure again", id="database.measure"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "DatabaseScreen { Doc { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self._found: Read | None = None
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
        measure = self._found is not None and self._found.stats is None
        up = self.board is not None and self.board.runtime.state == "running"
        self.read(lambda client: _read(client, measure, up), self._take)

    def _take(self, found: Read) -> None:
        """What was slow is shown at once, and only then the file is measured."""
        if self._found and found.stats is None:
            found = found._replace(stats=self._found.stats, going=self._found.going)
        self._found = found
        self._draw()
        if found.stats is None:
            self.reread()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        if self._found is not None:
            self.query_one(Doc).show(sections(*self._found, self._open, self.now, self.app.size.width, self.look))

    @on(Doc.Opened)
    def _opened(self, event: Doc.Opened) -> None:
        """Show a statement whole, or in its line again."""
        self._open ^= {event.target}
        self._draw()

    def action_measure(self) -> None:
        """Read the whole file again."""
        if self._found:
            self._found = self._found._replace(stats=None, going=None)
        self._draw()
        self.reread()


def _read(client: Client, measure: bool, up: bool) -> Read:
    """Only a runtime knows the rules by which something goes."""
    slow, backups = client.call("db.slow"), client.call("db.backups")
    if not measure:
        return Read(slow, backups)
    return Read(slow, backups, client.call("db.stats"), client.call("db.cleanup", {"dry_run": True})["next"] if up else None)
