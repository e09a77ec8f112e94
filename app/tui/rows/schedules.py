"""Rows of the list of schedules, in words or as a timeline of a day or a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.core.text import units
from app.core.text.sanitize import measure_width
from app.translation import tr
from app.tui.data.schedule_rows import FireEntry, ScheduleEntry, Timeline
from app.tui.style import FIRES, Look
from app.tui.time_format import format_fire_time, format_weekday
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection

STRIP_CELLS = 10
"""Latest fire times in the strip of outcomes."""


# --- times ---


def format_countdown(due: float, now: float) -> str:
    """Return the time until a schedule fires: `41s`, `12m07s`, `3h18m`, or `now`."""
    left = due - now
    return tr("now") if left < 1 else f"{int(left)}s" if left < 10 else units.format_duration(left)


def has_other_zone(zone: str, at: float | None, now: float) -> bool:
    """Return True if the clock of a zone differs from the local one at this time."""
    try:
        there = datetime.fromtimestamp(at or now, ZoneInfo(zone))
    except (LookupError, OSError, ValueError):
        return True
    return there.utcoffset() != there.astimezone().utcoffset()


def format_recurrence(row: ScheduleEntry, now: float) -> str:
    """Return the recurrence in words, with a zone whose clock differs, unsanitized."""
    timed = row.kind in ("cron", "rrule", "at") and has_other_zone(row.zone, row.next_at, now)
    return f"{row.words} ({row.zone})" if timed else row.words


def format_next(row: ScheduleEntry, now: float, *, words: bool = True) -> str:
    """Return when a schedule fires next, with its jitter, or why it does not."""
    if row.next_at is not None:
        return format_fire_time(row.next_at + row.delay, now, row.zone, words=words)
    if row.state == "active":
        return tr("at boot") if row.kind == "boot" else units.MISSING
    return row.sign.word


def format_strip(fires: Sequence[FireEntry], look: Look, cells: int = STRIP_CELLS) -> str:
    """Return the latest outcomes, oldest first: `✓✓✗-●`; in a plain look the last word."""
    if look.plain:
        return look.glyph(fires[0].sign) if fires else ""
    return "".join(look.glyph(fire.sign) for fire in reversed(fires[:cells]))


# --- list ---


class StripCell(NamedTuple):
    """The latest outcomes of a schedule, as many as fit."""

    fires: tuple[FireEntry, ...]

    def draw(self, look: Look, cells: int) -> str:
        return format_strip(self.fires, look, cells)[:cells]


_WIDE = (
    TableColumn("", 1, 8, gap=0, fits=True),
    TableColumn("SCHEDULE", 14, 32, fits=True, grow=1, floor=10, cut="middle"),
    TableColumn("STATE", 7, drop=5),
    TableColumn("NEXT", 14, 24, fits=True, gap=2),
    TableColumn("IN", 7, right=True),
    TableColumn("FIRES", 18, 34, fits=True, grow=2, floor=20, gap=2),
    TableColumn("LAST", STRIP_CELLS, gap=2, drop=4),
    TableColumn("USUALLY", 7, right=True, drop=3),
    TableColumn("RUNS", 16, grow=3, floor=12, gap=2, drop=1),
)
_NARROW = (
    TableColumn("", 1, 8, gap=0, fits=True),
    TableColumn("SCHEDULE", 14, 40, fits=True, grow=2, floor=10, cut="middle"),
    TableColumn("NEXT", 9, 18, fits=True),
    TableColumn("IN", 7, right=True),
    TableColumn("FIRES", 18, 24, fits=True, grow=1, floor=12, gap=2),
    TableColumn("LAST", 5, STRIP_CELLS, drop=1, fits=True),
)
_STRIP_STYLES = {"broken": "broken", "late": "late", "warn": "warn", "unknown": "unknown"}


def _make_cells(row: ScheduleEntry, look: Look, now: float) -> Cells:
    quiet = "dim" if row.state == "ended" else ""
    return (
        *_make_head_cells(row, look),
        Cell(row.sign.word, row.sign.style),
        Cell(look.adapt_text(format_next(row, now)), quiet),
        _make_countdown_cell(row, look, now),
        Cell(look.sanitize(format_recurrence(row, now)), quiet),
        _make_strip_cell(row, look),
        Cell(look.adapt_text(units.format_duration(row.run_seconds)), quiet),
        Cell(look.sanitize(row.work), quiet),
    )


def _make_narrow_cells(row: ScheduleEntry, look: Look, now: float) -> Cells:
    quiet = "dim" if row.state == "ended" else ""
    return (
        *_make_head_cells(row, look),
        Cell(look.adapt_text(format_next(row, now, words=False)), quiet),
        _make_countdown_cell(row, look, now),
        Cell(look.sanitize(format_recurrence(row, now)), quiet),
        _make_strip_cell(row, look),
    )


def _make_head_cells(row: ScheduleEntry, look: Look) -> tuple[Cell, Cell]:
    quiet = "dim" if row.state == "ended" else ""
    return Cell(look.glyph(row.sign), row.sign.style), Cell(look.sanitize(row.name), quiet)


def _make_countdown_cell(row: ScheduleEntry, look: Look, now: float) -> Cell:
    if row.due_at is None or row.next_at is None:
        return Cell(look.adapt_text(units.MISSING), "dim")
    return Cell(format_countdown(row.due_at, now))


def _make_strip_cell(row: ScheduleEntry, look: Look) -> Cell:
    style = row.fires[0].sign.style if row.fires else ""
    strip = StripCell(row.fires[:STRIP_CELLS])
    shown = format_strip(row.fires, look) if look.plain else strip
    return Cell(shown, _STRIP_STYLES.get(style, ""))


SCHEDULES_SECTION = TableSection(
    "schedules", TableGrid(_WIDE, _make_cells), TableGrid(_NARROW, _make_narrow_cells)
)


# --- timeline ---

DAY, WEEK = "day", "week"
_HOURS_BEFORE = 4
"""Hours of a day that are over."""
NAME_CELLS = 22
NARROW_NAME_CELLS = 14
_IN_CELLS = 7
_MARGINS = 2 + 1 + 1 + 2 + 2
"""Gutter, sign, and the gaps between the columns."""


class TimeRange(NamedTuple):
    """Range of a timeline: its begin in UNIX seconds, and cells of `step` seconds."""

    scale: str
    since: float
    step: float
    cells: int

    def find_cell(self, at: float) -> int:
        """Return the cell of a time, which may lie outside of the range."""
        return int((at - self.since) // self.step)


def make_range(scale: str, now: float, width: int) -> TimeRange:
    """Return the range of a day or a week for a terminal of this width.

    A day begins some hours ago, a week at the last midnight but one.
    """
    name = NAME_CELLS if width >= 100 else NARROW_NAME_CELLS
    cells = max(12, min(400, width - name - _IN_CELLS - _MARGINS))
    local = datetime.fromtimestamp(now, UTC).astimezone()
    if scale == DAY:
        since = local.replace(minute=0, second=0, microsecond=0).timestamp() - _HOURS_BEFORE * 3600
        return TimeRange(scale, since, 24 * 3600 / cells, cells)
    day = (local - timedelta(days=1)).date()
    since = datetime(day.year, day.month, day.day).astimezone().timestamp()
    return TimeRange(scale, since, 7 * 24 * 3600 / cells, cells)


def format_axis(shown: TimeRange, look: Look) -> str:
    """Return the heading of a timeline: its hours or days, joined by the rule."""
    axis = ["─" if not look.plain else " "] * shown.cells
    end = 0
    for at, label in _list_marks(shown):
        cell = shown.find_cell(at)
        width = measure_width(label)
        if end <= cell and cell + width <= shown.cells:
            axis[cell : cell + width] = [label, *[""] * (width - 1)]
            end = cell + width + 1
    return "".join(axis)


def _list_marks(shown: TimeRange) -> list[tuple[float, str]]:
    """Return the full hours or midnights of a range, with their names."""
    until = shown.since + shown.step * shown.cells
    hours = [shown.since + 3600 * n for n in range(int((until - shown.since) // 3600) + 1)]
    local = [(at, datetime.fromtimestamp(at, UTC).astimezone()) for at in hours]
    if shown.scale == DAY:
        return [(at, f"{clock:%H}") for at, clock in local if not clock.hour % 2]
    return [(at, f"{format_weekday(clock)} {clock:%d}") for at, clock in local if not clock.hour]


class TimelineCell(NamedTuple):
    """The runs of a schedule in a range, drawn one character a cell.

    `■` is a run that was, `□` one that is expected, `│` is now. A fire time without a task has the
    sign of its outcome. `delay` is the jitter in seconds.
    """

    timeline: Timeline
    shown: TimeRange
    now_cell: int
    delay: float

    def draw(self, look: Look, cells: int) -> str:
        """Draw the cells; a plain look lists the next fire times in words."""
        if look.plain:
            return self._list_times()[:cells]
        line = [" "] * self.shown.cells
        for at in self._list_starts():
            self._fill(line, at, at + (self.timeline.run_seconds or 0.0), "□")
        for fire in self.timeline.fires:
            self._draw_fire(line, fire, look)
        if 0 <= self.now_cell < len(line) and line[self.now_cell] in " □":
            line[self.now_cell] = "│"
        return look.adapt_text("".join(line[:cells]))

    def _draw_fire(self, line: list[str], fire: FireEntry, look: Look) -> None:
        begin = fire.started_at if fire.started_at is not None else fire.at
        if fire.outcome in FIRES or fire.started_at is None:
            self._fill(line, fire.at, fire.at, look.glyph(fire.sign))
            return
        end = fire.ended_at
        if end is None:  # it runs: until now, and the rest of its usual time
            end = self.shown.since + self.now_cell * self.shown.step
            self._fill(line, end, begin + (self.timeline.run_seconds or 0.0), "□")
        self._fill(line, begin, end, "■")

    def _fill(self, line: list[str], begin: float, end: float, sign: str) -> None:
        first = self.shown.find_cell(begin)
        last = max(first, self.shown.find_cell(max(begin, end - 1)))
        for cell in range(max(0, first), min(len(line), last + 1)):
            line[cell] = sign

    def _list_starts(self) -> list[float]:
        return [at + self.delay for at in self.timeline.upcoming]

    def _list_times(self) -> str:
        clock = [datetime.fromtimestamp(at, UTC).astimezone() for at in self._list_starts()]
        days = "" if self.shown.scale == DAY else "{} "
        return ", ".join(f"{days.format(format_weekday(at))}{at:%H:%M}" for at in clock)


def make_timeline_section(
    shown: TimeRange, timelines: Mapping[str, Timeline], look: Look
) -> TableSection:
    """Return the section that draws schedules as a timeline."""

    def make_cells(row: ScheduleEntry, look: Look, now: float) -> Cells:
        timeline = timelines.get(row.name, Timeline())
        cell = TimelineCell(timeline, shown, shown.find_cell(now), row.delay)
        return (*_make_head_cells(row, look), _make_countdown_cell(row, look, now), Cell(cell))

    def make_columns(name_cells: int) -> tuple[TableColumn, ...]:
        return (
            TableColumn("", 1, 8, gap=0, fits=True),
            TableColumn("SCHEDULE", name_cells, name_cells, cut="middle"),
            TableColumn("IN", _IN_CELLS, right=True),
            TableColumn(format_axis(shown, look), shown.cells, shown.cells, gap=2, grow=1, floor=8),
        )

    return TableSection(
        "schedules",
        TableGrid(make_columns(NAME_CELLS), make_cells),
        TableGrid(make_columns(NARROW_NAME_CELLS), make_cells),
    )
