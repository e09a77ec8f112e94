"""Table widget: sections of rows under title rules with one cursor, drawn line by line.

Each section has its own window of rows, so a long list does not push the next one off the screen.
Cursor and marks are kept by row key across refreshes. Only visible rows are computed, unchanged
strips are reused, and only changed lines are redrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip

from app.translation import tr, tr_noop
from app.tui.widgets.strips import StripWidget
from app.tui.widgets.table_columns import (
    Cells,
    ColumnPlace,
    find_last_offset,
    make_row_strip,
    place_columns,
    place_heads,
)
from app.tui.widgets.table_parts import SectionView, TableGrid, TableSection
from app.tui.widgets.table_title import (
    Wordings,
    add_filter,
    fit_title,
    format_hidden_columns,
    has_tail_room,
)

NARROW_CELLS = 100
"""Terminal width in cells below which sections use their narrow grid."""

WHEEL_ROWS = 3
NEW_ROW_TIMEOUT = 5.0
"""Seconds to wait for the row of a new object."""
_MAX_CACHED = 400
NO_MATCH = tr_noop("No rows match the filter. Press esc to clear it.")
"""Shown in a section without rows that match the filter."""


class Table(StripWidget, can_focus=True):
    """Sections of rows with one cursor."""

    ONE_CLICK: ClassVar[bool] = False
    """True if one click opens a row."""
    SHOWS_HIDDEN_COLUMNS: ClassVar[bool] = False
    """True if the number of columns out of view is always shown, not only after scrolling."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", id="table.down", group=Binding.Group("Move")),
        Binding("k,up", "move(-1)", "Up", id="table.up", group=Binding.Group("Move")),
        Binding("g,home", "edge(-1)", "First row", id="table.first", group=Binding.Group("Move")),
        Binding("G,end", "edge(1)", "Last row", id="table.last", group=Binding.Group("Move")),
        Binding(
            "pagedown", "page(2)", "Page down", id="table.page-down", group=Binding.Group("Move")
        ),
        Binding("pageup", "page(-2)", "Page up", id="table.page-up", group=Binding.Group("Move")),
        Binding(
            "ctrl+d",
            "page(1)",
            "Half a page down",
            id="table.half-down",
            group=Binding.Group("Move"),
        ),
        Binding(
            "ctrl+u", "page(-1)", "Half a page up", id="table.half-up", group=Binding.Group("Move")
        ),
        Binding(
            "right",
            "sideways(1)",
            "Columns to the right",
            id="table.right",
            group=Binding.Group("Move"),
        ),
        Binding(
            "left",
            "sideways(-1)",
            "Columns to the left",
            id="table.left",
            group=Binding.Group("Move"),
        ),
        Binding("enter,d", "open", "Open the row", id="table.open", group=Binding.Group("Row")),
        Binding(
            "space", "mark", "Mark the row, go down", id="table.mark", group=Binding.Group("Row")
        ),
    ]

    @dataclass
    class Moved(Message):
        """The cursor moved, or its row changed."""

        table: Table

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class Opened(Message):
        """A row was opened by enter or a click."""

        table: Table
        item: Any

        @property
        def control(self) -> Table:
            return self.table

    def __init__(
        self,
        parts: Sequence[TableSection],
        *,
        id: str | None = None,
        classes: str | None = None,
        marks: bool = True,
    ) -> None:
        """Create the table. `marks` is False if no command applies to marked rows."""
        super().__init__(id=id, classes=classes)
        self._takes_marks = marks
        self.views = [SectionView(part) for part in parts]
        self.narrow: bool | None = None
        """Use narrow grids; None decides by the table's own width."""
        self.cursor: str | None = None
        """Key of the row under the cursor."""
        self.is_cursor_placed = False
        """Set once the user placed or saw the cursor; until then it stays on the first row."""
        self.marks: set[str] = set()
        self.keep: Callable[[Any], bool] | None = None
        """Row filter."""
        self.keep_text = ""
        """Filter as shown in the title."""
        self.note = ""
        """Note beside the first title: `loading`, or the age of the rows."""
        self.sign: Wordings = ()
        """Text shown in the first title rule if it fits."""
        self.is_title_elsewhere = False
        """True if the screen shows the first title, so that its rule is free for the headings."""
        self.moment: float | None = None
        """UNIX seconds to which ages refer if the rows are not current."""
        self.jumped_at = float("-inf")
        """Monotonic time when the cursor's row last disappeared."""
        self._awaited: tuple[str, float] | None = None
        """Key of a new row that gets the cursor when it arrives, and the monotonic time limit."""
        self._all: dict[str, Sequence[Any]] = {}
        self._index: dict[str, tuple[int, int]] = {}
        self._begin = 0
        """Horizontal scroll position, as in `table_columns.place_columns`."""
        self._at: list[tuple[int, int] | None] = []
        self._was_cursor_shown = False
        """True if the cursor was shown when the mouse button was pressed."""

    # Contents

    @property
    def now(self) -> float:
        """Time to which ages refer."""
        return super().now if self.moment is None else self.moment

    def find_view(self, part: str) -> SectionView:
        """Return the view of a section by its id."""
        return next(view for view in self.views if view.part.id == part)

    def show(self, rows: Mapping[str, Sequence[Any]]) -> None:
        """Show rows by section id; other sections keep theirs."""
        self._all.update(rows)
        self._apply_rows()

    def filter(self, keep: Callable[[Any], bool] | None, text: str = "") -> None:
        """Show only rows that `keep` accepts; None shows all.

        `text` is sanitized and appears in the first title.
        """
        self.keep, self.keep_text = keep, text if keep else ""
        self._apply_rows()

    def set_section(self, part: TableSection) -> None:
        """Show other columns in the first section."""
        view = self.views[0]
        view.part, view.rule = part, None
        view.clear_cache()
        self.redraw()

    def _apply_rows(self) -> None:
        before, row = self._find_position(self.cursor), self.item
        for view in self.views:
            rows = self._all.get(view.part.id, ())
            view.rows = tuple(filter(self.keep, rows)) if self.keep else rows
        self._index = {
            row.key: (v, r) for v, view in enumerate(self.views) for r, row in enumerate(view.rows)
        }
        self.drop_stale_marks()
        if not self.is_cursor_placed:
            self._move_to_top()
        elif self.cursor not in self._index or self.is_moved_away(row, self.item):
            self._replace_cursor(before)
        if self._awaited is not None and self._awaited[0] in self._index:
            self._go_to_awaited()
        self.redraw()

    def is_moved_away(self, before: Any, after: Any) -> bool:
        """Return True if the row under the cursor moved, and the cursor keeps its place."""
        return False

    def drop_stale_marks(self) -> None:
        """Remove the marks of rows that are gone."""
        self.marks &= self._index.keys()

    def _move_to_top(self) -> None:
        top = next(iter(self._index), None)
        if top != self.cursor:
            self.cursor = top
            self.post_message(self.Moved(self))

    def _replace_cursor(self, before: int | None) -> None:
        if self.cursor is not None:
            self.jumped_at = self.deck.ticks()
        keys = list(self._index)
        self.cursor = keys[min(before or 0, len(keys) - 1)] if keys else None
        self.post_message(self.Moved(self))

    def _find_position(self, key: str | None) -> int | None:
        """Return the number of rows above this one."""
        if key is None or key not in self._index:
            return None
        v, r = self._index[key]
        return sum(len(view.rows) for view in self.views[:v]) + r

    # Cursor

    @property
    def item(self) -> Any:
        """Row under the cursor, or None."""
        return self.find_row(self.cursor)

    def find_row(self, key: str | None) -> Any:
        """Return the row with this key, or None."""
        if key is None or key not in self._index:
            return None
        v, r = self._index[key]
        return self.views[v].rows[r]

    def list_selected(self) -> list[Any]:
        """Return the marked rows in order, else the row under the cursor."""
        keys = sorted(self.marks, key=lambda key: self._index[key]) or [self.cursor]
        return [row for row in map(self.find_row, keys) if row is not None]

    def list_marked(self) -> list[Any]:
        """Return the marked rows."""
        return self.list_selected() if self.marks else []

    def go_to_row(self, key: str) -> bool:
        """Put the cursor on the row with this key; return False if it is not shown."""
        if key not in self._index:
            return False
        self.is_cursor_placed, self._awaited = True, None
        if key != self.cursor:
            self.cursor = key
            self.post_message(self.Moved(self))
        self.redraw()
        return True

    def go_when_listed(self, key: str) -> None:
        """Put the cursor on a new row once it is listed, unless the cursor was moved meanwhile."""
        self._awaited = key, self.deck.ticks() + NEW_ROW_TIMEOUT
        if key in self._index:
            self._go_to_awaited()

    def _go_to_awaited(self) -> None:
        """Put the cursor on the awaited row. The user has not seen it there yet."""
        key, until = self._awaited or ("", 0.0)
        now, self._awaited = self.deck.ticks(), None
        if now < until and key != self.cursor:
            self.go_to_row(key)
            self.jumped_at = now

    # Drawing

    @property
    def is_cursor_shown(self) -> bool:
        """True if the cursor is shown."""
        return self.has_focus

    @property
    def keeps_cursor_visible(self) -> bool:
        """True if the window keeps the cursor's row visible."""
        return True

    @property
    def aligned_columns(self) -> int:
        """Number of first columns that have the same width in all sections."""
        return 1

    @property
    def is_narrow(self) -> bool:
        """True if the narrow grids are used."""
        return self.size.width < NARROW_CELLS if self.narrow is None else self.narrow

    def share_lines(self, height: int) -> list[tuple[int, int]]:
        """Return rows and blank lines of each section for `height` lines including title rules."""
        each, more = divmod(max(0, height - len(self.views)), len(self.views))
        return [(each + (more if n == 0 else 0), 0) for n in range(len(self.views))]

    def redraw(self) -> None:
        """Compute the visible lines and draw those that changed."""
        room, height = self.size
        if not room or not height:
            return
        strips: list[Strip] = []
        self._at = []
        cursor_position = self._index.get(self.cursor or "", (0, None))
        shares = self.share_lines(height)
        cells = [
            self._make_cells(v, view, shares[v][0], cursor_position)
            for v, view in enumerate(self.views)
        ]
        self._begin = min(
            self._begin, max(self._find_last_offset(view, room) for view in self.views)
        )
        for v, (view, (lines, blanks)) in enumerate(zip(self.views, shares, strict=True)):
            if lines >= 0:
                strips += self._draw_section(
                    v, view, cells[v], room, self.is_cursor_shown and cursor_position[0] == v
                )
                self._add_blanks(strips, blanks, room)
        self.draw(strips[:height])
        if self.is_cursor_shown and self.look.plain:
            self.app.cursor_position = Offset(
                self.region.x, self.region.y + self._find_cursor_line()
            )

    def _find_cursor_line(self) -> int:
        """Return the line of the cursor; 0, the title, if there is none."""
        return (
            self._at.index(cursor_position)
            if (cursor_position := self._index.get(self.cursor or "")) in self._at
            else 0
        )

    def _get_grid(self, view: SectionView) -> TableGrid:
        return (view.part.narrow if self.is_narrow else None) or view.part.grid

    def _make_cells(
        self, v: int, view: SectionView, lines: int, cursor_position: tuple[int, int | None]
    ) -> list[Cells]:
        """Return the cells of the visible rows after scrolling the section."""
        view.height = max(0, lines)
        view.scroll_to(
            cursor_position[1] if cursor_position[0] == v and self.keeps_cursor_visible else None
        )
        grid, look, now = self._get_grid(view), self.look, self.now
        cells = [grid.cells(row, look, now) for row in view.list_visible()]
        view.update_widths(grid.columns, cells)
        return cells

    def _measure_contents(self, view: SectionView) -> tuple[int, ...]:
        """Return the widest contents, for the aligned columns those of all sections."""
        aligned = zip(
            *(other.contents[: self.aligned_columns] for other in self.views), strict=True
        )
        return (*map(max, aligned), *view.contents[self.aligned_columns :])

    def _draw_section(
        self, v: int, view: SectionView, cells: Sequence[Cells], room: int, focused: bool
    ) -> list[Strip]:
        grid, look, window = self._get_grid(view), self.look, view.list_visible()
        begin = min(self._begin, self._find_last_offset(view, room))
        places = place_columns(grid.columns, room, self._measure_contents(view), begin)
        strips = [self._draw_title(view, grid, places, room, focused, begin)]
        self._at.append(None)
        for n, (row, row_cells) in enumerate(zip(window, cells, strict=True)):
            strips.append(self._draw_row(view, grid, places, room, row, row_cells))
            self._at.append((v, view.offset + n))
        if not window:
            strips += [look.strip(spans, room) for spans in view.empty[: view.height]]
        self._add_blanks(strips, view.height + 1 - len(strips), room)
        return strips

    def _add_blanks(self, strips: list[Strip], count: int, room: int) -> None:
        strips += [Strip.blank(room)] * max(0, count)
        self._at += [None] * max(0, count)

    def _find_last_offset(self, view: SectionView, room: int) -> int:
        return (
            find_last_offset(self._get_grid(view).columns, room, self._measure_contents(view))
            if self._begin
            else 0
        )

    def _describe_hidden_columns(
        self, view: SectionView, grid: TableGrid, places: Sequence[ColumnPlace], begin: int
    ) -> str:
        """Describe the columns out of view, if necessary."""
        if not view.rows or not (begin or self.SHOWS_HIDDEN_COLUMNS):
            return ""
        left = max(0, begin - 1)
        return format_hidden_columns(left, len(grid.columns) - len(places) - left, self.look)

    def _draw_title(
        self,
        view: SectionView,
        grid: TableGrid,
        places: Sequence[ColumnPlace],
        room: int,
        focused: bool,
        begin: int,
    ) -> Strip:
        title, filter_text, marks, note = view.title, "", "", ""
        if view is self.views[0] and self.is_title_elsewhere:
            title = ""
        elif view is self.views[0]:
            filter_text, marks = self.keep_text, self.format_marks()
            note = f"  {self.note}" if self.note else ""
        texts = (
            tuple(view.tail(view)) if callable(view.tail) else ((view.tail,),) if view.tail else ()
        )
        texts, required_texts = ((), texts) if view.tail_first else (texts, ())
        texts += (self.sign,) if self.sign and view is self.views[0] else ()
        required_texts += (
            ((out,),) if (out := self._describe_hidden_columns(view, grid, places, begin)) else ()
        )
        state = (
            title,
            filter_text,
            marks,
            note,
            texts,
            required_texts,
            places if view.rows else None,
            room,
            focused,
            self.look,
        )
        if view.rule and view.rule[0] == state:
            return view.rule[1]
        shown = place_heads(grid.columns, places) if view.rows else []
        named = [head for head in shown if head[1]]
        named_title = add_filter(title, filter_text, marks, note, named, room, self.look)
        tail = f"/{filter_text}"
        if filter_text not in named_title and has_tail_room(tail, named, room):
            named_title = add_filter(title, "", marks, note, named, room, self.look)
            texts = ((tail,), *texts)
        title = named_title
        title, tail = fit_title(title, named, texts, required_texts, room)
        text = self.look.draw_rule(room, [(2, title), *shown], tail, focused)
        strip = self.look.strip([(text, "title" if focused else "dim")], room)
        view.rule = (state, strip)
        return strip

    def _draw_row(
        self,
        view: SectionView,
        grid: TableGrid,
        places: Sequence[ColumnPlace],
        room: int,
        row: Any,
        cells: Cells,
    ) -> Strip:
        under = self.is_cursor_shown and row.key == self.cursor
        marked = self.is_marked(row.key)
        state = (cells, places, under, marked, room, self.look)
        cached = view.strip_cache.get(row.key)
        if cached and cached[0] == state:
            return cached[1]
        gutter = self.look.adapt_text("›" if under else " ") + ("*" if marked else " ")
        strip = make_row_strip(
            grid.columns, places, cells, room, self.look, gutter, "cursor" if under else ""
        )
        if len(view.strip_cache) > _MAX_CACHED:
            view.strip_cache.clear()
        view.strip_cache[row.key] = (state, strip)
        return strip

    # Events

    def fit(self) -> None:
        for view in self.views:
            view.clear_cache()
        self.redraw()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show the cursor with the focus: the focus event comes too late."""
        super().watch_has_focus(has_focus)
        self.is_cursor_placed = self.is_cursor_placed or has_focus
        self.redraw()
        if has_focus:
            self.post_message(self.Moved(self))

    def focus_on_click(self) -> bool:
        """Remember the cursor's state: this is called before a click moves the focus."""
        self._was_cursor_shown = self.is_cursor_shown
        return super().focus_on_click()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row; open the row if it has the cursor already."""
        found = self._at[event.y] if event.y < len(self._at) else None
        if found is None:
            return
        row = self.views[found[0]].rows[found[1]]
        opens = self.ONE_CLICK or (self._was_cursor_shown and row.key == self.cursor)
        self.go_to_row(row.key)
        if opens:
            self.post_message(self.Opened(self, row))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll_section(event, WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll_section(event, -WHEEL_ROWS)

    def _scroll_section(self, event: events.MouseEvent, by: int) -> None:
        """Scroll the section under the pointer; a cursor in it stays visible."""
        found = self._at[event.y] if event.y < len(self._at) else None
        if found is None:
            return
        event.stop()
        view = self.views[found[0]]
        view.offset = max(0, min(view.offset + by, len(view.rows) - view.height))
        cursor_position = self._index.get(self.cursor or "")
        if cursor_position and cursor_position[0] == found[0]:
            row = min(
                max(cursor_position[1], view.offset),
                view.offset + max(0, view.height - 1),
                len(view.rows) - 1,
            )
            self.go_to_row(view.rows[row].key)
        self.redraw()

    # Actions

    def action_move(self, by: int) -> None:
        """Move the cursor by rows, across sections."""
        keys = list(self._index)
        if keys:
            self.go_to_row(
                keys[max(0, min((self._find_position(self.cursor) or 0) + by, len(keys) - 1))]
            )

    def action_edge(self, end: int) -> None:
        """Move to the first (-1) or the last (1) row."""
        self.action_move(end * len(self._index))

    def action_page(self, halves: int) -> None:
        """Move by half pages."""
        page = max(2, sum(view.height for view in self.views))
        self.action_move(halves * page // 2)

    def go_to_section(self, part: str) -> bool:
        """Move to the first row of a section, unless the cursor is in the section already.

        Return False, with the cursor where it was, if the section has no rows.
        """
        view = self.find_view(part)
        if view.rows and all(row.key != self.cursor for row in view.rows):
            self.go_to_row(view.rows[0].key)
        return bool(view.rows)

    def action_sideways(self, by: int) -> None:
        """Scroll by columns if not all columns fit."""
        self._begin = max(0, self._begin + by)
        self.redraw()

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.item is not None:
            self.post_message(self.Opened(self, self.item))

    def action_mark(self) -> None:
        """Toggle the mark of the row under the cursor and move down."""
        if self.cursor is not None:
            self.marks ^= {self.cursor}
            self.action_move(1)
            self.post_message(self.Moved(self))
            self.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the mark key if rows cannot be marked."""
        return action != "mark" or self._takes_marks

    def is_marked(self, key: str) -> bool:
        """Return True if the row with this key is marked."""
        return key in self.marks

    def format_marks(self) -> str:
        """Return the number of marked rows for the first title."""
        return tr(", {count:,} marked", count=len(self.marks)) if self.marks else ""

    def format_title(self) -> str:
        """Return the first title with marks, note and filter."""
        note = f"  {self.note}" if self.note else ""
        filter_text = f" /{self.keep_text}" if self.keep_text else ""
        return f"{self.views[0].title}{self.format_marks()}{note}{filter_text}"

    def clear_marks(self) -> bool:
        """Remove all marks; return False if there were none."""
        had_marks = bool(self.marks)
        self.marks.clear()
        if had_marks:
            self.post_message(self.Moved(self))
        self.redraw()
        return had_marks
