"""The questions before a verb that loses something: what is about to happen, by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core import amounts
from app.core.board import EndedLine, NextLine, RunningLine
from app.core.clean import clean, middle, pad
from app.tui.look import STATES, STRANGE, Look, Span
from app.tui.panes.workrows import how_text
from app.tui.screens.choice import Answer, Question
from app.tui.verbs import TaskRow

NAMED = 8
"""So many objects are named; the others are counted."""


def ask_cancel(rows: Sequence[TaskRow], details: Sequence[Mapping[str, Any]], now: float, look: Look) -> Question:
    """Cancel these? `details` are answers of `show`, for grace and dependants; fewer than the rows when they failed."""
    waiting = sum(isinstance(row, NextLine) for row in rows)
    body: list[list[Span]] = [[(f"Cancel {_tasks(len(rows))}?", "")], [], *_named(rows, now, look)]
    if found := dependants(rows, details):
        body += [[], [(look.theirs(_depending(found, len(rows))), "warn")]]
    if waiting < len(rows):
        body += [[], [(f"Running ones get TERM, then KILL after {_grace(details)}.", "")]]
    elif found:
        body += [[], [("u brings back what was cancelled here, and what depended on it.", "")]]
    answers = [
        Answer("y", f"cancel {len(rows)}" if len(rows) > 1 else "cancel it"),
        Answer("n", "keep them" if len(rows) > 1 else "keep it"),
    ]
    if 0 < waiting < len(rows):
        answers.append(Answer("e", f"only the waiting {waiting}"))
    return Question("Cancel", body, answers, safe="n")


def ask_again(rows: Sequence[TaskRow], look: Look) -> Question | None:
    """Run these again? One asks nothing."""
    if len(rows) < 2:
        return None
    body = [[(f"Run {_tasks(len(rows))} again?", "")], [], *_named(rows, 0.0, look)]
    return Question("Run again", body, [Answer("y", f"run {len(rows)} again"), Answer("n", "leave them")], safe="n")


def ask_delete(rows: Sequence[TaskRow], look: Look) -> Question:
    """Delete these?"""
    body = [[(f"Delete {_tasks(len(rows))} with log and history?", "")], [], *_named(rows, 0.0, look)]
    return Question(
        "Delete",
        body,
        [Answer("y", f"delete {len(rows)}" if len(rows) > 1 else "delete it"), Answer("n", "keep")],
        safe="n",
    )


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"


def _named(rows: Sequence[TaskRow], now: float, look: Look) -> list[list[Span]]:
    lines: list[list[Span]] = []
    digits = max((len(str(row.number)) for row in rows[:NAMED]), default=0)
    for row in rows[:NAMED]:
        sign = STATES.get(row.status, STRANGE)
        name = pad(look.cut(look.theirs(row.name), 20, "middle"), 20)
        lines.append(
            [
                (look.glyph(sign), sign.style),
                (f" {row.number:>{digits}} {name}  ", ""),
                (look.cut(look.output(_what(row, now)), 38), ""),
            ]
        )
    if len(rows) > NAMED:
        lines.append([(look.own(f"… and {len(rows) - NAMED} more"), "dim")])
    return lines


def _what(row: TaskRow, now: float) -> str:
    if isinstance(row, EndedLine):
        return how_text(row)
    if isinstance(row, NextLine):
        return "waiting: u brings it back"
    if row.started_at is None:
        return f"{row.status}: work lost"
    return f"running {amounts.age(now - row.started_at)}{_share(row, now)}: work lost"


def _share(row: RunningLine, now: float) -> str:
    if row.timeout is None or row.started_at is None:
        return ""
    return f", {amounts.percent(now - row.started_at, row.timeout)} of limit"


def dependants(rows: Sequence[TaskRow], details: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Number and name of the tasks that are cancelled with these rows, as far as `details` (answers of `show`) tell."""
    chosen = {row.number for row in rows}
    return {
        child["number"]: str(child["name"])
        for task in details
        for child in task.get("children", ())
        if child["number"] not in chosen
        and child.get("kind") != "any"
        and child.get("status") in ("blocked", "held", "scheduled")
    }


def _depending(found: Mapping[int, str], count: int) -> str:
    names = ", ".join(f"{number} {middle(clean(name), 20)}" for number, name in list(found.items())[:3])
    names += " …" if len(found) > 3 else ""
    them = "it" if count == 1 else "them"
    verb = f"depends on {them} and is" if len(found) == 1 else f"depend on {them} and are"
    return f"{_tasks(len(found))} {verb} cancelled too: {names}"


def _grace(details: Sequence[Mapping[str, Any]]) -> str:
    graces = {amounts.duration(float(task["grace"])) for task in details if task.get("grace") is not None}
    return " or ".join(sorted(graces)).replace(".0s", "s") if graces else "their grace"
