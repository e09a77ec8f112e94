"""Database screen: size, backups, next deletions, slow statements and index use.

Opened from the command palette.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.errors import Problem, Storage, Usage
from app.paths import get_config_path
from app.translation import tr
from app.tui.pages.database import DatabaseReplies, build_database_sections
from app.tui.screens.base_page import PageScreen
from app.tui.widgets.banner import DATABASE_KEY
from app.tui.widgets.document import DocumentView
from app.tui.widgets.footer import KeyHint

if TYPE_CHECKING:
    from app.client import Client


class DatabaseScreen(PageScreen):
    """Diagnostics of the database.

    Slow statements are reread with the board; sizes only once, because measuring reads the whole
    file.
    """

    KEY = DATABASE_KEY
    PLACE = "B"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "measure", "Measure again", id="database.measure"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "DatabaseScreen { DocumentView { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self._found = DatabaseReplies()
        self._has_quick_results = False
        """True once the quick results were requested; the file is measured next."""
        self._open: set[str] = set()

    def compose_body(self) -> Iterable[Widget]:
        yield DocumentView(id="database")

    def on_mount(self) -> None:
        self._draw()
        self.query_one(DocumentView).focus()

    def make_heading(self) -> str:
        return self.look.adapt_text(f"{self.opened_from} › {tr('Database')}")

    def list_hints(self) -> list[KeyHint]:
        plan = [KeyHint("↵", "its plan", "enter", 1)] if self.query_one(DocumentView).cursor else []
        return [*plan, KeyHint("j k", "move", "j", 3), KeyHint("R", "measure again", "R", 4)]

    def reread(self) -> None:
        measure = self._has_quick_results and (
            not self._found.measured or any(verb in self._found.failed for verb in MEASURING)
        )
        up = self.board is not None and self.board.runtime.state == "running"
        self.read(lambda client: _read_diagnostics(client, measure, up), self._apply_results)

    def _apply_results(self, found: DatabaseReplies) -> None:
        """Show the quick results at once, then measure the file."""
        before, self._has_quick_results = self._found, True
        if not found.measured:
            measuring_errors = {
                verb: why for verb, why in before.failed.items() if verb in MEASURING
            }
            found = found._replace(
                stats=before.stats,
                cleanup=before.cleanup,
                failed={**found.failed, **measuring_errors},
                measured=before.measured,
            )
        self._found = found
        self._draw()
        self.refresh_chrome()
        if not found.measured:
            self.reread()

    def show_read_error(self, text: str) -> None:
        """Keep the last results and show why they cannot be reread."""
        super().show_read_error(text)
        self._found = self._found._replace(failed={**self._found.failed, ALL_VERBS: text})
        self._draw()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        backup = self.board.backup if self.board else None
        gone = backup is not None and backup.at is None and backup.late
        room = self.app.size.width
        self.query_one(DocumentView).show(
            build_database_sections(
                self._found, self._open, self.now, room, self.look, get_config_path(), gone
            )
        )

    @on(DocumentView.Opened)
    def _handle_open(self, event: DocumentView.Opened) -> None:
        """Show a statement in full, or on one line again."""
        self._open ^= {event.target}
        self._draw()

    def action_measure(self) -> None:
        failed = {verb: why for verb, why in self._found.failed.items() if verb not in MEASURING}
        self._found = self._found._replace(stats=None, cleanup=None, failed=failed, measured=False)
        self._draw()
        self.reread()


MEASURING = ("db.stats", "db.cleanup")
"""Verbs that read the whole file."""
ALL_VERBS = "all"
"""Key in `failed` for an error that stopped every verb."""


def _read_diagnostics(client: Client, measure: bool, up: bool) -> DatabaseReplies:
    """Return the results of all verbs.

    A damaged database, a full disk or a wrong setting fails single verbs; `failed` holds their
    errors.
    """
    failed: dict[str, str] = {}

    def ask(verb: str, args: dict[str, Any] | None = None) -> Any:
        try:
            return client.call(verb, args or {})
        except Problem as problem:
            if problem.exit_code not in (Storage.exit_code, Usage.exit_code):
                raise
            failed[verb] = str(problem)
            return None

    found = DatabaseReplies(
        ask("db.slow"), ask("db.backups"), ask("db.replica.status"), failed=failed
    )
    if not measure:
        return found
    # only a runtime knows the retention rules
    cleanup = ask("db.cleanup", {"dry_run": True}) if up else None
    return found._replace(
        stats=ask("db.stats"), cleanup=cleanup["next"] if cleanup else None, measured=True
    )
