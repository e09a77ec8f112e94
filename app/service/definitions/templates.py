"""Template verbs. `definitions.apply` handles templates in files."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from statistics import median
from typing import Any

from app import engines
from app.core.definitions.document import TemplateDefinition, build_definition, validate_definition
from app.core.notifications import notices
from app.core.scheduling.resources import make_amounts
from app.core.text.joining import end_sentence
from app.core.text.sanitize import find_name_error, sanitize
from app.errors import Conflict, Usage
from app.service import notifications
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.places import Place, read_places, require_fit
from app.service.tasks.submission.submit import DEFAULT_QUEUE
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.scheduling import resources
from db.queries.scheduling.resources import parse_named
from db.rows import TemplateRow

MAX_COUNTED = 10_000
"""Maximum number of uses that are counted."""


async def ls(call: Call, *, usage: bool = False, brief: bool = False) -> list[dict[str, Any]]:
    """Return all templates by name.

    With `brief`, leave out `template`, `schema` and `parameters`, which may be large. With
    `usage`, add `used` (tasks, at most `MAX_COUNTED`), `active` (tasks not ended), `last_used`
    (last end) and `median` (seconds of the last successful runs).
    """
    return await call.db.read(_ls, usage, brief)


def _ls(c: Connection, usage: bool, brief: bool) -> list[dict[str, Any]]:
    rows = (
        definitions.list_template_heads(c)
        if brief
        else [row._asdict() for row in definitions.list_templates(c)]
    )
    return [row | (_read_usage(c, row["name"]) if usage else {}) for row in rows]


def _read_usage(c: Connection, name: str) -> dict[str, Any]:
    ran = reads.list_run_seconds(c, name)
    return {
        **reads.count_template_uses(c, name, MAX_COUNTED),
        "median": median(ran) if ran else None,
    }


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """Return one template."""
    return (await call.db.read(require_template, name))._asdict()


async def create(call: Call, *, name: str, **values: Any) -> dict[str, Any]:
    """Create a template.

    Parameters default to the names in the schema.
    """
    if wrong := find_name_error(name):
        raise Usage("name {wrong}. Nothing was changed.", wrong=wrong)
    values = {key: value for key, value in values.items() if value is not None}
    values.setdefault(
        "parameters", engines.derive_parameters(values.get("engine", ""), values.get("schema"))
    )
    definition = await asyncio.to_thread(make_definition, values)
    _check_notice(call, definition)

    def create(c: Connection) -> None:
        if definitions.find_template(c, name) is not None:
            message = f"there is a template {sanitize(name)} already. Nothing was changed."
            raise Conflict(
                message, f"Change it: taskdeck template set {sanitize(shlex.quote(name))}"
            )
        check_place(definition, read_places(c))
        definitions.create(c, schema.templates, name, to_columns(definition, values), call.by)

    await call.db.write(create)
    return await show(call, name=name)


async def set_(call: Call, *, name: str, **values: Any) -> dict[str, Any]:
    """Change a template. Submitted tasks keep their values."""
    if not any(value is not None for value in values.values()):
        raise Usage(
            "nothing to set. Options: --queue, --timeout, --cpu, --memory, --retries, --notify or"
            " --description."
        )

    given = {key: value for key, value in values.items() if value is not None}
    row = await call.db.read(require_template, name)
    stored = get_set_fields(row._asdict())
    if "resources" in given:  # those that are not given stay
        given["resources"] = {**stored.get("resources", {}), **given["resources"]}
    merged = stored | _reset_notice(row, given) | given
    definition = await asyncio.to_thread(make_definition, merged)
    if given.keys() & {"notify", "notify_on"}:
        _check_notice(call, definition)

    def change(c: Connection) -> None:
        if require_template(c, name) != row:
            raise Conflict(
                "template {name} was changed meanwhile. Nothing was changed.",
                "Try again.",
                name=sanitize(name),
            )
        check_place(definition, read_places(c))
        definitions.update(c, schema.templates, name, to_columns(definition, values), call.by)

    await call.db.write(change)
    return await show(call, name=name)


def _reset_notice(row: TemplateRow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return which part of a notice is reset, because the other part changes."""
    if given.get("notify_on") == notices.NEVER:
        return {"notify": None}
    channel = given.get("notify")
    is_reset = channel in notices.RESERVED or (channel and row.notify_on == notices.NEVER)
    return {"notify_on": None} if is_reset else {}


def _check_notice(call: Call, definition: TemplateDefinition) -> None:
    """Raise Problem if a template names an unknown channel."""
    settings = notifications.get_settings(call)
    notifications.check_notice(
        settings, definition.notify, definition.notify_on, "Nothing was changed."
    )


async def retire(call: Call, *, name: str, back: bool = False) -> dict[str, Any]:
    """Retire a template, or with `back` restore it.

    A retired template takes no new tasks; existing references stay valid.
    """

    def change(c: Connection) -> None:
        row = require_template(c, name)
        if back == (row.retired_at is not None):
            verb, at = ("restore", None) if back else ("retire", timestamps.now())
            definitions.update(c, schema.templates, name, {"retired_at": at}, call.by, verb)

    await call.db.write(change)
    return await show(call, name=name)


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete a template that is not in use."""

    def remove(c: Connection) -> None:
        require_template(c, name)
        lookup.require_unused(c, "template", name, definitions.count_template_users(c, name))
        definitions.remove(c, schema.templates, name, call.by)

    await call.db.write(remove)
    return {"name": name}


DEFINITION_FIELDS = tuple(
    field.alias or name for name, field in TemplateDefinition.model_fields.items()
)


def get_set_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a definition that a row sets."""
    found = {key: row[key] for key in DEFINITION_FIELDS if row.get(key) is not None}
    named = parse_named(row["resources"])
    return found | ({"resources": named} if named else {})


def to_source(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a definitions file has it."""
    type_ = None if row["type"] == row["engine"] else row["type"]
    named = parse_named(row["resources"]) or None
    return build_definition("templates", {**row, "type": type_, "resources": named})


def require_template(c: Connection, name: str) -> TemplateRow:
    """Return the template of that name. Raise NotFound with the nearest name."""
    row = definitions.find_template(c, name)
    if row is None:
        raise lookup.make_unknown_name("template", name, definitions.list_template_names(c))
    return row


def make_definition(values: Mapping[str, Any]) -> TemplateDefinition:
    """Return a definition that its engine can run. Raise Usage."""
    definition: TemplateDefinition = validate_definition(TemplateDefinition, values)
    check_engine(definition)
    return definition


def check_engine(definition: TemplateDefinition) -> None:
    """Raise Usage if the engine cannot run the schema with its parameters."""
    try:
        engines.check_template(definition.engine, definition.schema_, definition.parameters)
    except Usage as problem:
        raise Usage(end_sentence(problem.message.rstrip(".")), "Nothing was changed.") from None


def check_place(definition: TemplateDefinition, places: Mapping[str, Place]) -> None:
    """Check that the queue exists and its pool can hold the request.

    Raise NotFound or Refused.
    """
    queue = definition.queue or DEFAULT_QUEUE
    if queue not in places:
        raise lookup.make_unknown_queue(queue, list(places))
    named = definition.resources
    needs = make_amounts(definition.cpu or 0.0, definition.memory or 0.0, named)
    require_fit(places[queue], needs, "Nothing was changed.")


def to_columns(definition: TemplateDefinition, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition by column names; `source` is the definition as typed."""
    values = definition.model_dump(by_alias=True)
    values["resources"] = resources.to_text(values["resources"])
    return values | {"type": definition.type or definition.engine, "template": dict(source)}
