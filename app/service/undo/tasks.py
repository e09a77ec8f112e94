"""Undo of operations on tasks. Each is checked alone; all are written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.text import diff
from app.core.text.diff import ChangedField, parse_task_number
from app.errors import Problem, Refused
from app.service.operations import describe_later_change, make_has_changed
from app.service.tasks.changes import actions, apply, setting_checks, work
from app.service.tasks.places import Place, read_places
from app.translation import tr
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.tasks import dependencies, task_fields, transitions
from db.rows import OperationRow, TaskRow
from db.states import ACTIVE, ENDED, RunStatus, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskUndo:
    """Undo of one operation: its task, and the values to restore."""

    operation: OperationRow
    task: TaskRow
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UndoFacts:
    """Current data for deciding which operations can be undone."""

    tasks: Mapping[int, TaskRow]
    runs: Mapping[str, str]
    later: Mapping[str, Sequence[OperationRow]]
    places: Mapping[str, Place]
    broken: Mapping[str, int]
    variables: Mapping[str, dict[str, str] | None]
    """Own variables of the tasks whose variables changed."""


def plan_undo(
    c: Connection, rows: Sequence[OperationRow]
) -> tuple[list[TaskUndo], list[tuple[OperationRow, Problem]]]:
    """Return the operations that can be undone, and the refusals of the others."""
    found = reads.map_by_number(c, [parse_task_number(row.object) or 0 for row in rows])
    cancelled = [task.uuid for task in found.values() if task.status == TaskStatus.CANCELLED]
    facts = UndoFacts(found, apply.read_states(c, list(found.values())).runs,
    operations.map_later(c, rows), read_places(c),
                  dependencies.find_failed_parents(c, cancelled),
                  _read_variables(c, rows, found))  # fmt: skip
    able: list[TaskUndo] = []
    refused: list[tuple[OperationRow, Problem]] = []
    for row in rows:
        try:
            able.append(_plan_one(row, facts, {back.task.number for back in able}))
        except Problem as problem:
            refused.append((row, problem))
    return able, refused


def _read_variables(
    c: Connection, rows: Sequence[OperationRow], tasks: Mapping[int, TaskRow]
) -> dict[str, dict[str, str] | None]:
    """Return {uuid: its own variables} of the tasks whose variables the operations changed."""
    numbers = {parse_task_number(row.object) or 0 for row in rows if "env" in (row.after or {})}
    uuids = [tasks[number].uuid for number in numbers if number in tasks]
    return {uuid: reads.get_environment(c, uuid)[1] or None for uuid in uuids}


def apply_undo(c: Connection, by: Actor, undos: Sequence[TaskUndo]) -> None:
    """Undo the operations and record the undo."""
    rows = [back.task for back in undos]
    is_work = any(not back.values.keys().isdisjoint(work.COLUMNS) for back in undos)
    fields = work.WORK_FIELDS if is_work else apply.RECORDED_FIELDS
    before = apply.read_states(c, rows, fields)
    others = _restore_cancelled(c, by, [back for back in undos if back.operation.verb == "cancel"])
    _restore_holds_and_pauses(c, by, undos)
    for name in {name for back in undos for name in back.values} - {
        "hold",
        "run",
        "status",
        "retry_at",
        "launch",
    }:
        task_fields.update_column(
            c,
            name,
            [
                {"at": back.task.uuid, name: back.values[name]}
                for back in undos
                if name in back.values
            ],
        )
    if launches := [
        (back.task, back.values["launch"]) for back in undos if "launch" in back.values
    ]:
        work.write_launches(c, launches)
    transitions.recompute_waiting_state(
        c, [back.task.uuid for back in undos if "not_before" in back.values], by
    )
    after = apply.read_states(c, rows, fields)
    changed = before.map_differences(after)
    done = [(back.operation, *changed[back.task.uuid][:2]) for back in undos]
    if others:
        done[0] = (done[0][0], done[0][1], {**done[0][2], "with": others})
    operations.record_undone(c, by, done)


def _restore_cancelled(c: Connection, by: Actor, undos: Sequence[TaskUndo]) -> list[int]:
    return (
        transitions.undo_cancel(
            c, {back.task.uuid: back.values.get("retry_at") for back in undos}, by
        )
        if undos
        else []
    )


def _restore_holds_and_pauses(c: Connection, by: Actor, undos: Sequence[TaskUndo]) -> None:
    """Restore holds and pauses."""
    for on in (True, False):
        held = [back.task.uuid for back in undos if back.values.get("hold") is on]
        if held:
            transitions.hold(c, held, on, by)
    for status, turn in (
        (RunStatus.PAUSED, transitions.pause),
        (RunStatus.RUNNING, transitions.resume),
    ):
        runs = [back.task.uuid for back in undos if back.values.get("run") == status]
        if runs:
            turn(c, runs, by)


# --- checks -----------------------------------------------------------------------------


def _plan_one(row: OperationRow, facts: UndoFacts, coming: set[int]) -> TaskUndo:
    """Return the undo of an operation. Raise Refused.

    `coming` are tasks that earlier undos bring back.
    """
    number = parse_task_number(row.object) or 0
    task = facts.tasks.get(number)
    if task is None:
        raise Refused("#{number} no longer exists.", number=number)
    was = {field.name: field for field in diff.diff_fields(row.before, row.after)}
    touched = set(was) - {"status"} if row.verb != "cancel" else {"status"}
    if how := describe_later_change(facts.later.get(row.object, ()), row, touched):
        raise make_has_changed(f"#{number}", how)
    if row.verb == "cancel":
        _check_cancelled(task, facts, coming)
    elif "run" in was:
        _check_run(task, was["run"], facts)
    else:
        _check_fields(task, was, facts)
    return TaskUndo(
        row, task, {name: field.before for name, field in was.items() if name != "status"}
    )


def _check_cancelled(task: TaskRow, facts: UndoFacts, coming: set[int]) -> None:
    if task.status != TaskStatus.CANCELLED:
        raise make_has_changed(
            f"#{task.number}", tr(": it is {status}", status=tr(task.status.replace("_", " ")))
        )
    parent = facts.broken.get(task.uuid)
    if parent is not None and parent not in coming:
        raise Refused(
            "#{number} waits for #{parent}, which did not succeed: restore #{parent} first.",
            number=task.number,
            parent=parent,
        )


def _check_run(task: TaskRow, was: ChangedField, facts: UndoFacts) -> None:
    run = facts.runs.get(task.uuid)
    if run != was.after or run not in (RunStatus.PAUSED, RunStatus.RUNNING):
        state = (
            tr("its run is {run}", run=run)
            if run
            else tr("it is {status}", status=tr(task.status.replace("_", " ")))
        )
        raise make_has_changed(f"#{task.number}", f": {state}")


def _check_fields(task: TaskRow, was: Mapping[str, ChangedField], facts: UndoFacts) -> None:
    """Check that all fields are unchanged and that their old values are possible."""
    if task.status in ENDED and not was.keys() - {"status"} <= actions.ALWAYS_SETTABLE:
        raise Refused(
            "#{number} has ended ({status}).",
            number=task.number,
            status=tr(task.status.replace("_", " ")),
        )
    for name, field in was.items():
        value = facts.variables[task.uuid] if name == "env" else getattr(task, name)
        if name != "status" and value != field.after:
            now = ChangedField(name, field.after, value)
            raise make_has_changed(f"#{task.number}", f": {diff.format_change(now)}")
    if was.keys() & {"not_before", *work.COLUMNS} and task.status in ACTIVE:
        raise Refused("#{number} has started.", number=task.number)
    if "hold" in was and not was["hold"].before:
        actions.refuse_unreadable(task)
    setting_checks.refuse_misfit(
        facts.places, task, {name: field.before for name, field in was.items()}
    )
