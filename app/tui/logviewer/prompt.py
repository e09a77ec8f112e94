"""Log prompt: the line below a log for a search text, a file path or input of the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from app.core.text.sanitize import measure_width
from app.tui.forms.fields import Entry

PromptKind = Literal["search", "save", "input"]


class LogPrompt(Horizontal):
    """A label and an input.

    `done` is called with the entered text, or None if the prompt was closed without one. The prompt
    is closed by then. A message would be too late: the next key may already use the text.
    """

    DEFAULT_CSS = """
    LogPrompt { height: 1; width: 1fr; display: none; }
    LogPrompt Static { padding: 0 0 0 1; width: auto; }
    LogPrompt Input { width: 1fr; background: transparent; border: none; padding: 0; height: 1; }
    """

    @dataclass
    class Completing(Message):
        """The text so far is to be completed."""

        text: str

    def __init__(self, done: Callable[[PromptKind, str | None], object]) -> None:
        super().__init__()
        self.kind: PromptKind = "search"
        self._done = done
        self._earlier: dict[PromptKind, list[str]] = {"search": [], "save": [], "input": []}
        self._before: Widget | None = None
        """Widget that had the focus before."""

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)
        yield PromptInput()

    @property
    def is_open(self) -> bool:
        """True while the prompt takes input."""
        return bool(self.display)

    def open(self, kind: PromptKind, label: str, value: str = "") -> None:
        """Open the prompt; it takes the next key."""
        self.kind = kind
        static, line = self.query_one(Static), self.query_one(PromptInput)
        static.update(label)
        static.styles.width = measure_width(label) + 1
        line.start_editing(self._earlier[kind], value)
        self.display = True
        self._before = self.screen.focused
        self.screen.set_focus(line)

    def close(self, text: str | None = None) -> None:
        """Close the prompt before the next key; `text` is the entered text."""
        earlier = self._earlier[self.kind]
        if text and text not in earlier[-1:]:
            earlier.append(text)
        self.display = False
        self.screen.set_focus(self._before)
        self._done(self.kind, text)

    def apply_completion(self, before: str, after: str) -> None:
        """Replace the text with its completion, unless it changed meanwhile."""
        line = self.query_one(PromptInput)
        if self.is_open and line.value == before:
            line.value = after
            line.cursor_position = len(after)


class PromptInput(Entry):
    """The input of a log prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "close(True)", "Enter what was typed", id="line.enter", show=False),
        Binding("escape", "close(False)", "Leave", id="line.leave", show=False),
        Binding("up", "earlier(1)", "Earlier entry", id="line.earlier", show=False),
        Binding("down", "earlier(-1)", "Later entry", id="line.later", show=False),
        Binding("tab", "complete", "Complete a folder", id="line.complete", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._texts: list[str] = []
        self._back = 0

    @property
    def prompt(self) -> LogPrompt:
        """The prompt of this input."""
        found = self.parent
        assert isinstance(found, LogPrompt)
        return found

    def start_editing(self, earlier: list[str], value: str) -> None:
        """Start with a value; `earlier` holds earlier entries, latest last."""
        self._texts, self._back = [*earlier, value], 0
        self.value = value
        self.cursor_position = len(value)

    def action_close(self, entered: bool) -> None:
        """Enter the text, or close without it."""
        self.prompt.close(self.value if entered else None)

    def action_earlier(self, step: int) -> None:
        """Recall an earlier or a later entry."""
        self._back = min(max(0, self._back + step), len(self._texts) - 1)
        self.value = self._texts[-1 - self._back]
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the name of a folder."""
        if self.prompt.kind == "save":
            self.prompt.post_message(LogPrompt.Completing(self.value))
