"""Multi-line input, in a module of its own because its import takes 6 ms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual import events
from textual.dom import DOMNode
from textual.widgets import TextArea

from app.core.text.sanitize import sanitize_paste
from app.tui.deck_app import DeckNode
from app.tui.forms.fields import sanitize_in_place
from app.tui.key_queue import KeyInput, QueuedInput


class ScriptInput(QueuedInput, TextArea, DeckNode):
    """A multi-line input with sanitized pastes."""

    DEFAULT_CSS = "ScriptInput { border: none !important; }"

    async def handle_input(self, event: KeyInput) -> None:
        if isinstance(event, events.Paste):
            self.replace_selection(sanitize_paste(event.text))
        elif event.is_printable or event.key == "enter":
            self.replace_selection("\n" if event.key == "enter" else event.character or "")
        else:
            await super().handle_input(event)

    def replace_selection(self, text: str) -> None:
        """Insert text in place of the selection, with the cursor behind it."""
        if not self.read_only:
            self.replace(text, *self.selection, maintain_selection_offset=False)

    def watch(
        self, obj: DOMNode, attribute_name: str, callback: Callable[..., Any], init: bool = True
    ) -> None:
        """Watch an attribute, except the app's theme.

        Watching the theme would keep every text area alive until the theme changes, and no form is
        open then.
        """
        if obj is not self.app:
            super().watch(obj, attribute_name, callback, init)

    def get_line(self, line_index: int) -> Text:
        """Return a line as drawn, one character per character."""
        look = self.look
        parts = self.document.get_line(line_index).split("\t")
        return Text(
            "\t".join(sanitize_in_place(part, look) for part in parts), end="", no_wrap=True
        )

    async def on_paste(self, event: events.Paste) -> None:
        event.text = sanitize_paste(event.text)
