"""Application of a verb to many tasks, in short transactions and with its operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from app.errors import Problem
from app.service.context import Call
from app.service.tasks import bulk, lookup
from db.engine import Connection
from db.queries import operations, reads
from db.rows import TaskRow, TaskStateRow
from db.states import TaskStatus

Ids = Sequence[str | int] | None
Select = dict[str, Any] | None
BATCH_SIZE = 100
"""Tasks that a verb changes between two looks at the clock."""
STEP_SECONDS = 0.03
"""Seconds after which a transaction of a verb ends, at the next look at the clock."""
MANY = 5_000
"""Tasks of an answer whose memory goes back to the system."""
TRIM_DELAY = 5.0
"""Seconds until the answer to many tasks has been sent."""
MAX_UNRESOLVED = 50
"""Ids looked up in the transaction itself, up to 0.4 ms each; a reader looks up more."""

TaskCheck = Callable[[TaskRow], None]
TaskAction = Callable[[Connection, list[TaskRow]], Any]


def make_note(text: str) -> Problem:
    """Return a problem that is only a note and no failure."""
    problem = Problem(text)
    problem.exit_code = 0
    return problem


async def apply_to_tasks(
    call: Call, verb: str, ids: Ids, select: Select, check: TaskCheck, act: TaskAction,
    last_first: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Apply an action to tasks and record it, leaving out tasks that `check` refuses.

    Many tasks take several short transactions, so that starts and ends go through in between. Only
    the last one wakes dispatcher and decks, which look every second anyway. With `last_first` the
    last batch is the first.
    """
    if not select and (isinstance(ids, (str, int)) or len(ids or ()) <= MAX_UNRESOLVED):
        return await call.db.write(_apply, call.by, verb, ids, select, check, act)
    uuids, refused = await call.db.read(lookup.resolve_uuids, ids, select)
    batches = [uuids[at : at + BATCH_SIZE] for at in range(0, len(uuids), BATCH_SIZE)]
    parts: list[dict[str, Any]] = []
    left = batches if last_first else batches[::-1]
    while left:
        write = call.db.write_quietly if len(left) > 1 else call.db.write
        done = await write(_apply_for_a_while, call.by, verb, left, select, check, act)
        del left[-len(done) :]
        parts += done
    if len(uuids) >= MANY:
        asyncio.get_running_loop().call_later(TRIM_DELAY, bulk.trim_memory)
    total: dict[str, Any] = {"done": [], "refused": list(refused), "notes": []}
    for part in reversed(parts) if last_first else parts:
        for key, rows in part.items():
            total[key] += rows
    return total


def _apply(
    c: Connection, by: str, verb: str, ids: Ids, select: Select, check: TaskCheck, act: TaskAction
) -> dict[str, Any]:
    return _apply_to_resolved(c, by, verb, lookup.resolve(c, ids, select), check, act)


def _apply_for_a_while(
    c: Connection,
    by: str,
    verb: str,
    batches: Sequence[Sequence[str]],
    select: Select,
    check: TaskCheck,
    act: TaskAction,
) -> list[dict[str, Any]]:
    """Apply the action to the last batches first, until the time is up; return the parts."""
    parts: list[dict[str, Any]] = []
    end = time.monotonic() + STEP_SECONDS
    for batch in reversed(batches):
        parts.append(_apply_to_batch(c, by, verb, batch, select, check, act))
        if time.monotonic() > end:
            break
    return parts


def _apply_to_batch(
    c: Connection,
    by: str,
    verb: str,
    uuids: Sequence[str],
    select: Select,
    check: TaskCheck,
    act: TaskAction,
) -> dict[str, Any]:
    """Apply the action to a batch of resolved tasks.

    Tasks that left the selected states meanwhile are skipped.
    """
    return _apply_to_resolved(c, by, verb, lookup.recheck(c, uuids, select), check, act)


def _apply_to_resolved(
    c: Connection,
    by: str,
    verb: str,
    found: lookup.ResolvedTasks,
    check: TaskCheck,
    act: TaskAction,
) -> dict[str, Any]:
    refused, notes, good = list(found.refused), [], []
    for row in found.tasks:
        try:
            check(row)
            good.append(row)
        except Problem as problem:
            if problem.exit_code:
                refused.append(lookup.make_refusal(problem, row.number, row.number))
            else:
                notes.append(str(problem))
    before = TaskStates({row.uuid: row for row in good}, _read_runs(c, good))
    if good:
        act(c, good)
    after = read_states(c, good)
    changed = {row.uuid: before.get_difference(after, row.uuid) for row in good}
    if verb in _RUN_VERBS:
        same = {uuid for uuid, (was, now) in changed.items() if was == now}
        notes += [
            f"{format_number(row)} is {after.runs.get(row.uuid, row.status)}: nothing was changed."
            for row in good
            if row.uuid in same
        ]
        good = [row for row in good if row.uuid not in same]
    operations.record_all(
        c, by, verb, [(f"task #{row.number}", *changed[row.uuid]) for row in good]
    )
    report = [
        format_done(row, after.rows.get(row.uuid), after.runs.get(row.uuid))
        | {"changes": _pair_changes(*changed[row.uuid])}
        for row in good
    ]
    return {"done": report, "refused": refused, "notes": notes}


_RUN_VERBS = ("pause", "resume")
"""Verbs that may find a run already in the wanted state, which is only a note."""
_RECORDED_FIELDS = (
    "priority", "front", "hold", "queue", "cpu", "memory", "timeout", "retries", "retry_delay",
    "grace", "name", "not_before", "retry_at",
    "pinned",
)  # fmt: skip
_get_recorded = attrgetter(*_RECORDED_FIELDS)


@dataclass(frozen=True, slots=True)
class TaskStates:
    """Tasks at one moment, with the status of their active runs."""

    rows: Mapping[str, TaskRow | TaskStateRow]
    runs: dict[str, str]

    def get_difference(self, later: TaskStates, uuid: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a task's changed fields before and after, always with the status."""
        was, now = self.rows[uuid], later.rows.get(uuid)
        if now is None:
            return {"status": was.status}, {"status": "deleted"}
        old, new = _get_recorded(was), _get_recorded(now)
        before: dict[str, Any] = {"status": was.status}
        after: dict[str, Any] = {"status": now.status}
        if old != new:
            for name, one, other in zip(_RECORDED_FIELDS, old, new, strict=True):
                if one != other:
                    before[name], after[name] = one, other
        runs = self.runs.get(uuid), later.runs.get(uuid)
        if all(runs) and runs[0] != runs[1]:
            before["run"], after["run"] = runs
        return before, after


def read_states(c: Connection, rows: Sequence[TaskRow]) -> TaskStates:
    """Return the current states of tasks."""
    return TaskStates(reads.map_states(c, get_uuids(rows)), _read_runs(c, rows))


def _read_runs(c: Connection, rows: Sequence[TaskRow]) -> dict[str, str]:
    """Return {uuid: status of the active run}, reading only if a task runs."""
    return (
        {run.task_id: run.status for run in reads.list_running(c)}
        if any(row.status == TaskStatus.RUNNING for row in rows)
        else {}
    )


def _pair_changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Return {field: [before, after]} of the changed fields."""
    return {
        name: [before.get(name), value]
        for name, value in after.items()
        if before.get(name) != value
    }


def format_done(
    was: TaskRow, row: TaskRow | TaskStateRow | None, run: str | None
) -> dict[str, Any]:
    """Return the result for one task; `run` is the status of its active run."""
    status = row.status if row else "deleted"
    before = {"status": was.status, "priority": was.priority, "front": was.front, "hold": was.hold}
    return {"number": was.number, "uuid": was.uuid, "name": was.name, "status": status, "run": run,
    "grace": (row or was).grace,
            "before": before}  # fmt: skip


def format_number(row: TaskRow) -> str:
    """Return the number of a task as users type it: `#42`."""
    return f"#{row.number}"


def get_uuids(rows: Sequence[TaskRow]) -> list[str]:
    """Return the uuids of tasks."""
    return [row.uuid for row in rows]
