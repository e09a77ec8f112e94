"""Rows of the operation log, and the details of one operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.text import diff, diff_summary, units
from app.core.text.sanitize import measure_width, pad
from app.translation import tr
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time
from app.tui.widgets.document import wrap_text
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection

MAX_DIFFERENCE_LINES = 2000
"""Maximum number of lines of one difference."""


@dataclass(frozen=True, slots=True)
class OperationEntry:
    """Operation of the log.

    `at` is in UNIX seconds, `name` is its task's name, `here` is True for an operation of this
    terminal, and `reason` says why there is no undo.
    """

    id: int
    at: float
    by: str
    verb: str
    object: str
    name: str | None = None
    source: str | None = None
    here: bool = False
    undoes: int | None = None
    undone: bool = False
    undoable: bool = False
    reason: str = ""
    change: str = ""
    count: int = 1
    """Number of operations of the act."""
    tasks: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Row of the answer, with `before` and `after`."""

    @property
    def key(self) -> str:
        return str(self.id)

    @property
    def number(self) -> int | None:
        """Number of the operation's task, or None."""
        return diff.parse_task_number(self.object)

    @property
    def objects(self) -> str:
        """Object of the act; of several, their number and the first."""
        return diff.format_act(self.object, self.name, self.count, self.tasks)


def make_operation(row: Mapping[str, Any]) -> OperationEntry:
    """Return the row of an answer of `operations`."""
    change = diff_summary.summarize_change(row["object"], row["before"], row["after"])
    return OperationEntry(
        row["id"], datetime.fromisoformat(row["at"]).timestamp(), row["by"], row["verb"],
        row["object"], row.get("name"), row.get("source"),
        bool(row.get("here")), row.get("undoes"), row.get("undone_by") is not None,
        bool(row.get("undoable")), row.get("reason") or "",
        change, row.get("count", 1), row.get("tasks"), row,
    )  # fmt: skip


def format_source(row: OperationEntry) -> str:
    """Return `here`, or the program used elsewhere; for the runtime's own operations `itself`."""
    if row.here:
        return tr("here")
    return tr("itself") if row.source == "duty" else row.source or units.MISSING


_WIDE = (
    TableColumn("WHEN", 8, 16, gap=0, fits=True),
    TableColumn("BY", 8, 14, fits=True, gap=2),
    TableColumn("FROM", 6, drop=1),
    TableColumn("DID", 14, 24, fits=True, gap=2),
    TableColumn("TO", 22, 44, grow=2, floor=14, cut="middle", gap=2),
    TableColumn("CHANGE", 30, grow=1, floor=12, gap=2),
)
_NARROW = (
    TableColumn("WHEN", 5, 11, gap=0, fits=True),
    TableColumn("BY", 4, 8, fits=True),
    TableColumn("FROM", 6, drop=1),
    TableColumn("DID", 8, 14, fits=True),
    TableColumn("TO", 18, 24, grow=2, floor=12, cut="middle"),
    TableColumn("CHANGE", 20, grow=1, floor=8),
)


def _make_cells(row: OperationEntry, look: Look, now: float) -> Cells:
    return _make_row(row, format_wall_time(row.at, now, seconds=True), look)


def _make_narrow_cells(row: OperationEntry, look: Look, now: float) -> Cells:
    return _make_row(row, format_wall_time(row.at, now), look)


def _make_row(row: OperationEntry, when: str, look: Look) -> Cells:
    quiet = "dim" if row.undone else ""
    return (
        Cell(when, quiet), Cell(look.sanitize(row.by), quiet),
        Cell(look.adapt_text(format_source(row)), quiet or ("bold" if row.here else "")),
        Cell(look.sanitize(row.verb), quiet), Cell(_format_object(row, look), quiet),
        Cell(_format_change(row, look), quiet),
    )  # fmt: skip


def _format_object(row: OperationEntry, look: Look) -> str:
    """Return the object of the operation; numbers without `#`, backups without their date."""
    day, clock, rest = row.object.removeprefix("backup ").partition("T")
    if clock and day.isdigit() and row.object.startswith("backup "):
        return look.adapt_text("…") + look.sanitize(rest)
    return look.adapt_text(look.sanitize(row.objects)).removeprefix("#")


def _format_change(row: OperationEntry, look: Look) -> str:
    return tr("undone") if row.undone else look.adapt_text(look.sanitize(row.change))


OPERATIONS = TableSection(
    "operations", TableGrid(_WIDE, _make_cells), TableGrid(_NARROW, _make_narrow_cells)
)


# Details


def make_details(row: OperationEntry, room: int, now: float, look: Look) -> list[list[Span]]:
    """Return the details: who, when and where, all changes, and if an undo is possible."""
    lines: list[list[Span]] = [[(f"  {look.adapt_text(_format_who(row, now, look))}", "")]]
    lines += _make_differences(row, room, look)
    undo_text, style = _format_undo(row)
    return [
        *lines,
        *(
            [(f"  {line}", style)]
            for line in wrap_text(look.adapt_text(look.sanitize(undo_text)), room - 3)
        ),
    ]


def _make_differences(row: OperationEntry, room: int, look: Look) -> Iterator[list[Span]]:
    before, after = row.facts.get("before"), row.facts.get("after")
    if numbers := diff_summary.format_created_tasks(after):
        label = pad(tr("made"), 12)
        yield [(f"  {label} ", "dim"), (look.adapt_text(look.sanitize(numbers)), "bold")]
        return
    for found in diff.diff_fields(before, after):
        # The field `template` repeats the other fields.
        if found.name != "template":
            yield from _make_field_lines(found, room, look, one=before is None or after is None)


def _format_who(row: OperationEntry, now: float, look: Look) -> str:
    where = {"deck": tr(", from a deck elsewhere"), "cli": tr(", from a command line elsewhere")}
    place = tr(", from this terminal") if row.here else where.get(row.source or "", "")
    when = tr(
        "{time}, {age} ago",
        time=format_wall_time(row.at, now, seconds=True),
        age=units.format_age(now - row.at),
    )
    return tr(
        "{verb}, by {by} at {when}{where}",
        verb=look.sanitize(row.verb),
        by=look.sanitize(row.by),
        when=when,
        where=place,
    )


def _format_undo(row: OperationEntry) -> tuple[str, str]:
    if row.undoable:
        return tr("u undoes it."), "bold"
    return tr("It cannot be undone: {reason}.", reason=row.reason), "dim"


def _make_field_lines(
    field: diff.ChangedField, room: int, look: Look, one: bool
) -> Iterator[list[Span]]:
    """Yield one line if it is enough, else the difference line by line.

    `one` means that there is only one state, before or after.
    """
    label, before, now = diff.format_column(field.name), field.before, field.after
    long = [
        value
        for value in (before, now)
        if isinstance(value, (dict, list))
        or "\n" in str(value)
        or measure_width(str(value)) > room // 3
    ]
    if not long:
        yield [
            (f"  {pad(look.sanitize(label), 12)} ", "dim"),
            *(_make_value(field, look) if one else _make_values(field, look)),
        ]
        return
    yield [(f"  {look.sanitize(label)}", "dim")]
    yield from make_difference_lines(diff.to_text(before), diff.to_text(now), look)


def _make_value(field: diff.ChangedField, look: Look) -> list[Span]:
    value = field.after if field.before is None else field.before
    return [(look.sanitize(diff.format_value(field.name, value)), "")]


def _make_values(field: diff.ChangedField, look: Look) -> list[Span]:
    before, now = (look.sanitize(diff.format_value(field.name, value)) for value in field[1:])
    return [(before, ""), (look.adapt_text(" → "), "dim"), (now, "bold")]


_SIGNS = {"-": "broken", "+": "well", " ": "dim", "@": "dim"}


def make_difference_lines(before: str, after: str, look: Look) -> Iterator[list[Span]]:
    """Yield two texts line by line: `-` removed, `+` added."""
    for n, (sign, line) in enumerate(diff.diff_lines(before, after)):
        if n == MAX_DIFFERENCE_LINES:
            yield [(look.adapt_text(tr("    … and more")), "dim")]
            return
        yield [
            (
                look.adapt_text(f"    {sign} {look.sanitize(line)}" if sign != "@" else "    …"),
                _SIGNS[sign],
            )
        ]
