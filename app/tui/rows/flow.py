"""Rows of a flow: tasks as a tree of dependencies, with the critical path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.dependency_kinds import describe_waits
from app.core.text import units
from app.core.text.sanitize import measure_width
from app.core.times import to_unix_or_none
from app.translation import tr
from app.tui.actions.tasks import TaskRow
from app.tui.style import STATES, UNKNOWN, Look
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection
from db.states import ACTIVE, ENDED, SKIP_MARK, SKIPPED, is_skipped

_INDENT = 3
"""Cells of a level of the tree."""
_MIN_NAME = 12
"""Cells that a deep branch leaves for its name, or half of the column if that is more."""
CRITICAL_MARK = "◆"


@dataclass(frozen=True, slots=True)
class FlowListRow:
    """Task of a flow: its values by the names of the verb `flow`, and the row that keys act on."""

    facts: Mapping[str, Any]
    line: TaskRow
    folded: int = 0
    """Number of tasks below the row that are hidden."""

    @property
    def key(self) -> str:
        return self.facts["uuid"]

    @property
    def number(self) -> int:
        return self.facts["number"]

    @property
    def status(self) -> str:
        """State shown: that of the run while there is one."""
        return self.line.status

    @property
    def is_skipped(self) -> bool:
        """True if a condition made the task needless."""
        return is_skipped(self.status, self.facts["reason"])


class BranchCell(NamedTuple):
    """A name below its parent, with the number of tasks that are folded below the name."""

    name: str
    depth: int
    folded: int

    def draw(self, look: Look, cells: int) -> str:
        below = look.adapt_text(tr("▸ {count:,} below", count=self.folded))
        more = f"  {below}" if self.folded else ""
        name = max(_MIN_NAME, cells // 2)
        levels = min(self.depth, max(0, cells - name - measure_width(more)) // _INDENT)
        if look.plain:
            branch = f"{self.depth}: " if self.depth else ""
        else:
            branch = look.adapt_text(f"{' ' * _INDENT * (levels - 1)}└─ ") if levels else ""
        left = max(0, cells - measure_width(branch) - measure_width(more))
        return f"{branch}{look.cut(self.name, left, 'middle')}{more}"


def fold_rows(rows: Sequence[FlowListRow], folded: frozenset[str]) -> list[FlowListRow]:
    """Return the rows without those below a folded one."""
    shown = list[FlowListRow]()
    at = 0
    while at < len(rows):
        row, below = rows[at], at + 1
        if row.key in folded:
            while below < len(rows) and rows[below].facts["depth"] > row.facts["depth"]:
                below += 1
            row = FlowListRow(row.facts, row.line, below - at - 1)
        shown.append(row)
        at = below
    return shown


def make_section() -> TableSection:
    """Return the table section of the tasks of a flow."""
    return TableSection("tasks", TableGrid(_COLUMNS, _make_cells))


_COLUMNS = (
    TableColumn("ID", 4, 9, right=True, fits=True, gap=0),
    TableColumn("", 1, 10, fits=True),
    TableColumn("", 1),
    TableColumn("TASK", 40, 72, grow=2, floor=28),
    TableColumn("STATE", 9, drop=2),
    TableColumn("TIME", 6, 16, fits=True, right=True, drop=3),
    TableColumn("AFTER", 6, 34, fits=True, floor=6, drop=1, gap=2, grow=1),
    TableColumn("RESULT", 6, grow=3, fits=True, drop=1, gap=2, floor=12),
)


def _make_cells(row: FlowListRow, look: Look, now: float) -> Cells:
    facts = row.facts
    sign = STATES.get(row.status, UNKNOWN)
    state = tr(SKIPPED) if row.is_skipped else sign.word
    style = "busy" if facts["critical"] else ""
    return (
        Cell(str(row.number)),
        Cell(look.glyph(sign), sign.style),
        Cell(look.adapt_text(CRITICAL_MARK) if facts["critical"] else "", style),
        Cell(BranchCell(look.sanitize(facts["name"]), facts["depth"], row.folded), style),
        Cell(state, sign.style),
        Cell(look.adapt_text(format_time(facts, now))),
        Cell(describe_waits(facts["after"]), "dim"),
        Cell(look.sanitize(_get_result(row)), "dim"),
    )


def _get_result(row: FlowListRow) -> str:
    """Return the reason of the end, without a condition that the column before tells."""
    reason = row.facts["reason"] or ""
    if row.is_skipped:
        reason = reason.removeprefix(SKIP_MARK)
        return "" if reason.startswith("only if ") else reason
    return reason


def format_time(facts: Mapping[str, Any], now: float) -> str:
    """Return the time that a task took, `5m of ~40m` while it runs, or `~40m` if it waits."""
    seconds = facts["seconds"]
    if facts["status"] in ENDED:
        return units.MISSING if seconds is None else units.format_age(seconds)
    usual = "" if seconds is None else f"~{units.format_age(seconds)}"
    began = to_unix_or_none(facts["started_at"])
    if facts["status"] not in ACTIVE or began is None:
        return usual or units.MISSING
    ran = units.format_age(max(0.0, now - began))
    return tr("{ran} of {usual}", ran=ran, usual=usual) if usual else ran
