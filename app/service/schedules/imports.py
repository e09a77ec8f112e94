"""Import of schedules from another program, such as cron: all of them, or none.

A schedule of an earlier import is found by its description, which quotes the original line. So a
second import creates no doubles.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.definitions.document import validate_definition
from app.core.notifications.channels import Channel, NotificationSettings
from app.core.schedules import crontab_mail, fire_plan
from app.core.schedules.crontab_names import NameMaker
from app.core.schedules.definition import ScheduleDefinition
from app.core.schedules.recurrence import describe_recurrence
from app.core.task_spec import NameStr
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage
from app.service import notifications
from app.service.context import Call
from app.service.schedules import changes
from app.service.schedules import rules as schedule_rules
from app.service.schedules.changes import UNCHANGED
from app.service.tasks.submission.resolution import Resolutions
from app.translation import tr
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, schedules
from db.rows import ScheduleRow

MAX_LINES = 1000
"""Lines of one import, which is one transaction of at most 100 ms."""
MAX_TRIES = 5
"""Attempts to create all schedules while others change schedules."""
_COMPARED = {"kind": "time", "expression": "time", "zone": "zone", "task": "task"}
"""Columns compared with an existing schedule, and what they are called."""


_NOTICE_KEYS = {"env", "notify", "notify_on", "tags"}
"""Keys of a task that decide nothing about what runs, and the variables, compared by name."""


class ImportedLine(BaseModel):
    """A line to import: its number, the name to try first, and the keys of its definition.

    `mailto` is where cron mails the output: addresses, "" for nowhere, None for the user.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    line: int
    name: NameStr
    definition: dict[str, Any]
    mailto: str | None = None


@dataclass(slots=True)
class PlannedLine:
    """A line with its columns, or the reason why it is refused."""

    line: ImportedLine
    columns: dict[str, Any] | None
    channel: Channel | None = None
    """Who hears of failures."""
    reason: str | None = None
    name: str = ""
    existing: ScheduleRow | None = None
    notes: list[str] = field(default_factory=list[str])


async def preview_import(
    call: Call, *, lines: Sequence[Any], mail_channel: str | None = None
) -> list[dict[str, Any]]:
    """Return what each line would become; change nothing. See `import_lines`."""
    now = timestamps.utcnow()
    settings = _get_settings(call, mail_channel)
    planned = await asyncio.to_thread(_prepare, lines, settings, mail_channel, now)
    rows = await call.db.read(schedules.list_all)
    await asyncio.to_thread(_plan, rows, planned)
    return await asyncio.to_thread(_describe_all, planned, now, "new")


async def import_lines(
    call: Call, *, lines: Sequence[Any], umask: int = 0o022, mail_channel: str | None = None
) -> list[dict[str, Any]]:
    """Create a schedule for each line that has none yet, in one transaction.

    `mail_channel` hears of failures instead of the addresses of MAILTO. Without `mail_channel`, the
    channel with those addresses does. Return {"line", "name", "outcome", "reason", "words", "zone",
    "next_fire", "channel", "kinds", "notes"} for each line, in order. `outcome` is created, exists
    or refused. Raise Problem, and create nothing, if a schedule cannot be created.
    """
    now = timestamps.utcnow()
    settings = _get_settings(call, mail_channel)
    planned = await asyncio.to_thread(_prepare, lines, settings, mail_channel, now)
    for _ in range(MAX_TRIES):
        rows, calendars = await call.db.read(_read_schedules)
        await asyncio.to_thread(_plan, rows, planned)
        new = await asyncio.to_thread(_make_new, planned, calendars, umask, now)
        if await call.db.write(_create_all, rows, new, call.by):
            return await asyncio.to_thread(_describe_all, planned, now, "created")
    raise Conflict(
        "the schedules change all the time. {unchanged}", "Try again.", unchanged=tr(UNCHANGED)
    )


def _get_settings(call: Call, mail_channel: str | None) -> NotificationSettings:
    """Return the channels. Raise NotFound if the chosen channel is not among them."""
    if mail_channel is not None:
        notifications.require_channel(call, mail_channel, UNCHANGED)
    return notifications.get_settings(call)


class NewSchedule(NamedTuple):
    """A schedule to create: the number of its line, its row, and the columns to store."""

    line: int
    row: ScheduleRow
    values: dict[str, Any]


def _read_schedules(c: Connection) -> tuple[list[ScheduleRow], Mapping[str, list[str]]]:
    return schedules.list_all(c), schedules.map_calendars(c)


def _make_new(
    planned: Sequence[PlannedLine], calendars: changes.Calendars, umask: int, now: datetime
) -> list[NewSchedule]:
    """Return the schedules to create, with their next fire times. Raise Problem."""
    new: list[NewSchedule] = []
    for one in planned:
        if one.columns is not None and one.existing is None:
            context = {"cwd": one.line.definition.get("cwd", "/"), "umask": umask, "env": {}}
            row = changes.make_row(one.name, one.columns, context)
            with _name_line(one.line.line):
                values = changes.make_new_values(row, calendars, now)
            new.append(NewSchedule(one.line.line, row, values))
    return new


def _create_all(
    c: Connection, rows: Sequence[ScheduleRow], new: Sequence[NewSchedule], by: str
) -> bool:
    """Create the schedules; return False if others than `rows` exist meanwhile."""
    if {row.name: row.description for row in rows} != schedules.map_descriptions(c):
        return False
    requests = {
        tuple(one.row.task.get(key) for key in ("queue", "cpu", "memory")): one
        for one in reversed(new)
    }
    for one in requests.values():  # tasks that ask for the same fit alike
        with _name_line(one.line):
            changes.check_task(c, one.row, Resolutions({}))
    if new:
        values = {one.row.name: one.values for one in new}
        definitions.create_all(c, schema.schedules, values, by)
    return True


@contextmanager
def _name_line(line: int) -> Iterator[None]:
    """Name the line in a Problem that it causes."""
    try:
        yield
    except Problem as problem:
        raise type(problem)(
            tr("line {line}: {problem}", line=line, problem=problem.message), problem.hint
        ) from None


def _prepare(
    lines: Sequence[Any], settings: NotificationSettings, mail_channel: str | None, now: datetime
) -> list[PlannedLine]:
    """Return each line with its columns. Raise Usage for a line that no client sends."""
    if len(lines) > MAX_LINES:
        raise Usage(
            "{n:,} lines exceed the limit of {max_lines:,}. {unchanged}",
            "Import parts of the file, one after the other.",
            n=len(lines),
            max_lines=MAX_LINES,
            unchanged=tr(UNCHANGED),
        )
    try:
        found = [ImportedLine.model_validate(line) for line in lines]
    except ValidationError:
        raise Usage(
            "lines must have line, name and definition. {unchanged}", unchanged=tr(UNCHANGED)
        ) from None
    channels: dict[str | None, Channel | None] = {}
    for mailto in {line.mailto for line in found}:
        name = mail_channel
        if mailto and mail_channel is None:
            name = crontab_mail.find_channel(settings.channels, mailto, socket.gethostname())
        channels[mailto] = settings.channels[name] if name and mailto != "" else None
    return [_prepare_line(line, channels[line.mailto], now) for line in found]


def _prepare_line(line: ImportedLine, channel: Channel | None, now: datetime) -> PlannedLine:
    notice = crontab_mail.make_notice(line.mailto, channel and channel.name)
    try:
        definition = validate_definition(ScheduleDefinition, line.definition | notice)
        columns = changes.make_columns(definition, None, now)
    except Problem as problem:
        reason = problem.message.removesuffix(f" {UNCHANGED}").rstrip(".")
        return PlannedLine(line, None, channel, reason)
    if "template" in columns["task"]:
        raise Usage(
            "a line of a crontab runs a command, not a template. {unchanged}",
            unchanged=tr(UNCHANGED),
        )
    return PlannedLine(line, columns, channel)


def _plan(rows: Iterable[ScheduleRow], planned: Sequence[PlannedLine]) -> None:
    """Choose the existing schedule or a new name of each line. One schedule serves one line."""
    by_name = {row.name: row for row in rows}
    by_text: dict[str | None, list[ScheduleRow]] = {}
    by_work: dict[str, str] = {}
    for row in by_name.values():
        by_text.setdefault(row.description, []).append(row)
        by_work.setdefault(_get_work(row.task), row.name)
    taken = set(by_name)
    names = NameMaker(taken)
    for one in planned:
        one.existing, one.notes = None, []
        if one.columns is None:
            continue
        if found := by_text.get(one.columns["description"]):
            one.existing = found.pop(0)
            one.name = one.existing.name
            one.notes = _compare(one.existing, one.columns) + _note_missing_notice(one)
        else:
            one.name = names.make(one.line.name)
            taken.add(one.name)
            if other := by_work.get(_get_work(one.columns["task"])):
                one.notes = [tr("the schedule {other} runs the same command", other=other)]


def _get_work(task: dict[str, Any]) -> str:
    return str(task.get("script") or task.get("argv"))


def _note_missing_notice(one: PlannedLine) -> list[str]:
    """Return a note if an existing schedule tells nobody, although a channel takes the mail."""
    if one.existing is None or one.channel is None:
        return []
    if {"notify", "notify_on"} & one.existing.task.keys():
        return []
    name, channel = (sanitize(shlex.quote(word)) for word in (one.name, one.channel.name))
    return [
        tr(
            "tells nobody: taskdeck schedule set {name} --notify {channel} --notify-on failed",
            name=name,
            channel=channel,
        )
    ]


def _compare(row: ScheduleRow, columns: dict[str, Any]) -> list[str]:
    """Return a note if an existing schedule has become another one since its import."""
    changed = [
        word
        for key, word in _COMPARED.items()
        if _strip_notice(getattr(row, key)) != _strip_notice(columns[key])
    ]
    changed += _list_changed_variables(row.task, columns["task"])
    changed += ["paused"] if row.status == "paused" else []
    if not changed:
        return []
    name = sanitize(shlex.quote(row.name))
    return [
        tr(
            "differs now: {changed}; to take the line over again, remove the schedule first:"
            " taskdeck schedule rm {name}",
            changed=", ".join(dict.fromkeys(changed)),
            name=name,
        )
    ]


def _list_changed_variables(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    before, after = known.get("env") or {}, wanted.get("env") or {}
    return [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]


def _strip_notice(value: Any) -> Any:
    """Return a task without variables and what decides nothing about what runs.

    Other values stay as they are.
    """
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if key not in _NOTICE_KEYS}


def _describe_all(
    planned: Sequence[PlannedLine], now: datetime, outcome: str
) -> list[dict[str, Any]]:
    return [_describe(one, now, outcome) for one in planned]


def _describe(one: PlannedLine, now: datetime, outcome: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "line": one.line.line,
        "name": one.name or None,
        "outcome": "refused" if one.reason else "exists" if one.existing else outcome,
        "reason": one.reason,
        "words": None,
        "zone": None,
        "next_fire": None,
        "channel": one.channel and one.channel.name,
        "kinds": one.channel.kinds if one.channel else [],
        "notes": one.notes,
    }
    if one.existing is not None:
        recurrence = schedule_rules.get_recurrence(one.existing)
        shown["next_fire"] = one.existing.next_fire
    elif one.columns is not None:
        definition = validate_definition(ScheduleDefinition, one.line.definition)
        recurrence = definition.make_recurrence(now)
        found = fire_plan.find_next_fire(fire_plan.FireRules(recurrence), now)
        shown["next_fire"] = timestamps.format_time(found) if found else None
    else:
        return shown
    return shown | {"words": describe_recurrence(recurrence), "zone": recurrence.zone}
