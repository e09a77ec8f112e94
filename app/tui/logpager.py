"""Where a reader stands in a log: moving, following, searching, wrapping.

Neither screen nor thread: `page` says what is seen now.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from textual.strip import Strip

from app.core import amounts
from app.tui.log import BLOCK, LineIndex, LogLines, Source
from app.tui.loglayout import LineCells, marked
from app.tui.logsearch import Search

MORE = "… {} bytes more in this line: w, then →"
_KEPT = 32 * 1024 * 1024
Place = tuple[int, int]
"""A row: the offset of its line, and which row of that line when lines are wrapped."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is seen now.

    `lines` and `line` (the number of the bottom one) are None until they were counted; `below` counts the lines that
    came since following stopped.
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


@dataclass(slots=True)
class _Jump:
    """A jump that waits for its search to get there."""

    search: Search
    way: Literal["near", "next", "previous"]
    origin: int
    nothing: str = "no match"


class Pager:
    """A reader's place in a log, `width` by `height` cells."""

    def __init__(self, source: Source, width: int, height: int) -> None:
        self.lines = LogLines(source)
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
        self._jump: _Jump | None = None
        self._match: int | None = None
        self._note = ""
        self._following = False
        self._below = 0

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
        """Take another size; what was at the end stays at the end."""
        at_end = self._at_end()
        self._width, self._height = max(1, width), max(1, height)
        self._settle(at_end)

    def wrap(self) -> None:
        """Wrap long lines, or cut them again."""
        at_end = self._at_end()
        self._wrap, self._column = not self._wrap, 0
        self._settle(at_end)

    def _settle(self, at_end: bool) -> None:
        self._top = (self._top[0], 0)
        self._go(self._last_top() if at_end else self._top)

    def _go(self, place: Place) -> None:
        self._top = min(place, self._last_top())
        if self._at_end():
            self._below = 0

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
        before = self.lines.size
        change = self.lines.refresh()
        if change < 0:
            following = self._following
            self._forget()
            self.follow(following)
            self._note = "the log was cut and begins anew"
            self.end()
        elif change and self._following:
            self.end()
        elif change:
            self._below += self._new_lines(before)
        return change != 0

    def _new_lines(self, start: int) -> int:
        size = self.lines.size
        return sum(self.lines.source.read(at, min(at + BLOCK, size)).count(b"\n") for at in range(start, size, BLOCK))

    # -- searching ----------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Look for a text, case ignored, and go to the nearest line that has it; an empty text ends the search."""
        self._text, self._match, self._jump, self._note = text, None, None, ""
        self._search = Search.text(self.lines, text) if text else None
        if self._search:
            self._jump = _Jump(self._search, "near", self._top[0])

    def next_match(self, way: Literal["next", "previous"]) -> None:
        """Go to the next or the previous line that has what was searched."""
        if self._search is None:
            self._note = "nothing was searched yet: / searches"
        else:
            self._jump = _Jump(self._search, way, self._origin())

    def next_error(self) -> None:
        """Go to the next line that looks like an error, from the first again after the last."""
        self._errors = self._errors or Search.errors(self.lines)
        self._jump = _Jump(self._errors, "next", self._origin(), "no line looks like an error")

    def _origin(self) -> int:
        """From where the next match is looked for: the current one while it is seen, else just above the page."""
        match = self._match
        return match if match is not None and self._top[0] <= match <= self._bottom()[0] else self._top[0] - 1

    def _land(self) -> None:
        """Make the jump that waits, if its search got far enough."""
        if (jump := self._jump) is None:
            return
        target = _target(jump)
        if target is None and not jump.search.done:
            return
        self._jump = None
        self._note = _landing_note(jump, target)
        if target is not None:
            self._match = target
            self._show(target)

    def _show(self, start: int) -> None:
        """Bring a line into view, a third down, unless it is seen already."""
        self._following = self._following and start >= self._last_top()[0]
        if not self._top[0] <= start <= self._bottom()[0]:
            self._go(self._walk((start, 0), -(self._height // 3)))

    # -- work in the background ---------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is left to be counted or searched."""
        return self._jump is not None or any(not job.done for job in self._jobs())

    def step(self) -> None:
        """Do a little of what is left, what is waited for first."""
        job = next((job for job in self._jobs() if not job.done), None)
        if job:
            job.step()
        self._land()

    def _jobs(self) -> list[Search | LineIndex]:
        searches = (self._jump and self._jump.search, self._search, self._errors)
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
            below=self._below,
            searched=self._text,
            match=search.place(self._match) if search and self._match is not None else 0,
            matches=search.count if search else 0,
            progress=_percent(search.scanned, self.lines.size) if search else 100,
            note=self._note,
        )

    def tail(self, limit: int) -> bytes:
        """The log's last bytes, at most `limit`."""
        return self.lines.source.read(max(0, self.lines.size - limit), self.lines.size)

    def match_text(self) -> str | None:
        """The line of the current match, as it is shown."""
        if self._match is None:
            return None
        return self._cells_of(self._match).window(0, 4096).text

    def _places(self) -> list[Place]:
        places: list[Place] = []
        start, sub = self._top
        while len(places) < self._height and start < self.lines.size:
            places += [(start, row) for row in range(sub, self._row_count(start))]
            start, sub = self.lines.end(start), 0
        return places[: self._height]

    def _row(self, place: Place) -> Strip:
        cells = self._cells_of(place[0])
        row = cells.wrapped(self._width, MORE)[place[1]] if self._wrap else cells.window(self._column, self._width)
        return marked(row, self._search.pattern) if self._search else row

    def _cells_of(self, start: int) -> LineCells:
        """The line's cells; remembered by both ends, for the last line may still grow."""
        key = (start, self.lines.end(start))
        if key not in self._cells:
            self._cells[key] = LineCells(self.lines.bytes_of(start))
            self._held += key[1] - key[0]
            while self._held > _KEPT and len(self._cells) > 1 or len(self._cells) > 1024:
                (begin, end), _ = self._cells.popitem(last=False)
                self._held -= end - begin
        return self._cells[key]

    def _row_count(self, start: int) -> int:
        return len(self._cells_of(start).wrapped(self._width, MORE)) if self._wrap else 1

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


def _target(jump: _Jump) -> int | None:
    """Where the jump goes; None while that is not known, or when there is nothing."""
    search = jump.search
    if jump.way == "previous":
        if not search.done and search.scanned < jump.origin:
            return None
        found = search.before(jump.origin)
        return search.before(search.scanned) if found is None and search.done else found
    found = search.after(jump.origin - (jump.way == "near"))
    if found is not None or not search.done:
        return found
    return search.before(jump.origin) if jump.way == "near" else search.after(-1)


def _landing_note(jump: _Jump, target: int | None) -> str:
    if target is None:
        return jump.nothing
    if jump.way == "next" and target <= jump.origin:
        return "round from the last to the first"
    return "round from the first to the last" if jump.way == "previous" and target >= jump.origin else ""


def _percent(part: int, whole: int) -> int:
    return 100 if part >= whole else int(part / whole * 100)


def size_and_lines(page: Page) -> str:
    """`4.1M, 61,204 lines`."""
    size = amounts.size(page.size)
    return size if page.lines is None else f"{size}, {page.lines:,} line{'' if page.lines == 1 else 's'}"
