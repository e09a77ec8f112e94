"""Task actions: cancel, pause, hold, retry and edit.

Each verb takes ids or a selection, does all it can, and lists its refusals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from app.core import task_spec
from app.core.notifications import notices
from app.core.text import units
from app.core.text.exit_text import get_signal_name
from app.core.text.sanitize import find_nearest, sanitize
from app.core.verb_states import VERB_STATES, WAITING_STATES
from app.errors import Conflict, Usage
from app.service import notifications
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes import new_values, setting_checks, work
from app.service.tasks.changes.apply import (
    RECORDED_FIELDS,
    Ids,
    Select,
    TaskCheck,
    apply_to_tasks,
    format_done,
    format_number,
    get_uuids,
    make_note,
)
from app.service.tasks.changes.option_values import ATTEMPTS, ENDS, SECONDS, SIGNAL, validate
from app.service.tasks.changes.retry import refuse_other_end, refuse_unreadable
from app.service.tasks.client_bounds import ClientGuard, parse_client, refuse_with_client
from app.service.tasks.inspection import views
from app.service.tasks.lookup import AnyTask
from app.service.tasks.places import Place, read_places
from app.service.tasks.submission import start_times
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.errors import DiskFull
from db.queries import reads
from db.queries.tasks import task_fields, transitions
from db.states import ACTIVE, ENDED, WAITING, RunStatus, TaskStatus

CANCELLED_FIELDS = ("status", "grace", "retry_at")
"""Fields that a cancel may change."""


async def cancel(
    call: Call, *, ids: Ids = None, select: Select = None, signal: int | None = None,
    grace: float | None = None, waiting: bool = False,
    attempts: dict[str, int] | None = None, brief: bool = False,
    client: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Cancel tasks: waiting ones at once, running ones by TERM, grace and KILL.

    With `signal`, only send that signal. With `waiting`, refuse tasks that have started. `attempts`
    gives the expected attempt by uuid; a task that was retried since is refused. With `brief`, the
    answer holds each result once, with its `count`. With `client`, refuse tasks of others.
    """
    expected = validate("attempts", ATTEMPTS, attempts or {})
    guard = ClientGuard(parse_client(client), call.by)
    if signal is not None:
        refuse_with_client(guard.client, "signal")
        return await _send_signal(call, ids, select, validate("signal", SIGNAL, signal), expected)
    grace = validate("grace", SECONDS, grace)

    def may(row: AnyTask) -> None:
        guard.refuse_others(row)
        if row.status in ENDED:
            raise make_note(describe_ended(row, "cancel"))
        if waiting and row.status not in WAITING:
            raise Conflict(
                "{number} has started meanwhile, so it was left alone: to end it, cancel it again.",
                number=format_number(row),
            )
        _refuse_other_run(row, expected)

    def act(c: Connection, rows: list[AnyTask]) -> None:
        if grace is not None:
            task_fields.update_column(
                c, "grace", [{"at": row.uuid, "grace": grace} for row in rows]
            )
        transitions.cancel(c, get_uuids(rows), call.by)

    try:
        return await apply_to_tasks(
            call, "cancel", ids, select, may, act, CANCELLED_FIELDS, is_brief=brief,
            prepare=guard.prepare_cancel,
        )  # fmt: skip
    except DiskFull as problem:
        if waiting or guard.client:
            raise
        return await _cancel_unrecorded(call, ids, select, grace, problem, expected)


def describe_ended(row: AnyTask, verb: str) -> str:
    """Return the sentence that an ended task is left alone."""
    ago = ""
    if row.ended_at:
        age = timestamps.utcnow() - timestamps.parse_time(row.ended_at)
        ago = tr(", {age} ago", age=units.format_age(age.total_seconds()))
    return tr(
        "{number} has ended ({status}{ago}); there is nothing to {verb}.",
        number=format_number(row),
        status=tr(row.status.replace("_", " ")),
        ago=ago,
        verb=verb,
    )


async def preview_cancel(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Return the tasks that a cancel would end, and the waiting tasks that depend on them.

    Dependents are {number, name}. Unknown ids are in `refused`.
    """
    return await call.db.read(_read_cancel_preview, ids, select)


def _read_cancel_preview(c: Connection, ids: Ids, select: Select) -> dict[str, Any]:
    found = lookup.resolve(c, ids, select)
    return {
        "tasks": [
            {key: getattr(row, key) for key in ("uuid", "number", "name", "status", "grace")}
            if select
            else views.task_to_dict(row)
            for row in found.tasks
        ],
        "dependents": [
            {"number": child.number, "name": child.name}
            for child in reads.list_waiting_dependents(c, get_uuids(found.tasks))
        ],
        "refused": list(found.refused),
    }


def _refuse_other_run(row: AnyTask, attempts: Mapping[str, int]) -> None:
    """Refuse a task whose expected run has ended and that runs or waits again.

    The user did not confirm the new run. The confirmation covers automatic retries.
    """
    if row.uuid not in attempts or row.status in ENDED:
        return
    expected = row.status in (
        TaskStatus.RUNNING,
        TaskStatus.RETRYING,
    ) and row.attempts == attempts.get(row.uuid)
    if not expected:
        is_running = row.status == TaskStatus.RUNNING
        now = tr("runs again") if is_running else tr("is {state}", state=tr(row.status))
        raise Conflict(
            "{number} has ended meanwhile and {now}, so it was left alone: check it, then repeat.",
            number=format_number(row),
            now=now,
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
    note = tr("the disk is full: the cancellation is recorded, but not its author.")
    return {
        "operations": [],
        "done": [format_done(row, {"status": row.status}, RunStatus.STOPPING) for row in going],
        "refused": [*found.refused, *left],
        "notes": [note],
    }


async def _send_signal(
    call: Call, ids: Ids, select: Select, number: int, attempts: Mapping[str, int]
) -> dict[str, Any]:
    runids: list[str] = []

    def may(row: AnyTask) -> None:
        if row.status != TaskStatus.RUNNING:
            raise Conflict(
                "{number} is {status}: it has no process to send {signal_name} to.",
                number=format_number(row),
                status=tr(row.status.replace("_", " ")),
                signal_name=get_signal_name(number),
            )
        _refuse_other_run(row, attempts)

    def act(c: Connection, rows: list[AnyTask]) -> None:
        uuids = {*get_uuids(rows)}
        runids.extend(
            run.runid
            for run in reads.list_running(c)
            if run.task_id in uuids and run.status in ("running", "paused", "stopping")
        )

    report = await apply_to_tasks(call, f"signal {get_signal_name(number)}", ids, select, may, act)
    if call.live is not None:
        call.live.signal(runids, number)
    return report


async def pause(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Pause running tasks."""

    def may(row: AnyTask) -> None:
        if row.status in WAITING:
            raise Conflict(
                "{number} has not started; to keep it from starting: taskdeck hold {word}",
                number=format_number(row),
                word=row.number,
            )
        if row.status in ENDED:
            raise Conflict(describe_ended(row, "pause"))

    limits: dict[str, float] = {}

    def act(c: Connection, rows: list[AnyTask]) -> None:
        limits.update({row.uuid: row.timeout for row in rows if row.timeout is not None})
        transitions.pause(c, get_uuids(rows), call.by)

    await _wait_for_start(call, ids, select)
    report = await apply_to_tasks(call, "pause", ids, select, may, act)
    report["notes"] += [
        tr(
            "#{number} is paused, but its limit of {duration} keeps counting.",
            number=row["number"],
            duration=units.format_duration_setting(limits[row["uuid"]]),
        )
        for row in report["done"]
        if row["uuid"] in limits
    ]
    return report


async def resume(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Resume paused tasks."""

    def may(row: AnyTask) -> None:
        if row.status != TaskStatus.RUNNING:
            raise Conflict(
                f"{format_number(row)} is {row.status.replace('_', ' ')}, not paused."
                + (
                    f" To let it start: taskdeck release {row.number}"
                    if row.status == TaskStatus.HELD
                    else ""
                )
            )

    return await apply_to_tasks(
        call,
        "resume",
        ids,
        select,
        may,
        lambda c, rows: transitions.resume(c, get_uuids(rows), call.by),
    )


async def _wait_for_start(call: Call, ids: Ids, select: Select) -> None:
    """Wait until no task is between claim and start, at most a second."""

    def starting(c: Connection) -> bool:
        claimed = [run for run in reads.list_running(c) if run.status == RunStatus.STARTING]
        uuids = {*lookup.resolve_uuids(c, ids, select, ("running",))[0]} if claimed else ()
        return any(run.task_id in uuids for run in claimed)

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

    def may(row: AnyTask) -> None:
        if row.status in ENDED:
            raise Conflict(describe_ended(row, "hold"))
        if row.hold:
            raise make_note(tr("{row} is held already.", row=format_number(row)))

    report = await apply_to_tasks(
        call,
        "hold",
        ids,
        select,
        may,
        lambda c, rows: transitions.hold(c, get_uuids(rows), True, call.by),
    )
    report["notes"] += [
        tr(
            "#{number} keeps running; the hold applies to its next attempt. To pause it:"
            " taskdeck pause {number}",
            number=row["number"],
        )
        for row in report["done"]
        if row["run"]
    ]
    return report


async def release(call: Call, *, ids: Ids = None, select: Select = None) -> dict[str, Any]:
    """Release held tasks, except tasks that lost values."""

    def may(row: AnyTask) -> None:
        if row.status in ENDED:
            raise Conflict(describe_ended(row, "release"))
        if not row.hold:
            raise make_note(tr("{row} is not held.", row=format_number(row)))
        refuse_unreadable(row)

    return await apply_to_tasks(
        call,
        "release",
        ids,
        select,
        may,
        lambda c, rows: transitions.hold(c, get_uuids(rows), False, call.by),
    )


async def rm(
    call: Call, *, ids: Ids = None, select: Select = None, ends: dict[str, float] | None = None
) -> dict[str, Any]:
    """Delete ended tasks with their runs and logs; `ends` as in `retry`."""
    expected = validate("ends", ENDS, ends or {})

    def may(row: AnyTask) -> None:
        if row.status not in ENDED:
            raise Conflict(
                "{number} is {status}: only a task that has ended can be removed.",
                "To end it: taskdeck cancel {word}",
                number=format_number(row),
                status=tr(row.status),
                word=row.number,
            )
        refuse_other_end(row, expected)

    def act(c: Connection, rows: list[AnyTask]) -> None:
        task_fields.mark_deleted(c, get_uuids(rows))

    return await apply_to_tasks(call, "rm", ids, select, may, act)


async def front(
    call: Call, *, ids: Ids = None, select: Select = None, value: int | None = None
) -> dict[str, Any]:
    """Move tasks to the front of their queues, in the given order.

    `value` restores an earlier position.
    """
    top = 0

    def act(c: Connection, rows: list[AnyTask]) -> None:
        nonlocal top
        top = max(top, task_fields.find_highest_front(c))
        new = [
            {"at": row.uuid, "front": value if value is not None else top + len(rows) - at}
            for at, row in enumerate(rows)
        ]
        task_fields.update_column(c, "front", new)
        top += len(rows)

    # Each batch goes above all others, so the last one is moved first.
    return await apply_to_tasks(
        call, "front", ids, select, _check_movable, act, last_first=value is None
    )


def _make_waiting_check(verb: str) -> TaskCheck:
    def may(row: AnyTask) -> None:
        if row.status in ENDED:
            again = (
                "taskdeck retry"
                f" {'--again ' if row.status == TaskStatus.SUCCEEDED else ''}{row.number}"
            )
            raise Conflict(
                describe_ended(row, verb),
                f"To run it again: {again}, also with --cpu, --memory or --timeout; to submit a"
                " changed copy: R in the deck",
            )

    return may


def _check_movable(row: AnyTask) -> None:
    _make_waiting_check("move")(row)
    if row.status in ACTIVE:
        raise make_note(
            tr("{row} is {status} already.", row=format_number(row), status=tr(row.status))
        )


_FIELDS: dict[str, TypeAdapter[Any]] = {
    "priority": TypeAdapter(task_spec.Priority),
    "queue": TypeAdapter(str),
    "cpu": TypeAdapter(task_spec.Cpu),
    "memory": TypeAdapter(task_spec.Size),
    "resources": TypeAdapter(task_spec.Resources),
    "timeout": TypeAdapter(task_spec.Timeout | None),
    "retries": TypeAdapter(task_spec.Retries),
    "retry_delay": TypeAdapter(task_spec.Duration),
    "grace": TypeAdapter(task_spec.Duration),
    "name": TypeAdapter(task_spec.NameStr),
    "signal": TypeAdapter(task_spec.EarlySignalText),
    "retry_on_oom": TypeAdapter(task_spec.OomRetryText),
    "pinned": TypeAdapter(bool),
    "at": TypeAdapter(str),
    "notify": TypeAdapter(task_spec.NameStr),
    "notify_on": TypeAdapter(task_spec.Outcome),
}
_NOTICE_FIELDS = ("notify", "notify_on")
NOW = "now"
"""Value that removes the earliest start time."""
ALWAYS_SETTABLE = frozenset({"pinned"})
"""Fields that do not affect runs and can also be set on ended tasks."""


async def set_(
    call: Call, *, ids: Ids = None, select: Select = None, fields: dict[str, Any]
) -> dict[str, Any]:
    """Change settings of tasks.

    A running task uses new settings from its next attempt on. Only a shorter timeout applies at
    once, and who hears of its end. `notify` is a channel, `none` or `default`. What a task runs
    (`argv` or `script`, `cwd`, and `env`, which adds variables) changes only while the task waits.
    """
    changed = work.parse_fields({name: fields[name] for name in fields.keys() & work.FIELDS})
    given = {name: value for name, value in fields.items() if name not in work.FIELDS}
    values = {name: parse_field(name, value) for name, value in given.items()}
    if not values and not changed:
        raise Usage("nothing to set. Options: --priority, --queue, --cpu, --memory, --timeout, …")
    if "at" in values:
        values["not_before"] = (
            None if (at := values.pop("at")) == NOW else start_times.parse_start_time(at)
        )
    if "signal" in values:
        values["early_signal"] = values.pop("signal")
    notice = {name: values.pop(name) for name in _NOTICE_FIELDS if name in values}
    check = await call.db.read(make_settable_check, values)
    bounds = await call.db.read(setting_checks.LimitCheck, values)
    check = _make_limit_check(check, bounds, values)
    check = _make_notice_check(call, check, notice) if notice else check
    check = _make_work_check(check, changed) if changed else check
    was: dict[str, dict[str, Any]] = {}
    limits: dict[str, float] = {}

    def act(c: Connection, rows: list[AnyTask]) -> None:
        was.update({row.uuid: {name: getattr(row, name) for name in values} for row in rows})
        work.write_work(c, rows, changed)
        _write_settings(c, rows, values, notice)
        if "timeout" in values:
            limits.update(setting_checks.map_kept_limits(c, values["timeout"]))
        if "not_before" in values:
            transitions.recompute_waiting_state(c, get_uuids(rows), call.by)

    recorded = work.WORK_FIELDS if changed else RECORDED_FIELDS
    verb = f"set {' '.join(fields)}"
    states = _choose_states({**values, **changed, **notice})
    report = await apply_to_tasks(
        call, verb, ids, select, check, act, recorded, states=states, prepare=bounds.prepare
    )
    for row in report["done"]:
        row["before"] |= was[row["uuid"]]
        if "env" in row["changes"]:
            row["changes"] = row["changes"] | {"env": _mask_pair(*row["changes"]["env"])}
    report["notes"] += _list_kept(report["done"], values, limits)
    if (
        report["done"]
        and (at := values.get("not_before"))
        and (seconds := start_times.get_seconds_since(at)) > start_times.PAST_TOLERANCE
    ):
        report["notes"].append(
            tr("start time is {age} in the past: it is ignored.", age=units.format_age(seconds))
        )
    return report


def _choose_states(changed: Mapping[str, Any]) -> Sequence[str]:
    """Return the states of the tasks of a group that get new settings."""
    if changed.keys() <= ALWAYS_SETTABLE:
        return tuple(TaskStatus)
    return WAITING_STATES if "not_before" in changed else VERB_STATES["set"]


def _mask_pair(old: Any, new: Any) -> list[Any]:
    """Return old and new variables without their values."""
    return [state["env"] for state in work.mask_variables({"env": old}, {"env": new})]


def _make_limit_check(
    check: TaskCheck, bounds: setting_checks.LimitCheck, values: dict[str, Any]
) -> TaskCheck:
    """Return a check that also refuses requests above limits."""

    def may(row: AnyTask) -> None:
        check(row)
        bounds.refuse_excess(row, new_values.join_resources(row, values))

    return may


def _make_work_check(check: TaskCheck, values: Mapping[str, Any]) -> TaskCheck:
    """Return a check that also refuses tasks whose work cannot change."""

    def may(row: AnyTask) -> None:
        check(row)
        _make_waiting_check("set")(row)
        work.refuse_fixed_work(row, values)

    return may


def _list_kept(
    done: Sequence[Mapping[str, Any]], values: Mapping[str, Any], limits: Mapping[str, float]
) -> list[str]:
    """Return a note for each running task that keeps a setting until its next attempt."""
    running = [row for row in done if row["status"] in ACTIVE]
    if values.keys() - {"name", "timeout", *ALWAYS_SETTABLE}:
        return [setting_checks.note_kept(row, "values") for row in running]
    return [
        setting_checks.note_kept(
            row,
            tr("limit of {duration}", duration=units.format_duration_setting(limits[row["uuid"]])),
        )
        for row in running
        if row["uuid"] in limits
    ]


def _make_notice_check(call: Call, check: TaskCheck, notice: Mapping[str, str]) -> TaskCheck:
    """Return a check that also refuses `--notify-on` for a task without a channel.

    Raise NotFound for an unknown channel.
    """
    settings = notifications.get_settings(call)
    if "notify" in notice:
        notifications.check_notice(settings, notice["notify"], None, "Nothing was changed.")

    def may(row: AnyTask) -> None:
        check(row)
        _make_waiting_check("set")(row)
        if "notify" not in notice and not notices.has_channel(row.notify):
            what = tr("{row} was not changed.", row=format_number(row))
            notifications.check_notice(settings, None, notice["notify_on"], what)

    return may


def _write_settings(
    c: Connection, rows: Sequence[AnyTask], values: dict[str, Any], notice: Mapping[str, str]
) -> None:
    new_values.write_values(c, rows, values)
    if notice:
        task_fields.update_column(c, "notify", [_make_notice(row, notice) for row in rows])


def _make_notice(row: AnyTask, notice: Mapping[str, str]) -> dict[str, str | None]:
    changed = notices.change_notice(row.notify, notice.get("notify"), notice.get("notify_on"))
    return {"at": row.uuid, "notify": changed}


def make_settable_check(
    c: Connection, values: dict[str, Any], supposed: Mapping[str, Place] | None = None
) -> TaskCheck:
    """Return a check that refuses ended tasks and requests their pool cannot hold.

    Ended tasks can still be pinned. `supposed` replaces the pools of queues. Raise NotFound for the
    queue.
    """
    places = read_places(c) if supposed is None else supposed
    if "queue" in values and values["queue"] not in places:
        raise lookup.make_unknown_queue(values["queue"], list(places))

    begun = setting_checks.map_start_times(c) if values.get("timeout") is not None else {}

    def may(row: AnyTask) -> None:
        if not values.keys() <= ALWAYS_SETTABLE:
            _make_waiting_check("set")(row)
        if "not_before" in values and row.status in ACTIVE:
            raise Conflict(
                "{number} has started, so its start time cannot change.", number=format_number(row)
            )
        setting_checks.refuse_early_signal(row, values)
        setting_checks.refuse_oom_limit(row, values)
        if row.uuid in begun:
            setting_checks.refuse_passed_limit(row, values["timeout"], begun[row.uuid])
        setting_checks.refuse_misfit(places, row, new_values.join_resources(row, values))

    return may


def parse_field(name: str, value: Any) -> Any:
    """Return the value of a setting of a task. Raise Usage."""
    if name not in _FIELDS:
        near = find_nearest(name, _FIELDS)
        raise Usage(
            f'there is no option "{sanitize(name)}" to set.'
            + (f" Nearest: {near}." if near else "")
        )
    return validate(name, _FIELDS[name], value)
