"""`apply` and `export` of all definitions as one file.

A file is checked as a whole before anything is stored. Up to `MAX_AT_ONCE` changes are stored
together or not at all. More take several short transactions, so that others need not wait; if they
are interrupted, a repeated `apply` stores the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.core import sla
from app.core.definitions.document import (
    KINDS,
    Definitions,
    build_definition,
    parse_document,
    validate_tables,
)
from app.core.schedules.definition import build_source
from app.core.scheduling.amounts import Amounts
from app.core.scheduling.resources import make_amounts
from app.core.schema import secrets
from app.core.slurm import pool_options
from app.core.text.sanitize import sanitize
from app.errors import NotFound, Refused, Usage
from app.service import name_hints
from app.service.context import Call
from app.service.definitions import bookings, queues, slas, templates
from app.service.notifications import note_commands_off, note_unknown_channels, require_usable
from app.service.schedules import changes as schedule_changes
from app.service.schedules import rules as schedule_rules
from app.service.tasks import lookup
from app.service.tasks.places import Place, get_totals
from app.service.tasks.submission.submit import DEFAULT_QUEUE
from app.translation import tr
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads, schedules
from db.queries.history import operations
from db.queries.rules import alerts
from db.queries.scheduling import bookings as booking_queries
from db.queries.scheduling import limits as limit_queries
from db.queries.scheduling import resources
from db.queries.scheduling.resources import parse_named
from db.rows import ScheduleRow, TemplateRow
from db.schema import Table

_ORDER = (
    "slas", "resources", "limits", "pools", "reservations", "queues", "templates", "calendars",
    "schedules",
)  # fmt: skip
"""Kinds in order of dependency, referenced ones first."""
MAX_AT_ONCE = 200
"""Changes stored in one transaction, of at most 0.3 ms each."""
_TABLES: Mapping[str, Table] = {
    "resources": schema.resources,
    "limits": schema.limits,
    "pools": schema.pools,
    "reservations": schema.bookings,
    "queues": schema.queues,
    "templates": schema.templates,
    "slas": schema.slas,
    "calendars": schema.calendars,
    "schedules": schema.schedules,
}


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """Effect of a file on one definition.

    `fields` is {column: [old, new]}, `values` holds all columns.
    """

    kind: str
    name: str
    new: bool
    fields: dict[str, list[Any]]
    values: dict[str, Any]

    @property
    def word(self) -> str:
        """The kind of change: create, update or same."""
        return "create" if self.new else "update" if self.fields else "same"

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind.removesuffix("s"),
            "name": self.name,
            "change": self.word,
            "fields": secrets.mask_record(self.shown_fields),
        }

    @property
    def shown_fields(self) -> dict[str, list[Any]]:
        """The fields without the environment of a schedule."""
        return {key: pair for key, pair in map(_hide_environment, self.fields.items())}


def _hide_environment(item: tuple[str, list[Any]]) -> tuple[str, list[Any]]:
    if item[0] != "context":
        return item
    return "cwd", [context and context["cwd"] for context in item[1]]


async def apply(
    call: Call, *, tables: Any = None, text: str | None = None, format: str = "toml",
    dry_run: bool = False, cwd: str = "/", umask: int = 0o022, env: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Apply the tables of a definitions file.

    Callers parse the file, so that a hostile one costs the runtime nothing; an older caller sends
    its `text`. `cwd`, `umask` and `env` are the shell context of new schedules.
    Return {"changes": [{"kind", "name", "change": create|update|same, "fields"}]}. With `dry_run`
    nothing is changed.
    """
    if (tables is None) is not isinstance(text, str):
        raise Usage("apply needs either tables or text. Nothing was changed.")
    wanted = await asyncio.to_thread(_parse_checked, tables, text, format)
    context = {"cwd": cwd, "umask": umask, "env": env or {}}
    _check_actions(call, wanted)
    await _drop_ended(call, wanted)
    for kind in ("templates", "schedules"):
        note_unknown_channels(call, kind, {name: one.notify for name, one in wanted[kind].items()})
    if not dry_run:
        enforced = [pool.enforce for pool in wanted["pools"].values()]
        await queues.require_enforceable(call, enforced)
    changes = await (
        call.db.read(plan_changes, wanted, context)
        if dry_run
        else _apply_changes(call, wanted, context)
    )
    changed = [
        change.name for change in changes if change.kind == "pools" and change.word != "same"
    ]
    if changed and not dry_run:
        await queues.note_oversize(call, changed)
    for hint in await call.db.read(_list_hints, changes):
        call.note(hint)
    return {"changes": [change.as_dict() for change in changes]}


async def _drop_ended(call: Call, wanted: Definitions) -> None:
    """Leave out reservations that have ended, so that an old file stays usable.

    One that is stored and still in force is ended by the file.
    """
    now = timestamps.utcnow()
    ended = [name for name, one in wanted["reservations"].items() if one.end <= now]
    in_force = (
        {row.name for row in await call.db.read(booking_queries.list_rows)} if ended else set[str]()
    )
    for name in ended:
        if name in in_force:
            continue
        del wanted["reservations"][name]
        call.note(tr("reservations.{name} has ended and is left out.", name=sanitize(name)))


def _check_actions(call: Call, wanted: Definitions) -> None:
    """Raise NotFound for an unknown channel or program; note commands that are off."""
    given = {name: rule.actions for name, rule in wanted["slas"].items() if rule.actions}
    for name, actions in given.items():
        with _prefix_problems("slas", name):
            require_usable(call, actions, "Nothing was changed.")
    note_commands_off(call, given)


def _list_hints(c: Connection, changes: Sequence[DefinitionChange]) -> list[str]:
    """Return hints about names in changed definitions that nothing has so far."""
    planned = {
        one.name: schedule_changes.make_row(one.name, one.values, one.values["context"])
        for one in changes
        if one.kind == "schedules"
    }
    found: list[str] = []
    for one in changes:
        hints: Sequence[str | None] = ()
        if one.word != "same" and one.kind == "slas":
            hints = name_hints.describe_rule_hints(c, one.values["conditions"], planned)
        elif one.word != "same" and one.kind == "schedules":
            row = planned[one.name]
            jitter = schedule_rules.describe_jitter_hint(row, timestamps.utcnow())
            hints = [name_hints.describe_program_hint(row), jitter]
        found += [f"{one.kind}.{sanitize(one.name)}: {hint}" for hint in hints if hint]
    return found


async def export(call: Call, *, format: str = "toml") -> str:
    """Return all definitions as text, in a fixed order.

    Raise Refused if TOML cannot hold one of them.
    """
    from app.core.definitions import toml_yaml

    return await asyncio.to_thread(
        toml_yaml.write_document, await call.db.read(_read_documents), format
    )


def _parse_checked(tables: Any, text: str | None, format: str) -> Definitions:
    wanted = validate_tables(tables) if text is None else parse_document(text, format)
    check_engines(wanted)
    return wanted


def check_engines(wanted: Definitions) -> None:
    """Raise Usage if an engine cannot run one of the templates."""
    for name, definition in wanted["templates"].items():
        with _prefix_problems("templates", name):
            templates.check_engine(definition)


@contextmanager
def _prefix_problems(kind: str, name: str) -> Iterator[None]:
    """Prefix problems raised in the block with the table's name."""
    try:
        yield
    except (Usage, NotFound, Refused) as problem:
        raise type(problem)(f"{kind}.{sanitize(name)}: {problem.message}", problem.hint) from None


async def _apply_changes(
    call: Call, wanted: Definitions, context: schedule_changes.Context
) -> list[DefinitionChange]:
    """Plan the changes on a reader and store them; return them as planned.

    If somebody changes a definition meanwhile, the rest is planned again.
    """
    planned, mark = await call.db.read(_plan_with_mark, wanted, context)
    left = list(planned)
    while left := [change for change in left if change.word != "same"]:
        part = left[:MAX_AT_ONCE]
        await _prepare_alerts(call, part)
        stored_mark = await call.db.write(_store_if_unchanged, part, mark, call.by)
        if stored_mark is not None:
            left, mark = left[len(part) :], stored_mark
        else:
            left, mark = await call.db.read(_plan_with_mark, wanted, context)
    return planned


async def _prepare_alerts(call: Call, changes: Sequence[DefinitionChange]) -> None:
    """Prepare rules with many alerts for their changes."""
    changed = {one.name: one for one in changes if one.kind == "slas" and not one.new}
    if not changed:
        return
    for row in await call.db.read(definitions.list_slas):
        if change := changed.get(row.name):
            priority = change.values["priority"]
            await slas.prepare_many_alerts(call, row.id, change.fields, priority)


def _plan_with_mark(
    c: Connection, wanted: Definitions, context: schedule_changes.Context
) -> tuple[list[DefinitionChange], int]:
    return plan_changes(c, wanted, context), operations.find_last_id(c)


def _store_if_unchanged(
    c: Connection, changes: Sequence[DefinitionChange], mark: int, by: str
) -> int | None:
    """Store changes and return the new mark; or None if a definition was changed since `mark`."""
    if operations.has_changed_definition(c, mark):
        return None
    for (kind, new), group in groupby(changes, key=lambda change: (change.kind, change.new)):
        if new and kind == "reservations":
            booking_queries.remove_ended(c)  # whose names are free
        if new:
            rows = {change.name: _complete_values(c, change) for change in group}
            definitions.create_all(c, _TABLES[kind], rows, by)
            continue
        for change in group:
            apply_change(c, change, by)
    return operations.find_last_id(c)


def plan_changes(
    c: Connection,
    wanted: Definitions,
    context: schedule_changes.Context | None = None,
    is_checked: bool = False,
) -> list[DefinitionChange]:
    """Return the changes a file would make, in the order of `_ORDER`.

    `is_checked` leaves out the check of schedules' parameters, which may take 0.1 s each. Raise
    NotFound for an unknown reference.
    """
    found = {kind: read_existing(c, kind) for kind in _ORDER}
    _check_references(c, wanted, found)
    rows = {row.name: row for row in schedules.list_all(c)} if wanted["schedules"] else {}
    planned = _plan_schedules(wanted, rows, context or {"cwd": "/", "umask": 0o022, "env": {}})
    _check_schedules(c, wanted, planned, found, is_checked)
    slots = {name: _count_slots(row) for name, row in found["pools"].items()}
    slots |= {name: _count_slots(pool.model_dump()) for name, pool in wanted["pools"].items()}
    return [
        _make_change(
            kind,
            name,
            planned[name] if kind == "schedules" else _to_columns(kind, definition, slots),
            found[kind].get(name),
        )
        for kind in _ORDER
        for name, definition in sorted(wanted[kind].items())
    ]


def _count_slots(pool: Mapping[str, Any]) -> int:
    """Return the default capacity of the queues of a pool."""
    return pool_options.get_default_capacity(pool["kind"], pool["total_cpu"] or 0.0)


def _plan_schedules(
    wanted: Definitions, rows: Mapping[str, ScheduleRow], context: schedule_changes.Context
) -> dict[str, dict[str, Any]]:
    """Return the columns of schedules by name. An existing one keeps its environment."""
    now = timestamps.utcnow()
    planned: dict[str, dict[str, Any]] = {}
    for name, definition in wanted["schedules"].items():
        row = rows.get(name)
        known: schedule_changes.Context = row.context if row else context
        with _prefix_problems("schedules", name):
            columns = schedule_changes.make_columns(definition, row, now)
            task = schedule_changes.keep_masked(columns["task"], row.task if row else {})
        cwd = definition.cwd or known["cwd"]
        planned[name] = columns | {"task": task, "context": {**known, "cwd": cwd}}
    return planned


def _check_schedules(
    c: Connection,
    wanted: Definitions,
    planned: Mapping[str, dict[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    is_checked: bool,
) -> None:
    """Check that the tasks of schedules could be submitted, by the definitions of the file too."""
    if not planned:
        return
    calendars = {*wanted["calendars"], *found["calendars"]}
    rows = {row.name: row for row in definitions.list_templates(c)}
    for name, definition in wanted["templates"].items():
        values = _to_columns("templates", definition, {})
        rows[name] = TemplateRow(**{**dict.fromkeys(TemplateRow._fields), **values, "name": name})
    places = _map_places(c, wanted)
    for name, columns in planned.items():
        with _prefix_problems("schedules", name):
            schedule_changes.check_calendars(columns["exclude"], calendars)
            row = schedule_changes.make_row(name, columns, columns["context"])
            schedule_changes.check_planned_task(row, rows, places, is_checked)


def _make_change(
    kind: str, name: str, values: dict[str, Any], row: Mapping[str, Any] | None
) -> DefinitionChange:
    if row is None:
        fields = {
            key: [None, value]
            for key, value in values.items()
            if value not in (None, {}) and key != "template"
        }
        return DefinitionChange(kind, name, True, fields, values)
    return DefinitionChange(kind, name, False, definitions.find_difference(row, values), values)


def _to_columns(kind: str, definition: Any, slots: Mapping[str, int]) -> dict[str, Any]:
    """Return a definition by column names; a pool's SLA rule stays a name.

    `slots` are the default capacities of queues by pool.
    """
    if kind == "templates":
        return templates.to_columns(
            definition, build_definition(kind, definition.model_dump(by_alias=True))
        )
    if kind == "reservations":
        return bookings.to_columns(definition)
    values = definition.model_dump()
    if kind in ("pools", "limits"):
        values["resources"] = resources.to_text(values["resources"])
    if kind == "pools":
        values = _pack_pool(values)
    if kind == "slas":
        values["priority"] = values.pop("severity")
    if kind == "queues" and values["capacity"] is None:
        values["capacity"] = slots[values["pool"]]
    return values


def _pack_pool(values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a pool: one for all options of its jobs, and no missing total."""
    options = {name: values.pop(name) for name in pool_options.NAMES}
    totals = {name: values[name] or 0.0 for name in ("total_cpu", "total_memory")}
    return values | totals | {"options": pool_options.format_options(options)}


def apply_change(c: Connection, change: DefinitionChange, by: str) -> None:
    """Apply one change."""
    if not (change.new or change.fields):
        return
    if change.new:
        values = _complete_values(c, change)
        definitions.create(c, _TABLES[change.kind], change.name, values, by)
        return
    values = _resolve_rule(c, {key: change.values[key] for key in change.fields})
    if change.kind == "schedules":
        row, now = schedule_changes.require_schedule(c, change.name), timestamps.utcnow()
        with _prefix_problems("schedules", change.name):
            schedule_changes.update(c, row, values, now, by)
        return
    if change.kind == "templates":
        values["template"] = change.values["template"]
    definitions.update(c, _TABLES[change.kind], change.name, values, by)
    if change.kind == "calendars":
        schedules.request_check(c, change.name)
    if change.kind == "slas":
        severity = sla.get_severity(change.values["priority"])
        rule = slas.require_rule(c, change.name)
        alerts.update_alerts_of_changed_rule(c, rule.id, change.fields, severity)


def _complete_values(c: Connection, change: DefinitionChange) -> dict[str, Any]:
    """Return the values of a new definition, completed with those that need the database."""
    if change.kind != "schedules":
        return _resolve_rule(c, change.values)
    row = schedule_changes.make_row(change.name, change.values, change.values["context"])
    with _prefix_problems("schedules", change.name):
        return schedule_changes.make_new_values(
            row, schedules.map_calendars(c), timestamps.utcnow()
        )


def _resolve_rule(c: Connection, values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns with the id of a pool's SLA rule instead of its name."""
    if "sla" not in values:
        return values
    level = definitions.find_sla(c, values["sla"]) if values["sla"] is not None else None
    return {key: value for key, value in values.items() if key != "sla"} | {
        "sla_id": level.id if level else None
    }


def read_existing(c: Connection, kind: str) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a kind by name."""
    if kind == "pools":
        names = {row.id: row.name for row in definitions.list_slas(c)}
        return {
            row.name: row._asdict() | {"sla": names.get(row.sla_id or 0)}
            for row in reads.list_pools(c)
        }
    read = {
        "queues": reads.list_queues,
        "templates": definitions.list_templates,
        "slas": definitions.list_slas,
        "resources": resources.list_shared,
        "limits": limit_queries.list_rows,
        "reservations": booking_queries.list_rows,
        "calendars": schedules.list_calendars,
        "schedules": schedules.list_all,
    }
    rows: Iterable[Any] = read[kind](c)
    return {row.name: row._asdict() for row in rows}


def _check_references(
    c: Connection, wanted: Definitions, found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Check that all references exist and that each template fits its pool."""
    names = {kind: [*dict.fromkeys([*wanted[kind], *found[kind]])] for kind in KINDS}
    for kind, key, owner in (
        ("pools", "sla", "slas"),
        ("reservations", "pool", "pools"),
        ("queues", "pool", "pools"),
        ("templates", "queue", "queues"),
    ):
        for name, definition in wanted[kind].items():
            named = getattr(definition, key)
            if named is not None and named not in names[owner]:
                with _prefix_problems(kind, name):
                    raise lookup.make_unknown_name(owner.removesuffix("s"), named, names[owner])
    for name, definition in wanted["slas"].items():
        with _prefix_problems("slas", name):
            slas.check_match(definition.conditions, names["templates"], names["queues"])
            slas.check_actions(c, definition.actions, names["templates"], names["queues"])
    _check_kinds(wanted, found["pools"])
    _check_pools(c, wanted)
    _check_room(c, wanted, found["templates"])
    _check_bookings(c, wanted, found["reservations"])


def _check_kinds(wanted: Definitions, found: Mapping[str, Any]) -> None:
    """Raise Refused if a pool would become one of another kind."""
    for name, pool in wanted["pools"].items():
        if name in found and found[name]["kind"] != pool.kind:
            was = found[name]["kind"] or pool_options.LOCAL
            raise Refused(
                "pools.{name}: the kind of a pool cannot change; it is {was}. Nothing was changed.",
                "Create another pool, and move its queues there: taskdeck queue set NAME --pool",
                name=sanitize(name),
                was=was,
            )


def _check_pools(c: Connection, wanted: Definitions) -> None:
    """Check that no pool refers to an SLA rule about a metric."""
    rules = {row.name: row.conditions for row in definitions.list_slas(c)} | {
        name: rule.conditions for name, rule in wanted["slas"].items()
    }
    pools = {name: row["sla"] for name, row in read_existing(c, "pools").items()} | {
        name: pool.sla for name, pool in wanted["pools"].items()
    }
    for name, level in pools.items():
        with _prefix_problems("pools", name):
            if level is not None:
                slas.check_pool(level, rules[level])


def _check_room(c: Connection, wanted: Definitions, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that no template of the file asks for more than its pool holds.

    A template that the file leaves as it is may ask for too much already.
    """
    places, before = _map_places(c, wanted), _map_places(c, {kind: {} for kind in KINDS})
    for name, definition in wanted["templates"].items():
        queue, row = definition.queue or DEFAULT_QUEUE, found.get(name, {})
        is_same = all(
            row.get(column, ()) == value
            for column, value in templates.to_columns(definition, {}).items()
            if column in ("queue", "cpu", "memory", "resources")
        )
        if is_same and places.get(queue) == before.get(queue):
            continue
        with _prefix_problems("templates", name):
            templates.check_place(definition, places)


def _check_bookings(
    c: Connection, wanted: Definitions, found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Check that pools have enough for the reservations of the file, beside all others.

    A reservation that the file leaves as it is may exceed a pool that became smaller.
    """
    if not wanted["reservations"]:
        return
    pools, shared = _list_wanted_totals(wanted)
    totals, before = bookings.read_totals(c, pools, shared), bookings.read_totals(c)
    given = {n: bookings.to_columns(one) for n, one in wanted["reservations"].items()}
    rows = {**found, **given}
    kinds = {row.name: row.kind for row in reads.list_pools(c)}
    kinds |= {name: pool.kind for name, pool in wanted["pools"].items()}
    for name, values in given.items():
        with _prefix_problems("reservations", name):
            bookings.refuse_outer(values["pool"], kinds[values["pool"]], "Nothing was changed.")
        is_same = name in found and values.items() <= found[name].items()
        pool = totals[values["pool"]]
        if is_same and before.get(values["pool"]) == pool:
            continue
        others = [row for other, row in rows.items() if other != name]
        with _prefix_problems("reservations", name):
            bookings.require_room(rows[name], others, pool, "Nothing was changed.")


def _list_wanted_totals(wanted: Definitions) -> tuple[dict[str, Amounts], dict[str, float]]:
    """Return the amounts of the pools and of the shared resources in a file."""
    return {
        name: make_amounts(pool.total_cpu or 0.0, pool.total_memory or 0.0, pool.resources)
        for name, pool in wanted["pools"].items()
    }, {name: definition.total for name, definition in wanted["resources"].items()}


def _map_places(c: Connection, wanted: Definitions) -> dict[str, Place]:
    """Return {queue: its pool} once the file is applied."""
    own, of_all = _list_wanted_totals(wanted)
    shared = dict(resources.read_totals(c)) | of_all
    totals = {row.name: get_totals(row) for row in reads.list_pools(c)} | own
    outer = {row.name for row in reads.list_pools(c) if row.kind is not None}
    outer |= {name for name, pool in wanted["pools"].items() if pool.kind is not None}
    pools = {name: Place(name, own, shared, is_outer=name in outer) for name, own in totals.items()}
    found = {row.name: pools[row.pool] for row in reads.list_queues(c)}
    return found | {name: pools[queue.pool] for name, queue in wanted["queues"].items()}


def list_names(c: Connection, kind: str) -> list[str]:
    """Return the names of all definitions of a kind."""
    return sorted(read_existing(c, kind))


def _read_documents(c: Connection) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        kind: {name: to_document(kind, row) for name, row in sorted(read_existing(c, kind).items())}
        for kind in KINDS
    }


def to_document(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row by the keys of the file."""
    if kind == "schedules":
        masked = dict(row) | {"task": secrets.mask_record(row["task"])}
        return build_source(masked) | {"cwd": row["context"]["cwd"]}
    if kind == "slas":
        row = dict(row) | {"severity": row["priority"]}
    if kind == "reservations":
        row = bookings.to_source(row)
    if kind in ("pools", "limits"):
        row = dict(row) | {"resources": parse_named(row["resources"]) or None}
    if kind == "pools":
        row = dict(row) | {"options": None} | pool_options.parse_options(row["options"])
        if row["kind"] == pool_options.SLURM:
            row |= {"total_cpu": None, "total_memory": None}
    return templates.to_source(row) if kind == "templates" else build_definition(kind, row)
