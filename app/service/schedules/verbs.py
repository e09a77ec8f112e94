"""Verbs on schedules: list, create, change, pause, run and backfill."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from app.core.definitions.document import validate_definition
from app.core.schedules.definition import KEYS, ScheduleDefinition, build_source
from app.core.schedules.fire_plan import FireRules, iterate_fires
from app.core.schedules.zones import get_zone
from app.core.schema import parameters
from app.core.text import units
from app.core.text.sanitize import find_name_error, sanitize
from app.errors import NOT_SUBMITTED, Conflict, NotFound, Problem, Refused, Usage
from app.service import name_hints, notifications
from app.service.context import Call
from app.service.definitions.templates import require_template
from app.service.schedules import changes, firing, views, watchers
from app.service.schedules import rules as schedule_rules
from app.service.schedules.changes import UNCHANGED, require_schedule
from app.service.tasks import lookup
from app.service.tasks.submission import number_file
from app.service.tasks.submission.resolution import Resolutions, run_resolved
from app.translation import tr, tr_n
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, schedules
from db.queries.history import operations
from db.rows import ScheduleRow

MAX_BACKFILL = 1000
"""Fire times that one backfill submits at most."""
BACKFILL_PART = 50
"""Tasks of a backfill in one transaction."""
_T = TypeVar("_T")


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return all schedules by name, each with its latest fire times."""
    return await call.db.read(lambda c: views.build_all(c, schedules.list_all(c)))


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """Return one schedule with its latest and its next fire times."""
    return await call.db.read(lambda c: views.build_one(c, require_schedule(c, name)))


async def timeline(
    call: Call, *, names: Sequence[str], since: float, step: float, cells: int
) -> list[dict[str, Any]]:
    """Return the fire times of schedules in `cells` steps of `step` seconds.

    `since` is in UNIX seconds. Names without a schedule are left out.
    """
    if len(names) > views.MAX_TIMELINES or not 1 <= cells <= views.MAX_CELLS or step < 1:
        raise Usage(
            "a timeline has at most {schedules} schedules and {cells} cells of at least 1s.",
            schedules=views.MAX_TIMELINES,
            cells=views.MAX_CELLS,
        )
    try:
        begin, width = datetime.fromtimestamp(since, UTC), timedelta(seconds=step)
        _ = begin + width * cells
    except (OverflowError, ValueError, OSError):
        raise Usage("since and step must be within the years 1 to 9999.") from None

    def read(c: Connection) -> list[dict[str, Any]]:
        rows = [row for name in names if (row := schedules.find(c, name))]
        return views.build_timelines(c, rows, begin, width, cells)

    return await call.db.read(read)


async def create(
    call: Call, *, name: str, cwd: str = "/", umask: int = 0o022, env: dict[str, str] | None = None,
    **values: Any,
) -> dict[str, Any]:  # fmt: skip
    """Create a schedule from the keys of its definition.

    Directory, umask and environment are those of the caller's shell. Raise Conflict if the name
    exists, and Problem if its task could not be submitted now.
    """
    if wrong := find_name_error(name):
        raise Usage("name {wrong}. {unchanged}", wrong=wrong, unchanged=tr(UNCHANGED))
    now = timestamps.utcnow()
    texts = values.pop("parameter_texts", None)
    context = {"cwd": cwd, "umask": umask, "env": env or {}}
    columns = await asyncio.to_thread(_make_columns, values, None, now)
    columns["task"] = await _add_parameters(call, columns["task"], texts)
    await _check_notice(call, columns["task"])
    row = changes.make_row(name, columns, context)

    def create(c: Connection, resolved: Resolutions) -> None:
        if schedules.find(c, name) is not None:
            raise Conflict(
                "there is a schedule {name} already. {unchanged}",
                "Change it: taskdeck schedule set {word}",
                name=sanitize(name),
                unchanged=tr(UNCHANGED),
                word=sanitize(shlex.quote(name)),
            )
        calendars = schedules.map_calendars(c)
        changes.check_calendars(row.exclude, calendars)
        changes.check_task(c, row, resolved)
        new = changes.make_new_values(row, calendars, now)
        definitions.create(c, schema.schedules, name, new, call.by)

    await _write_resolved(call, row, create)
    await _note_missing_program(call, row)
    _note_long_jitter(call, row, now)
    return await show(call, name=name)


async def _note_missing_program(call: Call, row: ScheduleRow) -> None:
    if hint := await asyncio.to_thread(name_hints.describe_program_hint, row):
        call.note(hint)


def _note_long_jitter(call: Call, row: ScheduleRow, now: datetime) -> None:
    if hint := schedule_rules.describe_jitter_hint(row, now):
        call.note(hint)


async def _check_notice(call: Call, task: Mapping[str, Any]) -> None:
    """Raise Problem if a task names an unknown channel; that of its template was checked before."""
    channel, on, template = (task.get(key) for key in ("notify", "notify_on", "template"))
    if channel is None and on and template:
        found = await call.db.read(definitions.find_template, template)
        if found is not None and found.notify:
            return
    notifications.check_notice(notifications.get_settings(call), channel, on, UNCHANGED)


async def _write_resolved(
    call: Call, row: ScheduleRow, run: Callable[[Connection, Resolutions], _T]
) -> _T:
    """Run a transaction with the resolved task of a schedule."""
    return await run_resolved(
        call.db, [firing.make_spec(row)], lambda resolved: call.db.write(run, resolved)
    )


async def _add_parameters(call: Call, task: dict[str, Any], texts: Any) -> dict[str, Any]:
    """Return the task with parameters that were typed as text, by the template's schema."""
    if not texts:
        return task
    if not (name := task.get("template")):
        raise Usage("-p requires a template. {unchanged}", unchanged=tr(UNCHANGED))
    template = await call.db.read(require_template, name)
    pairs = [(name, text) for name, text in texts]
    converted = await asyncio.to_thread(parameters.convert_texts, pairs, template.parameters)
    return {**task, "parameters": {**task.get("parameters", {}), **converted}}


def _make_columns(
    values: Mapping[str, Any], row: ScheduleRow | None, now: datetime
) -> dict[str, Any]:
    """Return the columns of a definition. Raise Usage."""
    given = {key: value for key, value in values.items() if value is not None}
    definition = validate_definition(ScheduleDefinition, given)
    return changes.make_columns(definition, row, now)


async def set_(
    call: Call, *, name: str, cwd: str | None = None, kept_env: dict[str, str] | None = None,
    env: dict[str, str] | None = None, **values: Any,
) -> dict[str, Any]:  # fmt: skip
    """Change a schedule. An empty text or list resets a key; parameters and `env` are added.

    `kept_env` replaces all variables.
    """
    is_context_new = cwd is not None or kept_env is not None or bool(env)
    texts = values.pop("parameter_texts", None)
    given = {key: value for key, value in values.items() if value is not None}
    if not given and not texts and not is_context_new:
        raise Usage(
            "set what? Give an option: --cron, --every, --tz, --overlap, --timeout, …",
            "See: taskdeck schedule set --help",
        )
    now = timestamps.utcnow()
    await firing.fire_due(call.db)  # what is due by now follows the old rules
    row = await call.db.read(require_schedule, name)
    source = _merge(build_source(row._asdict()), given)
    columns = await asyncio.to_thread(_make_columns, source, row, now)
    columns["task"] = await _add_parameters(call, columns["task"], texts)
    if given.keys() & {"notify", "notify_on"}:
        await _check_notice(call, columns["task"])
    new = changes.change_context(row._replace(**columns), cwd, kept_env, env or {})
    columns |= {"task": new.task, "context": new.context}

    def change(c: Connection, resolved: Resolutions) -> None:
        current = _require_same(c, row)
        changes.check_calendars(new.exclude, schedules.map_calendars(c))
        changes.check_task(c, new, resolved)
        changes.update(c, current, columns, now, call.by)

    await _write_resolved(call, new, change)
    if (new.task, new.context) != (row.task, row.context):
        await _note_missing_program(call, new)
    if any(getattr(new, key) != getattr(row, key) for key in ("kind", "expression", "jitter")):
        _note_long_jitter(call, new, now)
    return await show(call, name=name)


def _require_same(c: Connection, row: ScheduleRow) -> ScheduleRow:
    """Return the stored schedule. Raise Conflict if its definition has changed meanwhile."""
    current = require_schedule(c, row.name)
    compared = (*schedule_rules.COLUMNS, "context")
    if any(getattr(current, key) != getattr(row, key) for key in compared):
        raise Conflict(
            "schedule {name} has just been changed. {unchanged}",
            "Try again.",
            name=sanitize(row.name),
            unchanged=tr(UNCHANGED),
        )
    return current


def _merge(source: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys after a change: a new kind or work replaces the old one."""
    merged = dict(source)
    new = given.get("parameters")
    if isinstance(new, Mapping) and not given.get("template"):
        given = {**given, "parameters": {**source.get("parameters", {}), **new}}
    for group in (tuple(KEYS), ("argv", "script", "template")):
        if any(given.get(key) for key in group):
            for key in (*group, *(("parameters",) if "argv" in group else ())):
                merged.pop(key, None)
    merged |= given
    return {key: value for key, value in merged.items() if value not in ("", [])}


async def rm(call: Call, *, name: str | None = None, names: Sequence[str] = ()) -> dict[str, Any]:
    """Delete schedules and their records of fire times; their tasks stay.

    Notes name the rules and alerts that are left.

    Return {"name"} of one, or of `names` {"done": [{"name"}], "refused", "notes"}.
    """

    def remove(c: Connection, one: str) -> list[str]:
        row = require_schedule(c, one)
        changes.remove(c, one, call.by)
        return watchers.describe_left(c, row)

    if name is not None:
        for note in await call.db.write(remove, name):
            call.note(note)
        return {"name": name}
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for one in dict.fromkeys(names):
        try:
            left = await call.db.write(remove, one)
            total["done"].append({"name": one})
            total["notes"] += [f"{sanitize(one)}: {note}" for note in left]
        except NotFound as problem:
            total["refused"].append(lookup.make_refusal(problem, one))
    return total


async def pause(call: Call, *, name: str, until: str | None = None) -> dict[str, Any]:
    """Pause a schedule, for good or until a time. Fire times meanwhile are not missed."""
    now = timestamps.utcnow()
    await firing.fire_due(call.db)

    def change(c: Connection) -> dict[str, Any]:
        row = require_schedule(c, name)
        end = _parse_time("until", until, row.zone, now) if until is not None else None
        if end is not None and end <= now:
            raise Usage(
                "--until must be in the future, not {until}. {unchanged}",
                until=units.quote(str(until)),
                unchanged=tr(UNCHANGED),
            )
        paused_until = timestamps.format_time(end) if end else None
        values = {"status": "paused", "paused_until": paused_until}
        changed = definitions.update(c, schema.schedules, name, values, call.by, "pause")
        if changed:
            changes.settle_next(c, name, {"status"}, now)
        return {"before": _describe_pause(row, now)}

    before = await call.db.write(change)
    return await show(call, name=name) | before


def _describe_pause(row: ScheduleRow, now: datetime) -> dict[str, Any]:
    """Return status and end of the pause of a schedule; a pause that has ended is none."""
    if not schedule_rules.is_paused(row, now):
        return {"status": "active", "paused_until": None}
    return {"status": row.status, "paused_until": row.paused_until}


async def resume(call: Call, *, name: str) -> dict[str, Any]:
    """Resume a paused schedule, from now on. If its pause has ended, its next fire time stays."""
    now = timestamps.utcnow()
    await firing.fire_due(call.db)

    def change(c: Connection) -> dict[str, Any]:
        row = require_schedule(c, name)
        values = {"status": "active", "paused_until": None}
        changed = definitions.update(c, schema.schedules, name, values, call.by, "resume")
        if changed and schedule_rules.is_paused(row, now):
            changes.settle_next(c, name, {"status"}, now)
        return {"before": _describe_pause(row, now)}

    before = await call.db.write(change)
    return await show(call, name=name) | before


async def run(call: Call, *, name: str) -> dict[str, Any]:
    """Submit the task of a schedule now, whatever its rules say; return number and uuid."""
    row = await call.db.read(require_schedule, name)

    def submit(c: Connection, resolved: Resolutions) -> dict[str, Any]:
        _require_same(c, row)
        at = timestamps.utcnow()
        success = schedules.find_last_success(c, name) or row.last_success
        uuid, number = firing.submit_one(c, row, at, success, None, resolved)
        reason = f"Run by {call.by}."
        schedules.set_refusal(c, name, None)
        schedules.record_fires(c, name, [(timestamps.format_time(at), "submitted", reason, uuid)])
        operations.record(c, call.by, "schedule run", f"schedule {name}", None, {"number": number})
        return {"name": name, "number": number, "uuid": uuid}

    stored = await _write_resolved(call, row, submit)
    await number_file.raise_mark(call.home, stored["number"])
    return stored


async def skip_next(call: Call, *, name: str) -> dict[str, Any]:
    """Leave out the next fire time."""
    await firing.fire_due(call.db)

    def skip(c: Connection) -> str:
        row = require_schedule(c, name)
        if row.next_fire is None:
            raise Refused(
                "schedule {name} has no next fire time. {unchanged}",
                name=sanitize(name),
                unchanged=tr(UNCHANGED),
            )
        rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
        following = schedule_rules.find_next(rules, timestamps.parse_time(row.next_fire))
        schedules.record_fires(
            c, name, [(row.next_fire, "skipped", f"Skipped by {call.by}.", None)]
        )
        schedules.move_next(c, row, *following)
        thing = f"schedule {name}"
        operations.record(
            c, call.by, "schedule skip-next", thing, {"skipped": None}, {"skipped": row.next_fire}
        )
        return row.next_fire

    skipped = await call.db.write(skip)
    return await show(call, name=name) | {"skipped": skipped}


async def backfill(
    call: Call, *, name: str, since: str, until: str, dry_run: bool = False
) -> dict[str, Any]:
    """Submit a task for each past fire time of a range that was not submitted, one after the other.

    Return {"name", "zone", "times", "numbers", "submitted"}: `submitted` counts the fire times of
    the range that were submitted before. The range includes both ends, a date all of its day.
    Raise Refused for more than `MAX_BACKFILL` fire times.
    """
    now = timestamps.utcnow()
    row = await call.db.read(require_schedule, name)
    times, known = await call.db.read(_list_backfill, row, since, until, now)
    submitted: list[tuple[datetime, int]] = []
    for at in range(0, 0 if dry_run else len(times), BACKFILL_PART):
        part = times[at : at + BACKFILL_PART]
        run = partial(_backfill, row=row, times=part, by=call.by, planned=0 if at else len(times))
        try:
            submitted += await _write_resolved(call, row, run)
        except Problem as problem:
            raise _describe_partial(problem, submitted) from None
        if submitted:
            await number_file.raise_mark(call.home, submitted[-1][1])
    return {
        "name": name,
        "zone": row.zone,
        "times": [timestamps.format_time(at) for at in times]
        if dry_run
        else [timestamps.format_time(at) for at, _ in submitted],
        "numbers": [number for _, number in submitted],
        "submitted": known,
    }


def _describe_partial(problem: Problem, submitted: Sequence[tuple[datetime, int]]) -> Problem:
    """Return the problem that ended a backfill, with what was submitted before."""
    if not submitted:
        return problem
    reason = problem.message.removesuffix(tr(NOT_SUBMITTED)).removesuffix(tr(UNCHANGED)).strip()
    said = tr_n(
        len(submitted),
        "{reason} Before that, 1 task was submitted, the last for {time}.",
        "{reason} Before that, {n:,} tasks were submitted, the last for {time}.",
        reason=reason,
        time=timestamps.format_time(submitted[-1][0]),
    )
    rest = tr("{hint} To submit the rest, repeat the command.", hint=problem.hint or "")
    return type(problem)(said, rest.strip())


def _list_backfill(
    c: Connection, row: ScheduleRow, since: str, until: str, now: datetime
) -> tuple[list[datetime], int]:
    """Return the fire times to submit, and the number of those that were submitted before."""
    if row.kind == "boot":
        raise Refused(
            "schedule {name} fires at boot, so it has no past fire times.", name=sanitize(row.name)
        )
    since, until = (_expand_day(text, row.zone, now) for text in (since, until))
    first = _parse_time("from", since, row.zone, now)
    last = min(_parse_end("to", until, row.zone, now), now)
    if first > last:
        raise Usage(
            "--from must be before --to, and in the past. {unchanged}", unchanged=tr(UNCHANGED)
        )
    rules = schedule_rules.build_rules(row, schedules.map_calendars(c))
    if row.kind == "every":  # the interval is in step with its start, also before it
        rules = _extend_back(rules, first)
    found = list(islice(_iterate_range(rules, first, last), MAX_BACKFILL + 1))
    if len(found) > MAX_BACKFILL:
        raise Refused(
            "more than {max_backfill:,} fire times lie in this range. Nothing was submitted.",
            "Give a shorter range.",
            max_backfill=MAX_BACKFILL,
        )
    done = schedules.list_submitted_times(
        c, row.name, timestamps.format_time(first), timestamps.format_time(last)
    )
    left = [at for at in found if timestamps.format_time(at) not in done]
    return left, len(found) - len(left)


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
    c: Connection, resolved: Resolutions, row: ScheduleRow, times: Sequence[datetime],
    by: str, planned: int,
) -> list[tuple[datetime, int]]:  # fmt: skip
    """Submit those times that nobody has submitted meanwhile; return them with their numbers.

    Record the operation with the number of `planned` fire times, unless it is 0.
    """
    _require_same(c, row)
    if planned:
        after = {"fire_times": planned}
        operations.record(c, by, "schedule backfill", f"schedule {row.name}", None, after)
    name, unfinished = row.name, schedules.find_unfinished_task(c, row.name)
    previous, submitted = unfinished[0] if unfinished else None, list[tuple[datetime, int]]()
    ends = timestamps.format_time(times[0]), timestamps.format_time(times[-1])
    done = schedules.list_submitted_times(c, name, *ends)  # another backfill may have run meanwhile
    for at in times:
        if (stored := timestamps.format_time(at)) in done:
            continue
        success = schedules.find_last_success(c, name, stored)
        previous, number = firing.submit_one(c, row, at, success, previous, resolved)
        reason = "Submitted by a backfill."
        schedules.record_fires(c, name, [(stored, "submitted", reason, previous)])
        submitted.append((at, number))
    return submitted


def _expand_day(text: str, zone: str, now: datetime) -> str:
    """Return the date of `today` or `yesterday` in a zone; any other text as it is."""
    back = {"today": 0, "yesterday": 1}.get(text.strip().lower())
    if back is None:
        return text
    return str(now.astimezone(get_zone(zone)).date() - timedelta(days=back))


def _parse_end(word: str, text: str, zone: str, now: datetime) -> datetime:
    """Return the last moment that a time includes: the last second of a date."""
    try:
        following = date.fromisoformat(text.strip()) + timedelta(days=1)
    except (ValueError, OverflowError):
        return _parse_time(word, text, zone, now)
    return _parse_time(word, str(following), zone, now) - timedelta(seconds=1)


def _parse_time(word: str, text: str, zone: str, now: datetime) -> datetime:
    """Return a typed time in UTC: arithmetic in a zone forgets the second hour of autumn."""
    try:
        return units.parse_time(text, now, get_zone(zone)).astimezone(UTC)
    except ValueError as error:
        raise Usage("--{word} {error}. Nothing was changed.", word=word, error=error) from None
