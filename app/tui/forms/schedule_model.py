"""Form of a schedule: its fields, the requests that save it, and what it will do, in words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from app.core.schedules.fire_plan import MISSED_RULES, FireRules, iterate_fires
from app.core.schedules.recurrence import describe_recurrence, parse_recurrence
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.text import units
from app.core.text.sanitize import MASK
from app.translation import tr, tr_noop
from app.tui.actions.tasks import Request
from app.tui.data.schedule_rows import format_parameters
from app.tui.forms.command_field import find_shell_reason, format_work, make_work, parse_command
from app.tui.forms.edit_model import (
    DESCRIPTION,
    NAME,
    NOTIFY,
    EditField,
    EditKind,
    EditSheet,
    describe_changes,
    format_duration,
    format_start_time,
    to_safe_text,
    to_text,
)
from app.tui.forms.notice_model import make_notice_keys, read_notice
from app.tui.time_format import format_fire_time

KINDS = (
    ("cron", tr_noop("cron expression")),
    ("every", tr_noop("interval")),
    ("at", tr_noop("once")),
    ("rrule", tr_noop("RFC 5545 rule")),
    ("boot", tr_noop("at each boot")),
)
OVERLAPS = (("skip", tr_noop("skip")), ("queue", tr_noop("queue behind it")))
MISSED = tuple((rule, rule) for rule in MISSED_RULES)
EXPRESSION_HINTS = {
    "cron": tr_noop("0 2 * * *, as in crontab"),
    "every": "10m, 2h, 1d",
    "at": tr_noop("23:30, tomorrow 02:00, 2h"),
    "rrule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=8",
    "boot": tr_noop("leave it empty"),
}
PREVIEWED = 3
"""Fire times named below the form."""


def _parse_expression(word: str, kind: str) -> str:
    """Check an expression and return it as typed."""
    if kind == "boot":
        raise ValueError(tr("must be empty: at each boot has none"))
    parse_recurrence(kind, word, "UTC", datetime.now(UTC))
    return word


def _parse_zone(word: str) -> str:
    get_zone(word)
    return word


def _parse_duration(word: str) -> str:
    units.parse_duration(word)
    return word


def _parse_until(word: str) -> str:
    if units.parse_time(word, datetime.now(UTC)) <= datetime.now(UTC):
        raise ValueError(tr("must be in the future, not {word}", word=units.quote(word)))
    return word


def _parse_parameters(word: str) -> dict[str, Any]:
    """Parse `input=/srv/a.mkv width:=320`: texts, and JSON after `:=`."""
    found: dict[str, Any] = {}
    try:
        parts = shlex.split(word)
    except ValueError:
        raise ValueError(tr("has an open quote")) from None
    for part in parts:
        key, sign, value = part.partition("=")
        if not key.rstrip(":") or not sign:
            raise ValueError(tr("must be NAME=VALUE, not {part}", part=units.quote(part)))
        found[key.removesuffix(":")] = _parse_json(value) if key.endswith(":") else value
    return found


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(
            tr("must have JSON after :=, not {value}", value=units.quote(text))
        ) from None


def _format_parameters(values: Mapping[str, Any] | None) -> str:
    return to_safe_text(shlex.join(format_parameters({"parameters": values or {}})))


def _check_schedule(sheet: EditSheet) -> list[str]:
    """Check what depends on several fields: the expression, and what runs."""
    kind, expression, command, template, parameters = (
        sheet.get_text(sheet.find_field(name))
        for name in ("kind", "expression", "command", "template", "parameters")
    )
    if not kind:  # the stored values are still being read
        return []
    found = []
    if not expression and kind != "boot":
        found.append(
            tr(
                "Expression is required, such as {example}.",
                example=EXPRESSION_HINTS[kind].split(",")[0],
            )
        )
    if bool(command) == bool(template):
        found.append(
            tr("Give a command or a template, not both.")
            if command
            else tr("What should it run? Give a command or a template.")
        )
    elif parameters and not template:
        found.append(tr("Parameters must be empty: a command has none."))
    elif MASK in parameters and sheet.is_touched(sheet.find_field("parameters")):
        found.append(tr("Parameters: type the secret again in place of {mask}.", mask=MASK))
    return found


_FIELDS = (
    EditField("kind", "Fires", str, to_text, widget="choice", size=18, options=KINDS),
    EditField(
        "expression", "Expression", _parse_expression, to_safe_text, size=32, blank=True, by="kind"
    ),
    EditField(
        "timezone",
        "Time zone",
        _parse_zone,
        to_safe_text,
        "--tz",
        size=24,
        hint="empty: this machine's",
        blank=True,
    ),
    EditField("command", "Command", parse_command, to_safe_text, size=0, blank=True),
    EditField(
        "template",
        "or template",
        str,
        to_text,
        "--template",
        widget="pick",
        size=24,
        blank=True,
        blank_label="none",
    ),
    EditField(
        "parameters",
        "Parameters",
        _parse_parameters,
        _format_parameters,
        size=40,
        hint="NAME=VALUE …",
        blank=True,
    ),
    EditField(
        "queue",
        "Queue",
        str,
        to_text,
        "--queue",
        widget="pick",
        size=24,
        blank=True,
        blank_label="default",
    ),
    EditField(
        "timeout",
        "Timeout",
        _parse_duration,
        to_text,
        "--timeout",
        hint="empty: no limit of its own",
        blank=True,
    ),
    EditField(
        "overlap",
        "Overlap",
        str,
        to_text,
        "--overlap",
        widget="choice",
        hint="while the last run has not ended",
        options=OVERLAPS,
    ),
    EditField(
        "missed",
        "Missed",
        str,
        to_text,
        "--missed",
        widget="choice",
        hint="after downtime",
        options=MISSED,
    ),
    EditField(
        "missed_within",
        "Within",
        _parse_duration,
        to_text,
        "--missed-within",
        hint="6h: missed times of the last 6h only",
        blank=True,
    ),
    EditField(
        "jitter",
        "Jitter",
        _parse_duration,
        to_text,
        "--jitter",
        hint="5m: delays it by up to this, always the same",
        blank=True,
    ),
    EditField(
        "until",
        "Until",
        _parse_until,
        to_text,
        "--until",
        size=24,
        hint="last moment at which it fires",
        blank=True,
    ),
    NOTIFY,
    DESCRIPTION,
)
SCHEDULE = EditKind("schedule", _FIELDS, first="expression", check=_check_schedule)
NEW_SCHEDULE = EditKind(
    "schedule",
    (NAME, *_FIELDS),
    first="name",
    check=_check_schedule,
    initial={"kind": "cron", "overlap": "skip", "missed": "run-once"},
)


def convert_schedule(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `schedule.ls`, keyed by the form's field names."""
    task = row["task"]
    expression = row["expression"]
    if row["kind"] == "every":
        expression = format_duration(float(expression))
    durations = {name: row[name] or None for name in ("missed_within", "jitter")}
    durations["timeout"] = task.get("timeout")
    return {
        **row,
        **{name: format_duration(value) for name, value in durations.items()},
        "expression": expression,
        "timezone": row["zone"],
        "command": format_work(task),
        "template": task.get("template") or "",
        "parameters": task.get("parameters") or {},
        "queue": task.get("queue") or "",
        "notify": read_notice(task),
        "until": format_start_time(row["until"]),
        "description": row["description"] or "",
    }


# --- requests ---

_DIRECT = (
    "timezone", "template", "queue", "timeout", "overlap", "missed", "missed_within", "jitter",
    "until", "description",
)  # fmt: skip
_WORK = {"command", "template", "parameters"}
"""Fields about what runs."""
_WORK_KEYS = ("argv", "script", "template", "parameters")


def _read_values(sheet: EditSheet) -> dict[str, Any]:
    """Return the values of all fields by name."""
    return {field.name: sheet.parse_value(field) for field in sheet.fields}


def build_args(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields as `schedule.create` and `schedule.set` take them.

    `values` holds all fields: a recurrence and its work are sent whole.
    """
    args = {name: changed[name] for name in _DIRECT if name in changed}
    if "notify" in changed:
        args |= make_notice_keys(changed["notify"])
    if changed.keys() & {"kind", "expression"}:
        kind = values["kind"]
        args["at_boot" if kind == "boot" else kind] = kind == "boot" or values["expression"]
    if changed.keys() & _WORK:
        args.pop("template", None)
        args |= _build_work(values)
    return args


def _drop_empty(args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if value != ""}


def _build_work(values: Mapping[str, Any]) -> dict[str, Any]:
    if values["command"]:
        return make_work(values["command"])
    parameters = values["parameters"] or {}
    texts = [[name, value] for name, value in parameters.items() if isinstance(value, str)]
    others = {name: value for name, value in parameters.items() if not isinstance(value, str)}
    more = {"parameter_texts": texts} if texts else {}
    return {"template": values["template"], "parameters": others, **more}


def build_schedule_requests(sheet: EditSheet, context: Mapping[str, Any]) -> list[Request]:
    """Return the request that creates or changes a schedule, with its undo.

    `context` holds directory, umask and environment of a new one.
    """
    changes = sheet.find_changes()
    if not changes:
        return []
    if sheet.is_new:
        name = changes["name"]
        values = {key: value for key, value in _read_values(sheet).items() if key != "name"}
        given = {key: value for key, value in values.items() if value != ""}
        args = {"name": name, **_drop_empty(build_args(values, given)), **context}
        undo = Request(
            "schedule.rm", {"name": name}, tr("Removed"), object=tr("schedule {name}", name=name)
        )
        return [
            Request(
                "schedule.create", args, tr("Created"), (undo,), tr("schedule {name}", name=name)
            )
        ]
    row = sheet.stored[0]
    name = row["name"]
    args = {"name": name, **build_args(_read_values(sheet), changes)}
    text = f"{describe_changes(sheet)}:"
    return [
        Request(
            "schedule.set", args, text, _make_undo(row, changes), tr("schedule {name}", name=name)
        )
    ]


def _make_undo(row: Mapping[str, Any], changes: Mapping[str, Any]) -> tuple[Request, ...]:
    """Return the request that restores the changed fields; none if a secret is unknown here."""
    args = {"name": row["name"], **build_args(row, {key: row[key] for key in changes})}
    if changes.keys() & _WORK:
        for key in ("argv", "script", "template", "parameters", "parameter_texts"):
            args.pop(key, None)
        args |= {key: row["task"][key] for key in _WORK_KEYS if key in row["task"]}
        if MASK in json.dumps(args, ensure_ascii=False):
            return ()
    return (
        Request(
            "schedule.set", args, tr("Restored:"), object=tr("schedule {name}", name=row["name"])
        ),
    )


def build_schedule_commands(sheet: EditSheet) -> list[list[str]]:
    """Return the equivalent command line, as words."""
    changes = sheet.find_changes()
    if not changes or sheet.find_faults():
        return []
    values = _read_values(sheet)
    name = str(changes.get("name", "NAME")) if sheet.is_new else str(sheet.stored[0]["name"])
    verb = "create" if sheet.is_new else "set"
    usual = ("overlap", "missed") if sheet.is_new else ()
    given = {
        key: value
        for key, value in changes.items()
        if not (key in usual and not sheet.is_touched(sheet.find_field(key)))
    }
    args = build_args(values, {**given, "kind": values["kind"]} if sheet.is_new else given)
    args = _drop_empty(args) if sheet.is_new else args
    return [["taskdeck", "schedule", verb, name, *_list_options(args)]]


def _list_options(args: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of arguments; the command comes last."""
    for key, value in args.items():
        if key == "at_boot":
            yield "--at-boot"
        elif key in ("cron", "every", "at", "rrule", "notify", "notify_on", *_DIRECT):
            yield from ("--tz" if key == "timezone" else f"--{key.replace('_', '-')}", str(value))
    for name, text in args.get("parameter_texts", ()):
        yield from ("-p", f"{name}={text}")
    for name, found in args.get("parameters", {}).items():
        yield from ("-p", f"{name}:={json.dumps(found)}")
    if "script" in args:
        yield from ("-c", args["script"])
    elif "argv" in args:
        yield from ("--", *args["argv"])


# --- preview ---


def preview_schedule(sheet: EditSheet, now: float) -> list[str]:
    """Return sentences about when a schedule fires, and how it runs."""
    if sheet.find_faults():  # of a new schedule, before anything is typed
        return []
    values = _read_values(sheet)
    found = [_describe_fires(values, sheet, now)]
    command = values["command"]
    if command and sheet.is_touched(sheet.find_field("command")):
        lines = str(sheet.stored[0]["command"]).count("\n") + 1 if sheet.stored else 1
        if lines > 1:
            found.append(
                tr("Its script of {lines:,} lines is replaced by this one line.", lines=lines)
            )
        if reason := find_shell_reason(command):
            found.append(tr("A shell runs the command, because of {reason} in it.", reason=reason))
    return found


def _describe_fires(values: Mapping[str, Any], sheet: EditSheet, now: float) -> str:
    if values["kind"] == "boot":
        return tr("Fires once after each boot of this machine, not now.")
    zone = values["timezone"] or get_local_zone_name()
    at = datetime.fromtimestamp(now, UTC)
    touched = sheet.is_new or any(
        sheet.is_touched(sheet.find_field(name)) for name in ("kind", "expression")
    )
    start = at if touched else datetime.fromisoformat(sheet.stored[0]["start"])
    recurrence = parse_recurrence(values["kind"], values["expression"], zone, start)
    rules = FireRules(recurrence)
    if values["until"]:
        rules = rules._replace(until=units.parse_time(values["until"], at, get_zone(zone)))
    times = [fire.timestamp() for fire in islice(iterate_fires(rules, at), PREVIEWED)]
    if not times:
        return tr("It would never fire: its last time is over.")
    shown = ", ".join(format_fire_time(fire, now, zone) for fire in times)
    return tr(
        "Fires {recurrence} ({zone}): {shown}.",
        recurrence=describe_recurrence(recurrence),
        zone=zone,
        shown=shown,
    )
