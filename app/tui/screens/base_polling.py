"""Base of screens that read from the runtime in threads, and again when the board changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.screen import ModalScreen

from app.core.board import Board
from app.core.text import units
from app.errors import NotFound, Problem
from app.translation import tr
from app.tui.deck_app import DeckNode
from app.tui.error_boundary import SafeScreen
from app.tui.widgets.modal import is_visible_under_modal

if TYPE_CHECKING:
    from app.client import Client

REREAD_INTERVAL = 0.5
"""Seconds between two readings, however often the board changes."""
STALE_AFTER = 2.0
"""Age in seconds from which data being reread show their age."""
LOADING_DELAY = 0.15
"""Seconds of reading before the screen shows `loading`."""


class PollingScreen(DeckNode, SafeScreen[Any]):
    """Screen that reads with verbs.

    `reread` sends the request; `call` delivers the answer in the app's thread.
    """

    SINGLE_SUBJECT: ClassVar[bool] = False
    """True if the screen is about one object, so that a missing object concerns all of it."""

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__()
        self.client_factory = client_factory
        self._reread_pending = False
        self._reading_since: float | None = None
        self._read_at: float | None = None
        self._failed = False

    def on_mount(self) -> None:
        self.watch(self.app, "board", self.handle_board_change, init=False)

    @property
    def board(self) -> Board | None:
        """Latest board, or None before the first one."""
        return self.deck.board

    def reread(self) -> None:
        """Read the shown data again."""

    def show_refusal(self, text: str) -> None:
        """Show why a verb was refused; `text` is not sanitized."""

    def show_read_error(self, text: str) -> None:
        """Show why a reading failed and keep the old data; `text` is not sanitized."""
        self.show_refusal(text)

    def clear_read_error(self) -> None:
        """Clear the read error after a successful reading."""

    def handle_missing(self, text: str) -> None:
        """Handle a subject that is gone or never existed; `text` is not sanitized."""
        self.show_refusal(text)

    @property
    def reread_interval(self) -> float:
        """Seconds between two readings."""
        return REREAD_INTERVAL

    def handle_board_change(self) -> None:
        """Reread after a change of the board, at most once an interval."""
        if not self._reread_pending:
            self._reread_pending = True
            self.set_timer(self.reread_interval, self._reread_if_visible)

    def _reread_if_visible(self) -> None:
        self._reread_pending = False
        if self.app.screen is self or (
            is_visible_under_modal(self) and not isinstance(self, ModalScreen)
        ):
            self.reread()

    def on_screen_resume(self) -> None:
        self.reread()

    def read(self, work: Callable[[Client], Any], then: Callable[[Any], None]) -> None:
        """Read in a thread, one reading at a time, and pass the result to `then`.

        `freshness` is the age of the data. A failed reading keeps the old data.
        """
        if self._reading_since is None:
            self._reading_since = self.ticks
            self.set_timer(LOADING_DELAY, self._show_slow_read)
            self._read_in_thread(work, then)

    @work(thread=True, group="reading", exit_on_error=False)
    def _read_in_thread(self, work: Callable[[Client], Any], then: Callable[[Any], None]) -> None:
        client = self.client_factory()
        try:
            self.call_later(self._finish_read, then, work(client), None)
        except Exception as error:
            self.call_later(self._finish_read, then, None, error)
        finally:
            client.close()

    def _finish_read(
        self, then: Callable[[Any], None], found: Any, error: Exception | None
    ) -> None:
        mended = self._failed and error is None
        self._reading_since, self._failed = None, error is not None
        if error is None:
            self._read_at = self.ticks
            then(found)
            if mended:
                self.clear_read_error()
        elif self.SINGLE_SUBJECT and _is_missing(error):
            self.handle_missing(str(error))
        else:
            self.show_read_error(str(error))
        self.refresh_freshness()

    def _show_slow_read(self) -> None:
        if self._reading_since is not None:
            self.refresh_freshness()

    @property
    def unread_notice(self) -> str:
        """Message for a key pressed before any rows were read, else ""."""
        if self._read_at is not None:
            return ""
        return (
            tr("The list could not be read.")
            if self._failed
            else tr("Nothing was read yet. Press the key again.")
        )

    @property
    def freshness(self) -> str:
        """`loading` during a slow first reading, `12s old` while data are stale, else ""."""
        waits = (
            self._reading_since is not None and self.ticks - self._reading_since >= LOADING_DELAY
        )
        if self._read_at is None:
            return tr("loading") if waits else ""
        age = self.ticks - self._read_at
        return (
            tr("{age} old", age=units.format_age(age))
            if self._failed or (waits and age > STALE_AFTER)
            else ""
        )

    def refresh_freshness(self) -> None:
        """Show the changed `freshness`."""

    @property
    def ticks(self) -> float:
        """Monotonic seconds."""
        return self.deck.ticks()

    def call(self, verb: str, args: Mapping[str, Any], then: Callable[[Any], None]) -> None:
        """Call one verb of the runtime in a thread."""
        self.ask(lambda client: client.call(verb, dict(args)), then)

    @work(thread=True, group="asking", exit_on_error=False)
    def ask(self, work: Callable[[Client], Any], then: Callable[[Any], None]) -> None:
        """Run `work` with a client in a thread.

        `then` gets the result; `show_refusal` gets the message of a problem.
        """
        client = self.client_factory()
        try:
            self.call_later(then, work(client))
        # The screen that asked shows any error of this thread.
        except Exception as error:
            self.call_later(
                self.handle_missing if _is_missing(error) else self.show_refusal, str(error)
            )
        finally:
            client.close()


def _is_missing(error: Exception) -> bool:
    return isinstance(error, Problem) and error.exit_code == NotFound.exit_code
