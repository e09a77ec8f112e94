"""Paste sanitizing: no control characters, and one line where an input has one line."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from app.core.text.sanitize import sanitize_paste


def join_lines(text: str, joint: str = " ") -> str:
    """Return text without line breaks; several lines also lose their margins."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return joint.join(lines) if len(lines) > 1 else text


class SingleLineInput(Input):
    """A one-line input that accepts pastes of several lines, sanitized."""

    def on_paste(self, event: events.Paste) -> None:
        # Textual's handler runs after this one and inserts only the first line.
        event.text = sanitize_paste(join_lines(event.text))
