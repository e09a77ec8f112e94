"""The line a filter is typed in: earlier filters with ↑, qualifiers completed with tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from app.tui.widgets.footer import KeyHint
from app.tui.widgets.paste import SingleLineInput

Complete = Callable[[str], Sequence[str]]
PLACEHOLDER = "words, status:failed, queue:gpu, !word; tab completes"
"""What it says that it takes, where it filters tasks."""
FILTER_HINTS = [
    KeyHint("↵", "keep", "enter", 0), KeyHint("esc", "clear", "escape", 0), KeyHint("tab", "complete", "tab", 1), KeyHint("↑", "earlier", "up", 2),
]  # fmt: skip
"""The keys of the footer while it is open."""


class FilterInput(SingleLineInput):
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
            id="filter", compact=True, placeholder=PLACEHOLDER, select_on_focus=False
        )
        self.cursor_blink = False
        self._complete: Complete = lambda text: ()
        self._history: list[str] = []
        self._back = 0
        self.is_open = False

    def set_completer(self, complete: Complete) -> None:
        """What tab completes by: the lines that a text may become."""
        self._complete = complete

    def open(self, words: str, takes: str = PLACEHOLDER) -> None:
        """Begin with these words; without any it says what it takes."""
        self.placeholder = takes
        self.display = self.is_open = True
        self.value = words
        self._back = 0

    def action_leave(self, keep: bool) -> None:
        """Close; the words that were kept can be had again with ↑."""
        if keep and self.value.strip() and self.value not in self._history[-1:]:
            self._history.append(self.value)
        self.display = self.is_open = False
        self.post_message(self.Left(keep))

    def on_blur(self) -> None:
        """Left by a click elsewhere: what was typed stays."""
        if self.display and self.app.app_focus:
            self.action_leave(True)

    def action_earlier(self) -> None:
        """Bring back the filter before."""
        if self._back < len(self._history):
            self._back += 1
            self.value = self._history[-self._back]
            self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the word before the cursor, as far as there is only one way."""
        text = self.value[: self.cursor_position]
        whole = commonprefix(list(self._complete(text))) or text
        self.value = whole + self.value[self.cursor_position :]
        self.cursor_position = len(whole)
