"""The rows of the log of operations: what `operations` answers, how it becomes cells, and all there is to know about one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.text import diff, diff_summary, units
from app.core.text.sanitize import pad, width
from app.tui.style import Look, Span
from app.tui.time_format import wall
from app.tui.widgets.document import wrap
from app.tui.widgets.table_columns import Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part

LONGEST_DIFFERENCE = 2000
"""Lines of one difference that are shown."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that was done. `at` in UNIX seconds, `name` its task's, `here` whether this terminal did it, `reason` why it cannot
    be undone."""

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
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The answer's row, with `before` and `after`."""

    @property
    def key(self) -> str:
        return str(self.id)

    @property
    def number(self) -> int | None:
        """Of its task."""
        return diff.number_of(self.object)


def operation(row: Mapping[str, Any]) -> Operation:
    """A row of an answer of `operations`."""
    change = diff_summary.line(row["object"], row["before"], row["after"])
    return Operation(
        row["id"], datetime.fromisoformat(row["at"]).timestamp(), row["by"], row["verb"], row["object"], row.get("name"), row.get("source"),
        bool(row.get("here")), row.get("undoes"), row.get("undone_by") is not None, bool(row.get("undoable")), row.get("reason") or "",
        change, row,
    )  # fmt: skip


def from_where(row: Operation) -> str:
    """`here`, or what it was done with elsewhere; the runtime's own acts are `itself`."""
    return "here" if row.here else "itself" if row.source == "duty" else row.source or units.MISSING


_WIDE = (
    Column("WHEN", 8, 16, gap=0, fits=True),
    Column("BY", 8, 14, fits=True, gap=2),
    Column("FROM", 6, drop=1),
    Column("DID", 14, 24, fits=True, gap=2),
    Column("TO", 22, 44, grow=2, floor=14, cut="middle", gap=2),
    Column("CHANGE", 30, grow=1, floor=12, gap=2),
)
_NARROW = (
    Column("WHEN", 5, 11, gap=0, fits=True),
    Column("BY", 4, 8, fits=True),
    Column("FROM", 6, drop=1),
    Column("DID", 8, 14, fits=True),
    Column("TO", 18, 24, grow=2, floor=12, cut="middle"),
    Column("CHANGE", 20, grow=1, floor=8),
)


def _cells(row: Operation, look: Look, now: float) -> Cells:
    return _row(row, wall(row.at, now, seconds=True), look)


def _narrow_cells(row: Operation, look: Look, now: float) -> Cells:
    return _row(row, wall(row.at, now), look)


def _row(row: Operation, when: str, look: Look) -> Cells:
    quiet = "dim" if row.undone else ""
    return (
        Cell(when, quiet), Cell(look.theirs(row.by), quiet), Cell(look.own(from_where(row)), quiet or ("bold" if row.here else "")),
        Cell(look.theirs(row.verb), quiet), Cell(_to(row, look), quiet), Cell(_change(row, look), quiet),
    )  # fmt: skip


def _to(row: Operation, look: Look) -> str:
    """What it was done to; in a column numbers go without their `#`, and a backup is what tells it from others of its day."""
    day, clock, rest = row.object.removeprefix("backup ").partition("T")
    if clock and day.isdigit() and row.object.startswith("backup "):
        return look.own("…") + look.theirs(rest)
    return look.theirs(diff.thing(row.object, row.name)).removeprefix("#")


def _change(row: Operation, look: Look) -> str:
    return "taken back" if row.undone else look.own(look.theirs(row.change))


OPERATIONS = Part("operations", Grid(_WIDE, _cells), Grid(_NARROW, _narrow_cells))


# --- all about one ----------------------------------------------------------------------------------------------------------------------


def about(row: Operation, room: int, now: float, look: Look) -> list[list[Span]]:
    """Who, when, from where; before and after of all that changed; whether it can be undone."""
    lines: list[list[Span]] = [[(f"  {look.own(_who(row, now, look))}", "")]]
    lines += _differences(row, room, look)
    said, style = _undo(row)
    return [*lines, *([(f"  {line}", style)] for line in wrap(look.own(look.theirs(said)), room - 3))]


def _differences(row: Operation, room: int, look: Look) -> Iterator[list[Span]]:
    before, after = row.facts.get("before"), row.facts.get("after")
    if numbers := diff_summary.made(after):
        yield [(f"  {pad('made', 12)} ", "dim"), (look.own(look.theirs(numbers)), "bold")]
        return
    for found in diff.fields(before, after):
        # What a template was made from says the same once more.
        if found.name != "template":
            yield from _field(found, room, look, one=before is None or after is None)


def _who(row: Operation, now: float, look: Look) -> str:
    where = {"here": ", from this terminal", "itself": "", "deck": ", from a deck elsewhere", "cli": ", from a command line elsewhere"}
    when = f"{wall(row.at, now, seconds=True)}, {units.age(now - row.at)} ago"
    return f"{look.theirs(row.verb)}, by {look.theirs(row.by)} at {when}{where.get(from_where(row), '')}"


def _undo(row: Operation) -> tuple[str, str]:
    if row.undoable:
        return "u takes it back.", "bold"
    return f"It cannot be undone: {row.reason}.", "dim"


def _field(field: diff.Field, room: int, look: Look, one: bool) -> Iterator[list[Span]]:
    """One line where that will do, else the difference line by line. `one`: there is only one state, before or after."""
    label, was, now = diff.name(field.name), field.before, field.after
    long = [value for value in (was, now) if isinstance(value, (dict, list)) or "\n" in str(value) or width(str(value)) > room // 3]
    if not long:
        yield [(f"  {pad(look.theirs(label), 12)} ", "dim"), *(_only(field, look) if one else _both(field, look))]
        return
    yield [(f"  {look.theirs(label)}", "dim")]
    yield from differing(diff.text_of(was), diff.text_of(now), look)


def _only(field: diff.Field, look: Look) -> list[Span]:
    value = field.after if field.before is None else field.before
    return [(look.theirs(diff.short(field.name, value)), "")]


def _both(field: diff.Field, look: Look) -> list[Span]:
    was, now = (look.theirs(diff.short(field.name, value)) for value in field[1:])
    return [(was, ""), (look.own(" → "), "dim"), (now, "bold")]


_SIGNS = {"-": "broken", "+": "well", " ": "dim", "@": "dim"}


def differing(before: str, after: str, look: Look) -> Iterator[list[Span]]:
    """Two texts line by line: `-` what went, `+` what came."""
    for n, (sign, line) in enumerate(diff.lines(before, after)):
        if n == LONGEST_DIFFERENCE:
            yield [(look.own("    … and more"), "dim")]
            return
        yield [(look.own(f"    {sign} {look.theirs(line)}" if sign != "@" else "    …"), _SIGNS[sign])]
