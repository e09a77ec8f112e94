"""Text that is pasted: nothing of it drives the terminal, and in one line all of its lines stand."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from app.core.text.sanitize import sanitize


def sanitize_paste(text: str) -> str:
    """Pasted text with stand-ins for what could drive a terminal or hide; newlines and tabs stay."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("\t".join(sanitize(part) for part in line.split("\t")) for line in lines)


def join_lines(text: str, joint: str = " ") -> str:
    """Text without its line breaks, of which several lines lose their margins too."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return joint.join(lines) if len(lines) > 1 else text


class SingleLineInput(Input):
    """An input of one line into which several are pasted as one, and nothing that a terminal would act on."""

    def _on_paste(self, event: events.Paste) -> None:
        # The paste itself is done by the base's handler, which runs after this one, and takes the first line only.
        event.text = sanitize_paste(join_lines(event.text))
