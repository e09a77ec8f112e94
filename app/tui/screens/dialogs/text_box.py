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
from textual.widget import Widget

from app.translation import tr
from app.tui.error_boundary import SafeScreen
from app.tui.style import Span
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import DismissOnClickOutside
from app.tui.widgets.strips import StripWidget

SCROLL_HINTS = (KeyHint("space", "page down", "space", 2), KeyHint("b", "up", "b", 2))


class BoxLine(NamedTuple):
    """Line of the box: safe spans, and the keys that clicks press, by their first cells."""

    spans: Sequence[Span] = ()
    keys: Sequence[tuple[int, str]] = ()


class BoxText(StripWidget):
    """Lines scrolled as a whole; the frame around them counts the lines below."""

    @dataclass
    class LineClicked(Message):
        """Click on a line that has a key."""

        key: str

    def __init__(self, lines: Sequence[BoxLine]) -> None:
        super().__init__(id="page")
        self._all = lines
        self._top = 0

    def show(self, lines: Sequence[BoxLine]) -> None:
        """Show other lines at the present scroll position."""
        self._all = lines
        self.move(0)

    def redraw(self) -> None:
        room, height = self.size
        body = self._all[self._top : self._top + height]
        below = len(self._all) - self._top - len(body)
        if isinstance(self.parent, Widget):
            self.parent.border_subtitle = tr("{below} more below", below=below) if below else ""
        rows = [
            [(" ", ""), *((self.look.adapt_text(text), style) for text, style in line.spans)]
            for line in body
        ]
        self.draw([self.look.strip(row, room) for row in rows])

    def move(self, by: int) -> None:
        self._top = max(0, min(self._top + by, len(self._all) - self.size.height))
        self.redraw()

    def fit(self) -> None:
        self.move(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        at = self._top + event.y
        keys = self._all[at].keys if at < len(self._all) else ()
        if key := next((key for begin, key in reversed(keys) if begin < event.x), ""):
            self.post_message(self.LineClicked(key))


class BoxScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """Text box that stays until it is closed.

    Dismisses with the key of the clicked line, or None.
    """

    BOX = "#box"
    DEFAULT_CSS = """
    BoxScreen { align: center middle; }
    BoxScreen #box { width: 76; height: 90%; }
    BoxScreen #page { height: 1fr; width: 1fr; }
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
        return (*self._more, *SCROLL_HINTS, KeyHint("esc", self._close, "escape", 0))

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield self.make_text()

    def make_text(self) -> BoxText:
        """Return the widget with the lines."""
        return BoxText(self._lines)

    def on_mount(self) -> None:
        self.frame_box(self._title)

    @property
    def page(self) -> BoxText:
        return self.query_one(BoxText)

    @on(BoxText.LineClicked)
    def _handle_line_click(self, event: BoxText.LineClicked) -> None:
        self.dismiss(event.key)

    def action_move(self, by: int) -> None:
        self.page.move(by)
