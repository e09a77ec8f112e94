"""Table sections: conversion of rows to cells, and their current state on screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from textual.strip import Strip

from app.tui.style import Look, Span
from app.tui.widgets.table_columns import Cells, TableColumn, measure_content
from app.tui.widgets.table_title import Wordings


class TableGrid(NamedTuple):
    """Columns, and the function `cells(item, look, now)` that returns sanitized cells."""

    columns: tuple[TableColumn, ...]
    cells: Callable[[Any, Look, float], Cells]


class TableSection(NamedTuple):
    """A kind of rows. `narrow` is the grid for narrow terminals."""

    id: str
    grid: TableGrid
    narrow: TableGrid | None = None


@dataclass(slots=True)
class SectionView:
    """Current state of a section: rows, title texts, empty text, window."""

    part: TableSection
    title: str = ""
    tail: str | Callable[[SectionView], Sequence[Wordings]] = ""
    """Text at the right end of the title rule, or a function of the window."""
    tail_first: bool = False
    """Set if `tail` is shown even if it hides a heading."""
    together: int = 1
    """Rows kept visible together, starting with the row under the cursor."""
    empty: Sequence[Sequence[Span]] = ()
    rows: Sequence[Any] = ()
    offset: int = 0
    height: int = 0
    contents: tuple[int, ...] = ()
    measured: Sequence[TableColumn] = ()
    """Columns that `contents` was measured for."""
    strip_cache: dict[str, tuple[object, Strip]] = field(default_factory=dict)
    rule: tuple[object, Strip] | None = None

    def clear_cache(self) -> None:
        """Drop measurements and cached strips."""
        self.contents = ()
        self.strip_cache.clear()

    def list_visible(self) -> Sequence[Any]:
        """Return the visible rows."""
        return self.rows[self.offset : self.offset + self.height]

    def scroll_to(self, row: int | None) -> None:
        """Limit the window to the rows, and include `row` if given."""
        if row is not None:
            self.offset = min(max(self.offset, row - self.height + self.together), row)
        self.offset = max(0, min(self.offset, len(self.rows) - self.height))

    def update_widths(self, columns: Sequence[TableColumn], cells: Sequence[Cells]) -> None:
        """Remember the widest contents, so that column widths stay stable."""
        old = self.contents if self.contents and columns == self.measured else (0,) * len(columns)
        self.measured = columns
        fitting = [i for i, column in enumerate(columns) if column.fits] if cells else []
        found = {i: max(measure_content(row[i]) for row in cells) for i in fitting}
        self.contents = tuple(max(before, found.get(i, 0)) for i, before in enumerate(old))
