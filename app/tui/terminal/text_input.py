"""A text input whose text is drawn by a subclass. Textual has no public hook for the drawn text."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input


class DrawnInput(Input):
    """A one-line input that draws `draw_value` instead of its value."""

    def draw_value(self) -> Text:
        """Return the text to draw, one character for each character of the value."""
        raise NotImplementedError

    @property
    def _value(self) -> Text:
        return self.draw_value()
