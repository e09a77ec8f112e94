"""What the screens beside the deck look like: a title in the header, a body, a message line, the keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.widget import Widget

from app.core.board import Board
from app.tui.screens.base_polling import PollingScreen
from app.tui.style import Span
from app.tui.widgets.banner import Banner, build_current_banner
from app.tui.widgets.footer import BACK_HINT, HELP_HINT, KeyHint, KeyLine, MessageLine, keep_read_only_hints
from app.tui.widgets.header import WIDE_CELLS, Header, HeaderContext
from app.tui.widgets.modal import find_modal_keys, is_visible_under_modal
from app.tui.widgets.strips import StripWidget

TWO_LINE_BANNER_HEIGHT = 24
"""Lines of a terminal from which on what is in trouble has two of them."""


class TextLine(StripWidget):
    """One line of spans."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spans: Sequence[Span] = ()

    def show(self, spans: Sequence[Span]) -> None:
        """Show these spans of safe text."""
        self._spans = spans
        self._redraw()

    def _redraw(self) -> None:
        self.draw([self.look.strip(self._spans, self.size.width)])

    def fit(self) -> None:
        self._redraw()


class PageScreen(PollingScreen):
    """A screen with a title in its header, a body, a message line and its keys."""

    CSS_PATH = "../styles/page.tcss"
    PLACE: ClassVar[str] = ""
    """The digit of the place this is, if it is one."""
    KEY: ClassVar[str] = ""
    """The key of the app that opens it, where the banner names that elsewhere."""

    _read_error: tuple[str, Span | None] = ("", None)
    """Why it could not be read, and what was said of that."""
    _reported_fault: tuple[str, Span | None] = ("", None)
    """The fault for which something was not done, and what was said of it."""

    def compose(self) -> ComposeResult:
        yield Header()
        yield Banner()
        yield from self.compose_body()
        yield MessageLine()
        yield KeyLine()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between header and message line."""
        return ()

    def on_mount(self) -> None:
        self.set_interval(1.0, self.refresh_each_second)

    def make_heading(self) -> str:
        """Where one is, safe text for the header: `Deck › #1042 name`."""
        return ""

    @property
    def breadcrumb(self) -> str:
        """How the titles of screens that were opened from here begin; "" where they begin as this one's."""
        return ""

    @property
    def opened_from(self) -> str:
        """The place that this was opened from, which `q` leads back to: `Tasks`, or `Deck`."""
        stack = self.app.screen_stack
        below = stack[: stack.index(self)] if self in stack else stack
        return next((screen.breadcrumb for screen in reversed(below) if isinstance(screen, PageScreen) and screen.breadcrumb), "Deck")

    def list_hints(self) -> list[KeyHint]:
        """The keys that work here now, without help and back."""
        return []

    def list_keys(self) -> list[KeyHint]:
        """What stands in the last line."""
        return [*self.list_hints(), HELP_HINT, BACK_HINT]

    # -- drawing --------------------------------------------------------------------------------------------------

    def refresh_chrome(self) -> None:
        """Draw header and keys for what is so now."""
        self.set_class(self.app.size.width >= WIDE_CELLS, "-wide")
        seen = getattr(self.app, "seen", None)
        failures = seen.unseen(self.board) if seen and self.board else 0
        bearings = HeaderContext(title=self.make_heading(), here=self.PLACE, failures=failures, read_only=bool(getattr(self.app, "read_only", False)))
        self.query_one(Header).show(self.board or Board(), bearings)
        self._show_banner()
        self.refresh_keys()

    def refresh_keys(self) -> None:
        """Draw the keys that work now: its own, or those of the box over it."""
        own = keep_read_only_hints(self.list_keys()) if getattr(self.app, "read_only", False) else self.list_keys()
        for line in self.query(KeyLine):
            line.show(find_modal_keys(self) or own)

    def _show_banner(self) -> None:
        """What is in trouble, as on the deck; where there is little room in one line."""
        banner, most = self.query_one(Banner), 2 if self.app.size.height >= TWO_LINE_BANNER_HEIGHT else 1
        banner.show(build_current_banner(self.app, banner, self.board, most=most) if self.board else [])

    def show_message(self, text: str, style: str = "", *, stays: bool | None = None) -> None:
        """Put a safe text into the message line for a while; what a key was of no use for does not stay when the screen is left."""
        cast(Any, self.app).say(text, style, stays=stays)

    def report_fault(self, what: str, fault: str) -> None:
        """Say for which fault, not cleaned yet, something was `Not submitted`; until `wrong` hears that it is mended."""
        self.show_message(f"{what}: {self.look.sanitize(fault)}", "warn")
        self._reported_fault = fault, cast(Any, self.app).said()

    def update_faults(self, faults: Collection[str]) -> None:
        """These faults are left."""
        fault, said = self._reported_fault
        if said is not None and fault not in faults:
            self._reported_fault = "", None
            cast(Any, self.app).retract_message(said)

    def refresh_message(self) -> None:
        """Show what was said last, by this screen or by the answer to a verb, while it is fresh."""
        said = cast(Any, self.app).said()
        # A screen that was opened a moment ago has no lines yet; it comes here again when it has.
        for line in self.query(MessageLine):
            line.show([said] if said else [])

    def show_read_error(self, text: str) -> None:
        """It is said why until a reading goes well, and once told not over anything else."""
        why, told = self._read_error
        if text != why or cast(Any, self.app).said() in (None, told):
            super().show_read_error(text)
            self._read_error = text, cast(Any, self.app).said()

    def clear_read_error(self) -> None:
        cast(Any, self.app).retract_message(self._read_error[1])
        self._read_error = "", None

    def wake(self) -> None:
        """The terminal has the focus again."""

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
        """Time goes on: ages and clocks are drawn again. Only on the screen that is seen."""
        if is_visible_under_modal(self) and not getattr(self.app, "resting", False):
            self.query_one(Header).redraw()
            self._show_banner()
            self.refresh_message()

    def action_leave(self) -> None:
        """Back to where one came from."""
        self.dismiss(None)
