"""Base of page screens: header, banner, body, message line and key hints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from app.core.board import Board
from app.translation import tr
from app.tui.deck_app import StatusScreen
from app.tui.screens.base_polling import PollingScreen
from app.tui.style import Span
from app.tui.widgets.banner import Banner, build_current_banner
from app.tui.widgets.footer import (
    BACK_HINT,
    HELP_HINT,
    KeyHint,
    KeyLine,
    MessageLine,
    keep_read_only_hints,
)
from app.tui.widgets.header import WIDE_CELLS, Header, HeaderContext
from app.tui.widgets.modal import find_modal_keys, is_visible_under_modal
from app.tui.widgets.strips import StripWidget

TWO_LINE_BANNER_HEIGHT = 24
"""Terminal height in lines from which the banner has two lines."""


class TextLine(StripWidget):
    """One line of styled spans."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spans: Sequence[Span] = ()

    def show(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._redraw()

    def _redraw(self) -> None:
        self.draw([self.look.strip(self._spans, self.size.width)])

    def fit(self) -> None:
        self._redraw()


class PageScreen(PollingScreen, StatusScreen):
    """Screen with a title in its header, a body, a message line and key hints."""

    # Textual looks for a relative path beside the module of the subclass.
    CSS_PATH: ClassVar = Path(__file__).parents[1] / "styles" / "page.tcss"
    PLACE: ClassVar[str] = ""
    """Digit that opens the screen, if there is one."""
    HEADING_CUT: ClassVar[str] = "middle"
    """Part of a long heading that is left out."""

    _read_error: tuple[str, Span | None] = ("", None)
    """Last read error, and the message about the error."""
    _reported_fault: tuple[str, Span | None] = ("", None)
    """Fault that prevented an action, and the message about the fault."""

    def compose(self) -> ComposeResult:
        yield Header()
        yield Banner()
        yield from self.compose_body()
        yield MessageLine()
        yield KeyLine()

    def compose_body(self) -> Iterable[Widget]:
        """Return the widgets between header and message line."""
        return ()

    def on_mount(self) -> None:
        self.set_interval(1.0, self.refresh_each_second)

    def make_heading(self) -> str:
        """Return the safe title for the header, such as `Deck › #1042 name`."""
        return ""

    @property
    def breadcrumb(self) -> str:
        """First part of the titles of screens opened from here; "" keeps that of this screen."""
        return ""

    @property
    def opened_from(self) -> str:
        """Name of the screen that `q` leads back to, such as `Tasks` or `Deck`."""
        stack = self.app.screen_stack
        below = stack[: stack.index(self)] if self in stack else stack
        return next(
            (
                screen.breadcrumb
                for screen in reversed(below)
                if isinstance(screen, PageScreen) and screen.breadcrumb
            ),
            tr("Deck"),
        )

    def list_hints(self) -> list[KeyHint]:
        """Return the hints for the keys that work now, without help and back."""
        return []

    def list_keys(self) -> list[KeyHint]:
        """Return the hints of the last line."""
        return [*self.list_hints(), HELP_HINT, BACK_HINT]

    # Drawing

    def refresh_chrome(self) -> None:
        """Draw header, banner and keys."""
        self.set_class(self.app.size.width >= WIDE_CELLS, "-wide")
        failures = self.deck.read_marks.count_unseen(self.board) if self.board else 0
        context = HeaderContext(
            title=self.make_heading(),
            cut=self.HEADING_CUT,
            here=self.PLACE,
            failures=failures,
            read_only=self.deck.read_only,
        )
        self.query_one(Header).show(self.board or Board(), context)
        self._show_banner()
        self.refresh_keys()

    def refresh_keys(self) -> None:
        """Draw the keys that work now: those of an open modal box, else those of the screen."""
        own = self.list_keys()
        if self.deck.read_only:
            own = keep_read_only_hints(own)
        for line in self.query(KeyLine):
            line.show(find_modal_keys(self) or own)

    def _show_banner(self) -> None:
        """Show the warnings, on one line in a low terminal."""
        banner, most = (
            self.query_one(Banner),
            2 if self.app.size.height >= TWO_LINE_BANNER_HEIGHT else 1,
        )
        banner.show(build_current_banner(banner, self.board, most=most) if self.board else [])

    def show_message(self, text: str, style: str = "", *, stays: bool | None = None) -> None:
        """Show a safe text in the message line for a while.

        With `stays=False` the text disappears when the screen is left, as for a key that did
        nothing.
        """
        self.deck.show_message(text, style, stays=stays)

    def report_fault(self, what: str, fault: str) -> None:
        """Show the fault that prevented an action, until `update_faults` finds the fault gone."""
        self.show_message(f"{what}: {self.look.sanitize(fault)}", "warn")
        self._reported_fault = fault, self.deck.get_message()

    def update_faults(self, faults: Collection[str]) -> None:
        """Clear the message of a fault that is not among these."""
        fault, message = self._reported_fault
        if message is not None and fault not in faults:
            self._reported_fault = "", None
            self.deck.retract_message(message)

    def refresh_message(self) -> None:
        """Draw the last message while it is fresh."""
        message = self.deck.get_message()
        # A screen that has just opened has no lines yet; it calls this method again later.
        for line in self.query(MessageLine):
            line.show([message] if message else [])

    def show_read_error(self, text: str) -> None:
        """Show why a reading failed, but do not repeat the error over a newer message."""
        why, was_shown = self._read_error
        if text != why or self.deck.get_message() in (None, was_shown):
            super().show_read_error(text)
            self._read_error = text, self.deck.get_message()

    def clear_read_error(self) -> None:
        self.deck.retract_message(self._read_error[1])
        self._read_error = "", None

    def wake(self) -> None:
        """Handle the return of the terminal's focus."""

    def show_refusal(self, text: str) -> None:
        self.show_message(self.look.sanitize(text), "warn")

    def handle_board_change(self) -> None:
        self.refresh_chrome()
        super().handle_board_change()

    def on_screen_resume(self) -> None:
        self.refresh_chrome()
        self.refresh_message()

    def on_resize(self) -> None:
        self.refresh_chrome()

    def refresh_each_second(self) -> None:
        """Redraw ages and clocks if the screen is visible."""
        if is_visible_under_modal(self) and not self.deck.resting:
            self.query_one(Header).redraw()
            self._show_banner()
            self.refresh_message()

    def action_leave(self) -> None:
        self.dismiss(None)
