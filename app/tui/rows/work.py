"""The rows of pane 3: running, waiting and ended tasks as cells, wide and narrow."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.core.board import EndedLine, NextLine, RunningLine
from app.core.text import units
from app.tui.style import STATES, STRANGE, Look, Sign
from app.tui.time_format import ago, elapsed, wall
from app.tui.widgets.table_columns import Bar, Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part

_ID = Column("", 4, 7, right=True, fits=True, gap=0)
_GLYPH = Column("", 1, 10, fits=True)
_NAME = Column("", 19, 32, grow=1, floor=12, cut="middle")
_NARROW_NAME = Column("", 18, 32, grow=1, floor=12, cut="middle")
_QUEUE = Column("QUEUE", 7, drop=4)

_RUNNING = (
    _ID, _GLYPH, _NAME, _QUEUE,
    Column("ELAPSED", 7, right=True),
    Column(" OF LIMIT", 6, drop=1),
    Column("", 4, 5, right=True, fits=True, drop=5),
    Column("LEFT", 5, 8, right=True, fits=True, drop=6),
    Column("CPU", 6, 10, right=True, fits=True, drop=3),
    Column("MEMORY", 10, 12, right=True, fits=True, drop=3),
    Column("LAST OUTPUT", 38, grow=2, floor=16, gap=2, drop=2),
)  # fmt: skip
_RUNNING_NARROW = (
    _ID, _GLYPH, _NARROW_NAME, _QUEUE,
    Column("ELAPSED", 7, right=True),
    Column("LIMIT", 5, right=True, gap=2, drop=5),
    Column("LEFT", 5, 8, right=True, fits=True, drop=6),
    Column("CPU ", 5, 10, right=True, fits=True, drop=3),
    Column("MEMORY ", 10, 12, right=True, fits=True, gap=2, drop=3),
    Column("", 5, drop=1),
)  # fmt: skip
_NEXT = (
    _ID, _GLYPH, _NAME, _QUEUE,
    Column("WAITS", 7, right=True, drop=1),
    Column("START ", 6, 9, right=True, fits=True),
    Column("WHY IT WAITS", 67, grow=2, floor=30, gap=2),
)  # fmt: skip
_NEXT_NARROW = (
    _ID, _GLYPH, _NARROW_NAME,
    Column("START", 5, 9, right=True, fits=True),
    Column("WHY IT WAITS", 45, grow=2, floor=20, gap=2),
)  # fmt: skip
_ENDED = (
    _ID, _GLYPH, _NAME, _QUEUE,
    Column("WHEN", 7, 9, right=True, fits=True, drop=1),
    Column("HOW IT ENDED", 67, grow=2, floor=30, gap=9),
)  # fmt: skip
_ENDED_NARROW = (
    _ID, _GLYPH, _NARROW_NAME,
    Column("WHEN", 7, 9, right=True, fits=True, drop=1),
    Column("HOW IT ENDED", 44, grow=2, floor=20),
)  # fmt: skip


class Gone(NamedTuple):
    """A row that was running a moment ago, where it stood: what ran, how it ended, until when it stays."""

    was: RunningLine
    end: EndedLine
    until: float

    @property
    def key(self) -> str:
        return self.was.key


def _sign(status: str) -> Sign:
    return STATES.get(status, STRANGE)


def _begin(row: Any, status: str, look: Look) -> tuple[Cell, Cell, Cell]:
    sign = _sign(status)
    return Cell(str(row.number)), Cell(look.glyph(sign), sign.style), Cell(look.theirs(row.name))


def _ran(row: RunningLine, now: float) -> float | None:
    return None if row.started_at is None else max(0.0, now - row.started_at)


def _limit(row: RunningLine, now: float, look: Look) -> Cell:
    ran = _ran(row, now)
    if ran is None or row.timeout is None:
        return Cell(look.own(units.MISSING))
    return Cell(units.percent(ran, row.timeout), "bold" if ran >= 0.9 * row.timeout else "")


def _left(row: RunningLine, look: Look) -> Cell:
    if row.left is None:
        return Cell(look.own(units.MISSING))
    # By less than a second none is late: a command that took 0.50 s before may take 0.51.
    return Cell(f"late {units.age(-row.left)}", "warn") if row.left <= -1.0 else Cell(_until(row.left, row.at_most))


def _until(left: float, at_most: bool) -> str:
    """`~6m` by past runs, `<6m` when only the limit is known."""
    return f"<{units.at_most(left)}" if at_most else units.estimate(left)


def _memory(row: RunningLine, look: Look) -> Cell:
    used, asked = row.measured_memory, row.memory
    if used is None or not asked:
        return Cell(look.own(units.memory(used)))
    close = used >= 0.95 * asked
    return Cell(units.memory_pair(used, asked) + ("!" if close else ""), "warn" if close else "")


def _measures(row: RunningLine, now: float, look: Look) -> tuple[Cell, Cell, Cell]:
    return _left(row, look), Cell(look.own(units.cpu_pair(row.measured_cpu, row.cpu))), _memory(row, look)


def _output(row: RunningLine, look: Look) -> Cell:
    if row.status == "running":
        return Cell(look.output(row.output))
    return Cell(look.theirs(row.note) or _sign(row.status).word, "warn")


def _elapsed(row: RunningLine, now: float, look: Look) -> Cell:
    ran = _ran(row, now)
    return Cell(look.own(units.MISSING) if ran is None else elapsed(ran))


def running_cells(row: RunningLine | Gone, look: Look, now: float) -> Cells:
    """A running row, or one that just ended where it stood."""
    if isinstance(row, Gone):
        blank = Cell("")
        return (
            *_begin(row.was, row.end.status, look),
            Cell(look.theirs(row.was.queue)),
            *(blank,) * 6,
            _how(row.end, look),
        )
    begin = (*_begin(row, row.status, look), Cell(look.theirs(row.queue)), _elapsed(row, now, look))
    if row.timeout is None:
        limit = (Cell("no limit", "dim", 2), Cell(""))
    else:
        limit = (Cell(Bar(int(_ran(row, now) or 0), row.timeout)), _limit(row, now, look))
    return *begin, *limit, *_measures(row, now, look), _output(row, look)


def running_narrow(row: RunningLine | Gone, look: Look, now: float) -> Cells:
    """The same in 80 cells; an end says how in place of the figures."""
    if isinstance(row, Gone):
        how = _how(row.end, look)
        return *_begin(row.was, row.end.status, look), Cell(how.text, how.style, 7), *(Cell(""),) * 6
    begin = (*_begin(row, row.status, look), Cell(look.theirs(row.queue)), _elapsed(row, now, look))
    return *begin, _limit(row, now, look), *_measures(row, now, look), Cell("")


def _start(row: NextLine, now: float, look: Look) -> Cell:
    if row.starts_at is not None:
        return Cell(wall(row.starts_at, now))
    return Cell(look.own(units.estimate(row.starts_in)))


def next_cells(row: NextLine, look: Look, now: float) -> Cells:
    """A waiting row."""
    waits = Cell(units.age(now - row.since))
    return (
        *_begin(row, row.status, look),
        Cell(look.theirs(row.queue)),
        waits,
        _start(row, now, look),
        Cell(look.theirs(row.why)),
    )


def next_narrow(row: NextLine, look: Look, now: float) -> Cells:
    """A waiting row in 80 cells, with the short reason."""
    return *_begin(row, row.status, look), _start(row, now, look), Cell(look.theirs(row.why_short or row.why))


def how_text(row: EndedLine) -> str:
    """The word of the state and how it came to it: `failed, exit 1 after 3s`, `succeeded in 44m02s`."""
    word = _sign(row.status).word
    if not row.how or row.how.startswith(word):
        return row.how or word
    return f"{word} {row.how}" if row.how.startswith(("in ", "after ")) else f"{word}, {row.how}"


def _how(row: EndedLine, look: Look) -> Cell:
    style = _sign(row.status).style
    return Cell(look.output(how_text(row)), {"well": "", "broken": "late"}.get(style, style))


def ended_cells(row: EndedLine, look: Look, now: float) -> Cells:
    """A row that ended."""
    return *_begin(row, row.status, look), Cell(look.theirs(row.queue)), Cell(ago(row.ended_at, now)), _how(row, look)


def ended_narrow(row: EndedLine, look: Look, now: float) -> Cells:
    """A row that ended, in 80 cells."""
    return *_begin(row, row.status, look), Cell(ago(row.ended_at, now)), _how(row, look)


RUNNING_PART = Part("running", Grid(_RUNNING, running_cells), Grid(_RUNNING_NARROW, running_narrow))
NEXT_PART = Part("next", Grid(_NEXT, next_cells), Grid(_NEXT_NARROW, next_narrow))
ENDED_PART = Part("ended", Grid(_ENDED, ended_cells), Grid(_ENDED_NARROW, ended_narrow))
