"""The base of what the deck draws: a widget whose lines are strips, of which only those that changed are drawn again.

`Sturdy` keeps one broken handler from ending the deck: the error is reported and the widget goes on.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any, cast

from textual.geometry import Region
from textual.message import Message
from textual.message_pump import MessagePump
from textual.strip import Strip
from textual.widget import Widget

from app.tui.look import Look


class Sturdy(MessagePump):
    """Handlers that fail are reported to the app's `report(error)`, when it has one, and the message is over."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except CancelledError:
            raise
        except Exception as error:
            report = getattr(self.app, "report", None)
            if report is None or not self._mounted_event.is_set():
                raise
            report(error, self)


class Lines(Sturdy, Widget):
    """A widget that shows strips."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: Sequence[Strip] = ()

    @property
    def look(self) -> Look:
        """What the terminal can show; apps without an opinion get Unicode and colours."""
        return cast(Look, getattr(self.app, "look", None) or Look())

    @property
    def now(self) -> float:
        """UNIX seconds by the app's clock."""
        return cast(Any, self.app).now()

    def draw(self, strips: Sequence[Strip]) -> None:
        """Show these lines, touching the screen only where they differ from what is shown."""
        old, self._strips = self._strips, strips
        count = max(len(old), len(strips))
        changed = [
            y
            for y in range(count)
            if y >= len(old) or y >= len(strips) or old[y] is not strips[y] and old[y] != strips[y]
        ]
        if changed:
            self.refresh(*_regions(changed, self.size.width))

    def render_line(self, y: int) -> Strip:
        """The strip at a line, or a blank one, on the theme's own colours where it has some."""
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
        return strip if self.app.native_ansi_color else strip.apply_style(self.rich_style)

    def shown_text(self) -> list[str]:
        """The lines as text."""
        return [strip.text for strip in self._strips]


def _regions(changed: Sequence[int], width: int) -> list[Region]:
    """Neighbouring lines together, as regions of full width."""
    regions: list[Region] = []
    for y in changed:
        if regions and regions[-1].bottom == y:
            last = regions.pop()
            regions.append(Region(0, last.y, width, last.height + 1))
        else:
            regions.append(Region(0, y, width, 1))
    return regions
