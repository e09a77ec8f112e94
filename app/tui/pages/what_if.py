"""What-if page: the amounts that are supposed, and the forecast before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.core.board import GroupEntry
from app.core.scheduling.forecasts import what_if_words as words
from app.core.text.sanitize import measure_width, pad
from app.translation import tr
from app.tui.actions.what_if import Amount, Cancelled, format_amount, format_cancelled
from app.tui.style import Look, Span
from app.tui.widgets.document import DocRow, Section, wrap_text

TASK = "task:"
"""Prefix of the target of a task that is supposed to be cancelled."""
MAX_TASKS = 200
"""Tasks that are listed."""
_FACT_CELLS = 14


def build_amounts(
    amounts: Sequence[Amount],
    supposed: Mapping[str, float],
    rows: Sequence[Cancelled],
    room: int,
    look: Look,
) -> Iterator[Section]:
    """Yield the amounts, the supposed ones with an arrow, and the tasks to cancel."""
    owners = [look.sanitize(one.owner) for one in amounts]
    names = [look.sanitize(tr(one.name)) for one in amounts]
    cells = min(max(map(measure_width, owners), default=8), max(8, room - 30))
    width = max(map(measure_width, names), default=8)
    lines: list[DocRow] = []
    for at, one in enumerate(amounts):
        owner = "" if at and owners[at - 1] == owners[at] else owners[at]
        spans: list[Span] = [
            (pad(look.cut(owner, cells, "middle"), cells) + "  ", "dim"),
            (pad(names[at], width) + "  ", ""),
            (format_amount(one.name, one.value), ""),
        ]
        if one.key in supposed:
            shown = format_amount(one.name, supposed[one.key])
            spans.append((look.adapt_text(f" {words.ARROW} {shown}"), "busy"))
        lines.append(DocRow(tuple(spans), one.key))
    yield Section(tr("Suppose"), tuple(lines))
    if rows:
        yield Section(
            tr("Cancel {count}", count=len(rows)),
            tuple(
                DocRow(((look.cut(_format_row(row, look), room - 4), "busy"),), TASK + row.key)
                for row in rows
            ),
        )


def _format_row(row: Cancelled, look: Look) -> str:
    sign = "" if isinstance(row, GroupEntry) else "#"
    return f"{sign}{format_cancelled(row)} {look.sanitize(row.name)}"


def build_forecast(
    found: Mapping[str, Any] | None, is_old: bool, room: int, look: Look
) -> Iterator[Section]:
    """Yield the figures and the tasks before and after; `is_old` marks those being read again."""
    if found is None:
        text = look.adapt_text(tr("simulating…")) if is_old else tr("not known")
        yield Section(tr("Before and after"), (DocRow(((text, "dim"),)),))
        return
    tail = look.adapt_text(tr("simulating…")) if is_old else ""
    facts: list[DocRow] = []
    for label, text in words.list_facts(found):
        pieces = wrap_text(look.adapt_text(text), max(20, room - _FACT_CELLS - 4))
        facts += [
            DocRow(((pad("" if at else f"{label} ", _FACT_CELLS), "dim"), (piece, "")))
            for at, piece in enumerate(pieces)
        ]
    yield Section(tr("Before and after"), tuple(facts), tail=tail)
    rows = found["tasks"][:MAX_TASKS]
    count = len(found["tasks"])
    none = (DocRow(((tr("Nothing waits."), "dim"),)),)
    yield Section(tr("Tasks {count}", count=count), tuple(_build_tasks(rows, room, look)) or none)
    left = (
        [tr("{more:,} more tasks are not listed.", more=count - len(rows))]
        if count > len(rows)
        else []
    )
    lines: list[DocRow] = []
    for note in (*left, *words.list_notes(found)):
        text = look.adapt_text(note[:1].upper() + note[1:])
        lines += [DocRow(((piece, "dim"),)) for piece in wrap_text(text, max(20, room - 4))]
    if lines:
        yield Section(tr("Left out"), tuple(lines))


def _build_tasks(rows: Sequence[Mapping[str, Any]], room: int, look: Look) -> Iterator[DocRow]:
    times = [[look.adapt_text(text) for text in words.format_task_times(row)] for row in rows]
    numbers = [f"#{row['number']}" if row["number"] is not None else tr("new") for row in rows]
    widths = [max((measure_width(one[at]) for one in times), default=0) for at in range(4)]
    number_cells = max(map(measure_width, numbers), default=3)
    change_cells = max((measure_width(row["change"] or "") for row in rows), default=0)
    used = number_cells + sum(widths) + change_cells + 10
    names = [look.sanitize(words.format_name(row)) for row in rows]
    cells = max(6, min(max(map(measure_width, names), default=6), room - used - 2))
    if rows:
        starts, ends = widths[0] + widths[1] + 1, widths[2] + widths[3] + 1
        head = " " * (number_cells + cells + 4)
        head += f"{pad(tr('starts in'), starts)}  {pad(tr('ends in'), ends)}"
        yield DocRow(((head, "dim"),))
    for row, number, name, (start, new_start, end, new_end) in zip(
        rows, numbers, names, times, strict=True
    ):
        style = "dim" if words.is_unchanged(row) else ""
        line = (
            f"{pad(number, number_cells, '>')}  {pad(look.cut(name, cells, 'middle'), cells)}  "
            f"{pad(start, widths[0], '>')} {pad(new_start, widths[1])}  "
            f"{pad(end, widths[2], '>')} {pad(new_end, widths[3])}"
        )
        yield DocRow(((line, style), (f"  {row['change'] or ''}", "busy")))
