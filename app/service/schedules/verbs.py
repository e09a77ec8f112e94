"""Verbs on schedules: list, create, change, pause, run and backfill."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from pydantic import ValidationError

from app.core.schedules.definition import KEYS, ScheduleDefinition, build_source
from app.core.schedules.fire_plan import FireRules, iterate_fires
from app.core.schedules.zones import get_zone
from app.core.schema import parameters
from app.core.text import units
from app.core.text.sanitize import find_name_error, find_nearest, sanitize
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.schedules import firing, views
from app.service.schedules import rules as schedule_rules
from app.service.tasks import lookup, number_file
from app.service.tasks.resolution import Resolutions, run_resolved
from app.service.tasks.submit import SubmitBatch
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, schedules
from db.rows import ScheduleRow

UNCHANGED = "Nothing was changed."
RECURRENCE_COLUMNS = frozenset({"kind", "expression", "zone", "start"})
TIME_COLUMNS = RECURRENCE_COLUMNS | {"jitter", "until", "exclude"}
"""Columns that decide about the next fire time."""
CALENDAR_EXAMPLE = "in a definitions file, as [calendars.NAME]: taskdeck help schedules"
MAX_BACKFILL = 1000
"""Fire times that one backfill submits at most."""
BACKFILL_PART = 50
"""Tasks of a backfill in one transaction."""


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return all schedules by name, each with its latest fire times."""
    return await call.db.read(lambda c: views.build_all(c, schedules.list_all(c)))


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """Return one schedule with its latest fire times."""
    return await call.db.read(lambda c: views.build_all(c, [require_schedule(c, name)])[0])


async def create(
    call: Call, *, name: str, cwd: str = "/", umask: int = 0o022, env: dict[str, str] | None = None,
    **values: Any,
) -> dict[str, Any]:  # fmt: skip
    """Create a schedule from the keys of its definition.

    Directory, umask and environment are those of the caller's shell. Raise Conflict if the name
    exists, and Problem if its task could not be submitted now.
    """
    if wrong := find_name_error(name):
        raise Usage(f"name {wrong}. {UNCHANGED}")
    now = timestamps.utcnow()
    texts = values.pop("parameter_texts", None)
    context = {"cwd": cwd, "umask": umask, "env": env or {}}
    columns = await asyncio.to_thread(_make_columns, values, now)

    def create(c: Connection) -> None:
        if schedules.find(c, name) is not None:
            raise Conflict(
                f"there is a schedule {sanitize(name)} already. {UNCHANGED}",
                f"Change it: taskdeck schedule set {sanitize(shlex.quote(name))}",
            )
        add_schedule(c, name, columns, context, texts, now, call.by)

    await call.db.write(create)
    return await show(call, name=name)


def add_schedule(
    c: Connection, name: str, columns: Mapping[str, Any], context: Mapping[str, Any],
    texts: Any, now: datetime, by: str,
) -> None:  # fmt: skip
    """Insert a schedule after a check of all that it refers to. Raise Problem."""
    row = _make_row(name, columns, context)
    if texts:
        row = row._replace(task=_add_parameters(c, row.task, texts))
    _check(c, row, now)
    boot_id = firing.read_boot_id() if row.kind == "boot" else None
    values = {**columns, "task": row.task, "context": context, "boot_id": boot_id}
    definitions.create(c, schema.schedules, name, values | _compute_next(c, row, now), by)


def _make_row(name: str, columns: Mapping[str, Any], context: Mapping[str, Any]) -> ScheduleRow:
    empty = dict.fromkeys(ScheduleRow._fields)
    return ScheduleRow(**{**empty, "name": name, "status": "active", **columns, "context": context})


def _add_parameters(c: Connection, task: dict[str, Any], texts: Any) -> dict[str, Any]:
    """Return the task with parameters that were typed as text, by the template's schema."""
    template = definitions.find_template(c, task.get("template") or "")
    if template is None:
        raise Usage(f"-p requires a template. {UNCHANGED}")
    converted = parameters.convert_texts(
        [(name, text) for name, text in texts], template.parameters
    )
    return {**task, "parameters": {**task.get("parameters", {}), **converted}}


def _make_columns(
    values: Mapping[str, Any], now: datetime, start: datetime | None = None
) -> dict[str, Any]:
    """Return the columns of a definition. Raise Usage."""
    given = {key: value for key, value in values.items() if value is not None}
    return schedule_rules.to_columns(make_definition(given), now, start)


def make_definition(values: Mapping[str, Any]) -> ScheduleDefinition:
    """Return the definition of these keys. Raise Usage."""
    try:
        return ScheduleDefinition.model_validate(dict(values))
    except ValidationError as error:
        raise Usage(f"{_describe(error)}. {UNCHANGED}") from None


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = sanitize(str(first["loc"][0])) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        near = find_nearest(where, ScheduleDefinition.model_fields)
        return f'there is no option "{where}"' + (f". Nearest: {near}" if near else "")
    if first["type"] == "value_error":
        return f"{where} {first['msg'].removeprefix('Value error, ')}".strip()
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _check(c: Connection, row: ScheduleRow, now: datetime) -> None:
    """Check calendars, and that the task could be submitted now. Raise Problem."""
    known = schedules.map_calendars(c)
    for name in row.exclude:
        if name not in known:
            problem = lookup.make_unknown_name("calendar", name, list(known))
            raise NotFound(problem.message, f"{UNCHANGED} Define it: {CALENDAR_EXAMPLE}")
    try:
        spec = firing.make_spec(row, now, None)
        SubmitBatch(c, firing.make_origin(row), "0" * 8 + "-0000-7000-8000-" + "0" * 12).add(spec)
    except Problem as problem:
        message = problem.message.replace("Nothing was submitted.", UNCHANGED)
        raise type(problem)(message, problem.hint) from None


def _compute_next(c: Connection, row: ScheduleRow, after: datetime) -> dict[str, Any]:
    """Return `next_fire` and `due_at` after a moment. Raise Refused if the schedule never fires."""
    if row.kind == "boot":
        return {"next_fire": None, "due_at": None}
    rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
    if schedule_rules.find_next(rules, after)[0] is None:
        raise Refused(f"the schedule would never fire: its last time is over. {UNCHANGED}")
    next_fire, due_at = schedule_rules.find_next_unless_paused(row, rules, after)
    return {"next_fire": next_fire, "due_at": due_at}


async def set_(call: Call, *, name: str, **values: Any) -> dict[str, Any]:
    """Change a schedule. An empty text or list resets a key; parameters are added."""
    texts = values.pop("parameter_texts", None)
    given = {key: value for key, value in values.items() if value is not None}
    if not given and not texts:
        raise Usage(
            "set what? Give an option: --cron, --every, --tz, --overlap, --timeout, …",
            "See: taskdeck schedule set --help",
        )
    now = timestamps.utcnow()
    row = await call.db.read(require_schedule, name)
    source = _merge(build_source(row._asdict()), given)
    start = None if given.keys() & KEYS.keys() else timestamps.parse_time(row.start)
    columns = await asyncio.to_thread(_make_columns, source, now, start)

    def change(c: Connection) -> None:
        current = require_schedule(c, name)
        if any(getattr(current, key) != getattr(row, key) for key in columns):
            raise Conflict(f"schedule {sanitize(name)} has just been changed. {UNCHANGED}")
        task = _add_parameters(c, columns["task"], texts) if texts else columns["task"]
        change_schedule(c, current, {**columns, "task": task}, now, call.by)

    await call.db.write(change)
    return await show(call, name=name)


def change_schedule(
    c: Connection, row: ScheduleRow, columns: Mapping[str, Any], now: datetime, by: str
) -> bool:
    """Set the columns of a definition after a check; return True if one differs. Raise Problem.

    The next fire time changes only with the times themselves.
    """
    new = row._replace(**columns)
    _check(c, new, now)
    changed = definitions.update(c, schema.schedules, row.name, columns, by)
    if changed.keys() & TIME_COLUMNS:
        following = _compute_next(c, new, _choose_start(row, changed.keys(), now))
        if new.kind == "boot" and row.kind != "boot":
            following["boot_id"] = firing.read_boot_id()
        schedules.move_next(c, require_schedule(c, row.name), **following)
    return bool(changed)


def _choose_start(row: ScheduleRow, changed: Set[str], now: datetime) -> datetime:
    """Return the moment from which fire times count: an open one stays if its time does."""
    if row.next_fire is None or changed & RECURRENCE_COLUMNS:
        return now
    return timestamps.parse_time(row.next_fire) - timedelta(seconds=1)


def _merge(source: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys after a change: a new kind or work replaces the old one."""
    merged = dict(source)
    if given.get("parameters") and not given.get("template"):
        given = {**given, "parameters": {**source.get("parameters", {}), **given["parameters"]}}
    for group in (tuple(KEYS), ("argv", "script", "template")):
        if any(given.get(key) for key in group):
            for key in (*group, *(("parameters",) if "argv" in group else ())):
                merged.pop(key, None)
    merged |= given
    return {key: value for key, value in merged.items() if value not in ("", [])}


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete a schedule and its record of fire times; its tasks stay."""

    def remove(c: Connection) -> None:
        require_schedule(c, name)
        definitions.remove(c, schema.schedules, name, call.by)

    await call.db.write(remove)
    return {"name": name}


async def pause(call: Call, *, name: str, until: str | None = None) -> dict[str, Any]:
    """Pause a schedule, for good or until a time. Fire times meanwhile are not missed."""
    now = timestamps.utcnow()

    def change(c: Connection) -> dict[str, Any]:
        row = require_schedule(c, name)
        end = _parse_time("until", until, row.zone, now) if until is not None else None
        if end is not None and end <= now:
            raise Usage(f"until must be in the future, not {units.quote(str(until))}. {UNCHANGED}")
        paused_until = timestamps.format_time(end) if end else None
        definitions.update(
            c, schema.schedules, name,
            {"status": "paused", "paused_until": paused_until}, call.by, "pause",
        )  # fmt: skip
        paused = require_schedule(c, name)
        rules = schedule_rules.build_rules(paused, schedules.map_calendars(c))
        following = schedule_rules.find_next_unless_paused(paused, rules, now)
        schedules.move_next(c, paused, *following)
        return {"before": {"status": row.status}}

    before = await call.db.write(change)
    return await show(call, name=name) | before


async def resume(call: Call, *, name: str) -> dict[str, Any]:
    """Resume a paused schedule, from now on."""
    now = timestamps.utcnow()

    def change(c: Connection) -> dict[str, Any]:
        row = require_schedule(c, name)
        values = {"status": "active", "paused_until": None}
        definitions.update(c, schema.schedules, name, values, call.by, "resume")
        if row.status == "paused":
            rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
            following = schedule_rules.find_next(rules, now)
            schedules.move_next(c, require_schedule(c, name), *following)
        return {"before": {"status": row.status}}

    before = await call.db.write(change)
    return await show(call, name=name) | before


async def run(call: Call, *, name: str) -> dict[str, Any]:
    """Submit the task of a schedule now, whatever its rules say; return number and uuid."""

    def submit(c: Connection, resolutions: Resolutions) -> dict[str, Any]:
        row = require_schedule(c, name)
        at = timestamps.utcnow()
        success = schedules.find_last_success(c, name) or row.last_success
        uuid, number = firing.submit_one(c, row, at, success, None, resolutions)
        reason = f"Run by {call.by}."
        schedules.record_fires(c, name, [(timestamps.format_time(at), "submitted", reason, uuid)])
        return {"name": name, "number": number, "uuid": uuid}

    row = await call.db.read(require_schedule, name)
    specs = [firing.make_spec(row, timestamps.utcnow(), None)]
    stored = await run_resolved(call.db, specs, lambda found: call.db.write(submit, found))
    await number_file.raise_mark(call.home, stored["number"])
    return stored


async def skip_next(call: Call, *, name: str) -> dict[str, Any]:
    """Leave out the next fire time."""

    def skip(c: Connection) -> str:
        row = require_schedule(c, name)
        if row.next_fire is None:
            raise Refused(f"schedule {sanitize(name)} has no next fire time. {UNCHANGED}")
        rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
        following = schedule_rules.find_next(rules, timestamps.parse_time(row.next_fire))
        schedules.record_fires(
            c, name, [(row.next_fire, "skipped", f"Skipped by {call.by}.", None)]
        )
        schedules.move_next(c, row, *following)
        return row.next_fire

    skipped = await call.db.write(skip)
    return await show(call, name=name) | {"skipped": skipped}


async def backfill(
    call: Call, *, name: str, since: str, until: str, dry_run: bool = False
) -> dict[str, Any]:
    """Submit a task for each past fire time of a range that was not submitted, one after the other.

    Return {"name", "times", "numbers"}. The range includes both ends. Raise Refused for more than
    `MAX_BACKFILL` fire times.
    """
    now = timestamps.utcnow()
    times = await call.db.read(_list_backfill, name, since, until, now)
    numbers: list[int] = []
    for at in range(0, 0 if dry_run else len(times), BACKFILL_PART):
        part = times[at : at + BACKFILL_PART]
        specs = [firing.make_spec(await call.db.read(require_schedule, name), now, None)]
        numbers += await run_resolved(
            call.db, specs, lambda found, part=part: call.db.write(_backfill, name, part, found)
        )
        await number_file.raise_mark(call.home, numbers[-1])
    return {"name": name, "times": [timestamps.format_time(at) for at in times], "numbers": numbers}


def _list_backfill(
    c: Connection, name: str, since: str, until: str, now: datetime
) -> list[datetime]:
    row = require_schedule(c, name)
    if row.kind == "boot":
        raise Refused(f"schedule {sanitize(name)} fires at boot, so it has no past fire times.")
    first = _parse_time("from", since, row.zone, now)
    last = min(_parse_time("to", until, row.zone, now), now)
    if first > last:
        raise Usage(f"from must be before to, and in the past. {UNCHANGED}")
    rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
    if row.kind == "every":  # the interval is in step with its start, also before it
        rules = _extend_back(rules, first)
    found = list(islice(_iterate_range(rules, first, last), MAX_BACKFILL + 1))
    if len(found) > MAX_BACKFILL:
        raise Refused(
            f"more than {MAX_BACKFILL:,} fire times lie in this range. Nothing was submitted.",
            "Give a shorter range.",
        )
    done = schedules.list_submitted_times(
        c, name, timestamps.format_time(first), timestamps.format_time(last)
    )
    return [at for at in found if timestamps.format_time(at) not in done]


def _extend_back(rules: FireRules, first: datetime) -> FireRules:
    recurrence = rules.recurrence
    step = timedelta(seconds=int(recurrence.expression))
    steps = max(0, (recurrence.start - first) // step + 2)
    return rules._replace(recurrence=recurrence._replace(start=recurrence.start - steps * step))


def _iterate_range(rules: FireRules, first: datetime, last: datetime) -> Iterator[datetime]:
    for at in iterate_fires(rules, first - timedelta(seconds=1)):
        if at > last:
            return
        yield at


def _backfill(
    c: Connection, name: str, times: Sequence[datetime], resolutions: Resolutions
) -> list[int]:
    row = require_schedule(c, name)
    unfinished = schedules.find_unfinished_task(c, name)
    previous, numbers = unfinished[0] if unfinished else None, list[int]()
    for at in times:
        success = schedules.find_last_success(c, name, timestamps.format_time(at))
        previous, number = firing.submit_one(c, row, at, success, previous, resolutions)
        reason = "Submitted by a backfill."
        schedules.record_fires(
            c, name, [(timestamps.format_time(at), "submitted", reason, previous)]
        )
        numbers.append(number)
    return numbers


def _parse_time(word: str, text: str, zone: str, now: datetime) -> datetime:
    try:
        return units.parse_time(text, now, get_zone(zone))
    except ValueError as error:
        raise Usage(f"{word} {error}. {UNCHANGED}") from None


def require_schedule(c: Connection, name: str) -> ScheduleRow:
    """Return a schedule. Raise NotFound with the nearest name."""
    row = schedules.find(c, name)
    if row is None:
        raise lookup.make_unknown_name("schedule", name, schedules.list_names(c))
    return row
