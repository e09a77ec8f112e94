"""Rows of the work pane: running, waiting and ended tasks as cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from app.core.board import ComingEntry, EndedEntry, GroupEntry, NextEntry, RunningEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.core.text.sanitize import measure_width
from app.translation import tr
from app.tui.board_words import get_separator, make_position_pattern
from app.tui.data.list_rows import EndedMembers, LingeringRow, WaitingGroup, format_end
from app.tui.rows.groups import ProgressCell
from app.tui.style import STATES, UNKNOWN, Look, Sign, get_load_style
from app.tui.time_format import format_age_ago, format_elapsed, format_wall_time
from app.tui.widgets.table_columns import BarCell, Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection

_ID = TableColumn("", 4, 7, right=True, fits=True, gap=0)
_GLYPH = TableColumn("", 1, 10, fits=True)
_NAME = TableColumn("", 19, 64, fits=True, grow=1, floor=12, cut="middle")
_NARROW_NAME = TableColumn("", 18, 64, fits=True, grow=1, floor=12, cut="middle")
_QUEUE = TableColumn("QUEUE", 7, 14, fits=True, grow=2, floor=7, drop=4)
_LEFT = TableColumn("LEFT", 8, right=True, drop=6)
_NARROW_LEFT = TableColumn("LEFT", 7, right=True, drop=6)
_START = TableColumn("START", 11, right=True)
_NARROW_START = TableColumn("START", 7, 11, right=True, fits=True)
_WHEN = TableColumn("WHEN", 10, right=True, drop=1)

_RUNNING = (
    _ID, _GLYPH, _NAME, _QUEUE,
    TableColumn("ELAPSED", 7, right=True),
    TableColumn(" OF LIMIT", 6, drop=1),
    TableColumn("", 5, right=True, drop=5),
    _LEFT,
    TableColumn("CPU", 5, 10, right=True, fits=True, drop=3),
    TableColumn("MEMORY ", 10, 13, right=True, fits=True, drop=3),
    TableColumn("LAST OUTPUT", 11, fits=True, grow=3, floor=24, drop=2),
)  # fmt: skip
_RUNNING_NARROW = (
    _ID, _GLYPH, _NARROW_NAME, _QUEUE,
    TableColumn("ELAPSED", 7, right=True),
    TableColumn("LIMIT", 5, right=True, drop=5),
    _NARROW_LEFT,
    TableColumn("CPU", 5, 10, right=True, fits=True, drop=3),
    TableColumn("MEMORY ", 10, 13, right=True, fits=True, drop=3),
)  # fmt: skip
_NEXT = (
    _ID, _GLYPH, _NAME, _QUEUE,
    TableColumn("WAITS", 7, right=True, drop=1),
    _START,
    TableColumn("WHY IT WAITS", 12, fits=True, grow=3, floor=40, gap=2),
)  # fmt: skip
_NEXT_NARROW = (
    _ID, _GLYPH, _NARROW_NAME, _NARROW_START,
    TableColumn("WHY IT WAITS", 12, fits=True, grow=2, floor=24, gap=2),
)  # fmt: skip
_ENDED = (
    _ID, _GLYPH, _NAME, _QUEUE, _WHEN,
    TableColumn("HOW IT ENDED", 12, fits=True, grow=3, floor=40, gap=11),
)  # fmt: skip
_ENDED_NARROW = (
    _ID, _GLYPH, _NARROW_NAME, _WHEN,
    TableColumn("HOW IT ENDED", 12, fits=True, grow=2, floor=24),
)  # fmt: skip


def _get_sign(status: str) -> Sign:
    return STATES.get(status, UNKNOWN)


def _make_head_cells(row: Any, status: str, look: Look) -> tuple[Cell, Cell, Cell]:
    sign = _get_sign(status)
    name = f"{row.name} {row.member}".rstrip()
    return Cell(str(row.number)), Cell(look.glyph(sign), sign.style), Cell(look.sanitize(name))


def _make_group_head(group: GroupEntry, status: str, look: Look) -> tuple[Cell, Cell, Cell]:
    """Return the first cells of a group, or of tasks of it."""
    sign = _get_sign(status)
    return (
        Cell(format_group(group.number)),
        Cell(look.glyph(sign), sign.style),
        Cell(look.sanitize(group.name)),
    )


def _make_group_cell(row: WaitingGroup, look: Look) -> Cell:
    """Return the progress of a group, then why its first task waits."""
    why = look.sanitize(row.first.why_short or row.first.why)
    return Cell(ProgressCell(row.line, why=why), "warn" if row.line.failed else "")


def _make_end_of_members(row: EndedMembers, look: Look) -> Cell:
    cell, count, total = _make_end_cell(row.tasks[0], look), len(row.tasks), row.group.total
    if count < total:  # the board has the latest ends alone, and others may end in between
        text = tr(
            "{count:,} of {total:,} tasks shown; the last {how}",
            count=count,
            total=total,
            how=cell.text,
        )
    else:
        text = tr("{count:,} tasks; the last {how}", count=count, how=cell.text)
    return Cell(text, cell.style)


def _get_elapsed(row: RunningEntry, now: float) -> float | None:
    return None if row.started_at is None else max(0.0, now - row.started_at)


def _make_limit_cell(row: RunningEntry, now: float, look: Look) -> Cell:
    ran = _get_elapsed(row, now)
    if ran is None or row.timeout is None:
        return Cell(look.adapt_text(units.MISSING))
    load = get_load_style(ran, row.timeout)
    return Cell(units.format_percent(ran, row.timeout), load.replace("calm", ""))


def _make_left_cell(row: RunningEntry, look: Look) -> Cell:
    if row.left is None:
        return Cell(look.adapt_text(units.MISSING))
    # Less than a second over is not late: a command that took 0.50 s may take 0.51.
    return (
        Cell(_format_lateness(-row.left), "warn")
        if row.left <= -1.0
        else Cell(_format_time_left(row.left, row.at_most))
    )


def _make_narrow_left_cell(row: RunningEntry, look: Look) -> Cell:
    """Return the time left; the width of 80 columns has no room for the amount of a delay."""
    cell = _make_left_cell(row, look)
    return Cell(tr("late"), cell.style) if cell.style else cell


def _format_lateness(late: float) -> str:
    """Return `late 12m`, from an hour on in one unit: the column has a fixed width."""
    age = units.format_age(late)
    return tr("late {age}", age=age if late < 3600 else re.sub("(?<=[hd]).*", "", age))


def _format_time_left(left: float, at_most: bool) -> str:
    """Return `~6m` from past runs, or `<6m` if only the limit is known."""
    return f"<{units.format_upper_bound(left)}" if at_most else units.format_estimate(left)


def _make_memory_cell(row: RunningEntry, look: Look) -> Cell:
    used, requested = row.measured_memory, row.memory
    if used is None or not requested:
        return Cell(look.adapt_text(units.format_memory(used)) + " ")
    close = used >= 0.95 * requested
    width = measure_width(units.format_memory_pair(requested, requested))
    pair = units.format_memory_pair(used, requested).rjust(width)
    return Cell(pair + ("!" if close else " "), "warn" if close else "")


def _make_cpu_cell(row: RunningEntry, look: Look) -> Cell:
    """Return the cores used and requested, as wide as they are in full use.

    Like the memory, the figures change each second, and the column keeps its width.
    """
    pair = units.format_cpu_pair(row.measured_cpu, row.cpu)
    width = measure_width(units.format_cpu_pair(row.cpu, row.cpu))
    return Cell(look.adapt_text(pair).rjust(width))


def _make_output_cell(row: RunningEntry, look: Look) -> Cell:
    if row.status == "running":
        return Cell(look.sanitize_output(row.output))
    return Cell(look.sanitize(row.note) or _get_sign(row.status).word, "warn")


def _make_elapsed_cell(row: RunningEntry, now: float, look: Look) -> Cell:
    ran = _get_elapsed(row, now)
    return Cell(look.adapt_text(units.MISSING) if ran is None else format_elapsed(ran))


def make_running_cells(row: RunningEntry | LingeringRow, look: Look, now: float) -> Cells:
    """Return the cells of a running row, or of one that just ended."""
    if isinstance(row, LingeringRow):
        blank = Cell("")
        return (
            *_make_head_cells(row.running, row.end.status, look),
            Cell(look.sanitize(row.running.queue)),
            *(blank,) * 6,
            _make_end_cell(row.end, look),
        )
    begin = (
        *_make_head_cells(row, row.status, look),
        Cell(look.sanitize(row.queue)),
        _make_elapsed_cell(row, now, look),
    )
    if row.timeout is None:
        limit = (Cell(tr("no limit"), "dim", 2), Cell(""))
    else:
        bar = BarCell(int(_get_elapsed(row, now) or 0), row.timeout)
        limit = (Cell(bar, bar.load), _make_limit_cell(row, now, look))
    return (
        *begin,
        *limit,
        _make_left_cell(row, look),
        _make_cpu_cell(row, look),
        _make_memory_cell(row, look),
        _make_output_cell(row, look),
    )


def make_narrow_running_cells(row: RunningEntry | LingeringRow, look: Look, now: float) -> Cells:
    """Return the cells for 80 columns; an end takes the place of the figures."""
    if isinstance(row, LingeringRow):
        how = _make_end_cell(row.end, look)
        return (
            *_make_head_cells(row.running, row.end.status, look),
            Cell(how.text, how.style, 6),
            *(Cell(""),) * 5,
        )
    begin = (
        *_make_head_cells(row, row.status, look),
        Cell(look.sanitize(row.queue)),
        _make_elapsed_cell(row, now, look),
    )
    return (
        *begin,
        _make_limit_cell(row, now, look),
        _make_narrow_left_cell(row, look),
        _make_cpu_cell(row, look),
        _make_memory_cell(row, look),
    )


def _make_start_cell(row: NextEntry, now: float, look: Look) -> Cell:
    if row.starts_at is not None:
        return Cell(format_wall_time(row.starts_at, now))
    if row.expected_in is None:
        return Cell(look.adapt_text(units.MISSING))
    return Cell(look.adapt_text(units.format_estimate_range(*row.expected_in)))


def mark_repeated_reasons(rows: Sequence[NextEntry]) -> tuple[NextEntry, ...]:
    """Mark rows whose reason, after the position, is the begin of the reason of the row above."""
    marked, above = list[NextEntry](), ("", "")
    separator, positions = get_separator(), make_position_pattern()
    for row in rows:
        position, _, reason = row.why.partition(separator)
        reason = reason if positions.fullmatch(position) else ""
        repeats = bool(reason) and row.queue == above[0] and above[1].startswith(reason)
        marked.append(row._replace(repeats=repeats))
        above = above if repeats else (row.queue, reason)
    return tuple(marked)


def _make_reason_cell(row: NextEntry, reason: str, look: Look) -> Cell:
    """Return the cell of a reason, with the position alone if the reason repeats."""
    return Cell(look.sanitize(reason.partition(get_separator())[0] if row.repeats else reason))


def _make_coming_head(row: ComingEntry, look: Look) -> tuple[Cell, Cell, Cell]:
    """Return the first cells of a coming fire time, which has no number yet."""
    sign = STATES["scheduled"]
    return Cell(""), Cell(look.glyph(sign), "dim"), Cell(look.sanitize(row.name), "dim")


def _make_coming_reason(row: ComingEntry, look: Look) -> Cell:
    return Cell(look.sanitize(tr("schedule: {words}", words=row.words)), "dim")


def make_next_cells(row: NextEntry | ComingEntry | WaitingGroup, look: Look, now: float) -> Cells:
    """Return the cells of a waiting row, or of a coming fire time."""
    if isinstance(row, ComingEntry):
        return (
            *_make_coming_head(row, look),
            Cell(look.sanitize(row.queue), "dim"),
            Cell(""),
            Cell(format_wall_time(row.fires_at, now), "dim"),
            _make_coming_reason(row, look),
        )
    if isinstance(row, WaitingGroup):
        return (
            *_make_group_head(row.line, row.first.status, look),
            Cell(look.sanitize(row.first.queue)),
            Cell(units.format_age(now - row.first.since)),
            _make_start_cell(row.first, now, look),
            _make_group_cell(row, look),
        )
    waits = Cell(units.format_age(now - row.since))
    return (
        *_make_head_cells(row, row.status, look),
        Cell(look.sanitize(row.queue)),
        waits,
        _make_start_cell(row, now, look),
        _make_reason_cell(row, row.why, look),
    )


def make_narrow_next_cells(
    row: NextEntry | ComingEntry | WaitingGroup, look: Look, now: float
) -> Cells:
    """Return the cells for 80 columns, with the short reason."""
    if isinstance(row, ComingEntry):
        return (
            *_make_coming_head(row, look),
            Cell(format_wall_time(row.fires_at, now), "dim"),
            _make_coming_reason(row, look),
        )
    if isinstance(row, WaitingGroup):
        return (
            *_make_group_head(row.line, row.first.status, look),
            _make_start_cell(row.first, now, look),
            _make_group_cell(row, look),
        )
    return (
        *_make_head_cells(row, row.status, look),
        _make_start_cell(row, now, look),
        _make_reason_cell(row, row.why_short or row.why, look),
    )


def _make_end_cell(row: EndedEntry, look: Look) -> Cell:
    style = _get_sign(row.status).style
    return Cell(
        look.sanitize_output(format_end(row)), {"well": "", "broken": "late"}.get(style, style)
    )


def make_ended_cells(row: EndedEntry | EndedMembers, look: Look, now: float) -> Cells:
    """Return the cells of an ended row."""
    if isinstance(row, EndedMembers):
        return (
            *_make_group_head(row.group, row.status, look),
            Cell(look.sanitize(row.tasks[0].queue)),
            Cell(format_age_ago(row.tasks[0].ended_at, now)),
            _make_end_of_members(row, look),
        )
    return (
        *_make_head_cells(row, row.status, look),
        Cell(look.sanitize(row.queue)),
        Cell(format_age_ago(row.ended_at, now)),
        _make_end_cell(row, look),
    )


def make_narrow_ended_cells(row: EndedEntry | EndedMembers, look: Look, now: float) -> Cells:
    """Return the cells of an ended row for 80 columns."""
    if isinstance(row, EndedMembers):
        return (
            *_make_group_head(row.group, row.status, look),
            Cell(format_age_ago(row.tasks[0].ended_at, now)),
            _make_end_of_members(row, look),
        )
    return (
        *_make_head_cells(row, row.status, look),
        Cell(format_age_ago(row.ended_at, now)),
        _make_end_cell(row, look),
    )


RUNNING_SECTION = TableSection(
    "running",
    TableGrid(_RUNNING, make_running_cells),
    TableGrid(_RUNNING_NARROW, make_narrow_running_cells),
)
NEXT_SECTION = TableSection(
    "next", TableGrid(_NEXT, make_next_cells), TableGrid(_NEXT_NARROW, make_narrow_next_cells)
)
ENDED_SECTION = TableSection(
    "ended", TableGrid(_ENDED, make_ended_cells), TableGrid(_ENDED_NARROW, make_narrow_ended_cells)
)
