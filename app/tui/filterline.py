"""The line a filter is typed in: earlier filters with ↑, qualifiers completed with tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from app.tui.look import STATES

QUALIFIERS = ("status:", "queue:")


def completed(text: str, queues: list[str]) -> str:
    """The text with its last word completed to a qualifier, a state or a queue, when that is one thing only."""
    head, space, word = text.rpartition(" ")
    bare = word.lstrip("!")
    found = [whole for whole in _candidates(bare, queues) if whole.startswith(bare.lower())]
    if not bare or len(found) != 1:
        return text
    return head + space + word[: len(word) - len(bare)] + found[0]


def _candidates(word: str, queues: list[str]) -> list[str]:
    if word.startswith("status:"):
        return [f"status:{state.replace('_', '-')}" for state in STATES]
    return [f"queue:{name}" for name in queues] if word.startswith("queue:") else list(QUALIFIERS)


class FilterLine(Input):
    """Typed words filter at once; enter and ↓ keep them, esc clears."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(False)", "Clear and close", id="filter.clear"),
        Binding("enter,down", "leave(True)", "Keep and go to the list", id="filter.keep"),
        Binding("up", "earlier", "An earlier filter", id="filter.earlier"),
        Binding("tab", "complete", "Complete status: or queue:", id="filter.complete"),
    ]

    @dataclass
    class Left(Message):
        """The line was left; `keep` tells whether the filter stays."""

        keep: bool

    def __init__(self) -> None:
        super().__init__(
            id="filter", compact=True, placeholder="words, status:failed, queue:gpu, !word", select_on_focus=False
        )
        self.cursor_blink = False
        self.queues: list[str] = []
        """The names that `queue:` is completed to."""
        self._history: list[str] = []
        self._back = 0

    def open(self, words: str) -> None:
        """Begin with these words."""
        self.display = True
        self.value = words
        self._back = 0

    def action_leave(self, keep: bool) -> None:
        """Close; the words that were kept can be had again with ↑."""
        if keep and self.value.strip() and self.value not in self._history[-1:]:
            self._history.append(self.value)
        self.display = False
        self.post_message(self.Left(keep))

    def action_earlier(self) -> None:
        """Bring back the filter before."""
        if self._back < len(self._history):
            self._back += 1
            self.value = self._history[-self._back]
            self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the word before the cursor."""
        self.value = completed(self.value, self.queues)
        self.cursor_position = len(self.value)
