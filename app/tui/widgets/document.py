"""Scrolling document of titled sections; lines with a target can be opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from app.core.text.sanitize import measure_width
from app.core.text.wrap import wrap_words
from app.tui.style import Look, Span
from app.tui.widgets.strips import FocusLines

GUTTER = 2
COUNT_CHARACTERS = " 0123456789,.k"
"""Characters of a count at the end of a title, ignored when sections are compared."""
LineAnchor = tuple[str, int, int]
"""A line's target or section title, its offset there, and its row on the screen."""


@dataclass(frozen=True, slots=True)
class DocRow:
    """A line: spans of sanitized text, and the target that enter opens ("" for none)."""

    spans: tuple[Span, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a title rule (none without a title).

    `heads` are placed in the rule at their cells, `tail` at its right end.
    """

    title: str
    rows: tuple[DocRow, ...]
    heads: tuple[tuple[int, str], ...] = ()
    tail: str = ""


class DocumentView(FocusLines, can_focus=True):
    """A document with a cursor on lines that have a target."""

    ONE_CLICK: ClassVar[bool] = False
    """True if one click opens a line."""
    DEFAULT_CSS = "DocumentView { height: auto; width: 1fr; }"
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
        """A line with a target was opened."""

        target: str

    @dataclass
    class Moved(Message):
        """The cursor moved to another line."""

        target: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sections: tuple[Section, ...] = ()
        self._lines: list[tuple[int, DocRow | None]] = []
        self._offset = 0
        self.cursor = ""
        """Target under the cursor; "" if no line has a target."""

    def show(self, sections: Iterable[Section], first: str = "") -> None:
        """Show sections; keep the cursor's target and the scroll position.

        If the cursor must move, it goes to the first target that starts with `first`, if there is
        one.
        """
        shown = tuple(sections)
        if shown == self._sections:
            return
        taller = _count_lines(shown) != _count_lines(self._sections)
        anchor, before = self._find_anchor(), self.cursor
        self._sections = shown
        self._lines = [
            line for number, section in enumerate(shown) for line in _list_lines(number, section)
        ]
        targets = self._list_targets()
        if before not in targets:
            self.cursor = next(
                (target for target in targets if target.startswith(first)), next(iter(targets), "")
            )
        self._restore_anchor(anchor)
        if taller:
            self.refresh(layout=True)
        self._redraw()
        if self.cursor != before:
            self.post_message(self.Moved(self.cursor))

    def _find_anchor(self) -> LineAnchor:
        """Return the line that keeps its position: the cursor if visible, else the top line."""
        at = self._list_targets().get(self.cursor, -1)
        if self._offset <= at < self._offset + self.size.height:
            return self.cursor, at, at - self._offset
        number = self._lines[self._offset][0] if self._offset < len(self._lines) else 0
        title = self._sections[number].title if self._sections else ""
        return title.rstrip(COUNT_CHARACTERS), self._offset - self._find_section_start(number), 0

    def _restore_anchor(self, anchor: LineAnchor) -> None:
        """Scroll so that the anchor keeps its position; a document at its top stays there."""
        what, within, row = anchor
        targets = self._list_targets()
        if not self._offset:
            return
        if what in targets:
            self._offset = max(0, targets[what] - row)
        for number, section in enumerate(self._sections):
            if what and section.title.rstrip(COUNT_CHARACTERS) == what:
                self._offset = self._find_section_start(number) + within

    def _find_section_start(self, number: int) -> int:
        """Return the first line of a section."""
        return next((at for at, (section, _) in enumerate(self._lines) if section == number), 0)

    @property
    def height(self) -> int:
        """Number of lines of all sections."""
        return len(self._lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, self.height)

    # -- movement --

    def action_go(self, step: int) -> None:
        """Move to the next line with a target, or scroll if there is none."""
        targets = list(self._list_targets())
        at = targets.index(self.cursor) + step if self.cursor in targets else -1
        if 0 <= at < len(targets):
            self._move_to(targets[at])
            self._scroll_into_view(self._list_targets()[self.cursor])
        else:
            self._offset += step
        self._redraw()

    def _move_to(self, target: str) -> None:
        if target != self.cursor:
            self.cursor = target
            self.post_message(self.Moved(target))

    def move_to_prefix(self, first: str) -> bool:
        """Move the cursor to the first target with this prefix; return False if there is none."""
        found = next((target for target in self._list_targets() if target.startswith(first)), None)
        if found is not None:
            self._move_to(found)
            self._scroll_into_view(self._list_targets()[found])
            self._redraw()
        return found is not None

    def action_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._offset += pages * max(1, self.size.height - 1)
        self._redraw()

    def action_edge(self, side: int) -> None:
        """Move to the first or last line."""
        self._offset = 0 if side < 0 else len(self._lines)
        targets = list(self._list_targets())
        if targets:
            self._move_to(targets[0 if side < 0 else -1])
        self._redraw()

    def action_open(self) -> None:
        """Open the target under the cursor."""
        if self.cursor:
            self.post_message(self.Opened(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Select the clicked line; open it if already selected."""
        at = self._offset + event.y
        row = self._lines[at][1] if at < len(self._lines) else None
        if row is None or not row.target:
            return
        opens = self.ONE_CLICK or row.target == self.cursor
        self._move_to(row.target)
        if opens:
            self.action_open()
        self._redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll_by_wheel(event, 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll_by_wheel(event, -3)

    def _scroll_by_wheel(self, event: events.MouseEvent, lines: int) -> None:
        event.stop()
        self._offset += lines
        self._redraw()

    def _scroll_into_view(self, line: int) -> None:
        self._offset = min(max(self._offset, line - self.size.height + 1), max(0, line - 1))

    def _list_targets(self) -> dict[str, int]:
        """Return the line of each target, in order."""
        found: dict[str, int] = {}
        for at, (_, row) in enumerate(self._lines):
            if row and row.target:
                found.setdefault(row.target, at)
        return found

    # -- drawing --

    def _redraw(self) -> None:
        height, room = self.size.height, self.size.width
        self._offset = max(0, min(self._offset, len(self._lines) - height))
        at = self._list_targets().get(self.cursor)
        focused = self._lines[at][0] if at is not None else 0
        visible_lines = self._lines[self._offset : self._offset + height]
        self.draw([self._make_strip(number, row, focused, room) for number, row in visible_lines])

    def _make_strip(self, number: int, row: DocRow | None, focused: int, room: int) -> Strip:
        if row is None:
            return make_title_rule(
                self.look, self._sections[number], room, self.has_focus and number == focused
            )
        here = self.has_focus and bool(row.target) and row.target == self.cursor
        gutter = self.look.adapt_text("› ") if here else "  "
        return self.look.strip([(gutter, ""), *row.spans], room, "cursor" if here else "")


def make_title_rule(look: Look, section: Section, room: int, focused: bool) -> Strip:
    """Return the title rule of a section."""
    line = look.draw_rule(room, [(2, section.title), *section.heads], section.tail, focused)
    return look.strip([(line, "title" if focused else "dim")], room)


def wrap_text(text: str, room: int) -> list[str]:
    """Wrap sanitized text to lines of at most `room` cells, at blanks if possible.

    Text with wide characters breaks between them, too.
    """
    room = max(2, room)
    if measure_width(text) != len(text):
        wrapped = wrap_words(text, room).split("\n")
        return [part for line in wrapped for part in _split_word(line, room)]
    lines, left = [""], room
    for word in text.split(" "):
        for part in _split_word(word, room):
            gap = 1 if lines[-1] else 0
            if measure_width(part) + gap > left and lines[-1]:
                lines.append("")
                left, gap = room, 0
            lines[-1] += " " * gap + part
            left -= measure_width(part) + gap
    return lines


def _split_word(word: str, room: int) -> list[str]:
    """Return the word, split if it is longer than a line."""
    parts = [""]
    for c in word if measure_width(word) > room else ():
        if measure_width(parts[-1]) + measure_width(c) > room:
            parts.append("")
        parts[-1] += c
    return parts if measure_width(word) > room else [word]


def _count_lines(sections: Sequence[Section]) -> int:
    return sum(len(section.rows) + bool(section.title) for section in sections)


def _list_lines(number: int, section: Section) -> list[tuple[int, DocRow | None]]:
    """Return a section's lines with its number: the rule (None), then the rows."""
    rows: list[DocRow | None] = [*([None] if section.title else []), *section.rows]
    return [(number, row) for row in rows]
