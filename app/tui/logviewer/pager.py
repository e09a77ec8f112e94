"""Where a reader stands in a log: moving, following, searching, wrapping.

Neither screen nor thread: `page` says what is seen now.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.strip import Strip

from app.core.text import units
from app.core.text.sanitize import sgr_line
from app.tui.logviewer.layout import CHOSEN, MATCH, LineCells, cut, marked
from app.tui.logviewer.search import Search
from app.tui.logviewer.source import LineIndex, LogLines, Source

MORE = " {} more in this line: w shows it cut, and then sideways"
COPIED_MOST = 72 * 1024
"""Bytes that are copied at most: in the form in which they go to a terminal they stay below the 100,000 that all take."""
_KEPT = 16 * 1024 * 1024
_JUMPS = 100
_AT_ONCE = 16
"""Blocks of new output that are counted and searched before the page is shown."""
_FAR = 64 * 1024
"""Cells of a line that are copied at most."""
_TOO_FAR = "the match is beyond what is shown wrapped: w shows it"
_HIDDEN = "what matches in this line is not shown"
Place = tuple[int, int]
"""A row: the offset of its line, and which row of that line when lines are wrapped."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is seen now.

    `lines` and `line` (the number of the bottom one) are None until they were counted; `below` counts the lines that
    came since the end was left.
    """

    rows: tuple[Strip, ...] = ()
    size: int = 0
    lines: int | None = None
    line: int | None = None
    at_end: bool = True
    following: bool = False
    wrapping: bool = False
    column: int = 0
    below: int = 0
    searched: str = ""
    match: int = 0
    matches: int = 0
    progress: int = 100
    """Percent of the log that the search is through."""
    note: str = ""
    notes: int = 0
    """How many notes there were, so that the same one can be told again."""


@dataclass(slots=True)
class _Jump:
    """A jump that waits for its search to get there; from where is known once it is its turn."""

    search: Search
    way: Literal["near", "next", "previous"]
    nothing: str = "no match"
    origin: int | None = None


class Pager:
    """A reader's place in a log, `width` by `height` cells; a line that is cut ends in `ellipsis`."""

    def __init__(self, source: Source, width: int, height: int, ellipsis: str = "…") -> None:
        self.lines = LogLines(source)
        self._ellipsis = ellipsis
        self._fate = self._note = ""
        self._notes = 0
        self._width, self._height = max(1, width), max(1, height)
        self._wrap = False
        self._column = 0
        self._top: Place = (0, 0)
        self._cells: OrderedDict[tuple[int, int], LineCells] = OrderedDict()
        self._forget()
        self.end()

    def _forget(self) -> None:
        """Begin anew: nothing known about the lines."""
        self._cells.clear()
        self._held = 0
        self._end: tuple[tuple[int, int, int, bool], Place] | None = None
        self._index = LineIndex(self.lines)
        self._search: Search | None = None
        self._text = ""
        self._errors: Search | None = None
        self._jumps: list[_Jump] = []
        self._match: int | None = None
        self._matched: re.Pattern[str] | None = None
        """By what the line that was gone to was found."""
        self._following = False
        self._seen_to = self.lines.size
        """Up to where the log reached when its end was seen last."""

    # -- moving -------------------------------------------------------------------------------------------------

    def move(self, rows: int) -> None:
        """Go down so many rows, or up; up stops following."""
        if rows < 0:
            self.follow(False)
        self._go(self._walk(self._top, rows))

    def turn(self, pages: int) -> None:
        """Go down so many pages, or up."""
        self.move(pages * max(1, self._height - 1))

    def start(self) -> None:
        """Go to the first line."""
        self.follow(False)
        self._go((0, 0))

    def end(self) -> None:
        """Go to the last page."""
        self._go(self._last_top())

    def sideways(self, steps: int) -> None:
        """Move the window right by so many half screens, or left."""
        if not self._wrap:
            self._column = max(0, self._column + steps * max(1, self._width // 2))

    def resize(self, width: int, height: int) -> None:
        """Take another size; what was at the end stays at the end, and a match that is seen is seen still."""
        at_end, sees_match, column = self._at_end(), self._sees_match(), self._top_column()
        self._width, self._height = max(1, width), max(1, height)
        self._settle(at_end, column, sees_match)

    def wrap(self) -> None:
        """Wrap long lines, or cut them again; the line that was gone to is then seen where it matches."""
        at_end, sees_match = self._at_end(), self._sees_line()
        self._wrap, self._column = not self._wrap, 0
        self._settle(at_end, 0, sees_match)

    def _top_column(self) -> int:
        """At which column of its line the top row begins."""
        return sum(row.cell_length for row in self._rows_of(self._top[0])[: self._top[1]]) if self._wrap else 0

    def _settle(self, at_end: bool, column: int, sees_match: bool) -> None:
        start = self._top[0]
        row = self._row_at(start, column) if self._wrap and column else 0
        self._top = (start, self._row_count(start) - 1 if row is None else row)
        self._go(self._last_top() if at_end else self._top)
        if sees_match and not self._following and (unseen := self._show_match()):
            self._tell(unseen)

    def _go(self, place: Place) -> None:
        self._top = min(place, self._last_top())
        if self._at_end():
            self._seen_to = self.lines.size

    # -- following ----------------------------------------------------------------------------------------------

    @property
    def following(self) -> bool:
        """Whether new lines are shown as they come."""
        return self._following

    def follow(self, on: bool) -> None:
        """Show new lines as they come, from the end on; or stay."""
        self._following = on
        if on:
            self.end()

    def grown(self) -> bool:
        """Look whether the log grew; new lines are shown when following, else counted. A cut log is read anew."""
        known = [job for job in self._jobs() if job.done]
        change = self.lines.refresh()
        if change < 0:
            self._begin_anew()
        elif change:
            self._catch_up(known)
            if self._following:
                self.end()
        return self._told_fate() or change != 0

    def _begin_anew(self) -> None:
        following, text = self._following, self._text
        self._forget()
        self._following, self._text = following, text
        self._search = Search.text(self.lines, text) if text else None
        self._tell("the log was cut and begins anew")
        self.end()

    def hush(self) -> None:
        """What was noted is over, since the reader goes on; but not what became of the file."""
        if self._note != self._fate:
            self._note = ""

    def _tell(self, note: str) -> None:
        self._note = note
        self._notes += bool(note)

    def _catch_up(self, jobs: Sequence[Search | LineIndex]) -> None:
        """Count and search what is new at once, if that is little: so a page is drawn once, and with its numbers."""
        for job in jobs:
            steps = 0
            while not job.done and steps < _AT_ONCE:
                job.step()
                steps += 1

    def _told_fate(self) -> bool:
        """Note what became of the file's name; False when that is known."""
        before, self._fate = self._fate, self.lines.source.fate()
        if self._fate == before:
            return False
        self._tell(self._fate)
        return True

    def _below(self) -> int:
        """Lines that came since the end was seen last; 0 while they are not counted."""
        seen = self._index.before(self._seen_to) if self._index.done and self.lines.size > self._seen_to else None
        return self._index.total - seen if seen is not None else 0

    # -- searching ----------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Look for a text, case ignored, and go to the nearest line that has it; an empty text ends the search."""
        self._text, self._match = text, None
        self._search = Search.text(self.lines, text) if text else None
        self._jumps = [_Jump(self._search, "near", origin=self._top[0])] if self._search else []

    def next_match(self, way: Literal["next", "previous"]) -> None:
        """Go to the next or the previous line that has what was searched."""
        if self._search is None:
            self._tell("nothing was searched yet: / searches")
        else:
            self._jump(_Jump(self._search, way))

    def next_error(self) -> None:
        """Go to the next line that looks like an error, from the first again after the last."""
        self._errors = self._errors or Search.errors(self.lines)
        self._jump(_Jump(self._errors, "next", "no line looks like an error"))

    def _jump(self, jump: _Jump) -> None:
        """Jump when those asked for before are made; of keys that were held down for long, some are forgotten."""
        self._jumps = [*self._jumps[:_JUMPS], jump]

    def _origin(self) -> int:
        """From where the next match is looked for: the current one while it is seen, else just above the page."""
        return self._match if self._match is not None and self._sees_line() else self._top[0] - 1

    def _sees_line(self) -> bool:
        """Whether the line gone to is seen, or a part of it."""
        return self._match is not None and self._top[0] <= self._match <= self._bottom()[0]

    def _sees_match(self) -> bool:
        """Whether the row is seen in which the line gone to matches."""
        return self._match is not None and self._top <= self._matching_row()[0] <= self._bottom()

    def _land(self) -> None:
        """Make the jumps that wait, as far as their searches got."""
        while self._jumps:
            jump = self._jumps[0]
            jump.origin = self._origin() if jump.origin is None else jump.origin
            target = _target(jump, jump.origin)
            if target is None and not jump.search.done:
                return
            del self._jumps[0]
            self._made(jump, jump.origin, target)

    def _made(self, jump: _Jump, origin: int, target: int | None) -> None:
        unseen = ""
        if target is not None:
            self._match, self._matched = target, jump.search.pattern
            unseen = self._show_match()
        self._tell(unseen or _landing_note(jump, origin, target))

    def _show_match(self) -> str:
        """Bring what matches in the line gone to into view, a third down, unless it is seen already; why it cannot be, else ""."""
        place, unseen = self._matching_row()
        if not self._top <= place <= self._bottom():
            self._go(self._walk(place, -(self._height // 3)))
        self._following = self._following and self._at_end()
        found = None if self._wrap else self._found()
        if found:
            self._uncover(*found)
        return unseen

    def _found(self) -> tuple[int, int] | None:
        """The columns of what matches in the line gone to, where it is shown."""
        return self._cells_of(self._match).find(self._matched) if self._match is not None and self._matched else None

    def _matching_row(self) -> tuple[Place, str]:
        """The row in which the line gone to matches, or the nearest there is, and why that is not the one."""
        start, found = self._match or 0, self._found()
        if found is None:
            return (start, 0), _HIDDEN
        row = self._row_at(start, found[0]) if self._wrap else 0
        return ((start, row), "") if row is not None else ((start, self._row_count(start) - 1), _TOO_FAR)

    def _row_at(self, start: int, column: int) -> int | None:
        """The row of a wrapped line in which a column of it stands; None when that is further than is shown."""
        for row, strip in enumerate(self._rows_of(start)[: self._cells_of(start).whole_rows]):
            if column < strip.cell_length:
                return row
            column -= strip.cell_length
        return None

    def _uncover(self, begin: int, end: int) -> None:
        """Move sideways so far that these cells are seen, and no further than needed."""
        if not self._column <= begin or end > self._column + self._width - 1:
            step = max(1, self._width // 2)
            self._column = 0 if end < self._width else max(0, begin - self._width // 4) // step * step

    # -- work in the background ---------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is left to be counted or searched."""
        return bool(self._jumps) or any(not job.done for job in self._jobs())

    def step(self) -> None:
        """Do a little of what is left, what is waited for first."""
        job = next((job for job in self._jobs() if not job.done), None)
        if job:
            job.step()
        self._land()

    def _jobs(self) -> list[Search | LineIndex]:
        searches = (*(jump.search for jump in self._jumps[:1]), self._search, self._errors)
        return [*(search for search in searches if search), self._index]

    # -- what is seen -------------------------------------------------------------------------------------------

    def page(self) -> Page:
        """What is seen now."""
        places = self._places()
        search = self._search
        counted = self._index.done
        return Page(
            rows=tuple(self._row(place) for place in places),
            size=self.lines.size,
            lines=self._index.total if counted else None,
            line=self._index.number(places[-1][0]) if counted and places else None,
            at_end=self._at_end(),
            following=self._following,
            wrapping=self._wrap,
            column=self._column,
            below=self._below(),
            searched=self._text,
            match=search.place(self._match) if search and self._match is not None else 0,
            matches=search.count if search else 0,
            progress=_percent(search.scanned, self.lines.size) if search else 100,
            note=self._note,
            notes=self._notes,
        )

    def copied(self, everything: bool) -> tuple[str, str]:
        """What `y` takes, and what that is: the line gone to while it is seen, else all lines seen; or the log, or its end."""
        if everything:
            begin = max(0, self.lines.size - COPIED_MOST)
            text = "\n".join(map(_shown, self.lines.source.read(begin, self.lines.size).split(b"\n")))
            return _bounded(text), "the log" if not begin else "the end of the log"
        if self._match is not None and self._sees_line():
            return _bounded(self._text_of(self._match)), "the line"
        starts = dict.fromkeys(start for start, _ in self._places())
        return _bounded("\n".join(map(self._text_of, starts))), "what is seen"

    def _text_of(self, start: int) -> str:
        """A whole line as it is shown."""
        return self._cells_of(start).window(0, _FAR).text.rstrip()

    def _places(self) -> list[Place]:
        places: list[Place] = []
        start, sub = self._top
        while len(places) < self._height and start < self.lines.size:
            places += [(start, row) for row in range(sub, self._row_count(start))]
            start, sub = self.lines.end(start), 0
        return places[: self._height]

    def _row(self, place: Place) -> Strip:
        start, at = place
        rows = self._rows_of(start)[max(0, at - 1) : at + 2] if self._wrap else [self._cut_row(start)]
        row = rows[min(at, 1)] if self._wrap else rows[0]
        patterns = [(self._search.pattern, MATCH)] if self._search else []
        patterns += [(self._matched, CHOSEN)] if self._matched and start == self._match else []
        if not patterns:
            return row
        # A match may go on in the next row, or come from the one before.
        whole, begin = Strip.join(rows), rows[0].cell_length if self._wrap and at else 0
        for pattern, style in patterns:
            whole = marked(whole, pattern, style)
        return whole.crop(begin, begin + row.cell_length)

    def _cut_row(self, start: int) -> Strip:
        cells = self._cells_of(start)
        row = cells.window(self._column, self._width)
        return cut(row, self._width, self._ellipsis) if cells.goes_on(self._column + self._width) else row

    def _rows_of(self, start: int) -> list[Strip]:
        return self._cells_of(start).wrapped(self._width, self._ellipsis + MORE)

    def _cells_of(self, start: int) -> LineCells:
        """The line's cells; remembered by both ends, for the last line may still grow."""
        key = (start, self.lines.end(start))
        if key not in self._cells:
            self._cells[key] = LineCells(self.lines.bytes_of(start))
            self._held += key[1] - key[0]
            while self._held > _KEPT and len(self._cells) > self._height or len(self._cells) > 1024:
                (begin, end), _ = self._cells.popitem(last=False)
                self._held -= end - begin
        return self._cells[key]

    def _row_count(self, start: int) -> int:
        return len(self._rows_of(start)) if self._wrap else 1

    def _walk(self, place: Place, rows: int) -> Place:
        """The place so many rows below, or above; the first or last row when there are fewer."""
        return self._down(place, rows) if rows >= 0 else self._up(place, -rows)

    def _down(self, place: Place, rows: int) -> Place:
        start, sub = place
        while rows > (left := self._row_count(start) - 1 - sub):
            following = self.lines.end(start)
            if following >= self.lines.size:
                return start, sub + left
            start, sub, rows = following, 0, rows - left - 1
        return start, sub + rows

    def _up(self, place: Place, rows: int) -> Place:
        start, sub = place
        while rows > sub:
            above = self.lines.before(start)
            if above is None:
                return 0, 0
            rows -= sub + 1
            start, sub = above, self._row_count(above) - 1
        return start, sub - rows

    def _last_top(self) -> Place:
        """The top row of the last page, worked out once for a size of log and screen."""
        key = (self.lines.size, self._width, self._height, self._wrap)
        if self._end is None or self._end[0] != key:
            last = self.lines.last()
            self._end = (key, self._up((last, self._row_count(last) - 1), self._height - 1))
        return self._end[1]

    def _bottom(self) -> Place:
        return self._down(self._top, self._height - 1)

    def _at_end(self) -> bool:
        return self._top >= self._last_top()


def _target(jump: _Jump, origin: int) -> int | None:
    """Where the jump goes; None while that is not known, or when there is nothing."""
    search = jump.search
    if jump.way == "previous":
        if not search.done and search.scanned < origin:
            return None
        found = search.before(origin)
        return search.before(search.scanned) if found is None and search.done else found
    found = search.after(origin - (jump.way == "near"))
    if found is not None or not search.done:
        return found
    return search.before(origin) if jump.way == "near" else search.after(-1)


def _landing_note(jump: _Jump, origin: int, target: int | None) -> str:
    if target is None:
        return jump.nothing + (": only in text that was overwritten" if jump.search.overwritten else "")
    if jump.way != "near" and target == origin:
        return "no other line matches"
    if jump.way == "next" and target <= origin:
        return "round from the last to the first"
    return "round from the first to the last" if jump.way == "previous" and target >= origin else ""


def _percent(part: int, whole: int) -> int:
    return 100 if part >= whole else int(part / whole * 100)


def _shown(line: bytes) -> str:
    return "".join(text for text, _ in sgr_line(line))


def _bounded(text: str) -> str:
    """The text's end, if it is too long to be copied."""
    return text.encode()[-COPIED_MOST:].decode("utf-8", "ignore")


def size_and_lines(page: Page) -> str:
    """`4.1M, 61,204 lines`."""
    size = units.size(page.size)
    return size if page.lines is None else f"{size}, {page.lines:,} line{'' if page.lines == 1 else 's'}"
