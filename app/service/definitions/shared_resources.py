"""Resource verbs: totals of the named resources that all pools share, such as licences."""

from __future__ import annotations

import shlex
from typing import Any

from app.core.definitions.document import ResourceDefinition, validate_definition
from app.core.scheduling.resources import check_name
from app.core.text.sanitize import find_nearest, sanitize
from app.core.text.units import format_count
from app.errors import Refused, Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.translation import tr
from db import schema
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.history import operations
from db.queries.scheduling import resources
from db.queries.scheduling.resources import parse_named
from db.queries.tasks import task_numbers
from db.states import WAITING, TaskStatus

MAX_CHECKS = 5
"""Checks before the transaction that removes a resource; after these, it checks itself."""


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return the shared resources by name, each with what is `used` of its total."""
    return await call.db.read(_list_dicts)


def _list_dicts(c: Connection) -> list[dict[str, Any]]:
    held = resources.sum_held(c).values()
    return [
        {**row._asdict(), "used": sum(used.get(row.name, 0) for used in held)}
        for row in resources.list_shared(c)
    ]


async def set_(
    call: Call, *, name: str, total: Any = None, description: str | None = None
) -> dict[str, Any]:
    """Create or change a shared resource. `created` tells whether it is new."""
    try:
        check_name(name)
    except ValueError as error:
        raise Usage("{error}. Nothing was changed.", error=error) from None
    given = {"total": total, "description": description}
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        raise Usage("nothing to set. Options: --total or --description.")
    created, new_total = await call.db.write(_store, name, given, call.by)
    if too_large := await call.db.read_on_thread(
        _describe_asking, name, new_total, sorted(WAITING)
    ):
        call.note(
            tr("{too_large} for more than this total, and cannot start.", too_large=too_large)
        )
    if created and (near := find_nearest(name, await call.db.read(_list_others, name))):
        call.note(tr("{name} is new, beside {near}. If it is mistyped: taskdeck resource rm"
" {word}", name=name, near=sanitize(near), word=shlex.quote(name)))  # fmt: skip
    found = await call.db.read(_list_dicts)
    return {**next(row for row in found if row["name"] == name), "created": created}


def _list_others(c: Connection, name: str) -> list[str]:
    """Return the other resources that pools share or have of their own."""
    of_pools = {one for row in reads.list_pools(c) for one in parse_named(row.resources)}
    return sorted((of_pools | {row.name for row in resources.list_shared(c)}) - {name})


def _store(c: Connection, name: str, given: dict[str, Any], by: str) -> tuple[bool, int]:
    """Return True if the resource is new, and its total."""
    row = definitions.get_row(c, schema.resources, name)
    known = {} if row is None else {key: row[key] for key in ("total", "description")}
    values = validate_definition(ResourceDefinition, known | given).model_dump()
    if row is None:
        definitions.create(c, schema.resources, name, values, by)
    else:
        definitions.update(c, schema.resources, name, values, by)
    return row is None, values["total"]


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete a shared resource. Raise Refused while tasks that have not ended ask for it.

    The tasks are read before the transaction, again if anybody changed something meanwhile.
    """

    def remove(c: Connection, checked: tuple[int, int] | None) -> bool:
        if checked is None:
            _refuse_asked_for(c, name)
        elif _find_last_change(c) != checked:
            return False
        definitions.remove(c, schema.resources, name, call.by)
        return True

    for _ in range(MAX_CHECKS):
        checked = await call.db.read_on_thread(_refuse_asked_for, name)
        if await call.db.write(remove, checked):
            break
    else:
        await call.db.write(remove, None)
    return {"name": name}


def _refuse_asked_for(c: Connection, name: str) -> tuple[int, int]:
    """Raise Problem unless the resource can be removed. Return the last change."""
    if definitions.get_row(c, schema.resources, name) is None:
        known = [row.name for row in resources.list_shared(c)]
        raise lookup.make_unknown_name("resource", name, known)
    if asking := _describe_asking(c, name, 0, [*sorted(WAITING), TaskStatus.RUNNING]):
        raise Refused(
            "{asking} for {name}. It was not removed.",
            "To give out no more of it: taskdeck resource set {word} --total 0",
            asking=asking,
            name=sanitize(name),
            word=name,
        )
    return _find_last_change(c)


def _find_last_change(c: Connection) -> tuple[int, int]:
    """Return the last operation and the last task: nothing else lets a task ask for more."""
    return operations.find_last_id(c), task_numbers.find_last_number(c)


def _describe_asking(c: Connection, name: str, most: int, states: list[str]) -> str:
    """Return `#5 asks` or `#5 and 2 more ask` of tasks that ask for more than `most`, or ""."""
    many, first = resources.count_asking(c, name, most, states)
    if many < 2:
        return tr("#{first} asks", first=first) if many else ""
    return tr("#{first} and {more} more ask", first=first, more=format_count(many - 1))
