"""Log line layout: strips that are cropped or wrapped, with colours and marked matches.

Parsing coloured text takes about a microsecond a byte, so a long line is parsed one page at a time,
only as far as it is shown.
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
"""Bytes of a line parsed at a time."""
MAX_WRAPPED = 4 * PAGE
"""Maximum bytes of a line shown in wrap mode; sideways scrolling has no limit."""
MATCH = Style(reverse=True)
CURRENT_MATCH = Style(reverse=True, bold=True)
"""Style of a match in the current line."""
_MAX_CELL_BYTES = 256
"""Assumed maximum bytes per cell (colour and combining marks). Denser text is not parsed."""
_DIM = Style(dim=True)
_COLOUR_RUN = re.compile(rb"(?:\x1b\[[\d;:]*m)++")
_MAX_COLOURS = 32
"""Maximum number of colour changes kept of those that follow one another."""
_MAX_MATCH = 4096
"""Maximum characters of a match found across a page border."""


class LineCells:
    """Cells of one line, parsed on demand."""

    def __init__(self, line: bytes) -> None:
        self._line = _drop_colours(_drop_overwritten(line))
        self._pages: list[tuple[int, Strip]] = []
        self._ends: list[int] = []
        """End of each page in bytes."""
        self._at = 0
        self._cells = 0
        self._style = sanitize.PLAIN
        self._rows: tuple[int, list[Strip]] = (0, [])
        self.content_rows = 0
        """Number of rows with contents of the line; a last row may only size the rest."""

    def crop(self, x: int, width: int) -> Strip:
        """Return at most `width` cells from column `x` on."""
        end = min(len(self._line), PAGE + (x + width) * _MAX_CELL_BYTES)
        while self._cells < x + width and self._at < end:
            self._parse_page()
        parts = [
            strip.crop(max(0, x - at), x + width - at)
            for at, strip in self._pages
            if _overlaps(at, strip, x, width)
        ]
        return parts[0] if len(parts) == 1 else Strip.join(parts)

    def extends_to(self, x: int) -> bool:
        """Return True if the line extends to column `x`, as far as it was parsed."""
        return self._cells > x or self._at < len(self._line)

    def wrap_rows(self, width: int, more: str) -> list[Strip]:
        """Return the line in rows of at most `width` cells.

        If the line is too long, a last row shows `more`, a format with the remaining size.
        """
        if self._rows[0] != width:
            self._rows = (width, self._wrap(width, more))
        return self._rows[1]

    def _wrap(self, width: int, more: str) -> list[Strip]:
        while self._at < min(len(self._line), MAX_WRAPPED):
            self._parse_page()
        # the line may be parsed further than it is shown here
        pages = sum(end < MAX_WRAPPED for end in self._ends) + 1
        rows = _split_rows(Strip.join(strip for _, strip in self._pages[:pages]), width)
        self.content_rows = len(rows)
        if left := len(self._line) - max(self._ends[:pages], default=0):
            rows.append(Strip([Segment(more.format(format_bytes(left)), _DIM)]).crop(0, width))
        return rows

    def find(self, pattern: re.Pattern[str]) -> tuple[int, int] | None:
        """Return the first and last column of the first match in the shown part of the line."""
        text, at, page = "", 0, 0
        while page < len(self._pages) or self._at < len(self._line):
            if page == len(self._pages):
                self._parse_page()
            text += self._pages[page][1].text
            page += 1
            found = pattern.search(text)
            # A match at the very end may continue differently on the next page.
            if found and (found.end() < len(text) or self._is_last(page)):
                return at + cell_len(text[: found.start()]), at + cell_len(text[: found.end()])
            at += cell_len(text[:-_MAX_MATCH])
            text = text[-_MAX_MATCH:]
        return None

    def _is_last(self, pages: int) -> bool:
        """Return True if `pages` pages are the whole line."""
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
    """Return the row with all matches in this style."""
    text = row.text
    spans = [found.span() for found in pattern.finditer(text) if found.end() > found.start()]
    if not spans:
        return row
    cuts = sorted({cell_len(text[:at]) for span in spans for at in span} | {row.cell_length})
    hits = {cell_len(text[:begin]) for begin, _ in spans}
    at, parts = 0, []
    for cut in cuts:
        part = row.crop(at, cut)
        parts.append(
            Strip(Segment.apply_style(part, post_style=style), part.cell_length)
            if at in hits
            else part
        )
        at = cut
    return Strip.join(parts)


def cut_row(row: Strip, width: int, ellipsis: str) -> Strip:
    """Return the row cut to `width` cells with an ellipsis at the end."""
    return Strip.join([row.crop(0, width - 1), Strip([Segment(ellipsis, _DIM)])])


def _drop_overwritten(line: bytes) -> bytes:
    """Return a long line's part after its last carriage return.

    Short lines are processed exactly.
    """
    if len(line) <= PAGE or b"\r" not in line:
        return line
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _drop_colours(line: bytes) -> bytes:
    """Return a long line with at most the last colours of each run of colour changes."""
    if len(line) <= PAGE or b"m\x1b[" not in line:
        return line
    return _COLOUR_RUN.sub(_shorten_run, line)


def _shorten_run(run: re.Match[bytes]) -> bytes:
    if run[0].count(b"m") <= _MAX_COLOURS:
        return run[0]
    changes = run[0].split(b"m")[:-1]
    dropped, kept = changes[:-_MAX_COLOURS], changes[-_MAX_COLOURS:]
    is_reset = any(change.strip(b"0") == b"\x1b[" for change in dropped)
    return (b"\x1b[m" if is_reset else b"") + b"m".join(kept) + b"m"


def _find_page_end(line: bytes, start: int) -> int:
    """Return the end of the page at `start`, outside characters and, if possible, escapes."""
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
    """Split a strip into rows, keeping wide characters whole; an empty strip is one row."""
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
    """Return how many characters fit in `cells`, including combining marks."""
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
    """Return the Rich style for a parsed style."""
    if style == sanitize.PLAIN:
        return None
    return Style(
        color=_to_colour(style.fg), bgcolor=_to_colour(style.bg), bold=style.bold or None,
        dim=style.dim or None,
        italic=style.italic or None, underline=style.underline or None,
        reverse=style.reverse or None,
        strike=style.strike or None,
    )  # fmt: skip


def _to_colour(value: int | tuple[int, int, int] | None) -> Color | None:
    if value is None:
        return None
    return Color.from_ansi(value) if isinstance(value, int) else Color.from_rgb(*value)
