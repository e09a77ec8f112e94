"""Table columns: width rules and the layout of a row.

A row begins with a gutter of two cells for cursor and mark. Numbers are never cut: a column with
`fits` widens to its content. If space is short, flexible columns shrink to their floor, then
columns are dropped in `drop` order. Spare space is given out in `grow` order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rich.segment import Segment
from textual.strip import Strip

from app.core.text.sanitize import measure_width, pad
from app.translation import tr
from app.tui.style import Look, get_load_style

GUTTER = 2


class Drawable(Protocol):
    """A cell drawn to the width of its column, such as a bar. Equal values draw the same."""

    def draw(self, look: Look, cells: int) -> str: ...


class Cell(NamedTuple):
    """A cell: sanitized text or a drawing, its style, and the number of columns it spans."""

    text: str | Drawable
    style: str = ""
    span: int = 1


Cells = tuple[Cell, ...]


class TableColumn(NamedTuple):
    """A column.

    `least` and `most` are cells (`most` 0: no maximum), `gap` the cells before the column.
    """

    head: str
    least: int
    most: int = 0
    right: bool = False
    gap: int = 1
    drop: int = 0
    """Order of dropping when space is short; 0: never dropped."""
    grow: int = 0
    """Order of receiving spare space; 0: none."""
    fits: bool = False
    """True if the column widens up to its content and at most to `most`."""
    cut: str = "end"
    floor: int = 0
    """Minimum cells before other columns are dropped; 0: `least`."""


class ColumnPlace(NamedTuple):
    """Position of a column: its index, first cell and width."""

    number: int
    at: int
    width: int


def place_columns(
    columns: Sequence[TableColumn], room: int, contents: Sequence[int] = (), begin: int = 0
) -> tuple[ColumnPlace, ...]:
    """Return the positions of the columns that fit in `room` cells.

    `contents` are the widest contents. With `begin` 0 the most important columns remain; with
    `begin` n, droppable columns from the n-th on (horizontal scrolling).
    """
    wanted, least = _compute_widths(columns, contents)
    shown = _choose_columns(columns, least, room, begin)
    widths = {i: least[i] for i in shown}
    _grow_columns(
        columns,
        widths,
        _restore_widths(columns, widths, wanted, _count_spare(columns, shown, least, room)),
    )
    return _make_places(columns, shown, widths)


def find_last_offset(
    columns: Sequence[TableColumn], room: int, contents: Sequence[int] = ()
) -> int:
    """Return the largest useful `begin`: the first that shows the last column; 0 if all fit."""
    _, least = _compute_widths(columns, contents)
    may_go = _list_droppable(columns)
    if len(_choose_columns(columns, least, room, 0)) == len(columns):
        return 0
    brings = (
        begin
        for begin in range(1, len(may_go))
        if may_go[-1] in _choose_columns(columns, least, room, begin)
    )
    return next(brings, len(may_go))


def _compute_widths(
    columns: Sequence[TableColumn], contents: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the preferred and the minimum width of each column."""
    wanted = [
        _compute_wanted_width(column, contents[i] if i < len(contents) else 0)
        for i, column in enumerate(columns)
    ]
    return wanted, [
        min(cells, column.floor or cells) for cells, column in zip(wanted, columns, strict=True)
    ]


def _list_droppable(columns: Sequence[TableColumn]) -> list[int]:
    return [i for i, column in enumerate(columns) if column.drop]


def _choose_columns(
    columns: Sequence[TableColumn], least: Sequence[int], room: int, begin: int
) -> list[int]:
    may_go = _list_droppable(columns)
    shown = [i for i in range(len(columns)) if not begin or i not in may_go[: begin - 1]]
    for i in reversed(may_go) if begin else sorted(may_go, key=lambda i: columns[i].drop):
        if _count_spare(columns, shown, least, room) >= 0:
            break
        shown = [n for n in shown if n != i]
    return shown


def _count_spare(
    columns: Sequence[TableColumn], shown: Sequence[int], least: Sequence[int], room: int
) -> int:
    """Return the cells left if these columns have their minimum width."""
    return room - GUTTER - sum(least[i] + columns[i].gap for i in shown) + columns[shown[0]].gap


def _compute_wanted_width(column: TableColumn, content: int) -> int:
    if not column.fits:
        return column.least
    return max(column.least, min(content, column.most or content))


def _list_growing(columns: Sequence[TableColumn], widths: dict[int, int]) -> list[int]:
    return sorted((i for i in widths if columns[i].grow), key=lambda i: columns[i].grow)


def _restore_widths(
    columns: Sequence[TableColumn], widths: dict[int, int], wanted: Sequence[int], spare: int
) -> int:
    """Widen shrunk columns to their preferred widths; return the rest of `spare`."""
    for i in _list_growing(columns, widths):
        more = max(0, min(spare, wanted[i] - widths[i]))
        widths[i] += more
        spare -= more
    return spare


def _grow_columns(columns: Sequence[TableColumn], widths: dict[int, int], spare: int) -> None:
    for i in _list_growing(columns, widths):
        if spare > 0 and not columns[i].fits:
            more = min(spare, max(0, columns[i].most - widths[i])) if columns[i].most else spare
            widths[i] += more
            spare -= more


def _make_places(
    columns: Sequence[TableColumn], shown: Sequence[int], widths: dict[int, int]
) -> tuple[ColumnPlace, ...]:
    places, at = [], GUTTER
    for n, i in enumerate(shown):
        at += columns[i].gap if n else 0
        places.append(ColumnPlace(i, at, widths[i]))
        at += widths[i]
    return tuple(places)


def place_heads(
    columns: Sequence[TableColumn], places: Sequence[ColumnPlace]
) -> list[tuple[int, str]]:
    """Return the headings and their cells; leading blanks in a heading shift it in its column."""
    found = []
    for place in places:
        head = columns[place.number].head
        blanks = len(head) - len(head.lstrip())
        word = tr(head).strip()
        if columns[place.number].right:
            after = len(head) - len(head.rstrip())
            found.append((place.at + place.width - measure_width(word) - after, word))
        else:
            found.append((place.at + blanks, word))
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
    """Return a row as one line of `room` cells.

    The cursor style replaces the styles of the cells.
    """
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
    """Return the cells a cell's content needs; a drawing without `wanted` needs none."""
    if cell.span > 1:
        return 0
    text = cell.text
    return measure_width(text) if isinstance(text, str) else getattr(text, "wanted", 0)


class BarCell(NamedTuple):
    """A bar of whole cells showing a fraction."""

    part: float
    whole: float

    @property
    def load(self) -> str:
        """Style of the load."""
        return get_load_style(self.part, self.whole)

    def draw(self, look: Look, cells: int) -> str:
        return look.draw_bar(self.part, self.whole, cells)


class TwoToneBar(NamedTuple):
    """Measured and reserved parts of a total, followed by `!` if use exceeds the reservation."""

    used: float
    reserved: float
    total: float

    @property
    def is_over(self) -> bool:
        """True if use exceeds the reservation by more than a hundredth of the total."""
        return self.used > self.reserved + self.total / 100

    @property
    def load(self) -> str:
        """Style of the load: at least busy if use exceeds the reservation."""
        load = get_load_style(max(self.used, self.reserved), self.total)
        return "busy" if load == "calm" and self.is_over else load

    def draw(self, look: Look, cells: int) -> str:
        bar = look.draw_two_tone(self.used, self.reserved, self.total, cells - 1, self.load)
        return bar + ("!" if self.is_over else " ")
