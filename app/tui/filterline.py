"""The line a filter is typed in: earlier filters with ↑, qualifiers completed with tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from app.tui.look import STATES

QUALIFIERS = ("status:", "queue:")


def completed(text: str, qualifiers: Sequence[str], names: Mapping[str, Sequence[str]]) -> str:
    """The text with its last word completed as far as only one thing is left: a qualifier, or what `names` has for one."""
    head, space, word = text.rpartition(" ")
    bare = word.lstrip("!")
    name, colon, _ = bare.partition(":")
    whole = [f"{name}:{value}" for value in names.get(name, ())] if colon else list(qualifiers)
    found = [one for one in whole if one.lower().startswith(bare.lower())]
    return head + space + word[: len(word) - len(bare)] + commonprefix(found) if bare and found else text


STATE_NAMES = [state.replace("_", "-") for state in STATES]


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
        self._qualifiers: Sequence[str] = QUALIFIERS
        self._names: Mapping[str, Sequence[str]] = {}
        self._history: list[str] = []
        self._back = 0

    def offer(self, qualifiers: Sequence[str], names: Mapping[str, Sequence[str]]) -> None:
        """What tab completes: qualifiers such as `queue:`, and for each, by its bare name, what may follow it."""
        self._qualifiers, self._names = qualifiers, names

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
        self.value = completed(self.value, self._qualifiers, self._names)
        self.cursor_position = len(self.value)
