"""A terminal that is too small for any screen: a line says so, whatever would stand there, and of all keys only those that leave act."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from textual import events
from textual._compositor import LayoutUpdate
from textual.app import App
from textual.geometry import Size
from textual.screen import Screen
from textual.strip import Strip

from app.tui.screens.deck.pane_heights import MIN_SIZE
from app.tui.style import Look

if TYPE_CHECKING:
    from rich.console import RenderableType

LEAVE_KEYS = ("ctrl+q", "ctrl+c")
"""Keys that do there what they do everywhere."""


class TooSmallNotice(App[int]):
    """An app whose screens stay as they are, unseen and untouched, while there is no room for them."""

    look: Look
    _shown_notice: tuple[Size, str] | None = None
    """For which size what was told, while it stands there."""
    _is_covered = False
    """Whether the line still stands where a screen should."""

    def action_leave(self) -> None:
        """Leave."""
        raise NotImplementedError

    @property
    def too_small(self) -> bool:
        """Whether nothing is shown but that line; a screen with `FITS_ANYWHERE` is shown all the same."""
        width, height = self.size
        return (0 < width < MIN_SIZE[0] or 0 < height < MIN_SIZE[1]) and not getattr(self.screen, "FITS_ANYWHERE", False)

    async def on_event(self, event: events.Event) -> None:
        """Nothing acts that one cannot see: not on a row, and not in a question. A window that was another size for a moment is drawn anew:
        what the terminal made of it meanwhile is not known, and Textual passes over a size that is as it was."""
        if isinstance(event, events.Resize):
            self._shown_notice = None
            if event.size == self._size:
                self.screen.refresh()
        unseen = isinstance(event, (events.InputEvent, events.Paste)) and self.too_small
        if not unseen or (isinstance(event, events.Key) and event.key in LEAVE_KEYS):
            await super().on_event(event)
        elif isinstance(event, events.Key) and event.key == self._leave_key:
            self.action_leave()

    @property
    def _leave_key(self) -> str:
        """The key to leave with: no letter where a text was being typed, of which the hands may know nothing yet."""
        return "ctrl+q" if self.focused is not None and self.focused.check_consume_key("q", "q") else "q"

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if not self.too_small:
            self._shown_notice = None
            if self._is_covered and renderable is not None:
                renderable = screen._compositor.render_full_update()  # a screen that kept its size meanwhile would draw what changed
                self._is_covered = False
            super()._display(screen, renderable)
        elif self._shown_notice != (told := (self.size, self._leave_key)):
            self._shown_notice, self._is_covered = told, True
            super()._display(screen, LayoutUpdate([[strip] for strip in self._build_notice()], self.size.region))

    def _build_notice(self) -> list[Strip]:
        """The whole terminal: what is wrong with it, then nothing."""
        width, height = self.size
        text = f"Terminal too small ({width}x{height}): needs {MIN_SIZE[0]}x{MIN_SIZE[1]}. Everything goes on; {self._leave_key} leaves."
        lines = [*wrap(text, max(10, width)), *[""] * height][:height]
        strips = [self.look.strip([(line, "")], width) for line in lines]
        return strips if self.native_ansi_color else [strip.apply_style(self.screen.rich_style) for strip in strips]
