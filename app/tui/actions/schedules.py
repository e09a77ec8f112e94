"""Schedule commands: rows in, requests with undo out."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.text.sanitize import truncate_middle
from app.translation import tr, tr_noop
from app.tui.actions.confirmations import limit_lines, list_hidden_lines
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NAME_CELLS, NotApplicableError, Request
from app.tui.data.schedule_rows import ScheduleEntry
from app.tui.style import Look
from app.tui.time_format import format_fire_time

UNDO = Request("undo", {}, tr_noop("Undone:"))
"""Undo by the recorded operation, which knows what a client does not."""
NONE_HERE = tr_noop("No schedule is under the cursor. Press n to create a schedule.")


def _name(row: ScheduleEntry) -> str:
    return truncate_middle(row.name, NAME_CELLS)


def require_rows(rows: Sequence[ScheduleEntry]) -> Sequence[ScheduleEntry]:
    """Return the rows. Raise NotApplicableError if there is none."""
    if not rows:
        raise NotApplicableError(tr(NONE_HERE))
    return rows


def toggle_schedules(rows: Sequence[ScheduleEntry]) -> list[Request]:
    """Pause schedules; resume them if all are paused."""
    able = [row for row in require_rows(rows) if row.state != "ended"]
    if not able:
        raise NotApplicableError(
            tr("{name} has ended: no fire time follows. e changes it.", name=_name(rows[0]))
        )
    running = [row for row in able if row.state != "paused"]
    return [_make_pause(row) for row in running] or [_make_resume(row) for row in able]


def _make_pause(row: ScheduleEntry) -> Request:
    args = {"name": row.name}
    undo = Request("schedule.resume", args, tr("Resumed schedule"), object=row.name)
    return Request("schedule.pause", args, tr("Paused schedule"), (undo,), row.name)


def _make_resume(row: ScheduleEntry) -> Request:
    until = {"until": row.facts["paused_until"]} if row.facts.get("paused_until") else {}
    undo = Request(
        "schedule.pause", {"name": row.name, **until}, tr("Paused schedule"), object=row.name
    )
    return Request("schedule.resume", {"name": row.name}, tr("Resumed schedule"), (undo,), row.name)


def run_schedules(rows: Sequence[ScheduleEntry]) -> list[Request]:
    """Submit a task of each schedule now, whatever its rules say."""
    return [
        Request("schedule.run", {"name": row.name}, tr("Submitted a task of"), object=row.name)
        for row in require_rows(rows)
    ]


def skip_next(rows: Sequence[ScheduleEntry], now: float) -> list[Request]:
    """Leave out the next fire time of schedules that have one."""
    coming = [(row, row.next_at) for row in require_rows(rows) if row.next_at is not None]
    if not coming:
        raise NotApplicableError(tr("{name} has no next fire time to skip.", name=_name(rows[0])))
    return [
        Request(
            "schedule.skip_next",
            {"name": row.name},
            tr("Skips {time} of", time=format_fire_time(at, now, row.zone)),
            (UNDO,),
            row.name,
        )
        for row, at in coming
    ]


def confirm_run(rows: Sequence[ScheduleEntry], look: Look) -> Question | None:
    """Build the confirmation for running several schedules; None for one."""
    if len(rows) < 2:
        return None
    names = _list_names(rows, look)
    body = [[(tr("Run {count:,} schedules now?", count=len(rows)), "")], *limit_lines(names, look)]
    answers = [Answer("y", tr("run {count:,}", count=len(rows))), Answer("n", tr("no"))]
    return Question(tr("Run"), body, answers, safe="n", names=list_hidden_lines(names))


def confirm_remove(rows: Sequence[ScheduleEntry], look: Look) -> Question:
    """Build the confirmation for removing schedules."""
    one = len(require_rows(rows)) == 1
    names = _list_names(rows, look)
    if one:
        texts = [
            tr("Its tasks and their logs stay; its record of fire times goes."),
            tr("u restores the schedule without the record; p only pauses the schedule."),
        ]
        question, remove, keep = tr("Remove this schedule?"), tr("remove it"), tr("keep it")
    else:
        texts = [
            tr("Their tasks and logs stay; their records of fire times go."),
            tr("u restores the schedules without the records; p only pauses the schedules."),
        ]
        question = tr("Remove {count:,} schedules?", count=len(rows))
        remove, keep = tr("remove {count:,}", count=len(rows)), tr("keep them")
    body = [[(question, "")], *limit_lines(names, look), [], *([(text, "")] for text in texts)]
    answers = [Answer("y", remove), Answer("n", keep)]
    return Question(tr("Remove"), body, answers, safe="n", names=list_hidden_lines(names))


def _list_names(rows: Sequence[ScheduleEntry], look: Look) -> list[list[tuple[str, str]]]:
    return [[(f"  {look.cut(look.sanitize(f'{row.name}: {row.words}'), 60)}", "")] for row in rows]


def remove_schedules(rows: Sequence[ScheduleEntry]) -> list[Request]:
    """Remove schedules; their tasks stay."""
    return [
        Request("schedule.rm", {"name": row.name}, tr("Removed schedule"), (UNDO,), row.name)
        for row in rows
    ]
