"""Limit verbs: the most that the running tasks of a tag may take together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.definitions.document import LimitDefinition, validate_definition
from app.core.scheduling.limits import Limits, find_name, list_excess
from app.core.scheduling.resources import CPU, MEMORY, get_named, make_amounts
from app.core.text.sanitize import find_name_error, find_nearest, sanitize
from app.core.text.units import format_count
from app.errors import Usage
from app.service.context import Call
from app.service.scheduling import limit_view
from app.service.tasks import lookup
from app.translation import tr
from db import schema
from db.engine import Connection
from db.queries import definitions
from db.queries.scheduling import limits as queries
from db.queries.scheduling import resources
from db.queries.scheduling.resources import parse_named, to_text
from db.queries.tasks import known_names

AMOUNTS = ("running", "cpu", "memory", "resources")


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return all limits by name, each with what running tasks take of it now.

    `used` is {tag: {"running", "cpu", "memory", "resources"}}, of the tags with running tasks.
    """
    return await call.db.read(list_limit_dicts)


def list_limit_dicts(c: Connection) -> list[dict[str, Any]]:
    """Return the limits as sent to clients."""
    rows = [row._asdict() for row in queries.list_rows(c)]
    limits: Limits = {row["name"]: {} for row in rows}
    used: dict[str, dict[str, dict[str, Any]]] = {row["name"]: {} for row in rows}
    bounds = limit_view.TagBounds(limits, frozenset())
    for run in queries.list_active(c) if rows else ():
        needs = make_amounts(run.cpu, run.memory, parse_named(run.resources))
        for subject in bounds.find_subjects(run.tags, None):
            _add_use(used[find_name(limits, subject) or ""], subject, needs)
    return [
        row | {"resources": dict(parse_named(row["resources"])), "used": used[row["name"]]}
        for row in rows
    ]


def _add_use(used: dict[str, dict[str, Any]], subject: str, needs: Mapping[str, float]) -> None:
    new = {"running": 0, CPU: 0.0, MEMORY: 0.0, "resources": {}}
    found = used.setdefault(subject, new)
    found["running"] += 1
    found[CPU] += needs[CPU]
    found[MEMORY] += needs[MEMORY]
    for name, amount in get_named(needs).items():
        found["resources"][name] = found["resources"].get(name, 0) + amount


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """Return one limit."""
    return await call.db.read(_show, name)


def _show(c: Connection, name: str) -> dict[str, Any]:
    _require_known(c, name)
    return next(row for row in list_limit_dicts(c) if row["name"] == name)


async def set_(
    call: Call,
    *,
    name: str,
    running: Any = None,
    cpu: Any = None,
    memory: Any = None,
    resources: Any = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Create or change the limit of a tag `KEY=VALUE`, or of each value of a tag `KEY`.

    Amounts that are not given stay. `created` tells whether the limit is new.
    """
    if wrong := find_name_error(name) or _find_key_error(name):
        raise Usage("the tag of a limit {wrong}. Nothing was changed.", wrong=wrong)
    given = {"running": running, "cpu": cpu, "memory": memory, "resources": resources}
    given = {key: value for key, value in {**given, "description": description}.items()
             if value is not None}  # fmt: skip
    if not given:
        raise Usage(
            "nothing to set. Options: --running, --cpu, --memory, --gpu, --resource or"
            " --description.",
            "No limit at all: taskdeck limit rm NAME",
        )
    created, too_large = await call.db.write(_store, name, given, call.by)
    if too_large:
        call.note(too_large)
    if created and (unknown := await call.db.read(_describe_unknown, name)):
        call.note(unknown)
    return {**await show(call, name=name), "created": created}


def keep_amounts(c: Connection, name: str, amounts: Mapping[str, Any], by: str) -> None:
    """Create or change the limit of a tag, unless it has these amounts already."""
    row = definitions.get_row(c, schema.limits, name)
    if row is None or any(row[key] != amount for key, amount in amounts.items()):
        _store(c, name, dict(amounts), by)


def _describe_unknown(c: Connection, name: str) -> str | None:
    """Tell that no recent task has the tag of a limit, with the nearest one that a task has."""
    tags = known_names.list_recent_tags(c)
    found = [*tags, *{tag.partition("=")[0]: None for tag in tags}]
    if name in found:
        return None
    near = find_nearest(name, found)
    return tr("no recent task has the tag {name}.", name=sanitize(name)) + (
        f" Nearest: {sanitize(near)}." if near else ""
    )


def _find_key_error(name: str) -> str | None:
    """Return why a name is no tag, to follow "the tag of a limit"."""
    key, has_value, value = name.partition("=")
    if not key.strip() or (has_value and not value):
        return tr("needs a key and a value, such as team=a, or a key alone")
    return None


def _store(c: Connection, name: str, given: dict[str, Any], by: str) -> tuple[bool, str | None]:
    row = definitions.get_row(c, schema.limits, name)
    known = {} if row is None else {key: row[key] for key in (*AMOUNTS, "description")}
    whole = {key: value for key, value in (known | given).items() if value not in (None, {})}
    named = given.get("resources", {})
    if isinstance(named, dict):  # the validation refuses anything else
        merged = {**parse_named(known.get("resources")), **named}
        whole |= {"resources": merged} if merged else {}
    values = to_columns(validate_definition(LimitDefinition, whole))
    if row is None:
        definitions.create(c, schema.limits, name, values, by)
    else:
        definitions.update(c, schema.limits, name, values, by)
    return row is None, _describe_too_large(c, name)


def to_columns(definition: Any) -> dict[str, Any]:
    """Return a definition by column names."""
    values = definition.model_dump()
    return values | {"resources": to_text(values["resources"])}


def _describe_too_large(c: Connection, name: str) -> str | None:
    """Describe the waiting tasks that ask for more than a limit."""
    limits = limit_view.to_limits(resources.read_bounds(c).limits)
    key, _, value = name.partition("=")
    numbers = [
        task.number
        for task in queries.list_waiting_with_tag(c, key)
        if task.value == (value or task.value)
        and find_name(limits, f"{key}={task.value}") == name
        and list_excess(limits, {key: task.value},
                        make_amounts(task.cpu, task.memory, parse_named(task.resources)))
    ]  # fmt: skip
    if not numbers:
        return None
    others = tr(" and {more} more", more=format_count(len(numbers) - 1)) if len(numbers) > 1 else ""
    asks = "ask" if others else "asks"
    return tr(
        "#{numbers}{others} {asks} for more than limit {name}: it can never start.",
        numbers=numbers[0],
        others=others,
        asks=asks,
        name=sanitize(name),
    )


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete a limit."""

    def remove(c: Connection) -> None:
        _require_known(c, name)
        definitions.remove(c, schema.limits, name, call.by)

    await call.db.write(remove)
    return {"name": name}


def _require_known(c: Connection, name: str) -> None:
    if definitions.get_row(c, schema.limits, name) is None:
        names = [row.name for row in queries.list_rows(c)]
        raise lookup.make_unknown_name("limit", name, names)
