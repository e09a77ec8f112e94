"""Full list of the items of a question that names only some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.translation import tr_noop
from app.tui.screens.dialogs.text_box import BoxLine, BoxScreen
from app.tui.style import Span

LINE_WIDTH = 72
"""Cells of a line on a wide terminal."""


class ItemListScreen(BoxScreen):
    """List of items over the question, which stays open below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "dismiss", "Back to the question", id="names.close")
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[Sequence[Span]],
        back: str = tr_noop("back to the question"),
    ) -> None:
        """Create the list; `lines` are safe."""
        super().__init__(title, [BoxLine(line) for line in lines], back)
