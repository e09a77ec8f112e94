"""Undo of submissions: it cancels the tasks that have not started, and names the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.core.text import diff
from app.core.text.joining import end_sentence, join_colon
from app.errors import Problem, Refused
from app.service.context import Call
from app.service.operations import explain_not_undoable
from app.service.tasks.changes import actions, apply
from app.service.tasks.lookup import AnyTask
from app.service.tasks.submission.bulk import get_uuid_range
from app.translation import tr, tr_n
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.tasks import task_numbers, transitions
from db.rows import OperationRow
from db.states import WAITING

VERBS = ("submit", "schedule run")
MAX_RANGES = 3
"""Maximum number of ranges of task numbers in a sentence."""


@dataclass(frozen=True, slots=True)
class SubmittedTasks:
    """Tasks of a submission: name of the first, and which of them have started or still wait."""

    name: str | None
    waiting: Sequence[str]
    """Their uuids."""
    started: Sequence[int]
    """Their numbers."""
    dependents: Sequence[int]
    """Numbers of other tasks, which a cancel of the waiting tasks cancels too."""


async def undo_submission(
    call: Call, row: OperationRow, by: Actor, *, dry_run: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Cancel the tasks of a submission that have not started.

    Return the result, and notes about the tasks that have started and those that depend on the
    cancelled ones. Raise Refused if no task is left to cancel.
    """
    found = await call.db.read(_read_tasks, row)
    count = len(found.waiting)
    if count and not dry_run:
        count = await _cancel(replace(call, by=by), row, found)
        found = replace(found, started=(await call.db.read(_read_tasks, row)).started)
    if not count:
        raise _make_nothing_left(row, found)
    text = tr_n(
        count,
        "{submission}, by cancelling {n:,} task",
        "{submission}, by cancelling {n:,} tasks",
        submission=_describe(row, found),
    )
    done = {"id": row.id, "verb": row.verb, "object": row.object,
            "number": diff.parse_task_number(row.object), "name": found.name or row.object,
            "text": text, "back": text}  # fmt: skip
    notes = [_describe_dependents(found.dependents)] if found.dependents else []
    return done, [*notes, *([_describe_started(found.started)] if found.started else [])]


async def _cancel(call: Call, row: OperationRow, found: SubmittedTasks) -> int:
    """Cancel the waiting tasks, and record the undo before the cancels of the same call.

    Return the number of cancelled tasks. Raise Refused if another call has undone the submission.
    """
    marks = [(row, None, {"cancelled": len(found.waiting), "started": len(found.started)})]

    def check(task: AnyTask) -> None:
        if not _is_unstarted(task.status, task.attempts):
            raise apply.make_note("")

    def act(c: Connection, tasks: Sequence[AnyTask]) -> None:
        if marks:
            (now,) = operations.list_by_id(c, [row.id])
            if reason := explain_not_undoable(now):
                raise Refused(end_sentence(join_colon(_describe(row, found), reason)))
            operations.record_undone(c, call.by, [marks.pop()])
        transitions.cancel(c, apply.get_uuids(tasks), call.by)

    done = await apply.apply_to_tasks(
        call, "cancel", found.waiting, None, check, act, actions.CANCELLED_FIELDS, is_brief=True
    )
    return sum(part["count"] for part in done["done"])


def _is_unstarted(status: str, attempts: int) -> bool:
    return status in WAITING and not attempts


def _read_tasks(c: Connection, row: OperationRow) -> SubmittedTasks:
    """Return the tasks of a submission, whose uuids follow that of its first task."""
    made = row.after if isinstance(row.after, Mapping) else {}
    first = made.get("first") or made.get("number") or diff.parse_task_number(row.object) or 0
    head = task_numbers.find_uuid(c, first)
    if head is None:
        raise Refused("#{number} no longer exists.", number=first)
    last = get_uuid_range(head)[1] if row.verb == "submit" else head
    tasks = task_numbers.list_states(c, head, last)
    waiting = [task.uuid for task in tasks if _is_unstarted(task.status, task.attempts)]
    return SubmittedTasks(
        reads.map_names(c, [first]).get(first),
        waiting,
        [task.number for task in tasks if task.attempts],
        [task.number for task in reads.list_waiting_dependents(c, waiting)],
    )


def _describe(row: OperationRow, found: SubmittedTasks) -> str:
    return diff.format_operation(row.verb, row.object, found.name, row.before, row.after)


def _describe_started(numbers: Sequence[int]) -> str:
    return tr_n(
        len(numbers),
        "{numbers} has started and is left alone.",
        "{n:,} tasks have started and are left alone: {numbers}.",
        numbers=_format_numbers(numbers),
    )


def _describe_dependents(numbers: Sequence[int]) -> str:
    return tr_n(
        len(numbers),
        "{numbers} depends on the submission and is cancelled, too.",
        "{n:,} tasks depend on the submission and are cancelled, too: {numbers}.",
        numbers=_format_numbers(numbers),
    )


def _format_numbers(numbers: Sequence[int]) -> str:
    """Format task numbers as ranges: `#1–#38, #40`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"#{a}" if a == b else f"#{a}–#{b}" for a, b in ranges[:MAX_RANGES]]
    return ", ".join([*shown, *(["…"] if len(ranges) > MAX_RANGES else [])])


def _make_nothing_left(row: OperationRow, found: SubmittedTasks) -> Problem:
    said = _describe_started(found.started) if found.started else tr("its tasks have ended.")
    return Refused(
        "{operation} leaves no task to cancel: {said}", operation=_describe(row, found), said=said
    )
