"""Stored changes of schedules: checks of a definition, and the next fire time that follows.

`app.service.tasks.submission.resolution` checks parameters of templates outside of the writer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.core.schedules.definition import ScheduleDefinition
from app.core.scheduling.resources import make_amounts
from app.core.text.sanitize import MASK, sanitize
from app.errors import NOT_SUBMITTED, NotFound, Problem, Refused, Usage
from app.service.schedules import firing
from app.service.schedules import rules as schedule_rules
from app.service.tasks import lookup
from app.service.tasks.places import Place, require_fit
from app.service.tasks.submission.resolution import Resolutions, resolve_task
from app.service.tasks.submission.submit import DEFAULT_QUEUE, SubmitBatch, choose_named
from app.translation import tr
from db import host, schema, timestamps
from db.engine import Connection
from db.queries import definitions, schedules
from db.rows import ScheduleRow, TemplateRow

UNCHANGED = "Nothing was changed."
RECURRENCE_COLUMNS = frozenset({"kind", "expression", "zone", "start"})
TIME_COLUMNS = RECURRENCE_COLUMNS | {"jitter", "until", "exclude", "status", "paused_until"}
"""Columns that decide about the next fire time."""
CALENDAR_HINT = "Define it in a file, as [calendars.NAME]: taskdeck help schedules"

Context = dict[str, Any]
"""{"cwd", "umask", "env"} of the shell that created a schedule."""
Calendars = Mapping[str, Sequence[str]]
"""{calendar: ISO dates}."""


def make_columns(
    definition: ScheduleDefinition, row: ScheduleRow | None, now: datetime
) -> dict[str, Any]:
    """Return the columns of a definition. Raise Usage.

    The beginning of an existing schedule stays, unless its times change.
    """
    try:
        if row is None:
            return schedule_rules.to_columns(definition, now, now)
        start = timestamps.parse_time(row.start)
        kept = schedule_rules.to_columns(definition, now, start)
        if any(kept[name] != getattr(row, name) for name in RECURRENCE_COLUMNS):
            return schedule_rules.to_columns(definition, now, now)
    except ValueError as error:
        raise Usage("{error}. Nothing was changed.", error=error) from None
    return kept


def make_row(name: str, columns: Mapping[str, Any], context: Context) -> ScheduleRow:
    """Return the row of a new schedule."""
    empty = dict.fromkeys(ScheduleRow._fields)
    return ScheduleRow(**{**empty, "name": name, "status": "active", **columns, "context": context})


def change_context(
    row: ScheduleRow, cwd: str | None, kept_env: dict[str, str] | None, env: Mapping[str, str]
) -> ScheduleRow:
    """Return a schedule with another directory or other variables.

    `kept_env` replaces the whole environment. A variable of `env` is set where the schedule has it:
    in its definition, else in its shell context.
    """
    context, own = dict(row.context), dict(row.task.get("env", {}))
    known = dict(context.get("env") or {})
    if kept_env is not None:
        known, own = dict(kept_env), {}
    if cwd is not None:
        context["cwd"] = cwd
        known |= {"PWD": cwd} if "PWD" in known else {}
    for name, value in env.items():
        (own if name in own else known)[name] = value
    task = {key: value for key, value in row.task.items() if key != "env"}
    task |= {"env": own} if own else {}
    return row._replace(task=task, context=context | {"env": known})


def make_new_values(row: ScheduleRow, calendars: Calendars, now: datetime) -> dict[str, Any]:
    """Return the columns of a new schedule with its next fire time. Raise Refused without one."""
    columns = schedule_rules.COLUMNS
    values = {name: getattr(row, name) for name in columns} | {"context": row.context}
    boot_id = host.read_boot_id() if row.kind == "boot" else None
    next_fire, due_at = _find_next(row, calendars, now)
    return values | {"boot_id": boot_id, "next_fire": next_fire, "due_at": due_at}


def update(
    c: Connection, row: ScheduleRow, values: Mapping[str, Any], now: datetime, by: str
) -> Mapping[str, Any]:
    """Set columns of a schedule and return the change. Raise Refused if it would never fire."""
    changed = definitions.update(c, schema.schedules, row.name, values, by)
    if changed.keys() & TIME_COLUMNS:
        settle_next(c, row.name, changed, now, must_fire=True)
    return changed


def settle_next(
    c: Connection, name: str, changed: Collection[str], now: datetime, must_fire: bool = False
) -> None:
    """Store the next fire time after a change of some columns.

    An open or skipped fire time stays if neither times nor status change. With `must_fire`, raise
    Refused if none follows.
    """
    row = require_schedule(c, name)
    calendars = schedules.map_calendars(c)
    if row.next_fire is None or {*changed} & (RECURRENCE_COLUMNS | {"status"}):
        following = _find_next_unskipped(c, row, calendars, now, must_fire)
    else:
        after = timestamps.parse_time(row.next_fire) - timedelta(seconds=1)
        following = _find_next(row, calendars, after, must_fire)
    more = {"boot_id": host.read_boot_id()} if row.kind == "boot" and "kind" in changed else {}
    schedules.move_next(c, row, *following, **more)


def remove(c: Connection, name: str, by: str) -> None:
    """Delete a schedule; the operation keeps the fire times that a person skipped in advance."""
    skipped = schedules.list_skipped(c, name)
    more = {"skips": [list(one) for one in skipped]} if skipped else {}
    definitions.remove(c, schema.schedules, name, by, **more)


def restore_next(c: Connection, name: str, skips: Sequence[Sequence[str]]) -> None:
    """Let a restored schedule fire from now on, but not at the fire times that were skipped."""
    now = timestamps.utcnow()
    coming = [(at, reason) for at, reason in skips if at > timestamps.format_time(now)]
    if not coming:
        schedules.request_next(c, [name])
        return
    rows = [(at, "skipped", reason, None) for at, reason in coming]
    schedules.record_fires(c, name, rows)
    settle_next(c, name, {"status"}, now)


def restore_skipped(c: Connection, row: ScheduleRow, fire_time: str) -> None:
    """Let a fire time that a person skipped in advance fire after all."""
    schedules.forget_skipped(c, row.name, fire_time)
    rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
    before = timestamps.parse_time(fire_time) - timedelta(seconds=1)
    found = schedule_rules.find_next_unless_paused(row, rules, before)
    if found[0] is not None and (row.next_fire is None or found[0] < row.next_fire):
        schedules.move_next(c, row, *found)


def _find_next_unskipped(
    c: Connection, row: ScheduleRow, calendars: Calendars, after: datetime, must_fire: bool
) -> tuple[str | None, str | None]:
    """Return the next fire time that nobody skipped in advance."""
    found = _find_next(row, calendars, after, must_fire)
    while found[0] is not None and schedules.is_skipped(c, row.name, found[0]):
        found = _find_next(row, calendars, timestamps.parse_time(found[0]), must_fire)
    return found


def _find_next(
    row: ScheduleRow, calendars: Calendars, after: datetime, must_fire: bool = True
) -> tuple[str | None, str | None]:
    if row.kind == "boot":
        return None, None
    rules = schedule_rules.build_rules(row, calendars)
    if must_fire and schedule_rules.find_next(rules, after)[0] is None:
        is_over = schedule_rules.find_next(rules._replace(excluded=()), after)[0] is None
        ended = tr("its last time") if is_over else tr("each of its times")
        if row.kind == "at":
            ended = tr("its only time, {time},", time=sanitize(row.expression))
        excluded = sanitize(", ".join(row.exclude))
        why = tr("is over") if is_over else tr("is excluded by {calendars}", calendars=excluded)
        raise Refused(
            "the schedule would never fire: {ended} {why}. {unchanged}",
            ended=ended,
            why=why,
            unchanged=tr(UNCHANGED),
        )
    return schedule_rules.find_next_unless_paused(row, rules, after)


# --- checks -----------------------------------------------------------------------------


def check_calendars(names: Sequence[str], known: Collection[str]) -> None:
    """Raise NotFound for an unknown calendar."""
    for name in names:
        if name not in known:
            problem = lookup.make_unknown_name("calendar", name, list(known))
            raise NotFound(f"{problem.message} {tr(UNCHANGED)}", CALENDAR_HINT)


def check_task(c: Connection, row: ScheduleRow, resolved: Resolutions) -> None:
    """Check that the task of a schedule could be submitted now. Raise Problem."""
    try:
        batch = SubmitBatch(c, firing.make_origin(row), firing.NO_UUID, resolved)
        batch.add(firing.make_spec(row))
    except Problem as problem:
        raise type(problem)(
            problem.message.replace(NOT_SUBMITTED, UNCHANGED), problem.hint
        ) from None


def check_planned_task(
    row: ScheduleRow,
    templates: Mapping[str, TemplateRow],
    queues: Mapping[str, Place],
    is_checked: bool,
) -> None:
    """Check the task of a schedule against templates and queues that may not be stored yet.

    `is_checked` leaves out its parameters. Raise Problem.
    """
    spec = firing.make_spec(row)
    template = None
    if spec.template is not None:
        known = {name: found for name, found in templates.items() if not found.retired_at}
        if spec.template not in known:
            raise lookup.make_unknown_name("template", spec.template, list(known))
        template = known[spec.template]
    queue = spec.queue or (template and template.queue) or DEFAULT_QUEUE
    if queue not in queues:
        raise lookup.make_unknown_queue(queue, list(queues))
    cpu = next(value for value in (spec.cpu, template and template.cpu, 1.0) if value is not None)
    memory = spec.memory or (template and template.memory) or 0.0
    needs = make_amounts(cpu, memory, choose_named(spec, template))
    require_fit(queues[queue], needs, UNCHANGED)
    if not is_checked:
        try:
            resolve_task(spec, template)
        except Problem as problem:
            message = problem.message.replace(NOT_SUBMITTED, UNCHANGED)
            raise type(problem)(message, problem.hint) from None


def keep_masked(task: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task with stored values where it has the mask of a secret. Raise Usage."""
    return {key: _keep_masked(value, stored.get(key), key) for key, value in task.items()}


def _keep_masked(value: Any, stored: Any, path: str) -> Any:
    if value == MASK:
        if stored is None:
            raise Usage(
                "{path} is {mask}, not a value. {unchanged}",
                path=sanitize(path),
                mask=MASK,
                unchanged=tr(UNCHANGED),
            )
        return stored
    if not isinstance(value, Mapping):
        return value
    known: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    return {
        key: _keep_masked(inner, known.get(key), f"{path}.{key}") for key, inner in value.items()
    }


def require_schedule(c: Connection, name: str) -> ScheduleRow:
    """Return a schedule. Raise NotFound with the nearest name."""
    row = schedules.find(c, name)
    if row is None:
        raise lookup.make_unknown_name("schedule", name, schedules.list_names(c))
    return row
