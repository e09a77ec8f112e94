"""Columns: their rules of width, and the layout of a row in a given number of cells. Pure, no widget.

A row begins with a gutter of two cells (cursor, mark). Numbers are never cut: a column that fits its content widens to
it. When room is short, flexible columns shrink to their floor, then columns go in their `drop` order; room that is left goes
out in `grow` order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rich.segment import Segment
from textual.strip import Strip

from app.core.text.sanitize import measure_width, pad
from app.tui.style import Look

GUTTER = 2


class Drawable(Protocol):
    """What is drawn to the width of its column: a bar. Equal drawings draw the same."""

    def draw(self, look: Look, cells: int) -> str: ...


class Cell(NamedTuple):
    """What stands in a column: safe text or a drawing, the name of its style, how many columns it covers."""

    text: str | Drawable
    style: str = ""
    span: int = 1


Cells = tuple[Cell, ...]


class TableColumn(NamedTuple):
    """One column. `least` and `most` are cells (`most` 0: as `least`), `gap` the cells before it."""

    head: str
    least: int
    most: int = 0
    right: bool = False
    gap: int = 1
    drop: int = 0
    """1 goes first when room is short; 0 never goes."""
    grow: int = 0
    """1 gets spare room first; 0 gets none."""
    fits: bool = False
    """Widens to its content, up to `most`."""
    cut: str = "end"
    floor: int = 0
    """How narrow a growing column may become before others are dropped; 0: never narrower than `least`."""


class ColumnPlace(NamedTuple):
    """Where a column stands: its number among the part's columns, its first cell, its width."""

    number: int
    at: int
    width: int


def place_columns(columns: Sequence[TableColumn], room: int, contents: Sequence[int] = (), begin: int = 0) -> tuple[ColumnPlace, ...]:
    """Places of the columns that fit in `room` cells; `contents` are the widest contents. Where not all fit, `begin` n shows, of those
    that may go, as many as there is room for from the n-th on (sideways scrolling); 0 those of most worth."""
    wanted, least = _compute_widths(columns, contents)
    shown = _choose_columns(columns, least, room, begin)
    widths = {i: least[i] for i in shown}
    _grow_columns(columns, widths, _restore_widths(columns, widths, wanted, _count_spare(columns, shown, least, room)))
    return _make_places(columns, shown, widths)


def find_last_offset(columns: Sequence[TableColumn], room: int, contents: Sequence[int] = ()) -> int:
    """The last `begin` that shows more: the one that brings the last column in; 0 where all fit."""
    _, least = _compute_widths(columns, contents)
    may_go = _list_droppable(columns)
    if len(_choose_columns(columns, least, room, 0)) == len(columns):
        return 0
    brings = (begin for begin in range(1, len(may_go)) if may_go[-1] in _choose_columns(columns, least, room, begin))
    return next(brings, len(may_go))


def _compute_widths(columns: Sequence[TableColumn], contents: Sequence[int]) -> tuple[list[int], list[int]]:
    """What each column wants, and how narrow it may become."""
    wanted = [_compute_wanted_width(column, contents[i] if i < len(contents) else 0) for i, column in enumerate(columns)]
    return wanted, [min(cells, column.floor or cells) for cells, column in zip(wanted, columns, strict=True)]


def _list_droppable(columns: Sequence[TableColumn]) -> list[int]:
    return [i for i, column in enumerate(columns) if column.drop]


def _choose_columns(columns: Sequence[TableColumn], least: Sequence[int], room: int, begin: int) -> list[int]:
    may_go = _list_droppable(columns)
    shown = [i for i in range(len(columns)) if not begin or i not in may_go[: begin - 1]]
    for i in reversed(may_go) if begin else sorted(may_go, key=lambda i: columns[i].drop):
        if _count_spare(columns, shown, least, room) >= 0:
            break
        shown = [n for n in shown if n != i]
    return shown


def _count_spare(columns: Sequence[TableColumn], shown: Sequence[int], least: Sequence[int], room: int) -> int:
    """Cells left with these columns at their least."""
    return room - GUTTER - sum(least[i] + columns[i].gap for i in shown) + columns[shown[0]].gap


def _compute_wanted_width(column: TableColumn, content: int) -> int:
    if not column.fits:
        return column.least
    return max(column.least, min(content, column.most or content))


def _list_growing(columns: Sequence[TableColumn], widths: dict[int, int]) -> list[int]:
    return sorted((i for i in widths if columns[i].grow), key=lambda i: columns[i].grow)


def _restore_widths(columns: Sequence[TableColumn], widths: dict[int, int], wanted: Sequence[int], spare: int) -> int:
    """Give columns that stand at their floor what they want first; what is left of `spare`."""
    for i in _list_growing(columns, widths):
        more = max(0, min(spare, wanted[i] - widths[i]))
        widths[i] += more
        spare -= more
    return spare


def _grow_columns(columns: Sequence[TableColumn], widths: dict[int, int], spare: int) -> None:
    for i in _list_growing(columns, widths):
        if spare > 0:
            more = min(spare, max(0, columns[i].most - widths[i])) if columns[i].most else spare
            widths[i] += more
            spare -= more


def _make_places(columns: Sequence[TableColumn], shown: Sequence[int], widths: dict[int, int]) -> tuple[ColumnPlace, ...]:
    places, at = [], GUTTER
    for n, i in enumerate(shown):
        at += columns[i].gap if n else 0
        places.append(ColumnPlace(i, at, widths[i]))
        at += widths[i]
    return tuple(places)


def place_heads(columns: Sequence[TableColumn], places: Sequence[ColumnPlace]) -> list[tuple[int, str]]:
    """The heads with the cells they stand at; a blank in a head moves it inside its column."""
    found = []
    for place in places:
        head = columns[place.number].head
        at = place.at + place.width - len(head) if columns[place.number].right else place.at
        found.append((at + len(head) - len(head.lstrip()), head.strip()))
    return found


def make_row_strip(
    columns: Sequence[TableColumn],
    places: Sequence[ColumnPlace],
    cells: Cells,
    room: int,
    look: Look,
    gutter: str = "  ",
    under: str = "",
) -> Strip:
    """A row as one line of `room` cells. Under a cursor the styles of the cells give way to it."""
    base = look.style(under)
    segments, end, covered = [Segment(gutter, base)], GUTTER, -1
    last = {place.number: place.at + place.width for place in places}
    for place in places:
        cell = cells[place.number]
        if place.number <= covered:
            continue
        covered = place.number + cell.span - 1
        until = max(last.get(i, 0) for i in range(place.number, covered + 1))
        column = columns[place.number]
        text = _format_cell(cell, look, until - place.at, column.cut)
        shown = pad(text, until - place.at, ">" if column.right and cell.span == 1 else "<")
        if place.at > end:
            segments.append(Segment(" " * (place.at - end), base))
        segments.append(Segment(shown, base if under else look.style(cell.style)))
        end = place.at + measure_width(shown)
    if end < room:
        segments.append(Segment(" " * (room - end), base))
    return Strip(Segment.simplify(segments), room)


def _format_cell(cell: Cell, look: Look, room: int, cut: str) -> str:
    if isinstance(cell.text, str):
        return look.cut(cell.text, room, cut)
    return cell.text.draw(look, room)


def measure_content(cell: Cell) -> int:
    """The cells its content asks for; a drawing asks for none."""
    return measure_width(cell.text) if isinstance(cell.text, str) and cell.span == 1 else 0


class BarCell(NamedTuple):
    """A bar of whole cells for a part of a whole."""

    part: float
    whole: float

    def draw(self, look: Look, cells: int) -> str:
        return look.draw_bar(self.part, self.whole, cells)


class TwoToneBar(NamedTuple):
    """Measured and reserved of a total, with a `!` after it when more is used than reserved."""

    used: float
    reserved: float
    total: float

    @property
    def is_over(self) -> bool:
        """Whether noticeably more is used than reserved: by a hundredth of the total."""
        return self.used > self.reserved + self.total / 100

    def draw(self, look: Look, cells: int) -> str:
        return look.draw_two_tone(self.used, self.reserved, self.total, cells - 1) + ("!" if self.is_over else " ")
