"""All definitions as one file: `apply` makes them so, whole or not at all, and `export` writes them down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table

from app.core.definitions.document import KINDS, Definitions, build_definition, parse_document
from app.core.schema import secrets
from app.core.text.sanitize import sanitize
from app.errors import NotFound, Refused, Usage
from app.service.context import Call
from app.service.definitions import queues, slas, templates
from app.service.tasks import lookup
from db import schema
from db.queries import alerts, definitions, reads
from db.rows import PoolRow

_ORDER = ("slas", "pools", "queues", "templates")
"""What is referred to comes first."""
_TABLES: Mapping[str, Table] = {
    "pools": schema.pools,
    "queues": schema.queues,
    "templates": schema.templates,
    "slas": schema.slas,
}


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """What a file does to one thing: `fields` as {column: [old, new]}, `values` all that it says."""

    kind: str
    name: str
    new: bool
    fields: dict[str, list[Any]]
    values: dict[str, Any]

    @property
    def word(self) -> str:
        """create, update or same."""
        return "create" if self.new else "update" if self.fields else "same"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind.removesuffix("s"), "name": self.name, "change": self.word, "fields": secrets.mask_record(self.fields)}


async def apply(call: Call, *, text: str, format: str = "toml", dry_run: bool = False) -> dict[str, Any]:
    """Make everything that a file names as it says, in one transaction; what is so already is not touched.

    Returns {"changes": [{"kind", "name", "change": create|update|same, "fields"}]}; with `dry_run` nothing is changed.
    """
    wanted = await asyncio.to_thread(_parse_checked, text, format)
    changes = await (call.db.read(plan_changes, wanted) if dry_run else call.db.write(_apply, wanted, call.by))
    changed = [change.name for change in changes if change.kind == "pools" and change.word != "same"]
    if changed and not dry_run:
        await queues.note_oversize(call, changed)
    return {"changes": [change.as_dict() for change in changes]}


async def export(call: Call, *, format: str = "toml") -> str:
    """All definitions as text, in a fixed order. Raises Refused when TOML cannot hold one."""
    from app.core.definitions import toml_yaml

    return await asyncio.to_thread(toml_yaml.write_document, await call.db.read(_read_documents), format)


def _parse_checked(text: str, format: str) -> Definitions:
    wanted = parse_document(text, format)
    check_engines(wanted)
    return wanted


def check_engines(wanted: Definitions) -> None:
    """Each template can be run by its engine. Raises Usage."""
    for name, definition in wanted["templates"].items():
        with _prefix_problems("templates", name):
            templates.check_engine(definition)


@contextmanager
def _prefix_problems(kind: str, name: str) -> Iterator[None]:
    """Puts the table's name before what is wrong in it."""
    try:
        yield
    except (Usage, NotFound, Refused) as problem:
        raise type(problem)(f"{kind}.{sanitize(name)}: {problem.message}", problem.hint) from None


def _apply(c: Connection, wanted: Definitions, by: str) -> list[DefinitionChange]:
    changes = plan_changes(c, wanted)
    for change in changes:
        apply_change(c, change, by)
    return changes


def plan_changes(c: Connection, wanted: Definitions) -> list[DefinitionChange]:
    """What the file would change, in the order of `_ORDER`. Raises NotFound for a reference to nothing."""
    _check_references(c, wanted)
    found = {kind: read_existing(c, kind) for kind in _ORDER}
    cores = {name: row["total_cpu"] for name, row in found["pools"].items()}
    cores |= {name: pool.total_cpu for name, pool in wanted["pools"].items()}
    return [
        _make_change(kind, name, _to_columns(kind, definition, cores), found[kind].get(name))
        for kind in _ORDER
        for name, definition in sorted(wanted[kind].items())
    ]


def _make_change(kind: str, name: str, values: dict[str, Any], row: Mapping[str, Any] | None) -> DefinitionChange:
    if row is None:
        fields = {key: [None, value] for key, value in values.items() if value not in (None, {}) and key != "template"}
        return DefinitionChange(kind, name, True, fields, values)
    return DefinitionChange(kind, name, False, definitions.find_difference(row, values), values)


def _to_columns(kind: str, definition: Any, cores: Mapping[str, float]) -> dict[str, Any]:
    """A definition under its row's column names; a pool's SLA by name."""
    if kind == "templates":
        return templates.to_columns(definition, build_definition(kind, definition.model_dump(by_alias=True)))
    values = definition.model_dump()
    if kind == "slas":
        values["priority"] = values.pop("severity")
    if kind == "queues" and values["capacity"] is None:
        values["capacity"] = max(1, int(cores[values["pool"]]))
    return values


def apply_change(c: Connection, change: DefinitionChange, by: str) -> None:
    """Do one change."""
    if not (change.new or change.fields):
        return
    values = change.values if change.new else {key: change.values[key] for key in change.fields}
    if "sla" in values:
        level = definitions.find_sla(c, values["sla"]) if values["sla"] is not None else None
        values = {key: value for key, value in values.items() if key != "sla"} | {"sla_id": level.id if level else None}
    if change.new:
        definitions.create(c, _TABLES[change.kind], change.name, values, by)
        return
    if change.kind == "templates":
        values["template"] = change.values["template"]
    definitions.update(c, _TABLES[change.kind], change.name, values, by)
    if change.kind == "slas" and change.fields.keys() & {"conditions", "enabled"}:
        alerts.restart_rule(c, slas.require_rule(c, change.name).id)


def read_existing(c: Connection, kind: str) -> dict[str, Mapping[str, Any]]:
    """The rows of a kind by name."""
    if kind == "pools":
        names = {row.id: row.name for row in definitions.list_slas(c)}
        return {row.name: row._asdict() | {"sla": names.get(row.sla_id or 0)} for row in reads.list_pools(c)}
    read = {"queues": reads.list_queues, "templates": definitions.list_templates, "slas": definitions.list_slas}
    rows: Iterable[Any] = read[kind](c)
    return {row.name: row._asdict() for row in rows}


def _check_references(c: Connection, wanted: Definitions) -> None:
    """Every name that a definition uses is in the file or in the database, and what a template asks for fits."""
    names = {kind: [*dict.fromkeys([*wanted[kind], *read_existing(c, kind)])] for kind in KINDS}
    for kind, key, owner in (("pools", "sla", "slas"), ("queues", "pool", "pools"), ("templates", "queue", "queues")):
        for name, definition in wanted[kind].items():
            named = getattr(definition, key)
            if named is not None and named not in names[owner]:
                with _prefix_problems(kind, name):
                    raise lookup.make_unknown_name(owner.removesuffix("s"), named, names[owner])
    for name, definition in wanted["slas"].items():
        with _prefix_problems("slas", name):
            slas.check_match(definition.conditions, names["templates"], names["queues"])
    _check_pools(c, wanted)
    _check_room(c, wanted)


def _check_pools(c: Connection, wanted: Definitions) -> None:
    """No pool points at an SLA that is about no task."""
    rules = {row.name: row.conditions for row in definitions.list_slas(c)} | {name: rule.conditions for name, rule in wanted["slas"].items()}
    pools = {name: row["sla"] for name, row in read_existing(c, "pools").items()} | {name: pool.sla for name, pool in wanted["pools"].items()}
    for name, level in pools.items():
        with _prefix_problems("pools", name):
            if level is not None:
                slas.check_pool(level, rules[level])


def _check_room(c: Connection, wanted: Definitions) -> None:
    """No template of the file asks for more than the pool of its queue will hold."""
    pools = {row.name: row for row in reads.list_pools(c)}
    pools |= {
        name: PoolRow(name, pool.total_cpu, pool.total_memory, 0.0, 0.0, "active", None, None, None, None, "", "")
        for name, pool in wanted["pools"].items()
    }
    places = {row.name: pools[row.pool] for row in reads.list_queues(c)}
    places |= {name: pools[queue.pool] for name, queue in wanted["queues"].items()}
    for name, definition in wanted["templates"].items():
        with _prefix_problems("templates", name):
            templates.check_place(definition, places)


def list_names(c: Connection, kind: str) -> list[str]:
    """What there is of a kind."""
    return sorted(read_existing(c, kind))


def _read_documents(c: Connection) -> dict[str, dict[str, dict[str, Any]]]:
    return {kind: {name: to_document(kind, row) for name, row in sorted(read_existing(c, kind).items())} for kind in KINDS}


def to_document(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under the file's keys."""
    if kind == "slas":
        row = dict(row) | {"severity": row["priority"]}
    return templates.to_source(row) if kind == "templates" else build_definition(kind, row)
