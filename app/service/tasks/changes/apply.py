"""Application of a verb to many tasks: short transactions, each with its operation records."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from app.core.text.joining import join_or
from app.core.verb_states import VERB_STATES
from app.errors import Problem
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.lookup import AnyTask
from app.translation import tr
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations
from db.states import TaskStatus

Ids = Sequence[str | int] | None
Select = dict[str, Any] | None
BATCH_SIZE = 200
"""Tasks that a verb changes between two looks at the clock."""
STEP_SECONDS = 0.03
"""Seconds after which a transaction of a verb ends, at the next look at the clock."""
MANY = 5_000
"""Number of tasks from which the memory of an answer goes back to the system."""
TRIM_DELAY = 5.0
"""Seconds after which the memory of such an answer goes back; by then the answer has been sent."""
MAX_UNRESOLVED = 50
"""Maximum ids looked up in the transaction, up to 0.4 ms each; a reader looks up longer lists."""

RECORDED_FIELDS = (
    "status", "priority", "front", "hold", "queue", "cpu", "memory", "timeout", "retries",
    "retry_delay", "grace", "name", "not_before", "retry_at", "notify",
    "resources", "pinned", "early_signal", "retry_on_oom",
)  # fmt: skip
"""Fields that verbs change, with the status first."""
_FLAGS = ("hold", "pinned")

TaskCheck = Callable[[AnyTask], None]
TaskAction = Callable[[Connection, list[AnyTask]], Any]
TaskReader = Callable[[Connection, Sequence[AnyTask]], None]


def make_note(text: str) -> Problem:
    """Return a problem that is only a note and no failure."""
    problem = Problem(text)
    problem.exit_code = 0
    return problem


@dataclass(frozen=True, slots=True)
class _Work:
    """A verb with its checks and its action on some of its tasks."""

    by: str
    verb: str
    check: TaskCheck
    act: TaskAction
    fields: Sequence[str]
    is_brief: bool
    prepare: TaskReader | None


async def apply_to_tasks(
    call: Call, verb: str, ids: Ids, select: Select, check: TaskCheck, act: TaskAction,
    fields: Sequence[str] = RECORDED_FIELDS, last_first: bool = False, is_brief: bool = False,
    states: Sequence[str] = (), prepare: TaskReader | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Apply an action to tasks and record it, leaving out tasks that `check` refuses.

    `fields` are the fields that the action may change; a shorter list takes less time. Many tasks
    take several short transactions, so that starts and ends of runs are stored in between. Only the
    last transaction wakes dispatcher and decks, which look every second anyway. With `last_first`
    the batches are taken from the end. With `is_brief`, equal results are one row with a count. Of
    groups, the tasks in `states` are taken, by default those of the verb. `prepare` reads what the
    check needs of a batch of tasks.
    """
    work = _Work(call.by, verb, check, act, fields, is_brief, prepare)
    idents = [ids] if isinstance(ids, (str, int)) else ids or ()
    has_groups = not select and lookup.has_groups(idents)
    if not select and not has_groups and len(idents) <= MAX_UNRESOLVED:
        return await call.db.write(_apply, work, ids)
    states = states or VERB_STATES.get(verb.split()[0], ())
    uuids, refused = await call.db.read(lookup.resolve_uuids, ids, select, states)
    batches = [uuids[at : at + BATCH_SIZE] for at in range(0, len(uuids), BATCH_SIZE)]
    parts: list[dict[str, Any]] = []
    left = batches if last_first else batches[::-1]
    with call.db.announce_large_write():
        while left:
            write = call.db.write_quietly if len(left) > 1 else call.db.write
            done = await write(_apply_for_a_while, work, left, select)
            del left[-len(done) :]
            parts += done
    if len(uuids) >= MANY:
        call.db.trim_later(TRIM_DELAY)
    total: dict[str, Any] = {"done": [], "refused": list(refused), "notes": []}
    if has_groups and not uuids and not refused:
        total["notes"].append(_describe_nothing(verb, idents, states))
    for part in reversed(parts) if last_first else parts:
        for key, rows in part.items():
            total[key] += rows
    return {**total, "done": _merge_counts(total["done"])} if is_brief else total


def is_nothing(note: str) -> bool:
    """Return True for the note that groups have no task for a verb."""
    return note.startswith(tr("nothing to {done}", done=""))


def _describe_nothing(verb: str, idents: Sequence[str | int], states: Sequence[str]) -> str:
    words = [tr(state.replace("_", " ")) for state in states]
    listed = join_or(filter(None, (", ".join(words[:-1]), words[-1])))
    why = tr(
        "{verb}: no task of {names} is {states}.",
        verb=verb.split()[0],
        names=" ".join(map(str, idents)),
        states=listed,
    )
    return tr("nothing to {done}", done=why)


def _apply(c: Connection, work: _Work, ids: Ids) -> dict[str, Any]:
    found = lookup.resolve(c, ids, None)
    done = _apply_to_rows(c, work, found.tasks)
    return {**done, "refused": [*found.refused, *done["refused"]]}


def _apply_for_a_while(
    c: Connection, work: _Work, batches: Sequence[Sequence[str]], select: Select
) -> list[dict[str, Any]]:
    """Apply the action to the last batches first, until the time is up; return the parts.

    Tasks that left the selected states meanwhile are skipped.
    """
    parts: list[dict[str, Any]] = []
    end = time.monotonic() + STEP_SECONDS
    for batch in reversed(batches):
        parts.append(_apply_to_rows(c, work, lookup.recheck(c, batch, select)))
        if time.monotonic() > end:
            break
    return parts


def _apply_to_rows(c: Connection, work: _Work, tasks: Sequence[AnyTask]) -> dict[str, Any]:
    refused, notes, good = [], [], list[AnyTask]()
    if work.prepare is not None:
        work.prepare(c, tasks)
    for row in tasks:
        try:
            work.check(row)
            good.append(row)
        except Problem as problem:
            if problem.exit_code:
                refused.append(lookup.make_refusal(problem, row.number, row.number))
            else:
                notes.append(str(problem))
    get_states = read_states if "launch" in work.fields else _get_states
    before = get_states(c, good, work.fields)
    if good:
        work.act(c, good)
    after = read_states(c, good, work.fields)
    changed = before.map_differences(after)
    if work.verb in _RUN_VERBS:
        same = {uuid for uuid, (was, now, _) in changed.items() if was == now}
        notes += [
            tr(
                "{row} is {state}: nothing was changed.",
                row=format_number(row),
                state=after.runs.get(row.uuid, row.status),
            )
            for row in good
            if row.uuid in same
        ]
        good = [row for row in good if row.uuid not in same]
    operations.record_all(
        c, work.by, work.verb, [(f"task #{row.number}", *changed[row.uuid][:2]) for row in good]
    )
    report = _count_results if work.is_brief else _list_results
    return {"done": report(good, after, changed), "refused": refused, "notes": notes}


def _list_results(
    good: Sequence[AnyTask], after: TaskStates, changed: Mapping[str, Difference]
) -> list[dict[str, Any]]:
    return [
        format_done(row, changed[row.uuid][1], after.runs.get(row.uuid))
        | {"changes": changed[row.uuid][2]}
        for row in good
    ]


def _count_results(
    good: Sequence[AnyTask], after: TaskStates, changed: Mapping[str, Difference]
) -> list[dict[str, Any]]:
    """Return each result once, with the count of its tasks."""
    counts = Counter((after.runs.get(row.uuid), row.grace, id(changed[row.uuid])) for row in good)
    known = {id(difference): difference for difference in changed.values()}
    return [
        {"status": known[at][1]["status"], "run": run, "grace": known[at][1].get("grace", grace),
         "changes": known[at][2], "count": count}
        for (run, grace, at), count in counts.items()
    ]  # fmt: skip


def _merge_counts(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        found = merged.setdefault(repr({**row, "count": 0}), {**row, "count": 0})
        found["count"] += row["count"]
    return [*merged.values()]


_RUN_VERBS = ("pause", "resume")
"""Verbs that may find a run already in the wanted state, which is only a note."""
Difference = tuple[dict[str, Any], dict[str, Any], dict[str, list[Any]]]
"""Changed fields of a task: before and after, both with the status, and {name: [old, new]}."""


@dataclass(frozen=True, slots=True)
class TaskStates:
    """Tasks at one moment: the values of `fields`, and the status of their active runs."""

    fields: Sequence[str]
    values: Mapping[str, tuple[Any, ...]]
    runs: dict[str, str]

    def map_differences(self, later: TaskStates) -> dict[str, Difference]:
        """Return {uuid: difference}. Tasks that change alike share one object."""
        known: dict[Any, Difference] = {}
        found: dict[str, Difference] = {}
        for uuid, old in self.values.items():
            runs = self.runs.get(uuid), later.runs.get(uuid)
            new = later.values.get(uuid) or ("deleted", *old[1:])
            key = (runs, old, new) if old[1:] != new[1:] else (runs, old[0], new[0])
            if key not in known:
                known[key] = _compare(self.fields, old, new, runs)
            found[uuid] = known[key]
        return found


def _compare(
    fields: Sequence[str],
    old: tuple[Any, ...],
    new: tuple[Any, ...],
    runs: tuple[str | None, str | None],
) -> Difference:
    before: dict[str, Any] = {"status": old[0]}
    after: dict[str, Any] = {"status": new[0]}
    for name, one, other in zip(fields, old, new, strict=True):
        if one != other:
            before[name], after[name] = _decode(name, one), _decode(name, other)
    if all(runs) and runs[0] != runs[1]:
        before["run"], after["run"] = runs
    pairs = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    return before, after, pairs


def _decode(name: str, value: Any) -> Any:
    """Return a stored value as JSON can hold it."""
    if name in _FLAGS:
        return bool(value)
    if name in ("launch", "env"):
        return None if value is None else json.loads(value)
    return os.fsdecode(value) if isinstance(value, bytes) else value


def read_states(
    c: Connection, rows: Sequence[AnyTask], fields: Sequence[str] = RECORDED_FIELDS
) -> TaskStates:
    """Return the current states of tasks."""
    return TaskStates(fields, reads.map_fields(c, get_uuids(rows), fields), _read_runs(c, rows))


def _get_states(c: Connection, rows: Sequence[AnyTask], fields: Sequence[str]) -> TaskStates:
    """Return the states of tasks that were just read."""
    get = attrgetter(*fields)
    return TaskStates(fields, {row.uuid: get(row) for row in rows}, _read_runs(c, rows))


def _read_runs(c: Connection, rows: Sequence[AnyTask]) -> dict[str, str]:
    """Return {uuid: status of the active run}, reading only if a task runs."""
    return (
        {run.task_id: run.status for run in reads.list_running(c)}
        if any(row.status == TaskStatus.RUNNING for row in rows)
        else {}
    )


def format_done(was: AnyTask, after: Mapping[str, Any], run: str | None) -> dict[str, Any]:
    """Return the result for one task; `run` is the status of its active run.

    `after` holds the new status, and other fields that changed.
    """
    before = {"status": was.status, "priority": was.priority, "front": was.front, "hold": was.hold}
    return {"number": was.number, "uuid": was.uuid, "name": was.name, "status": after["status"],
    "run": run, "grace": after.get("grace", was.grace),
            "before": before}  # fmt: skip


def format_number(row: AnyTask) -> str:
    """Return the number of a task as users type it: `#42`."""
    return f"#{row.number}"


def get_uuids(rows: Sequence[AnyTask]) -> list[str]:
    """Return the uuids of tasks."""
    return [row.uuid for row in rows]
