"""Task actions: cancel, pause, hold, retry, edit and wait.

Each verb takes ids or a selection, does all it can, and lists its refusals.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.core import task_spec
from app.core.scheduling.reasons import PARENT_ENDINGS
from app.core.text import units
from app.core.text.exit_text import get_signal_name
from app.core.text.sanitize import find_nearest, sanitize
from app.errors import Conflict, Problem, Stopped, Usage
from app.service.context import Call
from app.service.definitions import templates
from app.service.tasks import bulk, lookup, setting_checks, submit, views
from db import timestamps
from db.engine import Connection
from db.errors import DiskFull
from db.maintenance import quarantine
from db.queries import dependencies, operations, reads, task_fields, transitions
from db.rows import TaskRow, TaskStateRow
from db.states import ACTIVE, ENDED, WAITING, RunStatus, TaskStatus

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


def _make_note(text: str) -> Problem:
    """Return a problem that is only a note and no failure."""
    problem = Problem(text)
    problem.exit_code = 0
    return problem


async def _apply_to_tasks(
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
            f"{_format_number(row)} is {after.runs.get(row.uuid, row.status)}: nothing was changed."
            for row in good
            if row.uuid in same
        ]
        good = [row for row in good if row.uuid not in same]
    operations.record_all(
        c, by, verb, [(f"task #{row.number}", *changed[row.uuid]) for row in good]
    )
    report = [
        _format_done(row, after.rows.get(row.uuid), after.runs.get(row.uuid))
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
    return TaskStates(reads.map_states(c, _get_uuids(rows)), _read_runs(c, rows))


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


def _format_done(
    was: TaskRow, row: TaskRow | TaskStateRow | None, run: str | None
) -> dict[str, Any]:
    """Return the result for one task; `run` is the status of its active run."""
    status = row.status if row else "deleted"
    before = {"status": was.status, "priority": was.priority, "front": was.front, "hold": was.hold}
    return {"number": was.number, "uuid": was.uuid, "name": was.name, "status": status, "run": run,
    "grace": (row or was).grace,
            "before": before}  # fmt: skip


def _format_number(row: TaskRow) -> str:
    return f"#{row.number}"


def _get_uuids(rows: Sequence[TaskRow]) -> list[str]:
    return [row.uuid for row in rows]


def _describe_ended(row: TaskRow, verb: str) -> str:
    ago = ""
    if row.ended_at:
        age = timestamps.utcnow() - timestamps.parse_time(row.ended_at)
        ago = f", {units.format_age(age.total_seconds())} ago"
    return (
        f"{_format_number(row)} has ended ({row.status.replace('_', ' ')}{ago}); there is nothing"
        f" to {verb}."
    )


_SIGNAL: TypeAdapter[int] = TypeAdapter(task_spec.Signal)
_SECONDS: TypeAdapter[float | None] = TypeAdapter(task_spec.Duration | None)
_ATTEMPTS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])
_ENDS: TypeAdapter[dict[str, float]] = TypeAdapter(dict[str, float])


def _validate(name: str, kind: TypeAdapter[Any], value: Any) -> Any:
    """Return the parsed value. Raise Usage that begins with the option's name."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise Usage(f"{name} {task_spec.describe_error(error)}. Nothing was changed.") from None


async def cancel(
    call: Call, *, ids: Ids = None, select: Select = None, signal: int | None = None,
    grace: float | None = None, waiting: bool = False,
    attempts: dict[str, int] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Cancel tasks: waiting ones at once, running ones by TERM, grace and KILL.

    With `signal`, only send that signal. With `waiting`, refuse tasks that have started. `attempts`
    gives the expected attempt by uuid; a task that was retried since is refused.
    """
    expected = _validate("attempts", _ATTEMPTS, attempts or {})
    if signal is not None:
        return await _send_signal(call, ids, select, _validate("signal", _SIGNAL, signal), expected)
    grace = _validate("grace", _SECONDS, grace)

    def may(row: TaskRow) -> None:
        if row.status in ENDED:
            raise _make_note(_describe_ended(row, "cancel"))
        if waiting and row.status not in WAITING:
            raise Conflict(
                f"{_format_number(row)} has started meanwhile, so it was left alone: to end it,"
                " cancel it again."
            )
        _refuse_other_run(row, expected)

    def act(c: Connection, rows: list[TaskRow]) -> None:
        if grace is not None:
            task_fields.update_column(
                c, "grace", [{"at": row.uuid, "grace": grace} for row in rows]
            )
        transitions.cancel(c, _get_uuids(rows), call.by)

    try:
        return await _apply_to_tasks(call, "cancel", ids, select, may, act)
    except DiskFull as problem:
        if waiting:
            raise
        return await _cancel_unrecorded(call, ids, select, grace, problem, expected)


async def preview_cancel(call: Call, *, ids: Sequence[str]) -> dict[str, Any]:
    """Return the tasks that a cancel would end, and the waiting tasks that depend on them.

    Dependants are {number, name}. Unknown ids are left out.
    """
    return await call.db.read(_read_cancel_preview, ids)


def _read_cancel_preview(c: Connection, ids: Sequence[str]) -> dict[str, Any]:
    rows = lookup.resolve(c, ids, None).tasks
    return {
        "tasks": [views.task_to_dict(row) for row in rows],
        "dependants": [
            {"number": child.number, "name": child.name}
            for child in reads.list_waiting_dependants(c, _get_uuids(rows))
        ],
    }


def _refuse_other_run(row: TaskRow, attempts: Mapping[str, int]) -> None:
    """Refuse a task whose expected run has ended and that runs or waits again.

    The user did not confirm the new run. An automatic retry is still covered.
    """
    expected = row.status in (
        TaskStatus.RUNNING,
        TaskStatus.RETRYING,
    ) and row.attempts == attempts.get(row.uuid)
    if row.uuid in attempts and row.status not in ENDED and not expected:
        now = "runs again" if row.status == TaskStatus.RUNNING else f"is {row.status}"
        raise Conflict(
            f"{_format_number(row)} has ended meanwhile and {now}, so it was left alone: check it,"
            " then repeat."
        )


async def _cancel_unrecorded(
    call: Call,
    ids: Ids,
    select: Select,
    grace: float | None,
    problem: DiskFull,
    attempts: Mapping[str, int],
) -> dict[str, Any]:
    """Cancel running tasks on a full disk, without recording the caller.

    The running tasks may be what filled the disk. The keeper still records the stop.
    """
    found = await call.db.read(lookup.resolve, ids, select)
    runs = {run.task_id: run.runid for run in await call.db.read(reads.list_running)}
    going = [
        row
        for row in found.tasks
        if row.uuid in runs and attempts.get(row.uuid, row.attempts) == row.attempts
    ]
    if call.live is None or not going:
        raise problem
    for row in going:
        call.live.end_run(runs[row.uuid], row.grace if grace is None else grace)
    left = [
        lookup.make_refusal(problem, row.number, row.number)
        for row in found.tasks
        if row.status in WAITING
    ]
    note = "the disk is full: the cancellation is recorded, but not its author."
    return {
        "operations": [],
        "done": [_format_done(row, row, RunStatus.STOPPING) for row in going],
        "refused": [*found.refused, *left],
        "notes": [note],
    }


async def _send_signal(
    call: Call, ids: Ids, select: Select, number: int, attempts: Mapping[str, int]
) -> dict[str, Any]:
    runids: list[str] = []

    def may(row: TaskRow) -> None:
        if row.status != TaskStatus.RUNNING:
            raise Conflict(
                f"{_format_number(row)} is {row.status.replace('_', ' ')}: it has no process to"
                f" send {get_signal_name(number)} to."
            )
        _refuse_other_run(row, attempts)

    def act(c: Connection, rows: list[TaskRow]) -> None:
        runids.extend(
            run.runid
            for row in rows
            for run in reads.list_runs(c, row.uuid)
            if run.status in ("running", "paused", "stopping")
        )

    report = await _apply_to_tasks(call, f"signal {get_signal_name(number)}", ids, select, may, act)
    if call.live is not None:
        call.live.signal(runids, number)
    return report


async def pause(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Pause running tasks."""

    def may(row: TaskRow) -> None:
        if row.status in WAITING:
            raise Conflict(
                f"{_format_number(row)} has not started; to keep it from starting: taskdeck hold"
                f" {row.number}"
            )
        if row.status in ENDED:
            raise Conflict(_describe_ended(row, "pause"))

    limits: dict[str, float] = {}

    def act(c: Connection, rows: list[TaskRow]) -> None:
        limits.update({row.uuid: row.timeout for row in rows if row.timeout is not None})
        transitions.pause(c, _get_uuids(rows), call.by)

    await _wait_for_start(call, ids, select)
    report = await _apply_to_tasks(call, "pause", ids, select, may, act)
    report["notes"] += [
        f"#{row['number']} is paused, but its limit of "
        f"{units.format_duration_setting(limits[row['uuid']])} keeps counting."
        for row in report["done"]
        if row["uuid"] in limits
    ]
    return report


async def resume(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Resume paused tasks."""

    def may(row: TaskRow) -> None:
        if row.status != TaskStatus.RUNNING:
            raise Conflict(
                f"{_format_number(row)} is {row.status.replace('_', ' ')}, not paused."
                + (
                    f" To let it start: taskdeck release {row.number}"
                    if row.status == TaskStatus.HELD
                    else ""
                )
            )

    return await _apply_to_tasks(
        call,
        "resume",
        ids,
        select,
        may,
        lambda c, rows: transitions.resume(c, _get_uuids(rows), call.by),
    )


async def _wait_for_start(call: Call, ids: Ids, select: Select) -> None:
    """Wait until no task is between claim and start, at most a second."""

    def starting(c: Connection) -> bool:
        return any(run.status == RunStatus.STARTING for row in lookup.resolve(c, ids,
        select).tasks if row.status == TaskStatus.RUNNING
                   for run in reads.list_runs(c, row.uuid))  # fmt: skip

    if call.live is None:
        return
    try:
        async with asyncio.timeout(1.0):
            async for _ in call.live.watch_changes():
                if not await call.db.read(starting):
                    return
    except TimeoutError:
        return


async def hold(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Hold tasks. A running task is held from its next attempt on."""

    def may(row: TaskRow) -> None:
        if row.status in ENDED:
            raise Conflict(_describe_ended(row, "hold"))
        if row.hold:
            raise _make_note(f"{_format_number(row)} is held already.")

    report = await _apply_to_tasks(
        call,
        "hold",
        ids,
        select,
        may,
        lambda c, rows: transitions.hold(c, _get_uuids(rows), True, call.by),
    )
    report["notes"] += [
        f"#{row['number']} keeps running; the hold applies to its next attempt. "
        f"To pause it: taskdeck pause {row['number']}"
        for row in report["done"]
        if row["run"]
    ]
    return report


async def release(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Release held tasks, except quarantined tasks that lost values."""
    without_environment = await call.db.read(quarantine.find_without_environment)

    def may(row: TaskRow) -> None:
        if row.status in ENDED:
            raise Conflict(_describe_ended(row, "release"))
        if not row.hold:
            raise _make_note(f"{_format_number(row)} is not held.")
        refuse_unreadable(row, row.uuid in without_environment)

    return await _apply_to_tasks(
        call,
        "release",
        ids,
        select,
        may,
        lambda c, rows: transitions.hold(c, _get_uuids(rows), False, call.by),
    )


def refuse_unreadable(row: TaskRow, lacks_environment: bool = False) -> None:
    """Raise Conflict if parts of a task are unreadable, or if it `lacks_environment`."""
    unreadable_parts = [
        *quarantine.find_lost_values(row.launch),
        *(["environment"] if lacks_environment else []),
    ]
    if unreadable_parts:
        has_ended = row.status in ENDED
        raise Conflict(
            f"{_format_number(row)} stays {row.status if has_ended else 'held'}: its"
            f" {' and '.join(unreadable_parts)} cannot be read.",
            f"Submit it again{'' if has_ended else f', then: taskdeck cancel {row.number}'}. "
            f"Readable parts: taskdeck show --json {row.number}",
        )


async def retry(
    call: Call,
    *,
    ids: Ids = None,
    select: Select = None,
    again: bool = False,
    ends: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Retry ended tasks, successful ones only with `again`.

    `ends` gives the expected end by uuid, in UNIX seconds; a task that ended again since is
    refused.
    """
    expected = _validate("ends", _ENDS, ends or {})

    def may(row: TaskRow) -> None:
        if row.status not in ENDED:
            raise Conflict(
                f"{_format_number(row)} is {row.status}: only a task that has ended runs again."
            )
        _refuse_other_end(row, expected)
        if row.status == TaskStatus.SUCCEEDED and not again:
            raise Conflict(
                f"{_format_number(row)} succeeded. To run it again anyway: taskdeck retry --again"
                f" {row.number}"
            )
        refuse_unreadable(row)

    notes: list[str] = []

    def act(c: Connection, rows: list[TaskRow]) -> None:
        uuids = _get_uuids(rows)
        failed_parents = dependencies.list_failed_parents(c, uuids)
        transitions.retry(c, uuids, call.by)
        notes.extend(
            [
                *_describe_left_cancelled(rows, dependencies.list_cancelled_children(c, uuids)),
                *_describe_failed_parents(failed_parents),
            ]
        )

    report = await _apply_to_tasks(call, "retry", ids, select, may, act)
    report["notes"] += notes
    return report


def _refuse_other_end(row: TaskRow, ends: Mapping[str, float]) -> None:
    """Refuse a task that has ended again since the user confirmed."""
    if row.uuid in ends and ends[row.uuid] != (
        timestamps.to_unix(row.ended_at) if row.ended_at else 0.0
    ):
        ended = row.status.replace("_", " ")
        raise Conflict(
            f"{_format_number(row)} has ended again meanwhile ({ended}), so it was left alone:"
            " check it, then repeat."
        )


_MAX_NAMED = 10
"""Maximum number of tasks named in a note."""


def _describe_left_cancelled(rows: Sequence[TaskRow], numbers: Sequence[int]) -> list[str]:
    """Note the tasks that were cancelled together with these and stay cancelled."""
    if not numbers:
        return []
    named = [str(number) for number in numbers[:_MAX_NAMED]]
    shown = [f"#{number}" for number in named]
    if numbers[_MAX_NAMED:]:
        shown.append(f"{len(numbers) - _MAX_NAMED:,} more")
    whom = _format_number(rows[0]) if len(rows) == 1 else "them"
    were, stay, too = ("was", "stays", "it") if len(numbers) == 1 else ("were", "stay", "them")
    return [
        f"{_join_with_and(shown)} {were} cancelled with {whom} and {stay} cancelled."
        f" To run {too} too: taskdeck retry {' '.join(named)}"
    ]


def _join_with_and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _describe_failed_parents(failed_parents: Sequence[Any]) -> list[str]:
    """Note the tasks that run although a parent did not succeed."""
    said = [
        f"#{row.number} runs anyway: #{row.parent}, which it depends on,"
        f" {PARENT_ENDINGS[row.status]}."
        for row in failed_parents[:_MAX_NAMED]
    ]
    return said + (
        [f"and {len(failed_parents) - _MAX_NAMED:,} more like this."]
        if failed_parents[_MAX_NAMED:]
        else []
    )


async def rm(
    call: Call, *, ids: Ids = None, select: Select = None, ends: dict[str, float] | None = None
) -> dict[str, Any]:
    """Delete ended tasks with their runs and logs; `ends` as in `retry`."""
    expected = _validate("ends", _ENDS, ends or {})

    def may(row: TaskRow) -> None:
        if row.status not in ENDED:
            raise Conflict(
                f"{_format_number(row)} is {row.status}: only a task that has ended can be"
                " removed.",
                f"To end it: taskdeck cancel {row.number}",
            )
        _refuse_other_end(row, expected)

    def act(c: Connection, rows: list[TaskRow]) -> None:
        task_fields.mark_deleted(c, _get_uuids(rows))

    return await _apply_to_tasks(call, "rm", ids, select, may, act)


async def front(
    call: Call, *, ids: Ids = None, select: Select = None, value: int | None = None
) -> dict[str, Any]:
    """Move tasks to the front of their queues, in the given order.

    `value` restores an earlier position.
    """
    top = 0

    def act(c: Connection, rows: list[TaskRow]) -> None:
        nonlocal top
        top = max(top, task_fields.find_highest_front(c))
        new = [
            {"at": row.uuid, "front": value if value is not None else top + len(rows) - at}
            for at, row in enumerate(rows)
        ]
        task_fields.update_column(c, "front", new)
        top += len(rows)

    # Each batch goes above all others, so the last one is moved first.
    return await _apply_to_tasks(
        call, "front", ids, select, _check_movable, act, last_first=value is None
    )


def _make_waiting_check(verb: str) -> TaskCheck:
    def may(row: TaskRow) -> None:
        if row.status in ENDED:
            again = (
                "taskdeck retry"
                f" {'--again ' if row.status == TaskStatus.SUCCEEDED else ''}{row.number}"
            )
            raise Conflict(
                _describe_ended(row, verb),
                f"To submit a changed copy: R in the deck; to run it again: {again}",
            )

    return may


def _check_movable(row: TaskRow) -> None:
    _make_waiting_check("move")(row)
    if row.status in ACTIVE:
        raise _make_note(f"{_format_number(row)} is {row.status} already.")


_FIELDS: dict[str, TypeAdapter[Any]] = {
    "priority": TypeAdapter(task_spec.Priority),
    "queue": TypeAdapter(str),
    "cpu": TypeAdapter(task_spec.Cpu),
    "memory": TypeAdapter(task_spec.Size),
    "timeout": TypeAdapter(task_spec.Duration | None),
    "retries": TypeAdapter(task_spec.Retries),
    "retry_delay": TypeAdapter(task_spec.Duration),
    "grace": TypeAdapter(task_spec.Duration),
    "name": TypeAdapter(task_spec.NameStr),
    "pinned": TypeAdapter(bool),
    "at": TypeAdapter(str),
}
NOW = "now"
"""Value that removes the earliest start time."""
ALWAYS_SETTABLE = frozenset({"pinned"})
"""Fields that do not affect runs and can also be set on ended tasks."""


async def set_(
    call: Call, *, ids: Ids = None, select: Select = None, fields: dict[str, Any]
) -> dict[str, Any]:
    """Change settings of tasks.

    A running task uses them from its next attempt on; only a shorter timeout applies at once.
    """
    values = {name: _parse_field(name, value) for name, value in fields.items()}
    if not values:
        raise Usage("nothing to set. Options: --priority, --queue, --cpu, --memory, --timeout, …")
    if "at" in values:
        values["not_before"] = (
            None if (at := values.pop("at")) == NOW else submit.parse_start_time(at)
        )
    check = await call.db.read(_make_settable_check, values)
    was: dict[str, dict[str, Any]] = {}
    limits: dict[str, float] = {}

    def act(c: Connection, rows: list[TaskRow]) -> None:
        was.update({row.uuid: {name: getattr(row, name) for name in values} for row in rows})
        task_fields.update_tasks(c, _get_uuids(rows), values)
        if "timeout" in values:
            limits.update(setting_checks.map_kept_limits(c, values["timeout"]))
        if "not_before" in values:
            transitions.recompute_waiting_state(c, _get_uuids(rows), call.by)

    report = await _apply_to_tasks(call, f"set {' '.join(fields)}", ids, select, check, act)
    for row in report["done"]:
        row["before"] |= was[row["uuid"]]
    running = [row for row in report["done"] if row["status"] in ACTIVE]
    if values.keys() - {"name", "timeout", *ALWAYS_SETTABLE}:
        report["notes"] += [setting_checks.note_kept(row, "values") for row in running]
    else:
        report["notes"] += [
            setting_checks.note_kept(
                row, f"limit of {units.format_duration_setting(limits[row['uuid']])}"
            )
            for row in running
            if row["uuid"] in limits
        ]
    if (
        report["done"]
        and (at := values.get("not_before"))
        and (seconds := submit.get_seconds_since(at)) > submit.PAST_TOLERANCE
    ):
        report["notes"].append(
            f"start time is {units.format_age(seconds)} in the past: it is ignored."
        )
    return report


def _make_settable_check(c: Connection, values: dict[str, Any]) -> TaskCheck:
    """Return a check that refuses ended tasks and requests their pool cannot hold.

    Ended tasks can still be pinned. Raise NotFound for the queue.
    """
    places = templates.read_queue_pools(c)
    if "queue" in values and values["queue"] not in places:
        raise lookup.make_unknown_queue(values["queue"], list(places))

    begun = setting_checks.map_start_times(c) if values.get("timeout") is not None else {}

    def may(row: TaskRow) -> None:
        if not values.keys() <= ALWAYS_SETTABLE:
            _make_waiting_check("set")(row)
        if "not_before" in values and row.status in ACTIVE:
            raise Conflict(f"{_format_number(row)} has started, so its start time cannot change.")
        if row.uuid in begun:
            setting_checks.refuse_passed_limit(row, values["timeout"], begun[row.uuid])
        setting_checks.refuse_misfit(places, row, values)

    return may


def _parse_field(name: str, value: Any) -> Any:
    if name not in _FIELDS:
        near = find_nearest(name, _FIELDS)
        raise Usage(
            f'there is no option "{sanitize(name)}" to set.'
            + (f" Nearest: {near}." if near else "")
        )
    return _validate(name, _FIELDS[name], value)


# --- wait -------------------------------------------------------------------------------


async def wait(
    call: Call, *, ids: Sequence[str | int], timeout: float | None = None
) -> list[dict[str, Any]]:
    """Wait until all tasks have ended and return their outcomes with exit codes.

    A task that cannot proceed by itself is noted once.
    """
    timeout = _validate("timeout", _SECONDS, timeout)
    rows = await call.db.read(lambda c: [lookup.find_task(c, ident) for ident in ids])
    if not rows:
        raise Usage("which tasks? Give numbers.")
    left = [row.uuid for row in rows]
    if call.live is None:
        if await call.db.read(reads.list_unended, left):
            raise Stopped(
                "no runtime is running, so no end is recorded.", "Start it: taskdeck serve --detach"
            )
        return await call.db.read(_read_outcomes, left)
    told: set[str] = set()
    try:
        async with asyncio.timeout(timeout):
            async for _ in call.live.watch_changes():
                going = await call.db.read(reads.list_unended, left)
                if not going:
                    return await call.db.read(_read_outcomes, [row.uuid for row in rows])
                left = [task.uuid for task in going]
                _note_stuck(call, going, told)
    except TimeoutError:
        raise _make_wait_timeout(timeout or 0.0) from None
    raise Conflict("the runtime is stopping.", "Try again.")


def _make_wait_timeout(seconds: float) -> Problem:
    problem = Problem(
        f"gave up waiting after {units.format_duration(seconds)}; nothing was stopped."
    )
    problem.code, problem.exit_code = "wait-timeout", 6
    return problem


def _read_outcomes(c: Connection, uuids: Sequence[str]) -> list[dict[str, Any]]:
    rows = {row.uuid: row for row in reads.list_by_uuid(c, uuids)}
    last = reads.map_last_runs(
        c, [uuid for uuid in uuids if uuid in rows and rows[uuid].status in ENDED]
    )
    return [_format_outcome(rows.get(uuid), last.get(uuid), uuid) for uuid in uuids]


def _format_outcome(row: TaskRow | None, run: Any, uuid: str) -> dict[str, Any]:
    if row is None:  # The task was deleted during the wait.
        return {"number": None, "name": uuid, "status": TaskStatus.CANCELLED, "exit_code": None,
        "signal": None, "reason": "removed",
                "code": 125}  # fmt: skip
    exit_code, signal = (run.exit_code, run.signal) if run and row.status in ENDED else (None, None)
    return {"number": row.number, "name": row.name, "status": row.status, "exit_code": exit_code,
    "signal": signal,
            "reason": row.reason, "code": _get_exit_code(row.status, exit_code,
            signal)}  # fmt: skip


def _get_exit_code(status: str, exit_code: int | None, signal: int | None) -> int:
    """Return the exit code of `wait`."""
    fixed = {
        TaskStatus.SUCCEEDED: 0,
        TaskStatus.TIMED_OUT: 124,
        TaskStatus.CANCELLED: 125,
        TaskStatus.LOST: 125,
    }
    if status in fixed:
        return fixed[TaskStatus(status)]
    return exit_code if exit_code is not None else 128 + signal if signal is not None else 1


def _note_stuck(call: Call, going: Sequence[Any], noted: set[str]) -> None:
    """Note once each task that does not proceed by itself."""
    halted = call.live.halted if call.live else None
    stops = (
        [f"nothing starts: {halted}"]
        if halted and any(task.status == TaskStatus.QUEUED for task in going)
        else []
    )
    for said in (*stops, *map(_describe_stuck, going)):
        if said and said not in noted:
            noted.add(said)
            call.note(said)


def _describe_stuck(task: Any) -> str | None:
    if task.status == TaskStatus.HELD:
        return f"#{task.number} is held: it starts only after taskdeck release {task.number}"
    if task.paused:
        return f"#{task.number} is paused until taskdeck resume {task.number}"
    return _describe_closed(task) if task.status == TaskStatus.QUEUED else None


def _describe_closed(task: Any) -> str | None:
    """Describe what keeps a queue from starting anything, regardless of free resources."""
    queue, pool = sanitize(task.queue), sanitize(task.pool)
    named, drawn = sanitize(shlex.quote(task.queue)), sanitize(shlex.quote(task.pool))
    if task.queue_status != "active":
        return (
            f"queue {queue} is {task.queue_status}: #{task.number} starts only after taskdeck queue"
            f" resume {named}"
        )
    if task.pool_status != "active":
        return (
            f"pool {pool} is {task.pool_status}: #{task.number} starts only after taskdeck pool"
            f" resume {drawn}"
        )
    if task.capacity == 0:
        return (
            f"queue {queue} has capacity 0: #{task.number} starts only after taskdeck queue set"
            f" {named} --capacity 1"
        )
    return None
