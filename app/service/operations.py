"""The operation log, newest first, with filters and pages, and what can be undone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.json_types import is_object
from app.core.schema import secrets
from app.core.text import diff, units
from app.core.text.joining import join_and
from app.core.text.sanitize import sanitize
from app.errors import NotFound, Refused
from app.service.arguments import parse_since
from app.service.context import Call
from app.service.tasks.changes import work
from app.translation import tr, tr_n, tr_noop
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.rows import OperationRow
from db.states import WAITING

MAX_ROWS = 10_000
MAX_LOOKED_AT = 100
"""Operations of an act among which one that can be undone is looked for."""


async def ls(
    call: Call, *, limit: int = 50, before: int | None = None, words: Sequence[str] = (),
    by: str | None = None,
    verb: str | None = None, object: str | None = None, since: Any = None,
    without: str | None = None, batch: int | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return acts, newest first: one row for all operations of one call, with their `count`.

    The row is that of the first operation, and `tasks` counts the tasks. With `object`, or with
    `batch` for the operations of one act, return single operations.
    `before` is the last id of the previous page. A limit of 0 means no limit. `words` are searched
    in author, verb, object and changes; `!word` excludes a word. `by` and `verb` are exact, except
    that `verb` may be its first words. `object` is like `task #12` or `queue media`. `since` is a
    past time. `without` leaves out a verb.
    """
    found = operations.OperationFilter(
        before, tuple(words), by, verb, object, parse_since(since), without, batch
    )
    origin = call.by.origin if isinstance(call.by, Actor) else None
    return await call.db.read(_read_rows, found, max(0, limit), origin)


def _read_rows(
    c: Connection, filter_: operations.OperationFilter, limit: int, origin: str | None
) -> list[dict[str, Any]]:
    if filter_.batch is not None:
        filter_ = filter_._replace(batch=_require_operation(c, filter_.batch).batch)
    acts = (
        operations.list_acts(c, filter_, limit)
        if filter_.object is None and filter_.batch is None
        else [operations.Act(row, 1) for row in operations.list_operations(c, filter_, limit)]
    )
    numbers = {number for act in acts if (number := diff.parse_task_number(act.first.object))}
    names = reads.map_names(c, sorted(numbers)) if numbers else {}
    return [
        as_dict(act.first, names.get(diff.parse_task_number(act.first.object) or 0), origin)
        | _count_objects(c, act)
        | _describe_undo(_find_telling(c, act))
        for act in acts
    ]


def _require_operation(c: Connection, number: int) -> OperationRow:
    for row in operations.list_by_id(c, [number]):
        return row
    raise NotFound("no operation {number}.", "See them: taskdeck operations", number=number)


def _count_objects(c: Connection, act: operations.Act) -> dict[str, Any]:
    """Return the numbers of operations and of tasks of an act; those of a submission are one.

    An undo may have several operations on a task, such as its cancel.
    """
    tasks = None
    if submitted := _SUBMITTED.match(act.first.object):
        tasks = int(submitted[1])
    elif diff.parse_task_number(act.first.object) is not None:
        is_undo = act.size > 1 and act.first.undoes is not None
        tasks = operations.count_tasks(c, act.first.batch) if is_undo else act.size
    return {"count": act.size, "tasks": tasks}


_SUBMITTED = re.compile(r"(\d+) tasks #")


def _find_telling(c: Connection, act: operations.Act) -> OperationRow:
    """Return an operation of the act that can be undone, else its first operation."""
    if act.size == 1 or act.first.undoes is not None or not explain_not_undoable(act.first):
        return act.first
    others = operations.list_batch(c, act.first.batch, MAX_LOOKED_AT, in_effect=True)
    return next((row for row in others if not explain_not_undoable(row)), act.first)


def _describe_undo(row: OperationRow) -> dict[str, Any]:
    reason = explain_not_undoable(row)
    return {"undone_by": row.undone_by, "undoable": not reason, "reason": reason}


def as_dict(
    row: OperationRow, name: str | None = None, origin: str | None = None
) -> dict[str, Any]:
    """Return an operation as sent to clients.

    `name` is the task's name, and `origin` the terminal of the caller. The key `here` is true for
    an operation from that terminal; `reason` says why an operation cannot be undone. Secrets are
    masked only here: the log keeps the real values, which undo needs.
    """
    before, after = work.mask_variables(row.before, row.after)
    return {
        "id": row.id, "at": row.created_at, "by": row.by, "verb": row.verb, "object": row.object,
        "name": name,
        "before": _mask_values(before), "after": _mask_values(after),
        "source": row.source,
        "here": origin is not None and row.origin == origin,
        "batch": row.batch, "undoes": row.undoes, **_describe_undo(row),
    }  # fmt: skip


def _mask_values(values: Any) -> Any:
    """Return recorded values without secrets and without the environment of a schedule."""
    masked = secrets.mask_record(values)
    if is_object(masked) and is_object(context := masked.get("context")):
        return {**masked, "context": {"cwd": context.get("cwd")}}
    return masked


# --- undoable operations ----------------------------------------------------------------

_NEVER = {
    "retry": tr_noop("cancel the task instead"),
    "rm": tr_noop("deleted tasks cannot be restored"),
    "signal": tr_noop("a signal has been delivered"),
    "timeout": tr_noop("a run that was stopped does not come back: retry the task"),
    "log": tr_noop("a run that was stopped does not come back: retry the task"),
    "reconcile": tr_noop("corrected counters stay corrected"),
    "stop": tr_noop("start the runtime instead: taskdeck serve"),
    "db": tr_noop("changes to the database are final"),
    "alert note": tr_noop("give another note instead: taskdeck alert ack ID --note TEXT"),
    "checkin": tr_noop("to forget the name: taskdeck sla checkins --forget NAME"),
    "forget checkin": tr_noop("check in again instead: taskdeck checkin NAME"),
    "schedule backfill": tr_noop("cancel the tasks instead"),
}


def explain_not_undoable(row: OperationRow) -> str:
    """Return why an operation can never be undone, or ""."""
    if row.undoes is not None:
        return tr("it is an undo itself")
    if row.undone_by is not None:
        return tr("it was undone already")
    words = row.verb.replace(".", " ")
    if reason := _NEVER.get(words) or _NEVER.get(words.split(" ")[0]):
        return tr(reason) + (_describe_kept_requests(row) if words == "retry" else "")
    if row.object.startswith("task #"):
        return _explain_task_not_undoable(row)
    return (
        ""
        if row.before is not None or row.after is not None
        else tr("what it changed was not recorded")
    )


def _describe_kept_requests(row: OperationRow) -> str:
    """Return which new requests of a retry a cancel does not take back."""
    new = row.after if isinstance(row.after, Mapping) else {}
    names = [name for name in ("cpu", "memory", "resources", "timeout") if name in new]
    if not names:
        return ""
    return tr_n(
        len(names),
        "; its new {names} stays",
        "; its new {names} stay",
        names=join_and(map(tr, names)),
    )


def _explain_task_not_undoable(row: OperationRow) -> str:
    was, now = (value if isinstance(value, Mapping) else {} for value in (row.before, row.after))
    if not diff.diff_fields(was, now):
        return tr("it changed nothing")
    if row.verb == "cancel" and (
        was.get("status") not in WAITING or now.get("status") != "cancelled"
    ):
        return tr("it was running, and its work cannot be restored")
    return ""


# --- later changes ----------------------------------------------------------------------


def describe_later_change(
    later: Sequence[OperationRow], row: OperationRow, touched: set[str]
) -> str:
    """Describe a later change of the touched fields: `: priority 5 → 9 by bob, 2m ago`.

    Return "" if there is none. `later` lists the operations on the same object.
    """
    for operation in later:
        found = (
            [
                field
                for field in diff.diff_fields(operation.before, operation.after)
                if field.name in touched
            ]
            if operation.id > row.id
            else []
        )
        if found:
            ago = units.format_age(
                (timestamps.utcnow() - timestamps.parse_time(operation.created_at)).total_seconds()
            )
            return tr(
                ": {change} by {user}, {age} ago",
                change=diff.format_change(found[0]),
                user=sanitize(operation.by),
                age=ago,
            )
    return ""


def make_has_changed(what: str, how: str) -> Refused:
    """Return the problem that an object has changed since an operation."""
    return Refused("{what} has changed since{how}. It was left as it is.", what=what, how=how)
