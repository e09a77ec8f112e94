"""Line-drawing base widget: shows strips and redraws only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from app.core.text.sanitize import measure_width
from app.tui.deck_app import DeckNode
from app.tui.error_boundary import ErrorBoundary


class StripWidget(DeckNode, ErrorBoundary, Widget):
    """A widget that shows strips."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: Sequence[Strip] = ()
        self._fitted = Size(0, 0)
        self._fits = False

    def draw(self, strips: Sequence[Strip]) -> None:
        """Show these lines; refresh only the parts that differ from the current ones."""
        old, self._strips = self._strips, strips
        if self._fits:
            return
        changed = [
            Region(0, y, self.size.width, 1)
            for y in range(min(len(old), len(strips)), max(len(old), len(strips)))
        ]
        for y, (before, after) in enumerate(zip(old, strips, strict=False)):
            if before is not after and before != after:
                begin, end = find_difference(before, after)
                changed.append(Region(begin, y, end - begin, 1))
        if changed:
            self.refresh(*changed)

    def fit(self) -> None:
        """Draw for a new size before the first line is painted.

        Drawing in `on_resize` would appear one frame late.
        """

    def render_line(self, y: int) -> Strip:
        """Return the strip at a line, or a blank one, in the theme's colours if it has any."""
        if self.size != self._fitted:
            self._fitted, self._fits = self.size, True
            try:
                self.fit()
            except Exception as error:
                self.report_error(error)
            finally:
                self._fits = False
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
        return strip if self.app.native_ansi_color else strip.apply_style(self.rich_style)

    def list_text(self) -> list[str]:
        """Return the lines as text."""
        return [strip.text for strip in self._strips]


class FocusLines(StripWidget):
    """Widget that is drawn again when its focus changes."""

    def fit(self) -> None:
        self._redraw()

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self._redraw()

    def _redraw(self) -> None:
        raise NotImplementedError


def find_difference(before: Strip, after: Strip) -> tuple[int, int]:
    """Return the first differing cell and the cell after the last one.

    Lines of different width differ everywhere.
    """
    if before.cell_length != after.cell_length:
        return 0, max(before.cell_length, after.cell_length)
    old, new = _list_characters(before), _list_characters(after)
    alike = _count_common(old, new)
    if alike == len(old) == len(new):
        return 0, 0
    while alike and any(line[alike:] and not measure_width(line[alike][0]) for line in (old, new)):
        alike -= 1  # combining marks belong to the cell before them
    behind = _count_common(old[alike:][::-1], new[alike:][::-1])
    return _measure_characters(new[:alike]), after.cell_length - _measure_characters(
        new[len(new) - behind :]
    )


def _list_characters(strip: Strip) -> list[tuple[str, Style | None]]:
    return [(c, style) for text, style, _ in strip for c in text]


def _count_common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the length of the common prefix."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _measure_characters(characters: Sequence[tuple[str, Style | None]]) -> int:
    return measure_width("".join([c for c, _ in characters]))
