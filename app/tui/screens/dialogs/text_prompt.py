"""Text prompt: a dialog that asks for one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from app.tui.error_boundary import SafeScreen
from app.tui.forms.fields import make_entry
from app.tui.widgets.modal import DismissOnClickOutside


class TextPromptScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """Dialog with one text field.

    Dismisses with the stripped text, or None if it was cancelled. `fault` returns what is wrong
    with a text, or "".
    """

    BOX = "#ask"
    DEFAULT_CSS = """
    TextPromptScreen { align: center middle; background: transparent; }
    TextPromptScreen #ask { width: 60; height: 4; }
    TextPromptScreen Input { background: transparent; border: none; padding: 0; height: 1; }
    TextPromptScreen Static { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close", id="ask.leave")]

    def __init__(
        self,
        title: str,
        prompt: str,
        value: str = "",
        fault: Callable[[str], str] = lambda text: "",
    ) -> None:
        super().__init__()
        self._title, self._says, self._value, self._fault = title, prompt, value, fault

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield make_entry("answer", self._value)
            yield Static(self._says, markup=False, id="says")

    def on_mount(self) -> None:
        self.frame_box(self._title)
        self.set_focus(self.query_one(Input))

    @on(Input.Submitted)
    def _handle_submit(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if fault := self._fault(text):
            self.query_one("#says", Static).update(fault)
        else:
            self.dismiss(text or None)

    def action_leave(self) -> None:
        self.dismiss(None)
