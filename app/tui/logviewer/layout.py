"""One line of a log as strips of cells: cut out sideways or wrapped, colours kept, matches marked.

Parsing costs about a microsecond a byte when there are colours, so a long line is parsed a page at a time and only as
far as it is looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app.core.text import sanitize
from app.core.text.units import format_bytes

PAGE = 16 * 1024
"""Bytes of a line that are parsed at a time."""
MAX_WRAPPED = 4 * PAGE
"""Bytes of a line that are shown when lines are wrapped; sideways there is no limit."""
MATCH = Style(reverse=True)
CURRENT_MATCH = Style(reverse=True, bold=True)
"""A match in the line one has gone to."""
_MAX_CELL_BYTES = 256
"""Bytes that a cell takes at most (a colour of its own and some marks); of what is denser, no more is looked at."""
_DIM = Style(dim=True)
_MAX_MATCH = 4096
"""Characters of a match at most that is found across the border of two pages."""


class LineCells:
    """The cells of one line, parsed as far as asked for."""

    def __init__(self, line: bytes) -> None:
        self._line = _drop_overwritten(line)
        self._pages: list[tuple[int, Strip]] = []
        self._ends: list[int] = []
        """The bytes up to which each page goes."""
        self._at = 0
        self._cells = 0
        self._style = sanitize.PLAIN
        self._rows: tuple[int, list[Strip]] = (0, [])
        self.content_rows = 0
        """How many of the rows are the line's own, when it was wrapped last: the last one may only say how much more there is."""

    def crop(self, x: int, width: int) -> Strip:
        """The cells from column `x` on, at most `width`."""
        end = min(len(self._line), PAGE + (x + width) * _MAX_CELL_BYTES)
        while self._cells < x + width and self._at < end:
            self._parse_page()
        parts = [strip.crop(max(0, x - at), x + width - at) for at, strip in self._pages if _overlaps(at, strip, x, width)]
        return parts[0] if len(parts) == 1 else Strip.join(parts)

    def extends_to(self, x: int) -> bool:
        """Whether anything stands at column `x` or beyond it, as far as the line was parsed."""
        return self._cells > x or self._at < len(self._line)

    def wrap_rows(self, width: int, more: str) -> list[Strip]:
        """The line in rows of at most `width` cells; a last row says `more` (holding {}: a size) when it is too long."""
        if self._rows[0] != width:
            self._rows = (width, self._wrap(width, more))
        return self._rows[1]

    def _wrap(self, width: int, more: str) -> list[Strip]:
        while self._at < min(len(self._line), MAX_WRAPPED):
            self._parse_page()
        # The line may have been parsed further than it is shown here.
        pages = sum(end < MAX_WRAPPED for end in self._ends) + 1
        rows = _split_rows(Strip.join(strip for _, strip in self._pages[:pages]), width)
        self.content_rows = len(rows)
        if left := len(self._line) - max(self._ends[:pages], default=0):
            rows.append(Strip([Segment(more.format(format_bytes(left)), _DIM)]).crop(0, width))
        return rows

    def find(self, pattern: re.Pattern[str]) -> tuple[int, int] | None:
        """The columns where the first match begins and ends in what is shown of the line, parsed as far as that."""
        text, at, page = "", 0, 0
        while page < len(self._pages) or self._at < len(self._line):
            if page == len(self._pages):
                self._parse_page()
            text += self._pages[page][1].text
            page += 1
            found = pattern.search(text)
            # At the very end it may be the beginning of something else: the next page tells.
            if found and (found.end() < len(text) or self._is_last(page)):
                return at + cell_len(text[: found.start()]), at + cell_len(text[: found.end()])
            at += cell_len(text[:-_MAX_MATCH])
            text = text[-_MAX_MATCH:]
        return None

    def _is_last(self, pages: int) -> bool:
        """Whether so many pages are the whole line."""
        return pages == len(self._pages) and self._at == len(self._line)

    def _parse_page(self) -> None:
        end = _find_page_end(self._line, self._at)
        spans = sanitize.parse_sgr_line(self._line[self._at : end], self._style)
        self._style = spans[-1][1] if spans else self._style
        strip = Strip([Segment(text, _to_rich_style(style)) for text, style in spans if text])
        self._pages.append((self._cells, strip))
        self._ends.append(end)
        self._cells += strip.cell_length
        self._at = end


def mark_matches(row: Strip, pattern: re.Pattern[str], style: Style = MATCH) -> Strip:
    """The row with what the pattern finds in it in this style."""
    text = row.text
    spans = [found.span() for found in pattern.finditer(text) if found.end() > found.start()]
    if not spans:
        return row
    cuts = sorted({cell_len(text[:at]) for span in spans for at in span} | {row.cell_length})
    hits = {cell_len(text[:begin]) for begin, _ in spans}
    at, parts = 0, []
    for cut in cuts:
        part = row.crop(at, cut)
        parts.append(Strip(Segment.apply_style(part, post_style=style), part.cell_length) if at in hits else part)
        at = cut
    return Strip.join(parts)


def cut_row(row: Strip, width: int, ellipsis: str) -> Strip:
    """The row, at most `width` cells, the last of which says that there is more."""
    return Strip.join([row.crop(0, width - 1), Strip([Segment(ellipsis, _DIM)])])


def _drop_overwritten(line: bytes) -> bytes:
    """What is left of a long line after its last carriage return (in short lines they are followed exactly)."""
    if len(line) <= PAGE or b"\r" not in line:
        return line
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _find_page_end(line: bytes, start: int) -> int:
    """Where the page that begins at `start` ends: inside no character and, if possible, inside no escape sequence."""
    end = start + PAGE
    if end >= len(line):
        return len(line)
    escape = line.rfind(b"\x1b", end - 32, end)
    if escape > start:
        return escape
    while end > start + PAGE - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return end


def _overlaps(at: int, strip: Strip, x: int, width: int) -> bool:
    return at < x + width and x < at + strip.cell_length


def _split_rows(strip: Strip, width: int) -> list[Strip]:
    """The strip in rows, never splitting a wide character; one empty row of an empty strip."""
    rows: list[Strip] = []
    row: list[Segment] = []
    room = width
    for segment in strip:
        text = segment.text
        while text:
            head = _count_fitting(text, room) or int(room == width)
            if head:
                row.append(Segment(text[:head], segment.style))
                room -= cell_len(text[:head])
                text = text[head:]
            if text:
                rows.append(Strip(row))
                row, room = [], width
    return [*rows, Strip(row)]


def _count_fitting(text: str, cells: int) -> int:
    """How many characters at the beginning take at most so many cells, combining marks included."""
    if text.isascii():
        return min(len(text), cells)
    used = 0
    for at, c in enumerate(text):
        used += cell_len(c)
        if used > cells:
            return at
    return len(text)


@lru_cache(maxsize=256)
def _to_rich_style(style: sanitize.Style) -> Style | None:
    """The same style in the terms of the screen."""
    if style == sanitize.PLAIN:
        return None
    return Style(
        color=_to_colour(style.fg), bgcolor=_to_colour(style.bg), bold=style.bold or None, dim=style.dim or None,
        italic=style.italic or None, underline=style.underline or None, reverse=style.reverse or None,
        strike=style.strike or None,
    )  # fmt: skip


def _to_colour(value: int | tuple[int, int, int] | None) -> Color | None:
    if value is None:
        return None
    return Color.from_ansi(value) if isinstance(value, int) else Color.from_rgb(*value)
