"""The one table: parts of rows under title rules in a single cursor space, drawn line by line.

Each part has its window of rows, so that a long list above does not push the next one off the screen. The cursor and
the marks are kept by the rows' keys across refreshes. Cells are computed for visible rows only, strips kept while their
cells stay the same, and only lines that differ are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip

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
from app.tui.widgets.table_title import Wordings, add_filter, fit_title, format_hidden_columns

NARROW_CELLS = 100
"""Below this many cells of terminal, parts show their narrow grid."""

WHEEL_ROWS = 3
NEW_ROW_TIMEOUT = 5.0
"""Seconds for which the row of what was made is waited for."""
_MAX_CACHED = 400
NO_MATCH = "None that the filter shows; esc shows all."
"""What a part says of which the filter leaves no row."""


class Table(StripWidget, can_focus=True):
    """Rows in parts, one cursor."""

    ONE_CLICK: ClassVar[bool] = False
    """Whether a click opens its row at once."""
    SHOWS_HIDDEN_COLUMNS: ClassVar[bool] = False
    """Whether it is always said how many columns do not fit, and not only once one went along them."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", id="table.down", group=Binding.Group("Move")),
        Binding("k,up", "move(-1)", "Up", id="table.up", group=Binding.Group("Move")),
        Binding("g,home", "edge(-1)", "First row", id="table.first", group=Binding.Group("Move")),
        Binding("G,end", "edge(1)", "Last row", id="table.last", group=Binding.Group("Move")),
        Binding("pagedown", "page(2)", "Page down", id="table.page-down", group=Binding.Group("Move")),
        Binding("pageup", "page(-2)", "Page up", id="table.page-up", group=Binding.Group("Move")),
        Binding("ctrl+d", "page(1)", "Half a page down", id="table.half-down", group=Binding.Group("Move")),
        Binding("ctrl+u", "page(-1)", "Half a page up", id="table.half-up", group=Binding.Group("Move")),
        Binding("right", "sideways(1)", "Columns to the right", id="table.right", group=Binding.Group("Move")),
        Binding("left", "sideways(-1)", "Columns to the left", id="table.left", group=Binding.Group("Move")),
        Binding("enter,d", "open", "Open the row", id="table.open", group=Binding.Group("Row")),
        Binding("space", "mark", "Mark the row, go down", id="table.mark", group=Binding.Group("Row")),
    ]

    @dataclass
    class Moved(Message):
        """The cursor stands on another row, or its row shows something else."""

        table: Table

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class Opened(Message):
        """A row was opened, by enter or a click."""

        table: Table
        item: Any

        @property
        def control(self) -> Table:
            return self.table

    def __init__(self, parts: Sequence[TableSection], *, id: str | None = None, classes: str | None = None, marks: bool = True) -> None:
        """`marks`: whether rows can be marked; not where no verb means marks."""
        super().__init__(id=id, classes=classes)
        self._takes_marks = marks
        self.views = [SectionView(part) for part in parts]
        self.narrow: bool | None = None
        """Whether to use narrow grids; None: by the table's own width."""
        self.cursor: str | None = None
        """The key of the row under the cursor."""
        self.is_cursor_placed = False
        """Whether anybody put the cursor there, or saw it there: until then it stands on the first row, whichever that is."""
        self.marks: set[str] = set()
        self.keep: Callable[[Any], bool] | None = None
        """The filter: which rows to show."""
        self.keep_text = ""
        """The filter as the title says it."""
        self.note = ""
        """Beside the first title: `loading`, or how old the rows are."""
        self.sign: Wordings = ()
        """What the first rule says in any case."""
        self.moment: float | None = None
        """UNIX seconds that ages count to when the rows are those of another time."""
        self.jumped_at = float("-inf")
        """When the row under the cursor last went away beneath it (monotonic seconds)."""
        self._awaited: tuple[str, float] | None = None
        """The key of a row that the cursor goes to when it comes, and until when that is waited for (monotonic seconds)."""
        self._all: dict[str, Sequence[Any]] = {}
        self._index: dict[str, tuple[int, int]] = {}
        self._begin = 0
        """How far the columns were gone along to the right, as `columns.layout` has it."""
        self._at: list[tuple[int, int] | None] = []
        self._was_cursor_shown = False
        """Whether the cursor was shown when the button of the mouse went down."""

    # What is shown

    @property
    def now(self) -> float:
        """The moment that ages count to."""
        return super().now if self.moment is None else self.moment

    def find_view(self, part: str) -> SectionView:
        """The view of a part by its id."""
        return next(view for view in self.views if view.part.id == part)

    def show(self, rows: Mapping[str, Sequence[Any]]) -> None:
        """Show these rows, by the id of their part; parts not named keep theirs."""
        self._all.update(rows)
        self._apply_rows()

    def filter(self, keep: Callable[[Any], bool] | None, text: str = "") -> None:
        """Show only rows that `keep` accepts; None shows all. `text` is safe and goes into the first title."""
        self.keep, self.keep_text = keep, text if keep else ""
        self._apply_rows()

    def _apply_rows(self) -> None:
        before = self._find_position(self.cursor)
        for view in self.views:
            rows = self._all.get(view.part.id, ())
            view.rows = tuple(filter(self.keep, rows)) if self.keep else rows
        self._index = {row.key: (v, r) for v, view in enumerate(self.views) for r, row in enumerate(view.rows)}
        self.drop_stale_marks()
        if not self.is_cursor_placed:
            self._move_to_top()
        elif self.cursor not in self._index:
            self._replace_cursor(before)
        if self._awaited is not None and self._awaited[0] in self._index:
            self._go_to_awaited()
        self.redraw()

    def drop_stale_marks(self) -> None:
        """Rows that are gone are not marked any more."""
        self.marks &= self._index.keys()

    def _move_to_top(self) -> None:
        top = next(iter(self._index), None)
        if top != self.cursor:
            self.cursor = top
            self.post_message(self.Moved(self))

    def _replace_cursor(self, before: int | None) -> None:
        if self.cursor is not None:
            self.jumped_at = cast(Any, self.app).ticks()
        keys = list(self._index)
        self.cursor = keys[min(before or 0, len(keys) - 1)] if keys else None
        self.post_message(self.Moved(self))

    def _find_position(self, key: str | None) -> int | None:
        """How many rows stand above this one."""
        if key is None or key not in self._index:
            return None
        v, r = self._index[key]
        return sum(len(view.rows) for view in self.views[:v]) + r

    # The row under the cursor

    @property
    def item(self) -> Any:
        """The row under the cursor, or None."""
        return self.find_row(self.cursor)

    def find_row(self, key: str | None) -> Any:
        """The row with this key, or None."""
        if key is None or key not in self._index:
            return None
        v, r = self._index[key]
        return self.views[v].rows[r]

    def list_selected(self) -> list[Any]:
        """The marked rows in their order, else the one under the cursor."""
        keys = sorted(self.marks, key=lambda key: self._index[key]) or [self.cursor]
        return [row for row in map(self.find_row, keys) if row is not None]

    def list_marked(self) -> list[Any]:
        """The marked rows; none where none is."""
        return self.list_selected() if self.marks else []

    def go_to_row(self, key: str) -> bool:
        """Put the cursor on the row with this key; False when it is not shown."""
        if key not in self._index:
            return False
        self.is_cursor_placed, self._awaited = True, None
        if key != self.cursor:
            self.cursor = key
            self.post_message(self.Moved(self))
        self.redraw()
        return True

    def go_when_listed(self, key: str) -> None:
        """Put the cursor on the row with this key, which was made this moment, as soon as it is there; not if it was moved meanwhile."""
        self._awaited = key, cast(Any, self.app).ticks() + NEW_ROW_TIMEOUT
        if key in self._index:
            self._go_to_awaited()

    def _go_to_awaited(self) -> None:
        """The row that was waited for is there. Nobody has seen the cursor on it yet."""
        key, until = self._awaited or ("", 0.0)
        now, self._awaited = cast(Any, self.app).ticks(), None
        if now < until and key != self.cursor:
            self.go_to_row(key)
            self.jumped_at = now

    # Drawing

    @property
    def is_cursor_shown(self) -> bool:
        """Whether the cursor is shown."""
        return self.has_focus

    @property
    def keeps_cursor_visible(self) -> bool:
        """Whether the window keeps the row under the cursor in sight."""
        return True

    @property
    def is_narrow(self) -> bool:
        """Whether the narrow grids are in use."""
        return self.size.width < NARROW_CELLS if self.narrow is None else self.narrow

    def share_lines(self, height: int) -> list[tuple[int, int]]:
        """For each part, the lines of its rows and the blank lines after them, in `height` lines with the rules."""
        each, more = divmod(max(0, height - len(self.views)), len(self.views))
        return [(each + (more if n == 0 else 0), 0) for n in range(len(self.views))]

    def redraw(self) -> None:
        """Compute the visible lines and draw those that changed."""
        room, height = self.size
        if not room or not height:
            return
        strips: list[Strip] = []
        self._at = []
        held = self._index.get(self.cursor or "", (0, None))
        shares = self.share_lines(height)
        cells = [self._make_cells(v, view, shares[v][0], held) for v, view in enumerate(self.views)]
        self._begin = min(self._begin, max(self._find_last_offset(view, room) for view in self.views))
        for v, (view, (lines, blanks)) in enumerate(zip(self.views, shares, strict=True)):
            if lines >= 0:
                strips += self._draw_section(v, view, cells[v], room, self.is_cursor_shown and held[0] == v)
                self._add_blanks(strips, blanks, room)
        self.draw(strips[:height])
        if self.is_cursor_shown and self.look.plain:
            self.app.cursor_position = Offset(self.region.x, self.region.y + self._find_cursor_line())

    def _find_cursor_line(self) -> int:
        """The line on which the cursor stands; 0, that of the title, when it stands nowhere."""
        return self._at.index(held) if (held := self._index.get(self.cursor or "")) in self._at else 0

    def _get_grid(self, view: SectionView) -> TableGrid:
        return (view.part.narrow if self.is_narrow else None) or view.part.grid

    def _make_cells(self, v: int, view: SectionView, lines: int, held: tuple[int, int | None]) -> list[Cells]:
        """The cells of the rows in a part's window, once the window is where it should be."""
        view.height = max(0, lines)
        view.scroll_to(held[1] if held[0] == v and self.keeps_cursor_visible else None)
        grid, look, now = self._get_grid(view), self.look, self.now
        cells = [grid.cells(row, look, now) for row in view.list_visible()]
        view.update_widths(grid.columns, cells)
        return cells

    def _measure_contents(self, view: SectionView) -> tuple[int, ...]:
        """The widest contents of a part's columns; in the first column those of all parts, so that they stay in line."""
        return (max(other.contents[0] for other in self.views), *view.contents[1:])

    def _draw_section(self, v: int, view: SectionView, cells: Sequence[Cells], room: int, focused: bool) -> list[Strip]:
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
        return find_last_offset(self._get_grid(view).columns, room, self._measure_contents(view)) if self._begin else 0

    def _describe_hidden_columns(self, view: SectionView, grid: TableGrid, places: Sequence[ColumnPlace], begin: int) -> str:
        """What is said of the columns that are left out; nothing where that goes without saying."""
        if not view.rows or not (begin or self.SHOWS_HIDDEN_COLUMNS):
            return ""
        left = max(0, begin - 1)
        return format_hidden_columns(left, len(grid.columns) - len(places) - left, self.look)

    def _draw_title(self, view: SectionView, grid: TableGrid, places: Sequence[ColumnPlace], room: int, focused: bool, begin: int) -> Strip:
        title, kept, note = view.title, "", ""
        if view is self.views[0]:
            title, kept, note = title + self.format_marks(), self.keep_text, f"  {self.note}" if self.note else ""
        says = tuple(view.tail(view)) if callable(view.tail) else ((view.tail,),) if view.tail else ()
        must = (self.sign,) if self.sign and view is self.views[0] else ()
        says, must = ((), (*says, *must)) if view.must else (says, must)
        must += ((out,),) if (out := self._describe_hidden_columns(view, grid, places, begin)) else ()
        state = (title, kept, note, says, must, places if view.rows else None, room, focused, self.look)
        if view.rule and view.rule[0] == state:
            return view.rule[1]
        shown = place_heads(grid.columns, places) if view.rows else []
        named = [head for head in shown if head[1]]
        title = add_filter(title, kept, note, named, room, self.look)
        title, tail = fit_title(title, named, says, must, room)
        text = self.look.draw_rule(room, [(2, title), *shown], tail, focused)
        strip = self.look.strip([(text, "title" if focused else "dim")], room)
        view.rule = (state, strip)
        return strip

    def _draw_row(self, view: SectionView, grid: TableGrid, places: Sequence[ColumnPlace], room: int, row: Any, cells: Cells) -> Strip:
        under = self.is_cursor_shown and row.key == self.cursor
        marked = self.is_marked(row.key)
        state = (cells, places, under, marked, room, self.look)
        kept = view.kept.get(row.key)
        if kept and kept[0] == state:
            return kept[1]
        gutter = self.look.adapt_text("›" if under else " ") + ("*" if marked else " ")
        strip = make_row_strip(grid.columns, places, cells, room, self.look, gutter, "cursor" if under else "")
        if len(view.kept) > _MAX_CACHED:
            view.kept.clear()
        view.kept[row.key] = (state, strip)
        return strip

    # Events

    def fit(self) -> None:
        for view in self.views:
            view.clear_cache()
        self.redraw()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor is lit where the focus is: known here, not yet when the focus event comes."""
        super().watch_has_focus(has_focus)
        self.is_cursor_placed = self.is_cursor_placed or has_focus
        self.redraw()
        if has_focus:
            self.post_message(self.Moved(self))

    def focus_on_click(self) -> bool:
        """Asked before a click brings the focus, which the click itself finds here already."""
        self._was_cursor_shown = self.is_cursor_shown
        return super().focus_on_click()

    def on_click(self, event: events.Click) -> None:
        """One click puts the cursor on a row; on the row under the cursor, however much later, it opens it."""
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
        """Move the window under the pointer; a cursor in it stays in sight."""
        found = self._at[event.y] if event.y < len(self._at) else None
        if found is None:
            return
        event.stop()
        view = self.views[found[0]]
        view.offset = max(0, min(view.offset + by, len(view.rows) - view.height))
        held = self._index.get(self.cursor or "")
        if held and held[0] == found[0]:
            row = min(max(held[1], view.offset), view.offset + max(0, view.height - 1), len(view.rows) - 1)
            self.go_to_row(view.rows[row].key)
        self.redraw()

    # Actions

    def action_move(self, by: int) -> None:
        """Move the cursor by rows, through all parts."""
        keys = list(self._index)
        if keys:
            self.go_to_row(keys[max(0, min((self._find_position(self.cursor) or 0) + by, len(keys) - 1))])

    def action_edge(self, end: int) -> None:
        """Move to the first (-1) or the last (1) row."""
        self.action_move(end * len(self._index))

    def action_page(self, halves: int) -> None:
        """Move by half pages of what is on screen."""
        page = max(2, sum(view.height for view in self.views))
        self.action_move(halves * page // 2)

    def go_to_next_section(self) -> None:
        """Move to the first row of the next part that has any, from the last one to the first."""
        held = self._index.get(self.cursor or "", (-1, 0))[0]
        order = [*range(held + 1, len(self.views)), *range(held + 1)]
        for v in order:
            if self.views[v].rows:
                self.go_to_row(self.views[v].rows[0].key)
                return

    def action_sideways(self, by: int) -> None:
        """Go along the columns where not all fit, until the last one is in, or back."""
        self._begin = max(0, self._begin + by)
        self.redraw()

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.item is not None:
            self.post_message(self.Opened(self, self.item))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away, and go down."""
        if self.cursor is not None:
            self.marks ^= {self.cursor}
            self.action_move(1)
            self.post_message(self.Moved(self))
            self.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where nothing can be marked there is no key for it."""
        return action != "mark" or self._takes_marks

    def is_marked(self, key: str) -> bool:
        """Whether the row with this key is marked."""
        return key in self.marks

    def format_marks(self) -> str:
        """How many rows are marked, behind the first title."""
        return f", {len(self.marks):,} marked" if self.marks else ""

    def clear_marks(self) -> bool:
        """Take all marks away; False when there were none."""
        had = bool(self.marks)
        self.marks.clear()
        if had:
            self.post_message(self.Moved(self))
        self.redraw()
        return had
