"""A page of sections under title rules, scrolled by lines; some lines lead somewhere and can be opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from app.core.text.sanitize import width
from app.tui.style import Look, Span
from app.tui.widgets.strips import FocusLines

GUTTER = 2
COUNT = " 0123456789,.k"
"""What a section's title may end in without being another."""
Anchor = tuple[str, int, int]
"""What a line is (its target, or its section's title), its place within that, its row on the screen."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line: spans of safe text, and what `enter` on it opens ("" for nothing)."""

    spans: tuple[Span, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a rule (none without a title). `heads` stand in it at their cells, `tail` at its right end."""

    title: str
    rows: tuple[Row, ...]
    heads: tuple[tuple[int, str], ...] = ()
    tail: str = ""


class Doc(FocusLines, can_focus=True):
    """Sections, a cursor on the lines that lead somewhere."""

    ONE_CLICK: ClassVar[bool] = False
    """Whether a click opens its line at once."""
    DEFAULT_CSS = "Doc { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "go(1)", "Down", id="page.down", show=False),
        Binding("k,up", "go(-1)", "Up", id="page.up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", id="page.page-down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", id="page.page-up", show=False),
        Binding("g,home", "edge(-1)", "First line", id="page.first", show=False),
        Binding("G,end", "edge(1)", "Last line", id="page.last", show=False),
        Binding("enter,d", "open", "Open", id="page.open", show=False),
    ]

    @dataclass
    class Opened(Message):
        """A line that leads somewhere was opened."""

        target: str

    @dataclass
    class Moved(Message):
        """The cursor stands on another line."""

        target: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sections: tuple[Section, ...] = ()
        self._lines: list[tuple[int, Row | None]] = []
        self._offset = 0
        self.cursor = ""
        """The target under the cursor; "" when no line leads anywhere."""

    def show(self, sections: Iterable[Section], first: str = "") -> None:
        """Show these sections; the cursor stays on its target, and what is seen stays where it is.

        A cursor that must move goes to the first target that begins with `first`, where there is one.
        """
        shown = tuple(sections)
        if shown == self._sections:
            return
        taller = _height(shown) != _height(self._sections)
        held, before = self._anchor(), self.cursor
        self._sections = shown
        self._lines = [line for number, section in enumerate(shown) for line in _lines(number, section)]
        targets = self._targets()
        if before not in targets:
            self.cursor = next((target for target in targets if target.startswith(first)), next(iter(targets), ""))
        self._hold(held)
        if taller:
            self.refresh(layout=True)
        self._redraw()
        if self.cursor != before:
            self.post_message(self.Moved(self.cursor))

    def _anchor(self) -> Anchor:
        """The line that must not move: that of the cursor when it is seen, else the topmost."""
        at = self._targets().get(self.cursor, -1)
        if self._offset <= at < self._offset + self.size.height:
            return self.cursor, at, at - self._offset
        number = self._lines[self._offset][0] if self._offset < len(self._lines) else 0
        title = self._sections[number].title if self._sections else ""
        return title.rstrip(COUNT), self._offset - self._begin(number), 0

    def _hold(self, anchor: Anchor) -> None:
        """Scroll so that this line stands where it stood. Who saw the top sees the top still."""
        what, within, row = anchor
        targets = self._targets()
        if not self._offset:
            return
        if what in targets:
            self._offset = max(0, targets[what] - row)
        for number, section in enumerate(self._sections):
            if what and section.title.rstrip(COUNT) == what:
                self._offset = self._begin(number) + within

    def _begin(self, number: int) -> int:
        """Where a section begins."""
        return next((at for at, (mine, _) in enumerate(self._lines) if mine == number), 0)

    @property
    def height(self) -> int:
        """Lines of all sections."""
        return len(self._lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As tall as its sections."""
        return max(1, self.height)

    # -- moving -------------------------------------------------------------------------------------------------

    def action_go(self, step: int) -> None:
        """To the next line that leads somewhere; scroll when there is none."""
        targets = list(self._targets())
        at = targets.index(self.cursor) + step if self.cursor in targets else -1
        if 0 <= at < len(targets):
            self._go(targets[at])
            self._reveal(self._targets()[self.cursor])
        else:
            self._offset += step
        self._redraw()

    def _go(self, target: str) -> None:
        if target != self.cursor:
            self.cursor = target
            self.post_message(self.Moved(target))

    def lead(self, first: str) -> bool:
        """Put the cursor on the first target that begins so, if there is one; whether there is."""
        found = next((target for target in self._targets() if target.startswith(first)), None)
        if found is not None:
            self._go(found)
            self._reveal(self._targets()[found])
            self._redraw()
        return found is not None

    def action_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._offset += pages * max(1, self.size.height - 1)
        self._redraw()

    def action_edge(self, side: int) -> None:
        """To the first line, or the last."""
        self._offset = 0 if side < 0 else len(self._lines)
        targets = list(self._targets())
        if targets:
            self._go(targets[0 if side < 0 else -1])
        self._redraw()

    def action_open(self) -> None:
        """Open what the line under the cursor leads to."""
        if self.cursor:
            self.post_message(self.Opened(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """The first click chooses a line, a second one opens it."""
        at = self._offset + event.y
        row = self._lines[at][1] if at < len(self._lines) else None
        if row is None or not row.target:
            return
        opens = self.ONE_CLICK or row.target == self.cursor
        self._go(row.target)
        if opens:
            self.action_open()
        self._redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -3)

    def _wheel(self, event: events.MouseEvent, lines: int) -> None:
        event.stop()
        self._offset += lines
        self._redraw()

    def _reveal(self, line: int) -> None:
        self._offset = min(max(self._offset, line - self.size.height + 1), max(0, line - 1))

    def _targets(self) -> dict[str, int]:
        """Where each target stands, in order."""
        found: dict[str, int] = {}
        for at, (_, row) in enumerate(self._lines):
            if row and row.target:
                found.setdefault(row.target, at)
        return found

    # -- drawing ------------------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        height, room = self.size.height, self.size.width
        self._offset = max(0, min(self._offset, len(self._lines) - height))
        at = self._targets().get(self.cursor)
        focused = self._lines[at][0] if at is not None else 0
        seen = self._lines[self._offset : self._offset + height]
        self.draw([self._strip(number, row, focused, room) for number, row in seen])

    def _strip(self, number: int, row: Row | None, focused: int, room: int) -> Strip:
        if row is None:
            return rule(self.look, self._sections[number], room, self.has_focus and number == focused)
        here = self.has_focus and bool(row.target) and row.target == self.cursor
        gutter = self.look.own("› ") if here else "  "
        return self.look.strip([(gutter, ""), *row.spans], room, "cursor" if here else "")


def rule(look: Look, section: Section, room: int, focused: bool) -> Strip:
    """The title rule of a section."""
    line = look.rule(room, [(2, section.title), *section.heads], section.tail, focused)
    return look.strip([(line, "title" if focused else "dim")], room)


def wrap(text: str, room: int) -> list[str]:
    """Safe text in lines of at most `room` cells, broken at blanks where there are some."""
    room = max(2, room)
    lines, left = [""], room
    for word in text.split(" "):
        for part in _parts(word, room):
            gap = 1 if lines[-1] else 0
            if width(part) + gap > left and lines[-1]:
                lines.append("")
                left, gap = room, 0
            lines[-1] += " " * gap + part
            left -= width(part) + gap
    return lines


def _parts(word: str, room: int) -> list[str]:
    """A word, or its pieces when it is longer than a line."""
    parts = [""]
    for c in word if width(word) > room else ():
        if width(parts[-1]) + width(c) > room:
            parts.append("")
        parts[-1] += c
    return parts if width(word) > room else [word]


def _height(sections: Sequence[Section]) -> int:
    return sum(len(section.rows) + bool(section.title) for section in sections)


def _lines(number: int, section: Section) -> list[tuple[int, Row | None]]:
    """A section's lines: the rule (None), then its rows, each with the section's number."""
    rows: list[Row | None] = [*([None] if section.title else []), *section.rows]
    return [(number, row) for row in rows]
