"""Templates, as people make, change and take them away one by one. `app.service.definitions` does so from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from app import engines
from app.core.clean import clean, valid_name
from app.core.definitions import TemplateDefinition, check
from app.errors import Conflict, Usage
from app.service import find
from app.service.call import Call
from app.service.submit import DEFAULT_QUEUE, fits
from db import named, reads, schema
from db.rows import PoolRow, TemplateRow


async def ls(call: Call) -> list[dict[str, Any]]:
    """All templates by name."""
    return [row._asdict() for row in await call.db.read(named.templates)]


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """One template."""
    return (await call.db.read(known, name))._asdict()


async def create(call: Call, *, name: str, **given: Any) -> dict[str, Any]:
    """A new template of `engine`, `schema`, `parameters` (else what the schema names) and defaults for its tasks."""
    if wrong := valid_name(name):
        raise Usage(f"name {wrong}. Nothing was changed.")
    given = {key: value for key, value in given.items() if value is not None}
    given.setdefault("parameters", engines.declared(given.get("engine", ""), given.get("schema")))
    definition = checked(given)

    def create(c: Connection) -> None:
        if named.template(c, name) is not None:
            said = f"there is a template {clean(name)} already. Nothing was changed."
            raise Conflict(said, f"Change it: taskdeck template set {clean(name)}")
        check_place(definition, places(c))
        named.create(c, schema.templates, name, columns(definition, given), call.by)

    await call.db.write(create)
    return await show(call, name=name)


async def set_(call: Call, *, name: str, **given: Any) -> dict[str, Any]:
    """Change what is given of a template; tasks that were submitted keep what they had."""
    if not any(value is not None for value in given.values()):
        raise Usage("nothing to set. Say what: --queue, --timeout, --cpu, --memory, --retries or --description.")

    def change(c: Connection) -> None:
        row = known(c, name)
        merged = {key: value for key, value in row._asdict().items() if key in FIELDS and value is not None}
        definition = checked(merged | {key: value for key, value in given.items() if value is not None})
        check_place(definition, places(c))
        named.change(c, schema.templates, name, columns(definition, given), call.by)

    await call.db.write(change)
    return await show(call, name=name)


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Take away a template that nothing refers to."""

    def remove(c: Connection) -> None:
        known(c, name)
        find.unused("template", name, named.users_of_template(c, name))
        named.remove(c, schema.templates, name, call.by)

    await call.db.write(remove)
    return {"name": name}


FIELDS = tuple(field.alias or name for name, field in TemplateDefinition.model_fields.items())


def known(c: Connection, name: str) -> TemplateRow:
    """The template of that name. Raises NotFound with the nearest."""
    row = named.template(c, name)
    if row is None:
        raise find.named("template", name, named.template_names(c))
    return row


def checked(given: Mapping[str, Any]) -> TemplateDefinition:
    """A definition that an engine can run. Raises Usage."""
    definition: TemplateDefinition = check(TemplateDefinition, given)
    engine_check(definition)
    return definition


def engine_check(definition: TemplateDefinition) -> None:
    """Its engine can run its schema with its parameters. Raises Usage."""
    try:
        engines.check(definition.engine, definition.schema_, definition.parameters)
    except Usage as problem:
        raise Usage(f"{problem.message.rstrip('.')}.", "Nothing was changed.") from None


def check_place(definition: TemplateDefinition, queues: Mapping[str, PoolRow]) -> None:
    """Its queue exists, and what it asks for can fit that queue's pool. Raises NotFound and Refused."""
    queue = definition.queue or DEFAULT_QUEUE
    if queue not in queues:
        raise find.named("queue", queue, list(queues))
    fits(queues[queue], definition.cpu or 0.0, definition.memory or 0.0, "Nothing was changed.")


def places(c: Connection) -> dict[str, PoolRow]:
    """The pool of each queue, by the queue's name."""
    pools = {row.name: row for row in reads.pools(c)}
    return {row.name: pools[row.pool] for row in reads.queues(c)}


def columns(definition: TemplateDefinition, source: Mapping[str, Any]) -> dict[str, Any]:
    """The definition as its row holds it; `source` is what it was made from, as it was typed."""
    values = definition.model_dump(by_alias=True)
    return values | {"type": definition.type or definition.engine, "template": dict(source)}
