"""Rows of groups: a bar with the outcomes of the tasks, in the place of other columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.board import GroupEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.core.text.sanitize import measure_width, sanitize, truncate
from app.core.times import to_unix_or_none
from app.translation import tr
from app.tui.rows.tasks import TaskListRow, make_grid, make_rows
from app.tui.style import STATES, UNKNOWN, Look
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection
from db.states import ACTIVE, ENDED, FAILED

BAR_CELLS = 10
WIDE_CELLS = 46
"""Cells of a column from which the bar has its full length."""


@dataclass(frozen=True, slots=True)
class GroupListRow:
    """Group of a list: its values by the names of `browse`, and its tasks if it is unfolded."""

    facts: Mapping[str, Any]
    line: GroupEntry
    tasks: tuple[TaskListRow, ...] | None = None

    @property
    def key(self) -> str:
        return self.line.key

    @property
    def number(self) -> int:
        """Place of the group in the order of task numbers."""
        return self.facts["at"]

    @property
    def status(self) -> str:
        return self.line.status


ListRow = TaskListRow | GroupListRow


def make_list_rows(answer: Mapping[str, Any], down: bool) -> tuple[ListRow, ...]:
    """Return the tasks and groups of a `browse` answer, in the order of the list."""
    tasks = make_rows(answer["columns"], answer["rows"])
    if not answer.get("groups"):
        return tasks
    groups = [make_group_row(facts, answer["columns"]) for facts in answer["groups"]]
    return tuple(sorted((*tasks, *groups), key=lambda row: row.number, reverse=down))


def make_group_row(facts: Mapping[str, Any], columns: Sequence[str]) -> GroupListRow:
    """Return the row of a group; `columns` are those of its tasks, if it comes with them."""
    rows = facts.get("rows")
    tasks = None if rows is None else make_rows(columns, rows, is_member=True)
    return GroupListRow(facts, make_entry(facts), tasks)


def make_entry(facts: Mapping[str, Any]) -> GroupEntry:
    """Return the entry of a group from its values by name."""
    return GroupEntry(**{name: facts[name] for name in GroupEntry._fields})


def list_shown(rows: Sequence[ListRow]) -> tuple[ListRow, ...]:
    """Return the rows with the tasks of unfolded groups behind their group."""
    shown = list[ListRow]()
    for row in rows:
        shown.append(row)
        if isinstance(row, GroupListRow):
            shown += row.tasks or ()
    return tuple(shown)


def list_folded(rows: Sequence[ListRow]) -> list[ListRow]:
    """Return the rows without the tasks that stand behind their group."""
    return [row for row in rows if isinstance(row, GroupListRow) or not row.is_member]


def find_telling_log(rows: Sequence[TaskListRow]) -> tuple[TaskListRow, str] | None:
    """Return the task of a group whose log tells most, and what it is among the others.

    None means that no task has a log yet.
    """
    latest = sorted(rows, key=lambda row: row.facts["ended_at"] or "", reverse=True)
    choices = (
        (rows, FAILED, tr("the first that failed")),
        (rows, ACTIVE, tr("the first that runs")),
        (latest, ENDED, tr("the latest that ended")),
    )
    for listed, states, words in choices:
        for row in listed:
            if row.status in states and row.facts["started_at"]:
                return row, words
    return None


class ProgressCell(NamedTuple):
    """A bar, `37/100`, and the outcomes for which there is room."""

    group: GroupEntry
    hidden: int = 0
    """Number of tasks that an unfolded group does not show."""
    why: str = ""
    """Sanitized reason why the first task waits, shown behind the outcomes if given."""

    @property
    def wanted(self) -> int:
        """Cells of the whole text."""
        group = self.group
        count = f"{group.ended:,}/{group.total:,}"
        parts = (count, *list_outcomes(group, self.hidden), *filter(None, (self.why,)))
        return BAR_CELLS + 1 + measure_width("  ".join(parts))

    def draw(self, look: Look, cells: int) -> str:
        group = self.group
        size = (
            BAR_CELLS if cells >= (self.wanted if self.hidden else WIDE_CELLS) else BAR_CELLS // 2
        )
        bar = "" if look.plain else look.draw_bar(group.ended, group.total, size) + " "
        text = f"{bar}{group.ended:,}/{group.total:,}"
        parts = [look.adapt_text(part) for part in list_outcomes(group, self.hidden)]
        shown = choose_parts(parts, cells - measure_width(text))
        text = "  ".join((text, *shown))
        if self.why and len(shown) == len(parts):
            text += f"  {self.why}"
        return look.cut(text, cells)


def choose_parts(parts: Sequence[str], room: int) -> list[str]:
    """Return the parts for which there is room; what the row needs least goes first."""
    shown = list[str]()
    for part in sorted(parts, key=_rank_part):
        if 2 + measure_width(part) <= room:
            room -= 2 + measure_width(part)
            shown.append(part)
    return [part for part in parts if part in shown]


def _rank_part(part: str) -> int:
    """Return 0 for a part that stays longest; the number of waiting tasks goes first."""
    ranked = (tr(" more: "), tr("/min"), tr("/h"), tr(" wait"))
    return next((rank for rank, sign in enumerate(ranked, 1) if sign in part), 0)


def list_outcomes(group: GroupEntry, hidden: int = 0) -> list[str]:
    """Return what is known about the tasks of a group."""
    return [
        *([tr("{hidden:,} more: ↵", hidden=hidden)] if hidden else []),
        *([tr("{failed:,} failed", failed=group.failed)] if group.failed else []),
        *([tr("{running:,} run", running=group.running)] if group.running else []),
        *([tr("{waiting:,} wait", waiting=group.waiting)] if group.waiting else []),
        *(
            [tr("{estimate} left", estimate=units.format_estimate(group.eta))]
            if group.eta is not None
            else []
        ),
        *([f"{format_rate(group.rate)}"] if group.rate is not None else []),
    ]


def format_rate(rate: float) -> str:
    """Return ends per minute, or per hour if they are rare: `4.1/min`."""
    return f"{rate:.1f}{tr('/min')}" if rate >= 1 else f"{rate * 60:.0f}{tr('/h')}"


def make_group_cells(row: GroupListRow, look: Look, columns: int) -> Cells:
    """Return the cells of a group; its progress takes the place of `columns` columns."""
    group = row.line
    sign = STATES.get(group.status, UNKNOWN)
    fold = (">" if look.ascii else "▸") if row.tasks is None else ("v" if look.ascii else "▾")
    hidden = group.total - len(row.tasks) if row.tasks else 0
    style = "warn" if group.failed else ""
    return (
        Cell(format_group(group.number)),
        Cell(look.glyph(sign), sign.style),
        Cell(f"{fold} {look.sanitize(group.name)}"),
        *(Cell(ProgressCell(group, hidden), style, columns - at) for at in range(columns)),
    )


def make_section(chosen: Sequence[str], names: Sequence[str] = ()) -> TableSection:
    """Return the table section of tasks and groups, with the chosen columns of tasks.

    Columns of the swept parameters in `names` stand before them.
    """
    grid = make_grid(chosen)
    swept = tuple(_make_swept_column(name, at) for at, name in enumerate(names))
    columns = (*grid.columns[:3], *swept, *grid.columns[3:])
    count = len(columns) - 3

    def cells(row: ListRow, look: Look, now: float) -> Cells:
        if isinstance(row, GroupListRow):
            return make_group_cells(row, look, count)
        found = grid.cells(row, look, now)
        values = row.facts.get("sweep") or {}
        between = (Cell(look.sanitize(values.get(name, ""))) for name in names)
        return (*found[:3], *between, *found[3:])

    return TableSection("tasks", TableGrid(columns, cells))


def _make_swept_column(name: str, at: int) -> TableColumn:
    """Return the column of a parameter; on a narrow terminal the last ones go first."""
    head = truncate(sanitize(name), 12)
    return TableColumn(head, max(4, len(head)), 16, right=True, fits=True, drop=max(1, 8 - at))


def sort_members(
    rows: Sequence[TaskListRow], order: str, down: bool, now: float
) -> list[TaskListRow]:
    """Return tasks of a group in an order: "number", "time", or a swept parameter.

    Numbers come before other texts, and tasks without a value last.
    """

    def rank(row: TaskListRow) -> tuple[int, float, str]:
        value = _get_sort_value(row, order, now)
        if value is None:
            return 0, 0.0, ""
        try:
            return (2 if down else 1), float(value), ""
        except ValueError:
            return (1 if down else 2), 0.0, str(value)

    known = [row for row in rows if rank(row)[0]]
    return [*sorted(known, key=rank, reverse=down), *(row for row in rows if not rank(row)[0])]


def _get_sort_value(row: TaskListRow, order: str, now: float) -> str | float | None:
    if order == "number":
        return row.number
    if order == "time":
        began, ended = (to_unix_or_none(row.facts[name]) for name in ("started_at", "ended_at"))
        return None if began is None else (ended or now) - began
    return (row.facts.get("sweep") or {}).get(order)
