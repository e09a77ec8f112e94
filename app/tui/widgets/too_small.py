"""Notice for a terminal too small for any screen. Only keys that leave the deck work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events
from textual.geometry import Size
from textual.screen import Screen
from textual.strip import Strip

from app.translation import tr
from app.tui.message_fit import wrap_message
from app.tui.style import Look
from app.tui.terminal.app_internals import TerminalApp, make_update, render_whole_screen

if TYPE_CHECKING:
    from rich.console import RenderableType

MIN_SIZE = (60, 16)
"""Terminal size (cells, lines) below which only a notice is shown."""
LEAVE_KEYS = ("ctrl+q", "ctrl+c")
"""Keys that work as usual."""


class TooSmallNotice(TerminalApp):
    """An app that hides its screens while the terminal is too small."""

    look: Look
    _shown_notice: tuple[Size, str] | None = None
    """Terminal size and key of the notice on screen."""
    _is_covered = False
    """Set while the notice covers a screen."""
    _last_resize: Size | None = None
    """Terminal size of the last resize."""

    def action_leave(self) -> None:
        raise NotImplementedError

    @property
    def too_small(self) -> bool:
        """True if only the notice is shown; screens with `FITS_ANYWHERE` are always shown."""
        width, height = self.size
        return (0 < width < MIN_SIZE[0] or 0 < height < MIN_SIZE[1]) and not getattr(
            self.screen, "FITS_ANYWHERE", False
        )

    async def on_event(self, event: events.Event) -> None:
        """Ignore input to hidden screens; redraw after a resize.

        After a short resize the terminal's contents are unknown, and Textual ignores a size that is
        the same as before.
        """
        if isinstance(event, events.Resize):
            self._shown_notice = None
            if event.size == self._last_resize:
                self.screen.refresh()
            self._last_resize = event.size
        unseen = isinstance(event, (events.InputEvent, events.Paste)) and self.too_small
        if not unseen or (isinstance(event, events.Key) and event.key in LEAVE_KEYS):
            await super().on_event(event)
        elif isinstance(event, events.Key) and event.key == self._leave_key:
            self.action_leave()

    @property
    def _leave_key(self) -> str:
        """The key that leaves: not a letter while a text field has the focus."""
        return (
            "ctrl+q"
            if self.focused is not None and self.focused.check_consume_key("q", "q")
            else "q"
        )

    def filter_update(
        self, screen: Screen[Any], update: RenderableType | None
    ) -> RenderableType | None:
        if not self.too_small:
            self._shown_notice = None
            if self._is_covered and update is not None:
                # a screen of unchanged size would draw only its changes
                self._is_covered = False
                return render_whole_screen(screen)
            return update
        if self._shown_notice == (notice := (self.size, self._leave_key)):
            return None
        self._shown_notice, self._is_covered = notice, True
        return make_update(self._build_notice(), self.size)

    def _build_notice(self) -> list[Strip]:
        """Return the notice and blank lines for the whole terminal."""
        width, height = self.size
        text = tr(
            "Terminal too small ({width}x{height}): needs {least_width}x{least_height}. Jobs keep"
            " running; {leave_key} leaves.",
            width=width,
            height=height,
            least_width=MIN_SIZE[0],
            least_height=MIN_SIZE[1],
            leave_key=self._leave_key,
        )
        lines = [*wrap_message(text, max(10, width)), *[""] * height][:height]
        strips = [self.look.strip([(line, "")], width) for line in lines]
        return (
            strips
            if self.native_ansi_color
            else [strip.apply_style(self.screen.rich_style) for strip in strips]
        )
