"""Rows of the task list: answers of the verb `browse`, and the columns to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.board import EndedEntry, NextEntry, RunningEntry
from app.core.scheduling.resources import format_named
from app.core.text import units
from app.core.text.status_glyphs import FAILED_STATES
from app.core.times import to_unix_or_none
from app.tui.board_words import translate_duration
from app.tui.style import STATES, UNKNOWN, Look
from app.tui.time_format import format_age_ago, format_wall_time
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid
from db.states import ACTIVE, WAITING

BrowseRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskListRow:
    """Task of the list: its values by the names of `browse`, and the board row that actions use."""

    facts: BrowseRow
    line: RunningEntry | NextEntry | EndedEntry
    is_member: bool = False
    """True if the row follows the row of its group."""

    @property
    def key(self) -> str:
        return self.facts["uuid"]

    @property
    def number(self) -> int:
        return self.facts["number"]

    @property
    def status(self) -> str:
        """State shown: that of the run while there is one."""
        return self.facts["run"] or self.facts["status"]


def make_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], is_member: bool = False
) -> tuple[TaskListRow, ...]:
    """Return the rows of a `browse` answer."""
    return tuple(_make_row(dict(zip(columns, row, strict=True)), is_member) for row in rows)


def _make_row(facts: dict[str, Any], is_member: bool) -> TaskListRow:
    names = ("uuid", "number", "name", "queue")
    common: Any = {name: facts[name] for name in names} | {"priority": facts["priority"] or 0}
    if facts["status"] in WAITING:
        line: Any = NextEntry(
            **common, status=facts["status"], since=to_unix_or_none(facts["created_at"]) or 0.0,
            why=facts["why"] or "",
            why_short=facts["why"] or "", front=facts["front"] or 0, starts_in=facts["expected"],
            expected_in=facts["expected_in"],
            starts_at=to_unix_or_none(facts["not_before"]),
        )  # fmt: skip
    elif facts["status"] in ACTIVE:
        line = RunningEntry(
            **common, runid="", status=facts["run"] or facts["status"],
            attempt=facts["attempts"] or 1, left=None,
            started_at=to_unix_or_none(facts["started_at"]), timeout=facts["timeout"],
            cpu=facts["cpu"] or 0.0, memory=facts["memory"] or 0.0,
        )  # fmt: skip
    else:
        line = EndedEntry(
            **common,
            status=facts["status"],
            ended_at=to_unix_or_none(facts["ended_at"]) or 0.0,
            how=facts["reason"] or "",
        )
    return TaskListRow(facts, line, is_member)


class ColumnChoice(NamedTuple):
    """Selectable column: its letter, its label, its width rules and its cell."""

    letter: str
    words: str
    column: TableColumn
    cell: Callable[[TaskListRow, Look, float], Cell]


def _make_text_cell(name: str) -> Callable[[TaskListRow, Look, float], Cell]:
    return lambda row, look, now: Cell(
        look.sanitize(str(row.facts[name] or "")) or look.adapt_text(units.MISSING)
    )


def _make_time_cell(name: str) -> Callable[[TaskListRow, Look, float], Cell]:
    def cell(row: TaskListRow, look: Look, now: float) -> Cell:
        at = to_unix_or_none(row.facts[name])
        return Cell(look.adapt_text(units.MISSING) if at is None else format_wall_time(at, now))

    return cell


def _make_state_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    sign = STATES.get(row.status, UNKNOWN)
    return Cell(sign.word, sign.style)


def _make_age_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    at = to_unix_or_none(row.facts["created_at"])
    return Cell(look.adapt_text(units.MISSING) if at is None else units.format_age(now - at))


def _make_duration_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    began, ended = to_unix_or_none(row.facts["started_at"]), to_unix_or_none(row.facts["ended_at"])
    if began is None or row.facts["status"] in WAITING:
        return Cell(look.adapt_text(units.MISSING))
    return Cell(units.format_age(max(0.0, (ended or now) - began)))


def _make_limit_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    timeout = row.facts["timeout"]
    return Cell(look.adapt_text(units.MISSING) if timeout is None else units.format_age(timeout))


def _make_priority_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    return Cell(str(row.facts["priority"] or 0))


def _make_cpu_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    return Cell(f"{row.facts['cpu'] or 0:.1f}")


def _make_resources_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    return Cell(look.sanitize(format_named(row.facts.get("resources"))))


def _make_memory_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    return Cell(
        units.format_memory(row.facts["memory"])
        if row.facts["memory"]
        else look.adapt_text(units.MISSING)
    )


def _make_attempts_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    return Cell(f"{row.facts['attempts'] or 0}/{(row.facts['retries'] or 0) + 1}")


def _make_tags_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    tags = row.facts["tags"] or {}
    text = " ".join(
        f"{key}={value}" if value not in ("", None) else str(key) for key, value in tags.items()
    )
    return Cell(look.sanitize(text) or look.adapt_text(units.MISSING))


def _make_result_cell(row: TaskListRow, look: Look, now: float) -> Cell:
    """Return why the task waits, what it does, or how it ended."""
    facts = row.facts
    if facts["status"] in WAITING:
        return Cell(look.sanitize(facts["why"] or facts["reason"] or ""))
    if facts["status"] in ACTIVE:
        return Cell(look.sanitize(facts["run_reason"] or ""), "warn")
    how = facts["reason"] or ""
    how = translate_duration(how) or how
    at = to_unix_or_none(facts["ended_at"])
    when = "" if at is None else format_age_ago(at, now)
    return Cell(
        look.sanitize(", ".join(part for part in (how, when) if part)),
        "late" if facts["status"] in FAILED_STATES else "",
    )


COLUMNS: dict[str, ColumnChoice] = {
    "state": ColumnChoice("s", "state, in a word", TableColumn("STATE", 9, drop=1),
    _make_state_cell),
    "queue": ColumnChoice("u", "queue", TableColumn("QUEUE", 7, 12, fits=True, drop=4),
    _make_text_cell("queue")),
    "template": ColumnChoice("t", "template", TableColumn("TEMPLATE", 8, 16, fits=True, drop=2),
    _make_text_cell("template")),
    "age": ColumnChoice("a", "age: since it was submitted",
    TableColumn("AGE", 6, right=True, drop=5), _make_age_cell),
    "time": ColumnChoice("r", "time it ran", TableColumn("TIME", 6, right=True, drop=6),
    _make_duration_cell),
    "limit": ColumnChoice("l", "timeout", TableColumn("LIMIT", 6, right=True, drop=2),
    _make_limit_cell),
    "priority": ColumnChoice("p", "priority", TableColumn("PRIO", 4, 8, right=True, fits=True,
    drop=2), _make_priority_cell),
    "cpu": ColumnChoice("c", "requested cores",
    TableColumn("CPU", 4, 6, right=True, fits=True, drop=2), _make_cpu_cell),
    "memory": ColumnChoice("m", "requested memory", TableColumn("MEMORY", 6, right=True, drop=2),
    _make_memory_cell),
    "resources": ColumnChoice("e", "requested named resources",
    TableColumn("RESOURCES", 9, 24, fits=True, drop=2), _make_resources_cell),
    "tries": ColumnChoice("y", "attempts", TableColumn("TRIES", 5, 9, right=True, fits=True,
    drop=2), _make_attempts_cell),
    "by": ColumnChoice("b", "who submitted it", TableColumn("BY", 6, 12, fits=True, drop=2),
    _make_text_cell("submitted_by")),
    "submitted": ColumnChoice("1", "when it was submitted",
    TableColumn("SUBMITTED", 11, 16, fits=True, drop=2), _make_time_cell("created_at")),
    "started": ColumnChoice("2", "when it started",
    TableColumn("STARTED", 11, 16, fits=True, drop=2), _make_time_cell("started_at")),
    "ended": ColumnChoice("3", "when it ended", TableColumn("ENDED", 11, 16, fits=True, drop=2),
    _make_time_cell("ended_at")),
    "tags": ColumnChoice("g", "tags", TableColumn("TAGS", 8, 24, fits=True, drop=1),
    _make_tags_cell),
    "result": ColumnChoice("w", "why it waits, or how it ended",
    TableColumn("WHY / RESULT", 12, fits=True, grow=2, floor=24, gap=2, drop=7), _make_result_cell),
}  # fmt: skip
DEFAULT_COLUMNS = ("state", "queue", "age", "time", "result")
"""Columns shown by default."""

_ID = TableColumn("ID", 4, 9, right=True, fits=True, gap=0)
_GLYPH = TableColumn("", 1, 10, fits=True)
_NAME = TableColumn("NAME", 18, 64, fits=True, floor=18, grow=1, cut="middle")


def format_member(row: TaskListRow) -> str:
    """Return what tells a task from the others of its group: `  [7] lr=0.1 bs=32`, or its name."""
    swept = " ".join(f"{name}={value}" for name, value in (row.facts.get("sweep") or {}).items())
    index = row.facts.get("group_index")
    return f"  {'' if index is None else f'[{index}] '}{swept or row.facts['name']}"


def make_grid(chosen: Sequence[str]) -> TableGrid:
    """Return the grid of the chosen columns, after number, glyph and name."""
    shown = [COLUMNS[name] for name in chosen if name in COLUMNS]

    def cells(row: TaskListRow, look: Look, now: float) -> Cells:
        sign = STATES.get(row.status, UNKNOWN)
        begin = (
            Cell(str(row.number)),
            Cell(look.glyph(sign), sign.style),
            Cell(look.sanitize(row.facts["name"] if not row.is_member else format_member(row))),
        )
        return (*begin, *(choice.cell(row, look, now) for choice in shown))

    return TableGrid((_ID, _GLYPH, _NAME, *(choice.column for choice in shown)), cells)
