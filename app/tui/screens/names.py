"""All that a question is about, line by line, where the question names but some of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.tui.beside import LeftBeside
from app.tui.footer import Hint, KeyLine
from app.tui.look import Span
from app.tui.screens.help import HelpLine, Page
from app.tui.sturdy import SturdyScreen

HINTS = (Hint("space", "page down", "space", 2), Hint("b", "up", "b", 2))

ROOM = 72
"""Cells of a line, on a terminal that is wide enough."""


class NamesScreen(LeftBeside, ModalScreen[None], SturdyScreen[None]):
    """The lines in a box over the question, which waits below."""

    BOX = "#names"
    DEFAULT_CSS = """
    NamesScreen { align: center middle; }
    NamesScreen #names { width: 76; max-width: 100%; height: 90%; background: $background; color: $foreground; border: solid $foreground; }
    NamesScreen #names.-ascii { border: ascii $foreground; }
    NamesScreen #page { height: 1fr; width: 1fr; }
    NamesScreen KeyLine { height: 1; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,enter", "dismiss", "Back to the question", id="names.close"),
        Binding("j,down", "move(1)", "Down", id="names.down"),
        Binding("k,up", "move(-1)", "Up", id="names.up"),
        Binding("space,pagedown,ctrl+d", "move(10)", "Page down", id="names.page-down"),
        Binding("b,pageup,ctrl+u", "move(-10)", "Page up", id="names.page-up"),
        Binding("g,home", "move(-100000)", "Top", id="names.top"),
        Binding("G,end", "move(100000)", "End", id="names.end"),
    ]

    def __init__(self, title: str, lines: Sequence[Sequence[Span]], back: str = "back to the question") -> None:
        """`lines` are safe."""
        super().__init__()
        self._title, self._lines = title, lines
        self._hints, self._leave = (*HINTS, Hint("q", back, "q", 0)), Hint("esc", back, "escape", 0)

    def box_keys(self) -> Sequence[Hint]:
        return (self._leave,)  # the others stand in the box, where they can be clicked

    def compose(self) -> ComposeResult:
        with Vertical(id="names"):
            yield Page([HelpLine(line) for line in self._lines], self._title)
            yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#names").set_class(self.query_one(Page).look.ascii, "-ascii")
        self.query_one(KeyLine).show(self._hints)

    def action_move(self, by: int) -> None:
        """Move by lines."""
        self.query_one(Page).move(by)
