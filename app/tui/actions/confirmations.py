"""Confirmations of destructive commands, naming the affected objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app.core.board import EndedEntry, NextEntry, RunningEntry
from app.core.text import units
from app.core.text.sanitize import measure_width, pad, sanitize, truncate_middle
from app.translation import tr, tr_n
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import TaskRow
from app.tui.data.list_rows import format_end
from app.tui.style import STATES, UNKNOWN, Look, Span
from db.states import WAITING

MAX_NAMED = 8
"""Maximum objects named in a dialog; `l` lists the others."""

LINE_CELLS = 68
"""Cells of a line in a dialog."""
TITLE_NAME_CELLS = 34
"""Maximum cells of a name within the question, whose longest words are `with log and history?`."""
RESULT_CELLS = 38
"""Maximum cells of a task's result, so that its name stays readable."""

SpanLine = list[Span]
_Row = TypeVar("_Row", bound=TaskRow)


def confirm_cancel(
    rows: Sequence[TaskRow], preview: Mapping[str, Any], now: float, look: Look
) -> Question:
    """Build the confirmation for cancelling from the answer of `cancel.preview`."""
    waiting = sum(isinstance(row, NextEntry) for row in rows)
    names = _format_rows(rows, look, lambda row: _describe_loss(row, now))
    body: list[SpanLine] = [
        [(tr("Cancel {tasks}?", tasks=_name_tasks(rows, look)), "")],
        [],
        *limit_lines(names, look),
    ]
    dependents = preview["dependents"]
    if dependents:
        body += [[], [(look.sanitize(_format_dependents(dependents, len(rows))), "warn")]]
    if waiting < len(rows):
        grace = _format_grace(preview["tasks"])
        end = (
            tr("It gets TERM, then KILL after {grace}.", grace=grace)
            if len(rows) == 1
            else tr("Running tasks get TERM, then KILL after {grace}.", grace=grace)
        )
        body += [[], [(end, "")]]
    elif dependents:
        body += [[], [(tr("u restores the cancelled tasks and their dependents."), "")]]
    answers = [
        Answer("y", tr("cancel {count:,}", count=len(rows)) if len(rows) > 1 else tr("cancel it")),
        Answer("n", tr("no")),
    ]
    if 0 < waiting < len(rows):
        answers.append(Answer("e", tr("only the waiting {waiting}", waiting=waiting)))
    return Question(tr("Cancel"), body, answers, safe="n", names=list_hidden_lines(names))


def confirm_retry(rows: Sequence[TaskRow], look: Look) -> Question | None:
    """Build the confirmation for retrying ended tasks.

    Return None for one task that has not succeeded: a retry of a failure needs no confirmation.
    """
    if len(rows) < 2 and not any(row.status == "succeeded" for row in rows):
        return None
    ended, names, left = _describe_ended(rows, look)
    left = (
        left
        if len(rows) > 1
        else [[], [(tr("The task succeeded; a retry runs it again. u cannot undo a retry."), "")]]
    )
    body = [
        [(tr("Retry {tasks}?", tasks=_name_tasks(ended, look)), "")],
        [],
        *limit_lines(names, look),
        *left,
    ]
    answers = [
        Answer("y", tr("retry {count:,}", count=len(ended)) if len(ended) > 1 else tr("retry it")),
        Answer("n", tr("no")),
    ]
    return Question(tr("Retry"), body, answers, safe="n", names=list_hidden_lines(names))


def ask_how_to_retry(rows: Sequence[EndedEntry], look: Look) -> Question:
    """Build the question for how ended tasks run again."""
    several = len(rows) > 1
    answers = [
        Answer("r", tr("with other requests: CPU, memory, timeout, …")),
        Answer(
            "d",
            tr("with the tasks cancelled because of them")
            if several
            else tr("with the tasks cancelled because of it"),
        ),
        *([] if several else [Answer("e", tr("edited in the form, as a new task"))]),
        Answer("n", tr("not")),
    ]
    body = [[(tr("Retry {tasks}", tasks=_name_tasks(rows, look)), "")]]
    return Question(tr("Retry"), body, answers, safe="n", column=True, confirm_delay=0.0)


def ask_how_to_retry_group(about: str, failed: int, look: Look) -> Question:
    """Build the question for how the failed tasks of a group run again."""
    answers = [
        Answer("f", tr("as they were")),
        Answer("r", tr("with other requests: CPU, memory, timeout, …")),
        Answer("d", tr("with the tasks cancelled because of them")),
        Answer("n", tr("not")),
    ]
    text = (
        tr("Retry the {failed:,} failed of {about}", failed=failed, about=about)
        if failed
        else tr("No task of {about} failed", about=about)
    )
    body = [[(look.cut(text, LINE_CELLS, "middle"), "")]]
    return Question(tr("Retry"), body, answers, safe="n", column=True, confirm_delay=0.0)


def confirm_delete(rows: Sequence[TaskRow], look: Look) -> Question:
    """Build the confirmation for deleting ended tasks."""
    ended, names, left = _describe_ended(rows, look)
    body = [
        [(tr("Delete {tasks} with log and history?", tasks=_name_tasks(ended, look)), "")],
        [],
        *limit_lines(names, look),
        *left,
    ]
    answers = [
        Answer(
            "y", tr("delete {count:,}", count=len(ended)) if len(ended) > 1 else tr("delete it")
        ),
        Answer("n", tr("no")),
    ]
    return Question(tr("Delete"), body, answers, safe="n", names=list_hidden_lines(names))


def _describe_ended(
    rows: Sequence[TaskRow], look: Look
) -> tuple[list[EndedEntry], list[SpanLine], list[SpanLine]]:
    """Return the ended tasks, their lines, and a note about the others."""
    ended = [row for row in rows if isinstance(row, EndedEntry)]
    return (
        ended,
        _format_rows(ended, look, format_end),
        format_excluded(len(rows) - len(ended), tr("not ended")),
    )


def format_excluded(count: int, why: str) -> list[SpanLine]:
    """Return the note about marked rows that are excluded."""
    if not count:
        return []
    note = tr_n(
        count,
        "{n:,} more is marked and excluded: {why}.",
        "{n:,} more are marked and excluded: {why}.",
        why=why,
    )
    return [[], [(note, "warn")]]


def _count_tasks(count: int) -> str:
    return tr_n(count, "{n:,} task", "{n:,} tasks")


def _name_tasks(rows: Sequence[TaskRow], look: Look) -> str:
    """Return `#12 nightly-etl` for one task, else the number of tasks."""
    if len(rows) != 1:
        return _count_tasks(len(rows))
    return f"#{rows[0].number} {look.cut(look.sanitize(rows[0].name), TITLE_NAME_CELLS, 'middle')}"


def limit_lines(lines: Sequence[SpanLine], look: Look, beyond: int = 0) -> list[SpanLine]:
    """Return the lines shown in a dialog and the number of further ones.

    `beyond` counts objects without lines.
    """
    more = max(0, len(lines) - MAX_NAMED) + beyond
    beyond_text = (
        tr("… and {more:,} more (l lists them)", more=more)
        if len(lines) > MAX_NAMED
        else tr("… and {more:,} more", more=more)
    )
    return [*lines[:MAX_NAMED], *([[(look.adapt_text(beyond_text), "dim")]] if more else [])]


def list_hidden_lines(lines: Sequence[SpanLine]) -> Sequence[SpanLine]:
    """Return all lines if the dialog does not show them all, else none."""
    return lines if len(lines) > MAX_NAMED else ()


def _format_rows(rows: Sequence[_Row], look: Look, what: Callable[[_Row], str]) -> list[SpanLine]:
    """Return a line for each task; names get the width that the longest result leaves."""
    digits = max((len(str(row.number)) for row in rows), default=0)
    results = [look.cut(look.sanitize_output(what(row)), RESULT_CELLS) for row in rows]
    room = LINE_CELLS - digits - max(map(measure_width, results), default=0) - 5
    names = [look.cut(look.sanitize(row.name), room, "middle") for row in rows]
    widest = max(map(measure_width, names), default=0)
    return [
        _format_row(row, f"{row.number:>{digits}} {pad(name, widest)}  ", result, look)
        for row, name, result in zip(rows, names, results, strict=True)
    ]


def _format_row(row: TaskRow, name: str, result: str, look: Look) -> SpanLine:
    sign = STATES.get(row.status, UNKNOWN)
    return [(look.glyph(sign), sign.style), (f" {name}", ""), (result, "")]


def _describe_loss(row: TaskRow, now: float) -> str:
    if isinstance(row, EndedEntry):
        return format_end(row)
    if isinstance(row, NextEntry):
        return tr("waiting: u restores it")
    if row.started_at is None:
        return tr("{status}: work lost", status=tr(row.status))
    return tr(
        "running {age}{timeout_share}: work lost",
        age=units.format_age(now - row.started_at),
        timeout_share=_format_timeout_share(row, now),
    )


def _format_timeout_share(row: RunningEntry, now: float) -> str:
    if row.timeout is None or row.started_at is None:
        return ""
    return tr(
        ", {percent} of limit", percent=units.format_percent(now - row.started_at, row.timeout)
    )


def _format_dependents(found: Sequence[Mapping[str, Any]], count: int) -> str:
    names = ", ".join(
        f"{task['number']} {truncate_middle(sanitize(str(task['name'])), 20)}" for task in found[:3]
    )
    names += " …" if len(found) > 3 else ""
    if count == 1:
        return tr_n(
            len(found),
            "{n:,} task depends on it and is cancelled too: {names}",
            "{n:,} tasks depend on it and are cancelled too: {names}",
            names=names,
        )
    return tr_n(
        len(found),
        "{n:,} task depends on them and is cancelled too: {names}",
        "{n:,} tasks depend on them and are cancelled too: {names}",
        names=names,
    )


def _format_grace(tasks: Sequence[Mapping[str, Any]]) -> str:
    graces = {
        units.format_duration(float(task["grace"]))
        for task in tasks
        if task["status"] not in WAITING
    }
    return tr(" or ").join(sorted(graces)).replace(".0s", "s") if graces else tr("their grace")
