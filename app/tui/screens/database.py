"""The database: how large it is, its backups, what goes next, what was slow, what its indexes are worth. Opened from the palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.errors import Problem, Storage, Usage
from app.paths import config_file
from app.tui.pages.database import Read, sections
from app.tui.screens.base_page import PageScreen
from app.tui.widgets.banner import DATABASE
from app.tui.widgets.document import Doc
from app.tui.widgets.footer import Hint

if TYPE_CHECKING:
    from app.client import Client

class DatabaseScreen(PageScreen):
    """What was slow is read again with the board; sizes, which take reading the whole file, once."""

    KEY = DATABASE
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "measure", "Measure again", id="database.measure"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "DatabaseScreen { Doc { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self._found = Read()
        self._once = False
        """Whether what is quickly read was asked for, after which the file is measured."""
        self._open: set[str] = set()

    def body(self) -> Iterable[Widget]:
        yield Doc(id="database")

    def on_mount(self) -> None:
        self._draw()
        self.query_one(Doc).focus()

    def heading(self) -> str:
        return self.look.own(f"{self.opened_from} › Database")

    def hints(self) -> list[Hint]:
        plan = [Hint("↵", "its plan", "enter", 1)] if self.query_one(Doc).cursor else []
        return [*plan, Hint("j k", "move", "j", 3), Hint("R", "measure again", "R", 4)]

    def reread(self) -> None:
        measure = self._once and (not self._found.measured or any(verb in self._found.failed for verb in MEASURING))
        up = self.board is not None and self.board.runtime.state == "running"
        self.read(lambda client: _read(client, measure, up), self._take)

    def _take(self, found: Read) -> None:
        """What was slow is shown at once, and only then the file is measured."""
        before, self._once = self._found, True
        if not found.measured:
            kept = {verb: why for verb, why in before.failed.items() if verb in MEASURING}
            found = found._replace(stats=before.stats, going=before.going, failed={**found.failed, **kept}, measured=before.measured)
        self._found = found
        self._draw()
        self.refresh_chrome()
        if not found.measured:
            self.reread()

    def unread(self, text: str) -> None:
        """What was read stays, with why it is not read again."""
        super().unread(text)
        self._found = self._found._replace(failed={**self._found.failed, ALL: text})
        self._draw()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        backup = self.board.backup if self.board else None
        gone = backup is not None and backup.at is None and backup.late
        room = self.app.size.width
        self.query_one(Doc).show(sections(self._found, self._open, self.now, room, self.look, config_file(), gone))

    @on(Doc.Opened)
    def _opened(self, event: Doc.Opened) -> None:
        """Show a statement whole, or in its line again."""
        self._open ^= {event.target}
        self._draw()

    def action_measure(self) -> None:
        """Read the whole file again."""
        failed = {verb: why for verb, why in self._found.failed.items() if verb not in MEASURING}
        self._found = self._found._replace(stats=None, going=None, failed=failed, measured=False)
        self._draw()
        self.reread()


MEASURING = ("db.stats", "db.cleanup")
"""Verbs that read the whole file."""
ALL = "all"
"""Stands for the verbs when none could be asked."""


def _read(client: Client, measure: bool, up: bool) -> Read:
    """What can be read: of a sick database or disk, and of settings that are wrong, each verb says by itself what it lacks."""
    failed: dict[str, str] = {}

    def ask(verb: str, args: dict[str, Any] | None = None) -> Any:
        try:
            return client.call(verb, args or {})
        except Problem as problem:
            if problem.exit_code not in (Storage.exit_code, Usage.exit_code):
                raise
            failed[verb] = str(problem)
            return None

    found = Read(ask("db.slow"), ask("db.backups"), ask("db.replica.status"), failed=failed)
    if not measure:
        return found
    going = ask("db.cleanup", {"dry_run": True}) if up else None  # only a runtime knows the rules by which something goes
    return found._replace(stats=ask("db.stats"), going=going["next"] if going else None, measured=True)
