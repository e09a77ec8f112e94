"""Task commands: rows in, requests out.

A request knows its message and how to undo it. Every function here is pure and raises
`NotApplicableError` with the reason shown in the message line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from app.core.board import (
    AlertEntry,
    ComingEntry,
    EndedEntry,
    GroupEntry,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
)
from app.core.task_groups import format_group
from app.core.text.joining import end_sentence
from app.core.text.sanitize import truncate_middle
from app.translation import tr, tr_n, tr_noop
from app.tui.data.list_rows import EndedMembers, LingeringRow, PoolTableRow

TaskRow = RunningEntry | NextEntry | EndedEntry

NAME_CELLS = 32
"""Maximum cells of a name within a message, so that the rest stays visible."""


class NotApplicableError(Exception):
    """The command does not apply to the rows. The text gives the reason."""


class Request(NamedTuple):
    """One call to the runtime. `result_text` begins the message about its result: "Paused"."""

    verb: str
    args: dict[str, Any]
    result_text: str = ""
    undo: tuple[Request, ...] = ()
    object: str = ""
    """Object of the request if the reply does not name it, such as a queue or an alert."""
    task_count: int = 0
    """Number of tasks the request was meant for; tasks that changed since are skipped."""


def get_underlying_row(row: Any) -> Any:
    """Return the task line behind a row of any list."""
    return row.end if isinstance(row, LingeringRow) else getattr(row, "line", row)


def list_task_rows(rows: Iterable[Any]) -> list[TaskRow]:
    """Return the lines of the rows that are tasks; a lingering row counts as ended."""
    return [
        task
        for row in map(get_underlying_row, rows)
        for task in (row.tasks if isinstance(row, EndedMembers) else (row,))
        if isinstance(task, (RunningEntry, NextEntry, EndedEntry))
    ]


def list_uuids(rows: Iterable[TaskRow]) -> list[str]:
    """Return the uuids of the rows."""
    return [row.uuid for row in rows]


def list_unfinished(rows: Sequence[TaskRow]) -> list[RunningEntry | NextEntry]:
    """Return the rows that can be cancelled. Raise NotApplicableError if there is none."""
    unfinished = [row for row in rows if isinstance(row, (RunningEntry, NextEntry))]
    if not unfinished:
        raise NotApplicableError(
            tr_n(
                len(rows), "Nothing to cancel: it has ended.", "Nothing to cancel: they have ended."
            )
            if rows
            else tr("Nothing to cancel here.")
        )
    return unfinished


def cancel_tasks(rows: Sequence[TaskRow]) -> list[Request]:
    """Cancel active and waiting tasks.

    Waiting tasks can be restored by undo. Tasks that started meanwhile and tasks in another attempt
    are skipped, since the user did not confirm losing their work.
    """
    unfinished = list_unfinished(rows)
    waiting = list_uuids(row for row in unfinished if isinstance(row, NextEntry))
    running = [row for row in unfinished if isinstance(row, RunningEntry)]
    undo_request = (Request("retry", {"ids": waiting}, tr("Brought back")),)
    requests = (
        [Request("cancel", {"ids": waiting, "waiting": True}, tr("Cancelled"), undo_request)]
        if waiting
        else []
    )
    return (
        [*requests, Request("cancel", _select_runs(running), tr("Cancelled"))]
        if running
        else requests
    )


def _select_runs(rows: Sequence[RunningEntry]) -> dict[str, Any]:
    """Return arguments that select the tasks only while they are in the shown attempts."""
    return {"ids": list_uuids(rows), "attempts": {row.uuid: row.attempt for row in rows}}


def signal_tasks(rows: Sequence[TaskRow], number: int, name: str) -> list[Request]:
    """Send a signal to the running tasks."""
    running = [row for row in rows if isinstance(row, RunningEntry)]
    if not running:
        raise NotApplicableError(tr("A signal needs a running task."))
    return [
        Request(
            "cancel", _select_runs(running) | {"signal": number}, tr("Sent {name} to", name=name)
        )
    ]


_TOGGLES: dict[str, tuple[str, str, str, str]] = {
    "pause": ("pause", tr_noop("Paused"), "resume", tr_noop("Resumed")),
    "resume": ("resume", tr_noop("Resumed"), "pause", tr_noop("Paused")),
    "hold": ("hold", tr_noop("Held"), "release", tr_noop("Released")),
    "release": ("release", tr_noop("Released"), "hold", tr_noop("Held")),
}
STOPPING_TOGGLES = ("pause", "hold")
"""Toggles that stop something."""


def find_toggle(row: Any) -> str | None:
    """Return what `p` does to a row: pause, resume, hold or release; None if nothing."""
    if isinstance(row, ComingEntry):
        return "pause"
    if isinstance(row, (QueueEntry, PoolEntry)):
        return "pause" if row.status == "active" else "resume"
    if isinstance(row, RunningEntry):
        return {"paused": "resume", "running": "pause", "starting": "pause"}.get(row.status)
    if isinstance(row, NextEntry):
        return "release" if row.status == "held" else "hold"
    return None


def plan_toggles(rows: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return what `p` does to each row, with each queue and pool once.

    All toggles go in one direction: if any row can be stopped, only such rows are toggled.
    """
    found = {
        row.key: (toggle, row)
        for row in map(_get_toggle_target, rows)
        if (toggle := find_toggle(row))
    }
    stops = [pair for pair in found.values() if pair[0] in STOPPING_TOGGLES]
    return stops or list(found.values())


def _get_toggle_target(row: Any) -> Any:
    """Return the object that a row shows; CPU row and memory row of a pool both show the pool."""
    return row.pool if isinstance(row, PoolTableRow) else get_underlying_row(row)


def toggle_rows(rows: Sequence[Any]) -> list[Request]:
    """Pause, resume, hold or release tasks; pause or resume queues, pools and schedules."""
    found, tasks = plan_toggles(rows), list_task_rows(rows)
    if not found:
        raise NotApplicableError(
            tr_n(
                len(tasks), "Nothing to pause: it has ended.", "Nothing to pause: they have ended."
            )
            if tasks
            else tr("Nothing to pause here.")
        )
    places = [
        _make_place_toggle(toggle, row)
        for toggle, row in found
        if isinstance(row, (QueueEntry, PoolEntry, ComingEntry))
    ]
    of_tasks = sorted(
        (pair for pair in found if isinstance(pair[1], (RunningEntry, NextEntry))),
        key=lambda pair: pair[0],
    )
    return [
        *places,
        *(
            _make_toggle_request(name, [row for _, row in pairs])
            for name, pairs in groupby(of_tasks, key=lambda pair: pair[0])
        ),
    ]


def _make_toggle_request(turn: str, rows: Sequence[TaskRow]) -> Request:
    verb, result_text, undo_request, unsaid = _TOGGLES[turn]
    return Request(
        verb,
        {"ids": list_uuids(rows)},
        tr(result_text),
        (Request(undo_request, {"ids": list_uuids(rows)}, tr(unsaid)),),
    )


_KINDS = {
    QueueEntry: tr_noop("queue {name}"),
    PoolEntry: tr_noop("pool {name}"),
    ComingEntry: tr_noop("schedule {name}"),
}


def _make_place_toggle(toggle: str, place: QueueEntry | PoolEntry | ComingEntry) -> Request:
    kind = _KINDS[type(place)].partition(" ")[0]
    name = tr(_KINDS[type(place)], name=place.name)
    stop = Request(f"{kind}.pause", {"name": place.name}, tr("Paused"), object=name)
    go = Request(f"{kind}.resume", {"name": place.name}, tr("Resumed"), object=name)
    first, undo_request = (stop, go) if toggle == "pause" else (go, stop)
    return Request(first.verb, first.args, first.result_text, (undo_request,), name)


def retry_tasks(rows: Sequence[TaskRow], pending: Mapping[str, float]) -> list[Request]:
    """Run ended tasks again.

    `pending` maps uuids to the end times of tasks that were just retried. A row that still shows
    this end time is stale, so a repeated key is rejected.
    """
    ended = [row for row in rows if isinstance(row, EndedEntry)]
    if not ended:
        raise NotApplicableError(
            tr_n(
                len(rows),
                "It has not ended: r retries ended tasks.",
                "They have not ended: r retries ended tasks.",
            )
            if rows
            else tr("Nothing to retry here.")
        )
    if already_retried := next(
        (row for row in ended if pending.get(row.uuid) == row.ended_at), None
    ):
        raise NotApplicableError(
            tr(
                "#{number} is being retried already; its row does not show it yet.",
                number=already_retried.number,
            )
        )
    return [Request("retry", select_ended(ended) | {"again": True}, tr("Retrying"))]


def retry_with_dependents(rows: Sequence[EndedEntry]) -> Request:
    """Run tasks that failed again, and bring back the tasks that were cancelled with them."""
    return Request("retry", select_ended(rows) | {"with_dependents": True}, tr("Retrying"))


def retry_group_with_dependents(group: GroupEntry) -> Request:
    """Run the failed tasks of a group again, with the tasks that were cancelled with them."""
    args = {"ids": [format_group(group.number)], "failed": True, "with_dependents": True}
    return Request("retry", args, tr("Retrying"))


def select_ended(rows: Sequence[EndedEntry]) -> dict[str, Any]:
    """Return arguments that select the tasks only while their ends are as shown."""
    return {"ids": list_uuids(rows), "ends": {row.uuid: row.ended_at for row in rows}}


def move_to_front(rows: Sequence[TaskRow]) -> list[Request]:
    """Move waiting tasks to the front of their queues; undo restores their places."""
    waiting = [row for row in rows if isinstance(row, NextEntry)]
    if not waiting:
        raise NotApplicableError(tr("Only a waiting task can go to the front of its queue."))
    undo = tuple(
        Request("front", {"ids": [row.uuid], "value": row.front}, tr("Back in its place:"))
        for row in waiting
    )
    return [
        Request(
            "front",
            {"ids": list_uuids(waiting), "value": None},
            tr("To the front of its queue:"),
            undo,
        )
    ]


def change_priority(rows: Sequence[TaskRow], by: int, pending: dict[str, int]) -> list[Request]:
    """Raise or lower priorities.

    `pending` holds requested values that the board does not show yet.
    """
    able = [row for row in rows if not isinstance(row, EndedEntry)]
    if not able:
        raise NotApplicableError(tr("Only a task that has not ended has a priority to change."))
    requests = []
    for row in able:
        old = pending.get(row.uuid, row.priority)
        pending[row.uuid] = old + by
        undo_request = Request(
            "set",
            {"ids": [row.uuid], "fields": {"priority": old}},
            tr("Priority {old} again:", old=old),
        )
        requests.append(
            Request(
                "set",
                {"ids": [row.uuid], "fields": {"priority": old + by}},
                tr("Priority {old} → {new}:", old=old, new=old + by),
                (undo_request,),
            )
        )
    return requests


def set_group_priority(group: GroupEntry, priority: int) -> Request:
    """Set the priority of the tasks of a group that have not ended."""
    select = {"filter": f"status:active,waiting group:{format_group(group.number)}"}
    return Request(
        "set",
        {"select": select, "fields": {"priority": priority}},
        tr("Priority {priority}:", priority=priority),
    )


def set_group_limit(group: GroupEntry, most: int) -> Request:
    """Set how many tasks of a group may run at once; 0 removes the limit."""
    name = format_group(group.number)
    undo, change = (
        Request(
            "group.set",
            {"id": name, "max_running": count},
            tr("At most {count:,} at once:", count=count) if count else tr("Any number at once:"),
            object=f"{name} {group.name}",
        )
        for count in (group.max_running or 0, most)
    )
    return change._replace(undo=(undo,))


def acknowledge_rows(rows: Sequence[Any]) -> list[Request]:
    """Acknowledge firing alerts."""
    firing = [row for row in rows if isinstance(row, AlertEntry) and row.status == "firing"]
    if not firing:
        raise NotApplicableError(tr("Only a firing alert can be acknowledged (a)."))
    return [
        acknowledge_alerts(
            [row.id for row in firing], ", ".join(dict.fromkeys(row.sla for row in firing))
        )
    ]


def acknowledge_alerts(ids: Sequence[str | int], about: str) -> Request:
    """Acknowledge alerts by id, or all firing alerts of a rule by its name."""
    undo_request = Request(
        "alert.unack", {"ids": list(ids)}, tr("No longer acknowledged:"), object=about
    )
    return Request("alert.ack", {"ids": list(ids)}, tr("Acknowledged"), (undo_request,), about)


def delete_tasks(rows: Sequence[TaskRow]) -> list[Request]:
    """Delete ended tasks."""
    ended = [row for row in rows if isinstance(row, EndedEntry)]
    if not ended:
        raise NotApplicableError(
            tr_n(
                len(rows),
                "It has not ended: only ended tasks can be deleted.",
                "They have not ended: only ended tasks can be deleted.",
            )
            if rows
            else tr("Nothing to delete here.")
        )
    return [Request("rm", select_ended(ended), tr("Deleted"))]


def format_result(request: Request, answer: Any, clean: Callable[[str], str]) -> str:
    """Format the result of a request: `Paused #1052 sha256 photos.`, then refusals with reasons."""
    if not isinstance(answer, dict) or "done" not in answer:
        about = truncate_middle(clean(request.object), NAME_CELLS)
        number = answer.get("number") if isinstance(answer, dict) else None
        task = f": #{number}" if number is not None else ""
        return end_sentence(_join_result(request, about) + task)
    parts = []
    if answer["done"]:
        about = (
            truncate_middle(clean(request.object), NAME_CELLS)
            if request.object
            else _format_targets(answer["done"], clean)
        )
        parts.append(end_sentence(_join_result(request, about)))
    if refused := answer.get("refused"):
        more = (
            tr(" And {more} more were refused.", more=len(refused) - 1) if len(refused) > 1 else ""
        )
        parts.append(
            tr(
                "Refused: {message}{more}",
                message=clean(str(refused[0].get("message", ""))),
                more=more,
            )
        )
    parts += [clean(str(note)) for note in answer.get("notes", ())[:1]]
    if (
        left := request.task_count
        - sum(len(answer.get(key, ())) for key in ("done", "refused", "notes"))
    ) > 0:
        parts.append(
            tr_n(
                left,
                "{n:,} of {total:,} changed since and was skipped.",
                "{n:,} of {total:,} changed since and were skipped.",
                total=request.task_count,
            )
        )
    return " ".join(parts) or tr("Nothing to do.")


def _join_result(request: Request, about: str) -> str:
    gap = "" if request.result_text.endswith("：") else " "
    return f"{request.result_text}{gap}{about}".strip()


def _format_targets(done: Sequence[dict[str, Any]], clean: Callable[[str], str]) -> str:
    if len(done) > 1:
        changes = "text" in done[0]
        return (
            tr("{count:,} changes", count=len(done))
            if changes
            else tr("{count:,} tasks", count=len(done))
        )
    if "text" in done[0]:
        return clean(str(done[0].get("back") or done[0]["text"]))
    number, name = done[0].get("number"), done[0].get("name") or done[0].get("object") or ""
    return (f"#{number} " if number is not None else "") + truncate_middle(
        clean(str(name)), NAME_CELLS
    )
