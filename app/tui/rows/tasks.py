"""Rows of the list of all tasks: what `browse` answers, and the columns one can choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.board import EndedLine, NextLine, RunningLine
from app.core.text import units
from app.core.text.status_glyphs import BAD
from app.core.times import unix_if_any
from app.tui.style import STATES, STRANGE, Look
from app.tui.time_format import ago, wall
from app.tui.widgets.table_columns import Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part
from db.states import ACTIVE, WAITING

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A task in the list: its facts by the names of `browse`, and as the row of the deck that verbs know."""

    facts: Facts
    line: RunningLine | NextLine | EndedLine

    @property
    def key(self) -> str:
        return self.facts["uuid"]

    @property
    def number(self) -> int:
        return self.facts["number"]

    @property
    def status(self) -> str:
        """The state as it is shown: that of its run while it runs."""
        return self.facts["run"] or self.facts["status"]


def listed(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[Listed, ...]:
    """Rows of an answer of `browse`."""
    return tuple(_listed(dict(zip(columns, row, strict=True))) for row in rows)


def _listed(facts: dict[str, Any]) -> Listed:
    names = ("uuid", "number", "name", "queue")
    common: Any = {name: facts[name] for name in names} | {"priority": facts["priority"] or 0}
    if facts["status"] in WAITING:
        line: Any = NextLine(
            **common, status=facts["status"], since=unix_if_any(facts["created_at"]) or 0.0, why=facts["why"] or "",
            why_short=facts["why"] or "", front=facts["front"] or 0, starts_in=facts["expected"],
            starts_at=unix_if_any(facts["not_before"]),
        )  # fmt: skip
    elif facts["status"] in ACTIVE:
        line = RunningLine(
            **common, runid="", status=facts["run"] or facts["status"], attempt=facts["attempts"] or 1, left=None,
            started_at=unix_if_any(facts["started_at"]), timeout=facts["timeout"], cpu=facts["cpu"] or 0.0, memory=facts["memory"] or 0.0,
        )  # fmt: skip
    else:
        line = EndedLine(**common, status=facts["status"], ended_at=unix_if_any(facts["ended_at"]) or 0.0, how=facts["reason"] or "")
    return Listed(facts, line)


class Choice(NamedTuple):
    """A column one can choose: the letter it is chosen by, its words, its rules of width, its cell."""

    letter: str
    words: str
    column: Column
    cell: Callable[[Listed, Look, float], Cell]


def _text(name: str) -> Callable[[Listed, Look, float], Cell]:
    return lambda row, look, now: Cell(look.theirs(str(row.facts[name] or "")) or look.own(units.MISSING))


def _when(name: str) -> Callable[[Listed, Look, float], Cell]:
    def cell(row: Listed, look: Look, now: float) -> Cell:
        at = unix_if_any(row.facts[name])
        return Cell(look.own(units.MISSING) if at is None else wall(at, now))

    return cell


def _state(row: Listed, look: Look, now: float) -> Cell:
    sign = STATES.get(row.status, STRANGE)
    return Cell(sign.word, sign.style)


def _age(row: Listed, look: Look, now: float) -> Cell:
    at = unix_if_any(row.facts["created_at"])
    return Cell(look.own(units.MISSING) if at is None else units.age(now - at))


def _time(row: Listed, look: Look, now: float) -> Cell:
    """How long it ran."""
    began, ended = unix_if_any(row.facts["started_at"]), unix_if_any(row.facts["ended_at"])
    if began is None or row.facts["status"] in WAITING:
        return Cell(look.own(units.MISSING))
    return Cell(units.age(max(0.0, (ended or now) - began)))


def _limit(row: Listed, look: Look, now: float) -> Cell:
    timeout = row.facts["timeout"]
    return Cell(look.own(units.MISSING) if timeout is None else units.age(timeout))


def _priority(row: Listed, look: Look, now: float) -> Cell:
    return Cell(str(row.facts["priority"] or 0))


def _cpu(row: Listed, look: Look, now: float) -> Cell:
    return Cell(f"{row.facts['cpu'] or 0:.1f}")


def _memory(row: Listed, look: Look, now: float) -> Cell:
    return Cell(units.memory(row.facts["memory"]) if row.facts["memory"] else look.own(units.MISSING))


def _tries(row: Listed, look: Look, now: float) -> Cell:
    return Cell(f"{row.facts['attempts'] or 0}/{(row.facts['retries'] or 0) + 1}")


def _tags(row: Listed, look: Look, now: float) -> Cell:
    tags = row.facts["tags"] or {}
    text = " ".join(f"{key}={value}" if value not in ("", None) else str(key) for key, value in tags.items())
    return Cell(look.theirs(text) or look.own(units.MISSING))


def _result(row: Listed, look: Look, now: float) -> Cell:
    """Why it waits, what it does, how it ended."""
    facts = row.facts
    if facts["status"] in WAITING:
        return Cell(look.theirs(facts["why"] or facts["reason"] or ""))
    if facts["status"] in ACTIVE:
        return Cell(look.theirs(facts["run_reason"] or ""), "warn")
    how = facts["reason"] or ""
    at = unix_if_any(facts["ended_at"])
    when = "" if at is None else ago(at, now)
    return Cell(look.theirs(", ".join(part for part in (how, when) if part)), "late" if facts["status"] in BAD else "")


COLUMNS: dict[str, Choice] = {
    "state": Choice("s", "state, in a word", Column("STATE", 9, drop=1), _state),
    "queue": Choice("u", "queue", Column("QUEUE", 7, 12, fits=True, drop=4), _text("queue")),
    "template": Choice("t", "template", Column("TEMPLATE", 8, 16, fits=True, drop=2), _text("template")),
    "age": Choice("a", "age: since it was submitted", Column("AGE", 6, right=True, drop=5), _age),
    "time": Choice("r", "time it ran", Column("TIME", 6, right=True, drop=6), _time),
    "limit": Choice("l", "timeout", Column("LIMIT", 6, right=True, drop=2), _limit),
    "priority": Choice("p", "priority", Column("PRIO", 4, 8, right=True, fits=True, drop=2), _priority),
    "cpu": Choice("c", "cores asked", Column("CPU", 4, 6, right=True, fits=True, drop=2), _cpu),
    "memory": Choice("m", "memory asked", Column("MEMORY", 6, right=True, drop=2), _memory),
    "tries": Choice("y", "attempts", Column("TRIES", 5, 9, right=True, fits=True, drop=2), _tries),
    "by": Choice("b", "who submitted it", Column("BY", 6, 12, fits=True, drop=2), _text("submitted_by")),
    "submitted": Choice("1", "when it was submitted", Column("SUBMITTED", 11, 16, fits=True, drop=2), _when("created_at")),
    "started": Choice("2", "when it started", Column("STARTED", 11, 16, fits=True, drop=2), _when("started_at")),
    "ended": Choice("3", "when it ended", Column("ENDED", 11, 16, fits=True, drop=2), _when("ended_at")),
    "tags": Choice("g", "tags", Column("TAGS", 8, 24, fits=True, drop=1), _tags),
    "result": Choice("w", "why it waits, or how it ended", Column("WHY / RESULT", 30, 60, grow=1, floor=24, gap=2, drop=7), _result),
}  # fmt: skip
USUAL = ("state", "queue", "age", "time", "result")
"""The columns shown until others are chosen."""

_ID = Column("ID", 4, 9, right=True, fits=True, gap=0)
_GLYPH = Column("", 1, 10, fits=True)
_NAME = Column("NAME", 18, 32, fits=True, floor=18, grow=2, cut="middle")


def grid(chosen: Sequence[str]) -> Grid:
    """The grid of these columns, by their names; number, sign and name are always there."""
    shown = [COLUMNS[name] for name in chosen if name in COLUMNS]

    def cells(row: Listed, look: Look, now: float) -> Cells:
        sign = STATES.get(row.status, STRANGE)
        begin = (Cell(str(row.number)), Cell(look.glyph(sign), sign.style), Cell(look.theirs(row.facts["name"])))
        return (*begin, *(choice.cell(row, look, now) for choice in shown))

    return Grid((_ID, _GLYPH, _NAME, *(choice.column for choice in shown)), cells)


def part(chosen: Sequence[str]) -> Part:
    """The part of the table with these columns."""
    return Part("tasks", grid(chosen))
