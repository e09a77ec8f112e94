"""Filter input: ↑ recalls earlier filters, tab completes qualifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from app.core.text.prefix import find_common_prefix
from app.translation import tr, tr_noop
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.paste import SingleLineInput

Complete = Callable[[str], Sequence[str]]
PLACEHOLDER = tr_noop("words, status:failed, queue:gpu, !word; tab completes")
"""Placeholder where the filter applies to tasks."""
FILTER_HINTS = [
    KeyHint("↵", "keep", "enter", 0), KeyHint("esc", "clear", "escape", 0),
    KeyHint("tab", "complete", "tab", 1), KeyHint("↑", "earlier", "up", 2),
]  # fmt: skip
"""Footer keys while the input is open."""


class FilterInput(SingleLineInput):
    """Input that filters while text is typed; enter and ↓ keep the filter, esc clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(False)", "Clear and close", id="filter.clear"),
        Binding("enter,down", "leave(True)", "Keep and go to the list", id="filter.keep"),
        Binding("up", "earlier", "An earlier filter", id="filter.earlier"),
        Binding("tab", "complete", "Complete status: or queue:", id="filter.complete"),
    ]

    @dataclass
    class Left(Message):
        """The input was closed; `keep` tells if the filter stays."""

        keep: bool

    def __init__(self) -> None:
        super().__init__(
            id="filter", compact=True, placeholder=tr(PLACEHOLDER), select_on_focus=False
        )
        self.cursor_blink = False
        self._complete: Complete = lambda text: ()
        self._history: list[str] = []
        self._back = 0
        self.is_open = False

    def set_completer(self, complete: Complete) -> None:
        """Set the function that lists completions for a text."""
        self._complete = complete

    def open(self, words: str, takes: str = PLACEHOLDER) -> None:
        """Open the input with a filter; `takes` is the placeholder of an empty one."""
        self.placeholder = tr(takes)
        self.display = self.is_open = True
        self.value = words
        self._back = 0

    def action_leave(self, keep: bool) -> None:
        """Close the input; ↑ recalls a kept filter."""
        if keep and self.value.strip() and self.value not in self._history[-1:]:
            self._history.append(self.value)
        self.display = self.is_open = False
        self.post_message(self.Left(keep))

    def on_blur(self) -> None:
        """Keep the filter if a click elsewhere closes the input."""
        if self.display and self.app.app_focus:
            self.action_leave(True)

    def action_earlier(self) -> None:
        """Recall the previous filter."""
        if self._back < len(self._history):
            self._back += 1
            self.value = self._history[-self._back]
            self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the word before the cursor up to the first ambiguity."""
        text = self.value[: self.cursor_position]
        whole = find_common_prefix(list(self._complete(text))) or text
        self.value = whole + self.value[self.cursor_position :]
        self.cursor_position = len(whole)
