"""What there is to know about the row under the cursor: a title rule and lines below the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.tui.style import Span
from app.tui.widgets.document import Section, make_title_rule
from app.tui.widgets.strips import StripWidget

DetailContent = tuple[str, str, Sequence[Sequence[Span]]]
"""The title, what stands at the right end of its rule, the lines."""


class DetailBox(StripWidget):
    """Shows what `make(width, lines)` gives, again whenever the room is another. When lines are left out the last one says so, and
    that `key` shows them."""

    def __init__(self, key: str) -> None:
        super().__init__(id="detail")
        self._key = key
        self._make: Callable[[int, int], DetailContent] | None = None

    def show(self, make: Callable[[int, int], DetailContent]) -> None:
        """Show what this makes from now on."""
        self._make = make
        self.redraw()

    def fit(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the room there is."""
        room, height = self.size
        if room and height and self._make:
            title, tail, lines = self._make(room, height - 1)
            shown = list(lines[: height - 1])
            if len(lines) > len(shown) > 0:
                shown[-1] = [(self.look.adapt_text(f"  … {len(lines) - len(shown) + 1:,} more lines: {self._key} shows all"), "dim")]
            head = [make_title_rule(self.look, Section(title, (), tail=tail), room, False)] if title else []
            self.draw([*head, *(self.look.strip(line, room) for line in shown)])
