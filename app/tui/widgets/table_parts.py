"""The parts of a table: how their rows become cells, and how each stands on screen now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from textual.strip import Strip

from app.tui.style import Look, Span
from app.tui.widgets.table_columns import Cells, TableColumn, measure_content
from app.tui.widgets.table_title import Wordings


class TableGrid(NamedTuple):
    """Columns, and how an item becomes their cells: `cells(item, look, now)`, every text in them already safe."""

    columns: tuple[TableColumn, ...]
    cells: Callable[[Any, Look, float], Cells]


class TableSection(NamedTuple):
    """One kind of row. `narrow` is its grid on narrow terminals."""

    id: str
    grid: TableGrid
    narrow: TableGrid | None = None


@dataclass(slots=True)
class SectionView:
    """A part as it stands now: its rows, the texts of its rule, what it says when it is empty, its window."""

    part: TableSection
    title: str = ""
    tail: str | Callable[[SectionView], Sequence[Wordings]] = ""
    """What stands at the right end of its rule, or what is said there of the window as it is."""
    must: bool = False
    """Whether that is said whatever it hides."""
    together: int = 1
    """Rows that are kept in sight together, from the one under the cursor on."""
    empty: Sequence[Sequence[Span]] = ()
    rows: Sequence[Any] = ()
    offset: int = 0
    height: int = 0
    contents: tuple[int, ...] = ()
    measured: Sequence[TableColumn] = ()
    """The columns that `contents` is of."""
    kept: dict[str, tuple[object, Strip]] = field(default_factory=dict)
    rule: tuple[object, Strip] | None = None

    def clear_cache(self) -> None:
        """Measure and draw everything again."""
        self.contents = ()
        self.kept.clear()

    def list_visible(self) -> Sequence[Any]:
        """The rows on screen."""
        return self.rows[self.offset : self.offset + self.height]

    def scroll_to(self, row: int | None) -> None:
        """Clamp the window, with `row` in it when it is one of this part's."""
        if row is not None:
            self.offset = min(max(self.offset, row - self.height + self.together), row)
        self.offset = max(0, min(self.offset, len(self.rows) - self.height))

    def update_widths(self, columns: Sequence[TableColumn], cells: Sequence[Cells]) -> None:
        """Remember the widest contents of columns that fit them, so that columns do not jump about."""
        old = self.contents if self.contents and columns == self.measured else (0,) * len(columns)
        self.measured = columns
        fitting = [i for i, column in enumerate(columns) if column.fits] if cells else []
        found = {i: max(measure_content(row[i]) for row in cells) for i in fitting}
        self.contents = tuple(max(before, found.get(i, 0)) for i, before in enumerate(old))
