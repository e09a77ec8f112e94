"""Aligned tables: rows of cells to lines of spans. They fit a terminal and stay whole in a pipe."""

from __future__ import annotations

from app.core.text.sanitize import measure_width, pad, truncate
from app.translation import tr

Span = tuple[str, str]
"""Sanitized text and the name of its style ("" for none)."""

Line = list[Span]


class Column:
    """Column of a table: title, alignment and how far it may shrink.

    Columns shrink to `easy` cells first and to `least` if needed; `first` ones shrink before the
    others.
    """

    __slots__ = ("align", "easy", "first", "least", "title")

    def __init__(
        self, title: str, align: str = "<", least: int = 0, easy: int = 0, first: bool = False
    ) -> None:
        self.title, self.align, self.first = title, align, first
        self.least, self.easy = least, max(easy, least)


def format_table(
    columns: list[Column], rows: list[list[Span]], room: int | None = None, gap: int = 2
) -> list[Line]:
    """Return head and rows, at most `room` cells wide if possible, `gap` cells apart."""
    heads: list[Span] = [(tr(column.title), "dim") for column in columns]
    everything, between = [heads, *rows], (" " * gap, "")
    cells = zip(
        *lay_out_columns(columns, [[text for text, _ in row] for row in everything], room, gap),
        strict=True,
    )
    return [_join_cells(row, texts, between) for row, texts in zip(everything, cells, strict=True)]


def _join_cells(row: list[Span], texts: tuple[str, ...], between: Span) -> Line:
    line: Line = []
    for (_, style), text in zip(row, texts, strict=True):
        line += [(text, style), between]
    return line[:-1]


def format_plain_table(
    columns: list[Column], rows: list[list[Span]], room: int | None = None, gap: int = 2
) -> str:
    """Return the table as plain text. Fast, for long lists."""
    texts = [[tr(column.title) for column in columns], *([text for text, _ in row] for row in rows)]
    between = " " * gap
    return "\n".join(
        [
            between.join(cells).rstrip(" ")
            for cells in zip(*lay_out_columns(columns, texts, room, gap), strict=True)
        ]
    )


def lay_out_columns(
    columns: list[Column], rows: list[list[str]], room: int | None, gap: int
) -> list[list[str]]:
    """Return the texts by column, truncated and padded; the last column needs no padding."""
    turned = [list(texts) for texts in zip(*rows, strict=True)]
    simple = ["".join(texts).isascii() for texts in turned]
    needed = [
        max(map(len, texts) if simple[at] else map(measure_width, set(texts)))
        for at, texts in enumerate(turned)
    ]
    widths = list(needed)
    if room is not None:
        _shrink_widths(columns, widths, room - gap * (len(columns) - 1))
    last = len(columns) - 1
    for at, column in enumerate(columns):
        if widths[at] < needed[at]:
            turned[at] = [truncate(text, widths[at]) for text in turned[at]]
        if at < last or column.align == ">":
            turned[at] = _pad_texts(
                turned[at], widths[at], column.align, simple[at] and widths[at] == needed[at]
            )
    return turned


def _pad_texts(texts: list[str], cells: int, align: str, simple: bool) -> list[str]:
    """Pad the texts of a column; `simple` means ASCII, which is quick to measure."""
    if simple:
        return (
            [text.rjust(cells) for text in texts]
            if align == ">"
            else [text.ljust(cells) for text in texts]
        )
    made = {text: pad(text, cells, align) for text in set(texts)}
    return [made[text] for text in texts]


def _shrink_widths(columns: list[Column], widths: list[int], room: int) -> None:
    order = sorted(
        (at for at, c in enumerate(columns) if c.least), key=lambda at: not columns[at].first
    )
    for at, floor in [(at, columns[at].easy) for at in order] + [
        (at, columns[at].least) for at in order
    ]:
        over = sum(widths) - room
        if over > 0:
            widths[at] = max(min(widths[at], floor), widths[at] - over)


def truncate_line(line: Line, cells: int) -> Line:
    """Truncate a styled line to `cells`."""
    left, found = cells, []
    for text, style in line:
        if (needed := measure_width(text)) > left:
            return [*found, (truncate(text, left), style)]
        found.append((text, style))
        left -= needed
    return found


def wrap_text(text: str, cells: int) -> list[str]:
    """Split sanitized text into pieces of at most `cells`, at spaces where possible."""
    found: list[str] = []
    while measure_width(text) > cells:
        piece = truncate(text, cells, "")
        space = piece.rfind(" ")
        end = space if space > cells // 3 else len(piece)
        found.append(text[:end])
        text = text[end:].lstrip(" ")
    return [*found, text]
