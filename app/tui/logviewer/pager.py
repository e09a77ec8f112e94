"""Log pager: position, following, search and wrapping.

Independent of screen and thread; `make_page` returns the visible part.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.strip import Strip

from app.core.text import units
from app.core.text.log_rows import split_rows
from app.core.text.sanitize import parse_sgr_line
from app.translation import tr, tr_n, tr_noop
from app.tui.logviewer.layout import CURRENT_MATCH, MATCH, LineCells, cut_row, mark_matches
from app.tui.logviewer.search import LogSearch
from app.tui.logviewer.source import LineIndex, LogLines, LogSource

MORE = tr_noop(" {} more in this line: w cuts lines, then scroll sideways")
MAX_COPIED = 72 * 1024
"""Maximum bytes to copy; encoded for the terminal they stay below 100,000, which all accept."""
_CACHE_BYTES = 16 * 1024 * 1024
_MAX_JUMPS = 100
_MAX_BLOCKS = 16
"""Blocks of new output that are counted and searched before the page is shown."""
_MAX_LINE_CELLS = 64 * 1024
"""Maximum cells of a line to copy."""
_BEYOND_WRAP = tr_noop("the match is beyond the wrapped part: w shows it")
_NOT_SHOWN = tr_noop("the match in this line is not visible")
RowPlace = tuple[int, int]
"""A row: offset of its line and, in wrap mode, row within the line."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """The visible part of a log.

    `lines` and `line` (number of the bottom line) are None until counted; `below` counts the lines
    added since the end was last visible.
    """

    rows: tuple[Strip, ...] = ()
    errors: frozenset[int] = frozenset()
    """Rows whose lines begin with error output, as far as known."""
    size: int = 0
    lines: int | None = None
    line: int | None = None
    at_end: bool = True
    following: bool = False
    wrapping: bool = False
    column: int = 0
    below: int = 0
    search_text: str = ""
    match: int = 0
    matches: int = 0
    progress: int = 100
    """Progress of the search in percent."""
    note: str = ""
    notes: int = 0
    """Number of notes so far, so that a repeated one is noticed."""


@dataclass(slots=True)
class _PendingJump:
    """A pending jump that waits for its search; `origin` is set when its turn comes."""

    search: LogSearch
    way: Literal["near", "next", "previous"]
    nothing: str = tr_noop("no match")
    origin: int | None = None


class LogPager:
    """A position in a log, shown in `width` by `height` cells; cut lines end in `ellipsis`."""

    def __init__(self, source: LogSource, width: int, height: int, ellipsis: str = "…") -> None:
        self.lines = LogLines(source)
        self._ellipsis = ellipsis
        self._file_change = self._note = ""
        self._notes = 0
        self._width, self._height = max(1, width), max(1, height)
        self._wrap = False
        self._column = 0
        self._top: RowPlace = (0, 0)
        self._cells: OrderedDict[tuple[int, int], list[LineCells]] = OrderedDict()
        self._reset()
        self.go_to_end()

    def _reset(self) -> None:
        """Reset all data about the lines."""
        self._cells.clear()
        self._cached_bytes = 0
        self._end: tuple[tuple[int, int, int, bool], RowPlace] | None = None
        self._index = LineIndex(self.lines)
        self._search: LogSearch | None = None
        self._text = ""
        self._errors: LogSearch | None = None
        self._jumps: list[_PendingJump] = []
        self._match: int | None = None
        self._matched: re.Pattern[str] | None = None
        """Pattern that found the current match."""
        self._following = False
        self._known_size = self.lines.size
        """Size of the log when its end was last visible."""

    # -- movement --

    def move(self, rows: int) -> None:
        """Move down by rows, or up; moving up stops following."""
        self._end_failed_search()
        if rows < 0:
            self.follow(False)
        self._go_to(self._move_place(self._top, rows))

    def move_pages(self, pages: int) -> None:
        """Move down by pages, or up."""
        self.move(pages * max(1, self._height - 1))

    def go_to_start(self) -> None:
        """Go to the first line."""
        self._end_failed_search()
        self.follow(False)
        self._go_to((0, 0))

    def go_to_end(self) -> None:
        """Go to the last page."""
        self._go_to(self._find_last_top())

    def scroll_sideways(self, steps: int) -> None:
        """Scroll right by half screens, or left."""
        if not self._wrap:
            self._column = max(0, self._column + steps * max(1, self._width // 2))

    def resize(self, width: int, height: int) -> None:
        """Change the size, keeping the end, or the current match, visible."""
        at_end, sees_match, column = (
            self._is_at_end(),
            self._is_match_visible(),
            self._find_top_column(),
        )
        self._width, self._height = max(1, width), max(1, height)
        self._restore_position(at_end, column, sees_match)

    def toggle_wrap(self) -> None:
        """Toggle wrapping of long lines, keeping the current match visible."""
        at_end, sees_match = self._is_at_end(), self._is_line_visible()
        self._wrap, self._column = not self._wrap, 0
        self._restore_position(at_end, 0, sees_match)

    def _find_top_column(self) -> int:
        """Return the column of its line at which the top row begins."""
        return (
            sum(row.cell_length for row in self._wrap_line(self._top[0])[: self._top[1]])
            if self._wrap
            else 0
        )

    def _restore_position(self, at_end: bool, column: int, sees_match: bool) -> None:
        start = self._top[0]
        row = self._find_row(self._get_cells(start)[0], column) if self._wrap and column else 0
        self._top = (start, self._count_rows(start) - 1 if row is None else row)
        self._go_to(self._find_last_top() if at_end else self._top)
        if sees_match and not self._following and (unseen := self._show_match()):
            self._set_note(unseen)

    def _go_to(self, place: RowPlace) -> None:
        self._top = min(place, self._find_last_top())
        if self._is_at_end():
            self._known_size = self.lines.size

    # -- following --

    @property
    def following(self) -> bool:
        """True if new lines are shown as they arrive."""
        return self._following

    def follow(self, on: bool) -> None:
        """Follow the end of the log, or stop following."""
        self._following = on
        if on:
            self.go_to_end()

    def check_growth(self) -> bool:
        """Check for growth; return True if anything changed.

        New lines are shown when following, else counted. A truncated log is read again from the
        start.
        """
        known = [job for job in self._list_jobs() if job.done]
        change = self.lines.refresh()
        if change < 0:
            self._restart()
        elif change:
            self._process_new(known)
            if self._following:
                self.go_to_end()
        return self._note_file_change() or change != 0

    def _restart(self) -> None:
        following, text = self._following, self._text
        self._reset()
        self._following, self._text = following, text
        self._search = LogSearch.for_text(self.lines, text) if text else None
        self._set_note(tr("the log was truncated and is read again"))
        self.go_to_end()

    def clear_note(self) -> None:
        """Clear the note, except one about the file's deletion or replacement."""
        if self._note != self._file_change:
            self._note = ""

    def _set_note(self, note: str) -> None:
        self._note = note
        self._notes += bool(note)

    def _process_new(self, jobs: Sequence[LogSearch | LineIndex]) -> None:
        """Count and search a little new output at once.

        The page is then drawn once, with its line numbers.
        """
        for job in jobs:
            steps = 0
            while not job.done and steps < _MAX_BLOCKS:
                job.step()
                steps += 1

    def _note_file_change(self) -> bool:
        """Note that the file was deleted or replaced; return False if known already."""
        before, self._file_change = self._file_change, self.lines.source.describe_change()
        if self._file_change == before:
            return False
        self._set_note(self._file_change)
        return True

    def _count_below(self) -> int:
        """Return the lines added since the end was last visible; 0 until counted."""
        seen = (
            self._index.count_before(self._known_size)
            if self._index.done and self.lines.size > self._known_size
            else None
        )
        return self._index.total - seen if seen is not None else 0

    # -- search --

    def start_search(self, text: str) -> None:
        """Search a text, ignoring case, and go to the nearest match; empty text ends the search."""
        self._text, self._match = text, None
        self._search = LogSearch.for_text(self.lines, text) if text else None
        self._jumps = (
            [_PendingJump(self._search, "near", origin=self._top[0])] if self._search else []
        )

    def _end_failed_search(self) -> None:
        """End a search that found nothing, so that the position is shown again."""
        if self._search and self._search.done and not self._search.count:
            self.start_search("")

    def go_to_match(self, direction: Literal["next", "previous"]) -> None:
        """Go to the next or the previous match."""
        if self._search is None:
            self._set_note(tr("no search yet: / searches"))
        else:
            self._queue_jump(_PendingJump(self._search, direction))

    def go_to_error(self) -> None:
        """Go to the next line that looks like an error; wrap around after the last."""
        self._errors = self._errors or LogSearch.for_errors(self.lines)
        self._queue_jump(_PendingJump(self._errors, "next", tr("no line looks like an error")))

    def _queue_jump(self, jump: _PendingJump) -> None:
        """Queue a jump; if a key was held down for long, surplus jumps are dropped."""
        self._jumps = [*self._jumps[:_MAX_JUMPS], jump]

    def _find_origin(self) -> int:
        """Return the offset to search from.

        The current match if visible, else just above the page.
        """
        return (
            self._match if self._match is not None and self._is_line_visible() else self._top[0] - 1
        )

    def _is_line_visible(self) -> bool:
        """Return True if any part of the current match's line is visible."""
        start = self._find_match_start()
        return start is not None and self._top[0] <= start <= self._find_bottom()[0]

    def _find_match_start(self) -> int | None:
        """Return the start of the line or group of the current match."""
        return None if self._match is None else self.lines.find_start(self._match)

    def _is_match_visible(self) -> bool:
        """Return True if the row of the current match is visible."""
        return (
            self._match is not None
            and self._top <= self._find_match_row()[0] <= self._find_bottom()
        )

    def _make_jumps(self) -> None:
        """Make the pending jumps as far as their searches have got."""
        while self._jumps:
            jump = self._jumps[0]
            jump.origin = self._find_origin() if jump.origin is None else jump.origin
            target = _find_target(jump, jump.origin)
            if target is None and not jump.search.done:
                return
            del self._jumps[0]
            self._finish_jump(jump, jump.origin, target)

    def _finish_jump(self, jump: _PendingJump, origin: int, target: int | None) -> None:
        unseen = ""
        if target is not None:
            self._match, self._matched = target, jump.search.pattern
            unseen = self._show_match()
        self._set_note(unseen or _describe_jump(jump, origin, target))

    def _show_match(self) -> str:
        """Scroll the current match into view, a third down, unless visible.

        Return the reason if it cannot be shown, else "".
        """
        place, unseen = self._find_match_row()
        if not self._top <= place <= self._find_bottom():
            self._go_to(self._move_place(place, -(self._height // 3)))
        self._following = self._following and self._is_at_end()
        found = None if self._wrap else self._find_match_columns()
        if found:
            self._scroll_to_columns(*found[1:])
        return unseen

    def _find_match_columns(self) -> tuple[int, int, int] | None:
        """Return line within its group, and columns, of the current match, where it is shown."""
        start = self._find_match_start()
        if start is None or self._matched is None:
            return None
        for index, cells in enumerate(self._get_cells(start)):
            if found := cells.find(self._matched):
                return index, *found
        return None

    def _find_match_row(self) -> tuple[RowPlace, str]:
        """Return the row of the current match, or the nearest row and the reason."""
        start, found = self._find_match_start() or 0, self._find_match_columns()
        if found is None:
            return (start, 0), tr(_NOT_SHOWN)
        index, column, _ = found
        if not self._wrap:
            return (start, index), ""
        before, cells = self._get_cells(start)[:index], self._get_cells(start)[index]
        first = sum(len(self._wrap_cells(line)) for line in before)
        row = self._find_row(cells, column)
        if row is None:
            return (start, first + len(self._wrap_cells(cells)) - 1), tr(_BEYOND_WRAP)
        return (start, first + row), ""

    def _find_row(self, cells: LineCells, column: int) -> int | None:
        """Return the row of a wrapped line that contains a column; None if it is not shown."""
        rows = self._wrap_cells(cells)
        for row, strip in enumerate(rows[: cells.content_rows]):
            if column < strip.cell_length:
                return row
            column -= strip.cell_length
        return None

    def _scroll_to_columns(self, begin: int, end: int) -> None:
        """Scroll sideways just enough to show these cells."""
        if not self._column <= begin or end > self._column + self._width - 1:
            step = max(1, self._width // 2)
            self._column = (
                0 if end < self._width else max(0, begin - self._width // 4) // step * step
            )

    # -- background work --

    @property
    def is_busy(self) -> bool:
        """True if anything remains to be counted or searched."""
        return bool(self._jumps) or any(not job.done for job in self._list_jobs())

    def step(self) -> None:
        """Do one step of background work, most urgent first."""
        job = next((job for job in self._list_jobs() if not job.done), None)
        if job:
            job.step()
        self._make_jumps()

    def _list_jobs(self) -> list[LogSearch | LineIndex]:
        searches = (*(jump.search for jump in self._jumps[:1]), self._search, self._errors)
        return [*(search for search in searches if search), self._index]

    # -- visible part --

    def make_page(self) -> LogPage:
        """Return the visible part."""
        places = self._list_places()
        search = self._search
        counted = self._index.done
        return LogPage(
            rows=tuple(self._draw_row(place) for place in places),
            errors=self._find_errors(places),
            size=self.lines.size,
            lines=self._index.total if counted else None,
            line=self._index.find_number(places[-1][0]) if counted and places else None,
            at_end=self._is_at_end(),
            following=self._following,
            wrapping=self._wrap,
            column=self._column,
            below=self._count_below(),
            search_text=self._text,
            match=search.find_rank(self._match) if search and self._match is not None else 0,
            matches=search.count if search else 0,
            progress=_to_percent(search.scanned, self.lines.size) if search else 100,
            note=self._note,
            notes=self._notes,
        )

    def _find_errors(self, places: Sequence[RowPlace]) -> frozenset[int]:
        source = self.lines.source
        return frozenset(n for n, (start, _) in enumerate(places) if source.is_error(start))

    def copy_text(self, everything: bool) -> tuple[str, str]:
        """Return the text that `y` or `Y` copies, and its name.

        By default the text is the line of the current match if visible, else all visible lines.
        With `everything` the text is the log, or its end if the log is large.
        """
        if everything:
            begin = max(0, self.lines.size - MAX_COPIED)
            text = "\n".join(
                map(_to_plain_text, self.lines.source.read(begin, self.lines.size).split(b"\n"))
            )
            return _limit_text(text), tr("the log") if not begin else tr("the end of the log")
        if self._match is not None and self._is_line_visible():
            return _limit_text(self._read_text(self.lines.find_start(self._match))), tr("the line")
        starts = dict.fromkeys(start for start, _ in self._list_places())
        return _limit_text("\n".join(map(self._read_text, starts))), tr("the visible lines")

    def _read_text(self, start: int) -> str:
        """Return a whole line or group as shown."""
        return "\n".join(
            cells.crop(0, _MAX_LINE_CELLS).text.rstrip() for cells in self._get_cells(start)
        )

    def _list_places(self) -> list[RowPlace]:
        places: list[RowPlace] = []
        start, sub = self._top
        while len(places) < self._height and start < self.lines.size:
            places += [(start, row) for row in range(sub, self._count_rows(start))]
            start, sub = self.lines.find_end(start), 0
        return places[: self._height]

    def _draw_row(self, place: RowPlace) -> Strip:
        start, at = place
        rows = (
            self._wrap_line(start)[max(0, at - 1) : at + 2]
            if self._wrap
            else [self._draw_cut_row(self._get_cells(start)[at])]
        )
        row = rows[min(at, 1)] if self._wrap else rows[0]
        patterns = [(self._search.pattern, MATCH)] if self._search else []
        patterns += (
            [(self._matched, CURRENT_MATCH)]
            if self._matched and start == self._find_match_start()
            else []
        )
        if not patterns:
            return row
        # A match may continue in the next row or begin in the previous one.
        whole, begin = Strip.join(rows), rows[0].cell_length if self._wrap and at else 0
        for pattern, style in patterns:
            whole = mark_matches(whole, pattern, style)
        return whole.crop(begin, begin + row.cell_length)

    def _draw_cut_row(self, cells: LineCells) -> Strip:
        row = cells.crop(self._column, self._width)
        return (
            cut_row(row, self._width, self._ellipsis)
            if cells.extends_to(self._column + self._width)
            else row
        )

    def _wrap_line(self, start: int) -> list[Strip]:
        return [row for cells in self._get_cells(start) for row in self._wrap_cells(cells)]

    def _wrap_cells(self, cells: LineCells) -> list[Strip]:
        return cells.wrap_rows(self._width, self._ellipsis + tr(MORE))

    def _get_cells(self, start: int) -> list[LineCells]:
        """Return the cells of a line, or of each line that a group shows.

        Cached by both ends, since the last line may still grow.
        """
        key = (start, self.lines.find_end(start))
        if key not in self._cells:
            self._cells[key] = [LineCells(row) for row in split_rows(self.lines.read_line(start))]
            self._cached_bytes += key[1] - key[0]
            while (
                self._cached_bytes > _CACHE_BYTES
                and len(self._cells) > self._height
                or len(self._cells) > 1024
            ):
                (begin, end), _ = self._cells.popitem(last=False)
                self._cached_bytes -= end - begin
        return self._cells[key]

    def _count_rows(self, start: int) -> int:
        if self._wrap:
            return len(self._wrap_line(start))
        return len(self._get_cells(start)) if self.lines.is_rewritten(start) else 1

    def _move_place(self, place: RowPlace, rows: int) -> RowPlace:
        """Return the place `rows` rows below or above, limited to the first and last row."""
        return self._move_down(place, rows) if rows >= 0 else self._move_up(place, -rows)

    def _move_down(self, place: RowPlace, rows: int) -> RowPlace:
        start, sub = place
        while rows > (left := self._count_rows(start) - 1 - sub):
            following = self.lines.find_end(start)
            if following >= self.lines.size:
                return start, sub + left
            start, sub, rows = following, 0, rows - left - 1
        return start, sub + rows

    def _move_up(self, place: RowPlace, rows: int) -> RowPlace:
        start, sub = place
        while rows > sub:
            above = self.lines.find_previous(start)
            if above is None:
                return 0, 0
            rows -= sub + 1
            start, sub = above, self._count_rows(above) - 1
        return start, sub - rows

    def _find_last_top(self) -> RowPlace:
        """Return the top row of the last page, cached by log and screen size."""
        key = (self.lines.size, self._width, self._height, self._wrap)
        if self._end is None or self._end[0] != key:
            last = self.lines.find_last()
            self._end = (key, self._move_up((last, self._count_rows(last) - 1), self._height - 1))
        return self._end[1]

    def _find_bottom(self) -> RowPlace:
        return self._move_down(self._top, self._height - 1)

    def _is_at_end(self) -> bool:
        return self._top >= self._find_last_top()


def _find_target(jump: _PendingJump, origin: int) -> int | None:
    """Return the target of a jump; None if unknown yet or nonexistent."""
    search = jump.search
    if jump.way == "previous":
        if not search.done and search.scanned < origin:
            return None
        found = search.find_before(origin)
        return search.find_before(search.scanned) if found is None and search.done else found
    found = search.find_after(origin - (jump.way == "near"))
    if found is not None or not search.done:
        return found
    return search.find_before(origin) if jump.way == "near" else search.find_after(-1)


def _describe_jump(jump: _PendingJump, origin: int, target: int | None) -> str:
    if target is None:
        return tr(jump.nothing) + (
            tr(": only in text that was overwritten") if jump.search.overwritten else ""
        )
    if jump.way != "near" and target == origin:
        return tr("no other line matches")
    if jump.way == "next" and target <= origin:
        return tr("wrapped to the first match")
    return tr("wrapped to the last match") if jump.way == "previous" and target >= origin else ""


def _to_percent(part: int, whole: int) -> int:
    return 100 if part >= whole else int(part / whole * 100)


def _to_plain_text(line: bytes) -> str:
    return "".join(text for text, _ in parse_sgr_line(line))


def _limit_text(text: str) -> str:
    """Return the end of a text that is too long to copy."""
    return text.encode()[-MAX_COPIED:].decode("utf-8", "ignore")


def format_size_and_lines(page: LogPage) -> str:
    """Return `4.1M, 61,204 lines`."""
    size = units.format_bytes(page.size)
    return (
        size
        if page.lines is None
        else tr_n(page.lines, "{size}, {n:,} line", "{size}, {n:,} lines", size=size)
    )
