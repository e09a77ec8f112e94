"""Definitions document: pools, queues, templates, rules and schedules as one TOML or YAML text.

The document defines each object it names completely: an omitted key has its default. Other objects
are left alone. Numbers may have units (`"32G"`, `"30m"`); bare numbers are seconds, cores or MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from app.core import sla
from app.core.definitions import size_limits
from app.core.json_types import is_array, is_object
from app.core.notifications.notices import DEFAULT, NEVER
from app.core.rules.actions import format_actions, normalize_actions
from app.core.schedules.definition import CalendarDefinition, FiledSchedule
from app.core.scheduling.bookings import is_booked_tag
from app.core.scheduling.enforcement import list_enforced
from app.core.scheduling.open_times import normalize_open
from app.core.scheduling.order import format_ageing
from app.core.schema import parameters
from app.core.schema.json_schema import limit_file_steps
from app.core.slurm import pool_options
from app.core.task_spec import (
    Ageing,
    Capacity,
    Cpu,
    EarlySignalText,
    Enforce,
    NameStr,
    OomRetryText,
    Outcome,
    Policy,
    Priority,
    Resources,
    ResourceTotal,
    Retries,
    Size,
    Timeout,
)
from app.core.text.joining import end_sentence, join_and, join_clauses
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.core.text.units import parse_time, quote
from app.errors import Problem, Usage
from app.translation import tr, tr_noop

MAX_FAULTS = 10
MAX_DESCRIBED = 200
"""Faults that are described; more are only counted. Finding a nearest name takes 40 µs."""


_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
"""Placeholder for the time from which durations count. Files have no such time."""


def _check_parameter_schema(value: Any) -> Any:
    try:
        parameters.check_schema(value)
    except Problem as problem:
        raise ValueError(problem.message) from None
    return value


def _parse_severity(value: Any) -> int:
    if not isinstance(value, str) or value not in sla.SEVERITIES:
        raise ValueError(
            tr(
                "must be {severities}, not {value}",
                severities=", ".join(sla.SEVERITIES),
                value=quote(str(value)),
            )
        )
    return sla.SEVERITIES[value]


def _omit_default(value: Any) -> Any:
    return None if value == DEFAULT else value


def _parse_moment(value: Any) -> datetime:
    """Return the moment of a time with its date, which is the same at each reading of a file."""
    if not isinstance(value, str) or value.strip()[4:5] != "-":
        needed = tr("a time with its date, such as 2026-01-31T08:00")
        raise ValueError(
            tr("must be {needed}, not {value}", needed=needed, value=quote(f"{value}"))
        )
    return parse_time(value, _ANY_MOMENT)


def _check_tag(value: Any) -> Any:
    if not isinstance(value, str) or not is_booked_tag(value):
        raise ValueError(
            tr("must be KEY=VALUE, such as team=a, not {value}", value=quote(f"{value}"))
        )
    return value


SlurmWord = Annotated[str, BeforeValidator(pool_options.check_word)]
SlurmOptions = Annotated[list[str], BeforeValidator(pool_options.check_options)]
Moment = Annotated[datetime, BeforeValidator(_parse_moment)]


class Definition(BaseModel):
    """Base of all definitions. Unknown keys and implicit conversions are rejected."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class PoolDefinition(Definition):
    """A pool. `sla` names the rule for every task of its queues. A `kind` of None is local."""

    kind: Annotated[str | None, BeforeValidator(pool_options.check_kind)] = None
    total_cpu: Cpu | None = None
    total_memory: Size | None = None
    resources: Resources | None = None
    policy: Policy = None
    ageing: Ageing = None
    enforce: Enforce = None
    sla: NameStr | None = None
    partition: SlurmWord | None = None
    account: SlurmWord | None = None
    qos: SlurmWord | None = None
    options: SlurmOptions | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> PoolDefinition:
        settings = (*pool_options.NAMES, "resources", "enforce")
        totals = {"total_cpu": self.total_cpu, "total_memory": self.total_memory}
        missing = [name for name, total in totals.items() if total is None]
        given = [name for name in settings if getattr(self, name)] + [*totals.keys() - missing]
        if misfit := pool_options.find_misfit(self.kind, given):
            raise ValueError(misfit)
        if self.kind is None and missing:
            raise ValueError(tr("needs {missing}", missing=join_and(missing)))
        return self


class ResourceDefinition(Definition):
    """A named resource that all pools share."""

    total: ResourceTotal
    description: str | None = None


class LimitDefinition(Definition):
    """The most that the running tasks of a tag may take together; at least one amount is given."""

    running: Capacity | None = None
    cpu: Cpu | None = None
    memory: Size | None = None
    resources: Resources | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _check_amounts(self) -> LimitDefinition:
        if self.running is self.cpu is self.memory is None and not self.resources:
            raise ValueError(tr("a limit needs running, cpu, memory or resources"))
        return self


class BookingDefinition(Definition):
    """A booking: amounts of a pool for the tasks of a tag, from a time to a time."""

    pool: NameStr
    tag: Annotated[str, BeforeValidator(_check_tag)]
    begin: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    cpu: Cpu | None = None
    memory: Size | None = None
    resources: Resources | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _check_whole(self) -> BookingDefinition:
        if self.end <= self.begin:
            raise ValueError(tr("to must be later than from"))
        if not (self.cpu or self.memory or self.resources):
            raise ValueError(tr("a reservation needs cpu, memory or resources"))
        return self


class QueueDefinition(Definition):
    """A queue. The default `capacity` is the number of cores of its pool."""

    pool: NameStr = "default"
    capacity: Capacity | None = None
    priority: Priority = 0
    open: Annotated[str | None, BeforeValidator(normalize_open)] = None
    description: str | None = None


class TemplateDefinition(Definition):
    """A template: how to run it, its parameters, and defaults for its tasks.

    `engine` and `schema` say how to run it. `parameters` is a JSON Schema. `notify` and `notify_on`
    are those of a submission.
    """

    engine: str
    schema_: Any = Field(alias="schema")
    parameters: Annotated[dict[str, Any], BeforeValidator(_check_parameter_schema)] = {}
    type: NameStr | None = None
    description: str | None = None
    queue: NameStr | None = None
    timeout: Timeout | None = None
    cpu: Cpu | None = None
    memory: Size | None = None
    resources: Resources | None = None
    retries: Retries | None = None
    signal: EarlySignalText = None
    retry_on_oom: OomRetryText = None
    notify: Annotated[NameStr | None, BeforeValidator(_omit_default)] = None
    notify_on: Outcome | None = None

    @model_validator(mode="after")
    def _check_notice(self) -> TemplateDefinition:
        if self.notify is not None and self.notify_on == NEVER:
            raise ValueError(tr("notify_on {never} goes without a channel (notify)", never=NEVER))
        return self


class SlaDefinition(Definition):
    """An SLA rule (see `app.core.sla`). `severity` is stored as the priority."""

    conditions: Annotated[dict[str, Any], BeforeValidator(sla.normalize_conditions)]
    actions: Annotated[Any, BeforeValidator(normalize_actions)] = {}
    severity: Annotated[int, BeforeValidator(_parse_severity)] = sla.SEVERITIES["warning"]
    enabled: bool = True


KINDS: Mapping[str, type[BaseModel]] = {
    "resources": ResourceDefinition,
    "limits": LimitDefinition,
    "pools": PoolDefinition,
    "reservations": BookingDefinition,
    "queues": QueueDefinition,
    "templates": TemplateDefinition,
    "slas": SlaDefinition,
    "calendars": CalendarDefinition,
    "schedules": FiledSchedule,
}
"""Tables of the document, each after the tables it refers to."""

Definitions = dict[str, dict[str, Any]]
"""Definitions by kind and name: {"pools": {name: PoolDefinition}, …}. Every kind is present."""


def parse_document(text: str, format: str = "toml") -> Definitions:
    """Parse a document. Raise Usage with all faults, each with its table and key."""
    return validate_tables(read_tables(text, format))


def read_tables(text: str, format: str = "toml") -> dict[Any, Any]:
    """Parse a document into plain tables, unvalidated.

    Raise Usage if the text is not valid TOML or YAML.
    """
    from app.core.definitions import toml_yaml

    tables = toml_yaml.read_document(text, format)
    for kind in ("calendars", "schedules", "slas", "reservations"):
        if is_object(tables) and kind in tables:
            tables = {**tables, kind: _format_dates(tables[kind])}
    return tables


def _format_dates(value: Any) -> Any:
    """Return a value with ISO texts instead of dates and times, which need no quotes in a file."""
    if is_object(value):
        return {key: _format_dates(inner) for key, inner in value.items()}
    if is_array(value):
        return [_format_dates(inner) for inner in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


def validate_tables(tables: Any) -> Definitions:
    """Return the definitions of parsed tables. Raise Usage with all faults."""
    size_limits.check_values(tables)
    found, faults = find_definitions(tables)
    if faults:
        more = (
            [tr("and {more} more", more=len(faults) - MAX_FAULTS)]
            if len(faults) > MAX_FAULTS
            else []
        )
        raise Usage(
            end_sentence(join_clauses([*faults[:MAX_FAULTS], *more])), "Nothing was changed."
        )
    return found


def check_json(tables: Any) -> None:
    """Raise Usage for tables that JSON cannot hold, because of a date or a huge number."""
    try:
        json.dumps(tables)
    except (TypeError, ValueError) as error:
        what = truncate(sanitize(str(error)), 80)
        raise Usage(
            "holds a value that is no text, number, list or table: {what}. Nothing was changed.",
            "Put dates and times in quotes.",
            what=what,
        ) from None


def find_definitions(data: Mapping[Any, Any]) -> tuple[Definitions, list[str]]:
    """Return the valid definitions of parsed tables, and all faults."""
    found: Definitions = {kind: {} for kind in KINDS}
    faults: list[str] = []
    with limit_file_steps():
        for kind, tables in data.items():
            for name, definition in _parse_tables(kind, tables, faults):
                found[kind][name] = definition
    return found, faults


def build_definition(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Build one definition from its row, without defaults and with units."""
    fields = KINDS[kind].model_fields
    found: dict[str, Any] = {}
    for name, field in fields.items():
        value = row.get(field.alias or name)
        if value is not None and (field.is_required() or value != field.default):
            format_value = _FORMATTERS.get(name)
            found[field.alias or name] = format_value(value) if format_value else value
    return found


def validate_definition(definition: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """Build one definition from command options. Raise Usage with all faults."""
    try:
        return definition.model_validate(dict(values))
    except ValidationError as error:
        raise Usage(
            "; ".join(_format_errors(error, definition)) + ".", "Nothing was changed."
        ) from None


def _parse_tables(kind: str, tables: Any, faults: list[str]) -> Iterator[tuple[str, Any]]:
    if kind not in KINDS:
        near = _suggest_nearest(kind, KINDS) if len(faults) < MAX_DESCRIBED else ""
        faults.append(tr("unknown table {kind}{near}", kind=quote(str(kind)), near=near))
    elif not is_object(tables):
        faults.append(tr("{kind} must be tables, such as [{kind}.NAME]", kind=kind))
    else:
        for name, body in tables.items():
            if fault := find_name_error(name):
                faults.append(tr("{kind}: a name {fault}", kind=kind, fault=fault))
                continue
            try:
                yield name, KINDS[kind].model_validate(body)
            except ValidationError as error:
                about = f"{kind}.{sanitize(name)}"
                room = max(0, MAX_DESCRIBED - len(faults))
                described = islice(_format_errors(error, KINDS[kind]), room)
                faults.extend(f"{about}: {words}" for words in described)
                faults.extend([tr("{about}: is wrong", about=about)] * (error.error_count() - room))


def _format_errors(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    known = [field.alias or name for name, field in model.model_fields.items()]
    for fault in error.errors(include_url=False):
        where = ".".join(sanitize(str(step)) for step in fault["loc"])
        yield _format_error(truncate(where, 80), fault, known)


def _format_error(where: str, fault: Any, known: list[str]) -> str:
    kind = fault["type"]
    if kind == "extra_forbidden":
        return tr(
            "unknown key {where}{advice}", where=quote(where), advice=_suggest_nearest(where, known)
        )
    if kind == "missing":
        return tr("needs {where}", where=where)
    if kind == "model_type":
        return tr("must be a table")
    if kind == "value_error":
        message = str(fault["ctx"]["error"])
        return message if message.startswith((where, "schema:")) else f"{where} {message}"
    return tr(
        "{where} {fault}, not {input}",
        where=where,
        fault=tr(_TYPE_ERRORS.get(kind, tr_noop("has the wrong type"))),
        input=quote(str(fault["input"])),
    )


_TYPE_ERRORS = {
    "string_type": tr_noop("must be text"),
    "dict_type": tr_noop("must be a table"),
    "bool_type": tr_noop("must be true or false"),
}


def _suggest_nearest(word: Any, known: Iterable[str]) -> str:
    near = find_nearest(str(word), known)
    return f". Nearest: {near}" if near else f" (known: {', '.join(known)})"


def _format_size(mib: float) -> str | float:
    if mib and mib % 1024 == 0:
        return f"{int(mib / 1024)}G"
    return f"{int(mib)}M" if mib % 1 == 0 else mib


def _format_number(value: float) -> int | float:
    return int(value) if value % 1 == 0 else value


_FORMATTERS: dict[str, Any] = {
    "total_cpu": _format_number,
    "cpu": _format_number,
    "total_memory": _format_size,
    "memory": _format_size,
    "timeout": sla.format_seconds,
    "ageing": format_ageing,
    "enforce": list_enforced,
    "severity": sla.get_severity,
    "actions": format_actions,
}
