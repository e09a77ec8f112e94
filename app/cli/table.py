"""Aligned tables: rows of cells in, lines of spans out. On a terminal they are made to fit, in a pipe not cut."""

from __future__ import annotations

from app.core.clean import cut, pad, width

Span = tuple[str, str]
"""A cleaned text and the name of its style ("" for none)."""

Line = list[Span]


class Column:
    """A column: its head and its side. One that may shrink does so to `easy` cells gladly and to `least` if it must;
    `first` goes before the others."""

    __slots__ = ("align", "easy", "first", "least", "title")

    def __init__(self, title: str, align: str = "<", least: int = 0, easy: int = 0, first: bool = False) -> None:
        self.title, self.align, self.first = title, align, first
        self.least, self.easy = least, max(easy, least)


def lines(columns: list[Column], rows: list[list[Span]], room: int | None = None, gap: int = 2) -> list[Line]:
    """The head and the rows, `gap` spaces between columns, at most `room` cells wide when that can be done."""
    heads: list[Span] = [(column.title, "dim") for column in columns]
    everything = [heads, *rows]
    widths = [max(width(row[at][0]) for row in everything) for at in range(len(columns))]
    if room is not None:
        _shrink(columns, widths, room - gap * (len(columns) - 1))
    return [_line(columns, widths, row, " " * gap) for row in everything]


def _shrink(columns: list[Column], widths: list[int], room: int) -> None:
    """Take what is too much from the columns that may shrink, gently at first."""
    order = sorted((at for at, c in enumerate(columns) if c.least), key=lambda at: not columns[at].first)
    for at, floor in [(at, columns[at].easy) for at in order] + [(at, columns[at].least) for at in order]:
        over = sum(widths) - room
        if over > 0:
            widths[at] = max(min(widths[at], floor), widths[at] - over)


def _line(columns: list[Column], widths: list[int], row: list[Span], gap: str) -> Line:
    line: Line = []
    last = len(columns) - 1
    for at, (text, style) in enumerate(row):
        text = cut(text, widths[at])
        if at < last or columns[at].align == ">":
            text = pad(text, widths[at], columns[at].align)
        line += [(text, style)] if at == last else [(text, style), (gap, "")]
    return line


def wrap(text: str, cells: int) -> list[str]:
    """Cleaned text in pieces of at most `cells`, broken at spaces where there are any."""
    found: list[str] = []
    while width(text) > cells:
        piece = cut(text, cells, "")
        space = piece.rfind(" ")
        end = space if space > cells // 3 else len(piece)
        found.append(text[:end])
        text = text[end:].lstrip(" ")
    return [*found, text]
