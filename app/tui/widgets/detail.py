"""Detail box below a list: a title rule and lines about the row under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.translation import tr
from app.tui.style import Span
from app.tui.widgets.document import Section, make_title_rule
from app.tui.widgets.strips import StripWidget

DetailContent = tuple[str, str, Sequence[Sequence[Span]]]
"""Title, text at the right end of its rule, lines."""


class DetailBox(StripWidget):
    """Box that shows the result of `make(width, lines)`, called again on each resize.

    If lines are left out, the last one says so and names `key`, which shows them.
    """

    def __init__(self, key: str) -> None:
        super().__init__(id="detail")
        self._key = key
        self._make: Callable[[int, int], DetailContent] | None = None

    def show(self, make: Callable[[int, int], DetailContent]) -> None:
        """Show the result of this function from now on."""
        self._make = make
        self.redraw()

    def fit(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        room, height = self.size
        if room and height and self._make:
            title, tail, lines = self._make(room, height - 1)
            shown = list(lines[: height - 1])
            if len(lines) > len(shown) > 0:
                shown[-1] = [
                    (
                        self.look.adapt_text(
                            tr(
                                "  … {count:,} more lines: {key} shows all",
                                count=len(lines) - len(shown) + 1,
                                key=self._key,
                            )
                        ),
                        "dim",
                    )
                ]
            head = (
                [make_title_rule(self.look, Section(title, (), tail=tail), room, False)]
                if title
                else []
            )
            self.draw([*head, *(self.look.strip(line, room) for line in shown)])
