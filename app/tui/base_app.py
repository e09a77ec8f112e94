"""Textual application with status messages and an error boundary, adapted to poor terminals.

No traceback reaches the terminal: failures are shown in place and written to `run/deck.log`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter, NoColor
from textual.reactive import var

from app.config import Config
from app.core.board import Board
from app.translation import tr
from app.tui.error_boundary import AppErrorBoundary
from app.tui.error_log import log_error
from app.tui.state.preferences import Preferences
from app.tui.status_messages import StatusMessages
from app.tui.style import Look
from app.tui.themes import CONTRAST_THEME, THEMES, choose_theme
from app.tui.widgets.too_small import TooSmallNotice

if TYPE_CHECKING:
    from textual.driver import Driver


NOT_DIM = Style(dim=False)


class UndimFilter(LineFilter):
    """Filter that draws dim text in full colour, for the theme of high contrast.

    Textual's `DimFilter` fails for text without a background.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments without the dim attribute."""
        return [
            segment._replace(style=segment.style + NOT_DIM)
            if segment.style is not None and segment.style.dim
            else segment
            for segment in segments
        ]


UNDIM = UndimFilter()


class BaseApp(AppErrorBoundary, StatusMessages, TooSmallNotice):
    """Application of one home, without screens and without a runtime."""

    board: var[Board | None] = var(None, init=False)
    """The latest board; None until the first one arrives. A `reactive` would redraw the whole
    screen on every board."""

    def __init__(
        self,
        *,
        look: Look | None = None,
        read_only: bool = False,
        home: Path | None = None,
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        driver_class: type[Driver] | None = None,
        settings: Config = Config(),  # noqa: B008 - frozen
    ) -> None:
        """Create the app. `settings.keys` are validated already."""
        super().__init__(driver_class=driver_class)
        self.look = look or Look()
        self.read_only = read_only
        self.home = home
        self.now = now
        self.ticks = ticks
        self.settings = settings
        self.demo_ends: float | None = None
        for theme in THEMES:
            self.register_theme(theme)
        self.memory = Preferences(home, read_only=read_only)
        self.theme = choose_theme(settings.theme or self.memory.get("theme", ""))
        self.set_keymap(dict(settings.keys))

    @property
    def may_start(self) -> bool:
        """True if the deck may start a runtime by itself."""
        return not self.read_only and self.settings.autostart

    @property
    def resting(self) -> bool:
        """True if drawing is suspended because another window has the focus."""
        return not self.app_focus and self.settings.unfocused == "still"

    def _prepare_terminal(self) -> None:
        self.set_class(self.look.ascii, "-ascii")
        if self.look.plain and self.click_driver:
            self.click_driver.show_cursor()

    def use_mouse(self, on: bool) -> None:
        """Handle the mouse, or leave it to the terminal."""
        if self.click_driver:
            self.click_driver.use_mouse(on)

    def action_redraw(self) -> None:
        """Clear the terminal and draw everything again."""
        if self.click_driver:
            self.click_driver.write("\x1b[2J")
        self.screen.refresh(layout=True)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the colour filter of the theme; without colour, a filter that drops all colours.

        Textual asks before the theme is known and would choose the filter for greys.
        """
        if not self.look.colour:
            return [NoColor()]
        undim = [UNDIM] if self.theme == CONTRAST_THEME.name else []
        return [*undim, *super().get_line_filters()]

    # Failures

    def report(self, error: Exception, where: Any) -> None:
        """Log and show a failed handler, then continue.

        Errors while the app exits are ignored, since its screens are being removed.
        """
        if self.is_exiting:
            return
        self.log_failure(error)
        self.failure = self.failure or error
        said = (
            # an upgrade replaces the files of screens that were never open
            tr("After an upgrade, start the deck again: {error}.", error=error)
            if isinstance(error, ImportError)
            else tr(
                "Internal error ({name}: {error}); the deck continues. See run/deck.log.",
                name=type(error).__name__,
                error=error,
            )
        )
        self.show_message(self.look.sanitize(said), "broken")

    def log_failure(self, error: Exception) -> None:
        log_error(self.home, error)
