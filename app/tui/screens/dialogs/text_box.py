"""Scrolling text box over a screen, for key help and long lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen

from app.tui.error_boundary import SafeScreen
from app.tui.style import Span
from app.tui.widgets.footer import KeyHint, KeyLine
from app.tui.widgets.modal import DismissOnClickOutside
from app.tui.widgets.strips import StripWidget

SCROLL_HINTS = (KeyHint("space", "page down", "space", 2), KeyHint("b", "up", "b", 2))


class BoxLine(NamedTuple):
    """Line of the box: safe spans, and the key that a click on the line presses."""

    spans: Sequence[Span] = ()
    key: str | None = None


class BoxText(StripWidget):
    """Lines under a title rule, scrolled by whole lines."""

    @dataclass
    class LineClicked(Message):
        """Click on a line that has a key."""

        key: str

    def __init__(self, lines: Sequence[BoxLine], title: str) -> None:
        super().__init__(id="page")
        self._all = lines
        self._title = title
        self._top = 0

    def show(self, lines: Sequence[BoxLine]) -> None:
        """Show other lines at the present scroll position."""
        self._all = lines
        self.move(0)

    def redraw(self) -> None:
        room, height = self.size
        body = self._all[self._top : self._top + height - 1]
        below = len(self._all) - self._top - len(body)
        rule = self.look.draw_rule(
            room, [(2, self._title)], f"{below} more below" if below else "", focused=True
        )
        rows = [
            [("  ", ""), *((self.look.adapt_text(text), style) for text, style in line.spans)]
            for line in body
        ]
        self.draw(
            [
                self.look.strip([(rule, "title")], room),
                *(self.look.strip(row, room) for row in rows),
            ]
        )

    def move(self, by: int) -> None:
        self._top = max(0, min(self._top + by, len(self._all) - self.size.height + 1))
        self.redraw()

    def fit(self) -> None:
        self.move(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        at = self._top + event.y - 1
        if event.y and at < len(self._all) and (key := self._all[at].key):
            self.post_message(self.LineClicked(key))


class BoxScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """Text box that stays until it is closed.

    Dismisses with the key of the clicked line, or None.
    """

    BOX = "#box"
    DEFAULT_CSS = """
    BoxScreen { align: center middle; }
    BoxScreen #box { width: 76; max-width: 100%; height: 90%; border: solid $foreground; }
    BoxScreen #box { background: $background; color: $foreground; }
    BoxScreen #box.-ascii { border: ascii $foreground; }
    BoxScreen #page { height: 1fr; width: 1fr; }
    BoxScreen KeyLine { height: 1; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "dismiss", "Close", id="box.close"),
        Binding("j,down", "move(1)", "Down", id="box.down"),
        Binding("k,up", "move(-1)", "Up", id="box.up"),
        Binding("space,pagedown,ctrl+d", "move(10)", "Page down", id="box.page-down"),
        Binding("b,pageup,ctrl+u", "move(-10)", "Page up", id="box.page-up"),
        Binding("g,home", "move(-100000)", "Top", id="box.top"),
        Binding("G,end", "move(100000)", "End", id="box.end"),
    ]

    def __init__(
        self, title: str, lines: Sequence[BoxLine], close: str, keys: Sequence[KeyHint] = ()
    ) -> None:
        """Create the box; `close` labels the closing key, `keys` are additional hints."""
        super().__init__()
        self._title, self._lines, self._close, self._more = title, lines, close, keys

    def list_box_keys(self) -> Sequence[KeyHint]:
        # the box shows the other keys, where they can be clicked
        return (KeyHint("esc", self._close, "escape", 0),)

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield BoxText(self._lines, self._title)
            yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#box").set_class(self.page.look.ascii, "-ascii")
        self.query_one(KeyLine).show(
            [*SCROLL_HINTS, *self._more, KeyHint("q", self._close, "q", 0)]
        )

    @property
    def page(self) -> BoxText:
        return self.query_one(BoxText)

    @on(BoxText.LineClicked)
    def _handle_line_click(self, event: BoxText.LineClicked) -> None:
        self.dismiss(event.key)

    def action_move(self, by: int) -> None:
        self.page.move(by)
