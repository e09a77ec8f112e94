"""Undo of operations.

An operation is undone entirely or not at all, and only while its objects are unchanged since. A
submission alone is undone in part: its tasks that have started stay. Each undo is an operation
itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.core import sla
from app.core.definitions.document import TemplateDefinition
from app.core.task_groups import parse_group
from app.core.text import diff
from app.core.text.diff import parse_task_number
from app.core.text.joining import end_sentence, join_colon
from app.core.text.sanitize import sanitize
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import slas, templates
from app.service.operations import describe_later_change, explain_not_undoable, make_has_changed
from app.service.schedules import changes
from app.service.schedules.changes import TIME_COLUMNS, settle_next
from app.service.tasks import lookup
from app.service.tasks.places import read_places
from app.service.undo import submissions, tasks
from app.translation import tr
from db import differences, schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads, schedules
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.rules import alerts, silences
from db.queries.tasks import groups
from db.rows import OperationRow
from db.schema import Table

BATCH_SIZE = 200
"""Task operations undone in one transaction, 0.2 ms each. One on many alerts has its own."""
DEFINITION_WEIGHT = 5
"""Operations on tasks that take as long as one on a definition."""
_ACKNOWLEDGEMENTS = ("alert ack", "alert unack")
MAX_TRIED = 100
"""Operations on definitions that a dry run tries, 0.7 ms each."""


@dataclass(frozen=True, slots=True)
class UndoStep:
    """Undo of one operation that is not on a task. `act` performs and records it."""

    operation: OperationRow
    act: Callable[[Connection, Actor], None]


async def undo(
    call: Call, *, ids: Sequence[int] | int | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Undo operations, or without ids the last call from this terminal.

    The id of the first operation of a call means all of its operations. With `dry_run` only
    report the result. Return {"done": [{"id", "verb", "object", "number", "name", "text", "back"}],
    "refused", "notes"}: `text` describes the operation, `back` its reverse. Objects changed since
    are refused, with the change and its author. Raise Refused if there is nothing to undo, and
    NotFound for an unknown id.
    """
    by = call.by if isinstance(call.by, Actor) else Actor(call.by)
    rows = await call.db.read(_select_operations, by, ids)
    if ids is None and all(map(explain_not_undoable, rows)):
        raise await call.db.read(_make_nothing_to_undo, rows)
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for are_new, part in groupby(rows, _is_submission):
        undo_part = _undo_submissions if are_new else _undo_rows
        for key, values in (await undo_part(call, list(part), by, dry_run)).items():
            total[key] += values
    return total


def _is_submission(row: OperationRow) -> bool:
    return row.verb in submissions.VERBS and not explain_not_undoable(row)


async def _undo_submissions(
    call: Call, rows: Sequence[OperationRow], by: Actor, dry_run: bool
) -> dict[str, Any]:
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for row in rows:
        try:
            done, notes = await submissions.undo_submission(call, row, by, dry_run=dry_run)
            total["done"].append(done)
            total["notes"] += notes
        except Problem as problem:
            total["refused"].append(_format_refusal(row, problem))
    return total


async def _undo_rows(
    call: Call, rows: Sequence[OperationRow], by: Actor, dry_run: bool
) -> dict[str, Any]:
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    if dry_run and len([row for row in rows if not _is_on_task(row)]) > MAX_TRIED:
        return await call.db.read(_list_untried, rows)
    batches = _split_batches(rows, dry_run)
    with call.db.announce_large_write():
        for at, part in enumerate(batches, 1):
            is_last = at == len(batches) and not dry_run
            write = call.db.write if is_last else call.db.write_quietly
            found = await write(_try_undo if dry_run else _undo_each, part, by)
            for key, values in found.items():
                total[key] += values
    return total


def _split_batches(rows: Sequence[OperationRow], dry_run: bool) -> list[list[int]]:
    """Split operations into batches for one transaction each, in order.

    In a dry run operations on definitions, which may depend on each other, stay together.
    """
    parts: list[list[int]] = [[]]
    weight = 0
    for row in rows:
        if weight >= BATCH_SIZE:
            parts.append([])
            weight = 0
        parts[-1].append(row.id)
        weight += _weigh(row, dry_run)
    return parts


def _weigh(row: OperationRow, dry_run: bool) -> int:
    """Return the weight of an undo in its batch."""
    if row.verb in _ACKNOWLEDGEMENTS:
        return len((row.after or {}).get("ids") or ())
    return 1 if _is_on_task(row) else DEFINITION_WEIGHT * (not dry_run)


def _is_on_task(row: OperationRow) -> bool:
    return parse_task_number(row.object) is not None


def _select_operations(
    c: Connection, by: Actor, ids: Sequence[int] | int | None
) -> list[OperationRow]:
    """Return the operations to undo, newest first.

    Cancellations of one call are ordered by task number, so that parents come first.
    """
    rows = (
        _read_given(c, [ids] if isinstance(ids, int) else ids)
        if ids is not None
        else _read_last_call(c, by)
    )
    return sorted(
        rows,
        key=lambda row: (
            -(row.batch or row.id),
            parse_task_number(row.object) or 0 if row.verb == "cancel" else -row.id,
        ),
    )


def _read_given(c: Connection, ids: Sequence[int]) -> list[OperationRow]:
    if not ids or any(isinstance(number, bool) or not isinstance(number, int) for number in ids):
        raise Usage("which operations? Give their numbers.", "See them: taskdeck operations")
    rows = operations.list_by_id(c, ids)
    if missing := sorted({*ids} - {row.id for row in rows}):
        raise NotFound("no operation {number}.", "See them: taskdeck operations", number=missing[0])
    found = {row.id: row for row in rows}
    for row in rows:
        if row.batch == row.id and row.undoes is None:
            others = operations.list_batch(c, row.id, in_effect=True)
            if row.undone_by is not None and others:
                del found[row.id]
            found |= {other.id: other for other in others}
    return [*found.values()]


def _read_last_call(c: Connection, by: Actor) -> list[OperationRow]:
    first = operations.find_last_call(c, by.origin) if by.origin else None
    if first is None:
        raise Refused(
            "no operation from this terminal is left to undo.", "List: taskdeck operations"
        )
    return [row for row in operations.list_batch(c, first.id) if row.undone_by is None]


def _make_nothing_to_undo(c: Connection, rows: Sequence[OperationRow]) -> Refused:
    """Return the refusal of a last call that cannot be undone. It offers no earlier call."""
    first = min(rows, key=lambda row: row.id)
    many = tr("{verb} of {n:,} tasks", verb=sanitize(first.verb), n=len(rows))
    what = _describe(c, first) if len(rows) == 1 else many
    said = tr(
        "the last operation from this terminal, {what}, cannot be undone: {reason}.",
        what=what,
        reason=explain_not_undoable(first),
    )
    return Refused(said, "See earlier ones: taskdeck operations")


def _describe(c: Connection, row: OperationRow) -> str:
    number = parse_task_number(row.object)
    return _format_words(
        row, reads.map_names(c, [number]).get(number) if number is not None else None
    )


def _format_words(row: OperationRow, name: str | None) -> str:
    return diff.format_operation(row.verb, row.object, name, row.before, row.after)


# --- transaction ------------------------------------------------------------------------


def _try_undo(c: Connection, ids: Sequence[int], by: Actor) -> dict[str, Any]:
    """Return the result of `_undo_each` without effect.

    The undo runs in a savepoint and is rolled back, since one undo may enable another.
    """
    with c.begin_nested() as savepoint:
        found = _undo_each(c, ids, Actor.copy_actor(by))
        savepoint.rollback()
    return found


def _list_untried(c: Connection, rows: Sequence[OperationRow]) -> dict[str, Any]:
    """Return the result of an undo that is too large for a dry run, as far as it is known."""
    untried = [
        (row, parse_task_number(row.object)) for row in rows if not explain_not_undoable(row)
    ]
    names = reads.map_names(c, [number for _, number in untried if number is not None])
    refusals = [(row, _make_refusal(c, row)) for row in rows if explain_not_undoable(row)]
    return {
        "done": [_format_done(row, names.get(number or 0)) for row, number in untried],
        "refused": [_format_refusal(*refusal) for refusal in refusals],
        "notes": [
            tr(
                "Not tried: more than {max_tried} changed definitions. Some may be refused.",
                max_tried=MAX_TRIED,
            )
        ],
    }


def _undo_each(c: Connection, ids: Sequence[int], by: Actor) -> dict[str, Any]:
    """Undo what can be undone, each after the effects of the earlier ones."""
    found = {row.id: row for row in operations.list_by_id(c, ids)}
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for on_tasks, rows in groupby((found[number] for number in ids), _is_on_task):
        done, refused = (_undo_on_tasks if on_tasks else _undo_other)(c, list(rows), by)
        total["done"] += done
        total["refused"] += [_format_refusal(*refusal) for refusal in refused]
    return total


def _format_refusal(row: OperationRow, problem: Problem) -> dict[str, Any]:
    return lookup.make_refusal(problem, row.id, parse_task_number(row.object))


def _undo_other(
    c: Connection, rows: Sequence[OperationRow], by: Actor
) -> tuple[list[dict[str, Any]], list[tuple[OperationRow, Problem]]]:
    """Undo operations on anything but tasks. Return the results and the refusals."""
    done: list[dict[str, Any]] = []
    refused: list[tuple[OperationRow, Problem]] = []
    for row in rows:
        try:
            step = _make_step(c, row)
            with operations.record_as_undo(by, row):
                step.act(c, by)
            done.append(_format_done(row, None))
        except Problem as problem:
            refused.append((row, problem))
    return done, refused


def _undo_on_tasks(
    c: Connection, rows: Sequence[OperationRow], by: Actor
) -> tuple[list[dict[str, Any]], list[tuple[OperationRow, Problem]]]:
    """Undo operations on tasks, many at once."""
    done: list[dict[str, Any]] = []
    refused: list[tuple[OperationRow, Problem]] = [
        (row, _make_refusal(c, row)) for row in rows if explain_not_undoable(row)
    ]
    for wave in _split_by_object([row for row in rows if not explain_not_undoable(row)]):
        undos, left = tasks.plan_undo(c, wave)
        if undos:
            tasks.apply_undo(c, by, undos)
        done += [_format_done(back.operation, back.task.name) for back in undos]
        refused += left
    return done, refused


def _split_by_object(rows: Sequence[OperationRow]) -> list[list[OperationRow]]:
    """Split operations so that each part has an object at most once, keeping order."""
    waves: list[dict[str, OperationRow]] = []
    for row in rows:
        wave = next((wave for wave in waves if row.object not in wave), None)
        if wave is None:
            waves.append(wave := {})
        wave[row.object] = row
    return [list(wave.values()) for wave in waves]


def _format_done(row: OperationRow, name: str | None) -> dict[str, Any]:
    return {"id": row.id, "verb": row.verb, "object": row.object,
    "number": parse_task_number(row.object), "name": name or row.object,
            "text": _format_words(row, name), "back": diff.format_operation(row.verb, row.object,
            name, row.after, row.before)}  # fmt: skip


def _make_refusal(c: Connection, row: OperationRow) -> Refused:
    """Return the refusal of an operation that can never be undone."""
    return Refused(end_sentence(join_colon(_describe(c, row), explain_not_undoable(row))))


def _make_step(c: Connection, row: OperationRow) -> UndoStep:
    """Return the undo of an operation. Raise Refused if it cannot be undone now."""
    if explain_not_undoable(row):
        raise _make_refusal(c, row)
    if row.verb.startswith("alert "):
        return _make_alert_step(c, row)
    if row.verb == "group set":
        return _make_group_step(c, row)
    kind, _, verb = row.verb.partition(" ")
    table = definitions.find_table(kind)
    if table is None or not row.object.startswith(f"{kind} "):
        raise Refused("{verb} cannot be undone.", verb=sanitize(row.verb))
    steps = {
        "create": _make_create_step,
        "rm": _make_delete_step,
        "skip-next": _make_skip_step,
    }  # fmt: skip
    return steps.get(verb, _make_change_step)(c, row, table, row.object.removeprefix(f"{kind} "))


def _describe_change_since(c: Connection, row: OperationRow, touched: set[str]) -> str:
    return describe_later_change(operations.map_later(c, [row]).get(row.object, ()), row, touched)


def _make_group_step(c: Connection, row: OperationRow) -> UndoStep:
    """Return the step that restores how many tasks of a group run at once."""
    number = parse_group(row.object.removeprefix("group ")) or 0
    found, most = groups.map_groups(c, [number]).get(number), (row.before or {}).get("max_running")
    if found is None:
        raise Refused("{object} no longer exists.", object=sanitize(row.object))
    if how := _describe_change_since(c, row, {"max_running"}):
        raise make_has_changed(sanitize(row.object), how)

    def act(c: Connection, by: Actor) -> None:
        groups.set_limit(c, number, most)
        operations.record(c, by, "undo", row.object, row.after, row.before)

    return UndoStep(row, act)


# --- definitions --------------------------------------------------


def _make_change_step(c: Connection, row: OperationRow, table: Table, name: str) -> UndoStep:
    """Return the step that restores changed values."""
    stored = _read_stored(c, row, table, name)
    before, after = row.before or {}, row.after or {}
    if how := _describe_change_since(c, row, set(before)):
        raise make_has_changed(sanitize(row.object), how)
    for key, value in after.items():
        if not differences.is_after(stored[key], before.get(key), value):
            now = diff.ChangedField(key, value, stored[key])
            raise make_has_changed(sanitize(row.object), f": {diff.format_change(now)}")
    values = {
        key: differences.revert(stored[key], value, after.get(key)) for key, value in before.items()
    }
    if table is schema.slas and {"conditions", "enabled", "priority"} & {*values}:
        _require_few_alerts(c, stored["id"], name, "set")
    _check_references(c, table, stored | values)
    if table is schema.templates:
        values["template"] = templates.to_source(stored | values)

    def act(c: Connection, by: Actor) -> None:
        definitions.update(c, table, name, values, by)
        if table is schema.slas:
            rule = slas.require_rule(c, name)
            severity = sla.get_severity(rule.priority)
            alerts.update_alerts_of_changed_rule(c, rule.id, values, severity)
        if table is schema.schedules and values.keys() & TIME_COLUMNS:
            settle_next(c, name, values.keys(), timestamps.utcnow())
        if table is schema.calendars:
            schedules.request_check(c, name)

    return UndoStep(row, act)


def _require_few_alerts(c: Connection, sla_id: int, name: str, verb: str) -> None:
    """Raise Refused if the undo would change too many alerts for one transaction."""
    if alerts.has_many(c, sla_id):
        raise Refused(
            "rule {name} has more than {most:,} alerts, too many for an undo.",
            "Change the rule itself: taskdeck sla {verb} {word}",
            name=sanitize(name),
            most=alerts.CHANGED_AT_ONCE,
            verb=verb,
            word=shlex.quote(sanitize(name)),
        )


def _make_create_step(c: Connection, row: OperationRow, table: Table, name: str) -> UndoStep:
    """Return the step that deletes a created definition.

    Nothing may refer to the definition, and nobody may have changed it.
    """
    stored = _read_stored(c, row, table, name)
    if how := _describe_change_since(c, row, {*stored}):
        raise make_has_changed(sanitize(row.object), how)
    users = {
        "queues": lambda: definitions.count_queue_users(c, name),
        "pools": lambda: definitions.count_pool_users(c, name),
        "templates": lambda: definitions.count_template_users(c, name),
        "slas": lambda: definitions.count_sla_users(c, stored["id"]),
        "calendars": lambda: definitions.count_calendar_users(c, name),
        "schedules": dict,
        "resources": dict,
        "limits": dict,
        "bookings": dict,
    }  # fmt: skip
    if table is schema.slas:
        _require_few_alerts(c, stored["id"], name, "rm")
    lookup.require_unused(c, definitions.get_kind(table), name, users[table.name]())

    def act(c: Connection, by: Actor) -> None:
        if table is schema.slas:
            alerts.detach_rule(c, stored["id"])
        if table is schema.schedules:
            changes.remove(c, name, by)
        else:
            definitions.remove(c, table, name, by)

    return UndoStep(row, act)


def _make_delete_step(c: Connection, row: OperationRow, table: Table, name: str) -> UndoStep:
    """Return the step that restores a deleted definition."""
    if definitions.get_row(c, table, name) is not None:
        raise Conflict(
            "there is a {object} again. It was left as it is.", object=sanitize(row.object)
        )
    _check_references(c, table, row.before)

    def act(c: Connection, by: Actor) -> None:
        definitions.restore(c, table, row.before, by)
        if table is schema.schedules:
            changes.restore_next(c, name, row.before.get("skips") or ())

    return UndoStep(row, act)


def _make_skip_step(c: Connection, row: OperationRow, table: Table, name: str) -> UndoStep:
    """Return the step that lets a skipped fire time fire after all."""
    _read_stored(c, row, table, name)
    fire_time = (row.after or {}).get("skipped") or ""
    if fire_time <= timestamps.now():
        raise Refused(
            "the fire time that {object} skipped is over.",
            "Submit it now: taskdeck schedule run {name}",
            object=sanitize(row.object),
            name=shlex.quote(sanitize(name)),
        )
    if not schedules.is_skipped(c, name, fire_time):
        raise make_has_changed(sanitize(row.object), tr(": the fire time is not skipped any more"))

    def act(c: Connection, by: Actor) -> None:
        changes.restore_skipped(c, changes.require_schedule(c, name), fire_time)
        operations.record(c, by, "undo", row.object, row.after, row.before)

    return UndoStep(row, act)


def _read_stored(c: Connection, row: OperationRow, table: Table, name: str) -> dict[str, Any]:
    found = definitions.get_row(c, table, name)
    if found is None:
        raise Refused(
            "{object} no longer exists{change_since}.",
            object=sanitize(row.object),
            change_since=_describe_change_since(c, row, {"name"}),
        )
    return found


def _check_references(c: Connection, table: Table, row: dict[str, Any]) -> None:
    """Raise a problem if a referenced object no longer exists."""
    pools = [pool.name for pool in reads.list_pools(c)]
    if table is schema.queues and row["pool"] not in pools:
        raise lookup.make_unknown_name("pool", row["pool"], pools)
    if table is schema.schedules:
        changes.check_calendars(row["exclude"], schedules.map_calendars(c))
        for key, known in (
            ("template", definitions.list_template_names(c)),
            ("queue", [queue.name for queue in reads.list_queues(c)]),
        ):
            named = row["task"].get(key)
            if named is not None and named not in known:
                raise lookup.make_unknown_name(key, named, known)
    if table is schema.templates:
        checked = TemplateDefinition.model_construct(None, **templates.get_set_fields(row))
        templates.check_place(checked, read_places(c))
    if table is schema.slas:
        slas.check_match(
            row["conditions"],
            definitions.list_template_names(c),
            [queue.name for queue in reads.list_queues(c)],
        )
    if (
        table is schema.pools
        and row["sla_id"] is not None
        and row["sla_id"] not in [rule.id for rule in definitions.list_slas(c)]
    ):
        raise Refused("its rule no longer exists.")


# --- alerts -----------------------------------------------------------------------------


def _make_alert_step(c: Connection, row: OperationRow) -> UndoStep:
    if row.verb in _ACKNOWLEDGEMENTS:
        return _make_acknowledge_step(c, row)
    if row.verb in ("alert silence", "alert unsilence"):
        return _make_silence_step(c, row)
    raise Refused("{verb} cannot be undone.", verb=sanitize(row.verb))


def _make_acknowledge_step(c: Connection, row: OperationRow) -> UndoStep:
    """Return the step that reverts an acknowledgement, or its removal."""
    status, back = (
        ("acknowledged", "firing") if row.verb == "alert ack" else ("firing", "acknowledged")
    )
    ids = (row.after or {}).get("ids") or []
    refused = [row.id for row in alerts.list_by_id(c, ids) if row.status == status]
    if not refused:
        raise make_has_changed(
            sanitize(row.object), tr(": it is not {status} any more", status=status) if ids else ""
        )

    def act(c: Connection, by: Actor) -> None:
        if status == "acknowledged":
            alerts.unacknowledge(c, refused)
        else:
            alerts.acknowledge(c, refused, by)
            for number, note in ((row.after or {}).get("notes") or {}).items():
                alerts.set_notes(c, [int(number)] if int(number) in refused else [], note)
        operations.record(
            c, by, "undo", row.object, {"status": status}, {"status": back, "ids": refused}
        )

    return UndoStep(row, act)


def _make_silence_step(c: Connection, row: OperationRow) -> UndoStep:
    """Return the step that restores the earlier silence of a rule."""
    if row.object.startswith("silence "):
        return _make_matching_step(c, row)
    rule = slas.require_rule(c, row.object.removeprefix("sla "))
    was, now = _check_silence(row, silences.map_own(c).get(rule.id))

    def act(c: Connection, by: Actor) -> None:
        if was.get("until") is None:
            silences.unsilence_rule(c, rule.id)
        else:
            silences.silence_rule(c, rule.id, was["until"], by, was.get("reason"))
        operations.record(c, by, "undo", row.object, now, was)

    return UndoStep(row, act)


def _make_matching_step(c: Connection, row: OperationRow) -> UndoStep:
    """Return the step that restores the earlier silence of the same matchers."""
    matchers = (row.after or {}).get("matchers") or (row.before or {}).get("matchers") or {}
    silence = silences.find_matching(c, matchers)
    was, now = _check_silence(row, silence)

    def act(c: Connection, by: Actor) -> None:
        if was.get("until") is not None:
            silences.put(c, matchers, was["until"], by, was.get("reason"))
        elif silence is not None:
            silences.remove(c, silence)
        operations.record(c, by, "undo", row.object, now, was)

    return UndoStep(row, act)


def _check_silence(
    row: OperationRow, silence: silences.Silence | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return before and after of an operation. Raise Refused if its silence is another now."""
    was, now = row.before or {}, row.after or {}
    if (silence.until if silence else None) != now.get("until"):
        state = (
            tr("until {until} by {by}", until=silence.until, by=sanitize(silence.by))
            if silence
            else tr("over")
        )
        raise make_has_changed(sanitize(row.object), tr(": its silence is {state}", state=state))
    if was.get("until") is not None and was["until"] <= timestamps.now():
        raise Refused("the silence of {object} would be over by now.", object=sanitize(row.object))
    return was, now
