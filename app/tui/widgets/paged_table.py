"""Paged table: holds a window of rows and moves it as the cursor nears the ends.

A refresh keeps the cursor on its row and the row on its line. Marks stay on rows outside the
window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from app.translation import tr
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

PREFETCH_ROWS = 60
"""Rows from the end of the window at which more are requested."""


class PagedTable(Table):
    """A table with one section that holds a window of its rows. The owner answers `Wanted`."""

    SHOWS_HIDDEN_COLUMNS = True

    @dataclass
    class Wanted(Message):
        """More rows are needed.

        `way` is "before" or "after" the window, or "first" or "last" of all rows.
        """

        table: PagedTable
        way: str

    def __init__(self, part: TableSection, *, id: str | None = None) -> None:
        super().__init__((part,), id=id)
        self.more_before = False
        self.more_after = False
        self.marked: dict[str, Any] = {}
        """Marked rows, including those outside the window."""
        self.all_marked = False
        """Set if all rows are marked, visible or not."""
        self._first_seen: str | None = None
        """Key of the row that was first when the top of the list was last visible."""

    @property
    def rows(self) -> Sequence[Any]:
        """Rows in the window."""
        return self.views[0].rows

    def show_rows(
        self, rows: Sequence[Any], more_before: bool, more_after: bool, *, at_end: bool = False
    ) -> None:
        """Set the rows of the window; `at_end` puts the cursor on the last one."""
        view, line = self.views[0], self._find_row_line()
        self.more_before, self.more_after = more_before, more_after
        at = next((n for n, row in enumerate(rows) if row.key == self.cursor), None)
        if at is not None and line is not None:
            view.offset = max(0, at - line)
        self.marked.update((row.key, row) for row in rows if row.key in self.marked)
        self.show({view.part.id: rows})
        if at_end:
            super().action_edge(1)

    def _find_row_line(self) -> int | None:
        """Return the screen line of the cursor within the window."""
        cursor_line = self._index.get(self.cursor or "")
        return cursor_line[1] - self.views[0].offset if cursor_line else None

    def count_newer(self) -> int:
        """Return how many rows above the view arrived since the top was last visible."""
        seen = self._index.get(self._first_seen or "")
        return min(seen[1], self.views[0].offset) if seen else 0

    def drop_stale_marks(self) -> None:
        """Keep all marks; they stay until removed."""

    def list_hidden_marks(self, narrowed: bool) -> list[str]:
        """Return the keys of marked rows that are no longer listed, as far as known.

        If the filter changed (`narrowed`) or all rows are held, every mark outside the window
        counts. Otherwise only rows whose numbers lie within the window count.
        """
        gone = [key for key in self.marked if key not in self._index]
        if not gone or narrowed or not (self.more_before or self.more_after):
            return gone
        numbers = [row.number for row in self.rows]
        ordered = numbers == sorted(numbers, reverse=True)
        return [
            key
            for key in gone
            if ordered and numbers and numbers[-1] < self.marked[key].number < numbers[0]
        ]

    def unmark(self, keys: Iterable[str]) -> None:
        """Remove these marks."""
        for key in keys:
            self.marked.pop(key, None)
            self.marks.discard(key)
        self.post_message(self.Moved(self))

    def list_selected(self) -> list[Any]:
        """Return the marked rows in marking order, else the row under the cursor."""
        return list(self.marked.values()) or ([self.item] if self.item is not None else [])

    def action_mark(self) -> None:
        """Toggle the mark of the row under the cursor and move down."""
        item = self.item
        if item is not None and self.marked.pop(item.key, None) is None:
            self.marked[item.key] = item
        super().action_mark()

    def is_marked(self, key: str) -> bool:
        return self.all_marked or super().is_marked(key)

    def format_marks(self) -> str:
        if self.all_marked:
            return tr(", all marked")
        return tr(", {count:,} marked", count=len(self.marked)) if self.marked else ""

    def clear_marks(self) -> bool:
        """Remove all marks; return False if there were none."""
        self.marked.clear()
        return super().clear_marks()

    # Movement beyond the window

    def redraw(self) -> None:
        """Redraw and request more rows when an end of the window is near."""
        super().redraw()
        view = self.views[0]
        if not view.offset and not self.more_before and view.rows:
            self._first_seen = view.rows[0].key
        if self.more_after and view.offset + view.height + PREFETCH_ROWS > len(view.rows):
            self.post_message(self.Wanted(self, "after"))
        elif self.more_before and view.offset < PREFETCH_ROWS:
            self.post_message(self.Wanted(self, "before"))

    def action_edge(self, end: int) -> None:
        """Move to the first (-1) or the last (1) of all rows."""
        if self.more_before if end < 0 else self.more_after:
            self.post_message(self.Wanted(self, "first" if end < 0 else "last"))
        else:
            super().action_edge(end)
