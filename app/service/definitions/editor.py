"""Editor verbs for one definition: show as text, check and set.

The text has the format of `export` and `apply`, with exactly one table, such as
`[templates.encode]`. The editor parses it and sends its tables. A definition is stored only if
no other user has changed the definition meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from app.core.definitions import one_definition
from app.core.definitions.document import KINDS, Definitions
from app.core.definitions.one_definition import Fault
from app.core.text import units
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply
from app.service.tasks import lookup
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries.history import operations

Row = Mapping[str, Any]
"""A definition by column names."""


async def show(call: Call, *, kind: str, name: str) -> dict[str, Any]:
    """Return {"text", "format"} of a stored definition.

    The format is toml, or yaml if TOML cannot hold the definition. Raise NotFound.
    """
    row = await call.db.read(_read_row, _check_kind(kind), name)
    if row is None:
        known = await call.db.read(apply.list_names, _check_kind(kind))
        raise lookup.make_unknown_name(_get_word(kind), name, known)
    text, format = await asyncio.to_thread(_format_text, kind, name, row)
    return {"text": text, "format": format}


async def check(
    call: Call, *, kind: str, tables: Any, name: str | None = None, format: str = "toml"
) -> dict[str, Any]:
    """Report the effect of `set` with these tables, and all faults, without storing them.

    Return {"name", "faults": [{"line", "column", "message"}], "before", "after": the stored and the
    new definition in the same format, "fields": {column: [old, new]}}. `name` is None for a new
    definition. The caller has the text and finds lines and columns, which are None here.
    """
    definitions, faults = await asyncio.to_thread(_read_tables, _check_kind(kind), name, tables)
    if faults:
        return {"name": name, "faults": faults, "before": "", "after": "", "fields": {}}
    stored, change = await call.db.read(_plan_change, kind, definitions)
    (found,) = definitions[kind]
    return await asyncio.to_thread(_build_answer, kind, found, format, name is None, stored, change)


async def set_(
    call: Call, *, kind: str, tables: Any, name: str | None = None, was: str | None = None,
    cwd: str = "/", umask: int = 0o022, env: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Store a definition. `cwd`, `umask` and `env` are the shell context of a new schedule.

    `was` is the text on which the edit was based, None for a new definition. If the stored text
    differs from it, nothing is changed. Raise Usage with the faults, or Conflict or NotFound with
    the other author.

    Return {"name", "change": create|update|same, "fields"}.
    """
    definitions, faults = await asyncio.to_thread(_read_tables, _check_kind(kind), name, tables)
    if faults:
        raise _make_usage(faults)
    context = {"cwd": cwd, "umask": umask, "env": env or {}}
    if kind == "schedules":  # checks its parameters outside of the writer
        await call.db.read(apply.plan_changes, definitions, context)
    return await call.db.write(_store, call.by, kind, was, definitions, context)


def _check_kind(kind: str) -> str:
    if kind not in KINDS:
        near = find_nearest(kind, KINDS)
        raise Usage(
            f'there is no kind "{truncate(sanitize(kind), 40)}".'
            + (f" Nearest: {near}." if near else "")
        )
    return kind


def _get_word(kind: str) -> str:
    return "rule" if kind == "slas" else kind.removesuffix("s")


# --- check ------------------------------------------------------------------------------


def _read_tables(kind: str, name: str | None, tables: Any) -> tuple[Definitions, list[Fault]]:
    """Return the definitions of tables that must define one object, and all faults.

    Do not use the database.
    """
    definitions, faults = one_definition.read_definition(kind, name, tables)
    if not faults:
        try:
            apply.check_engines(definitions)
        except Problem as problem:
            faults = [problem.message]
    return definitions, [one_definition.make_fault(fault) for fault in faults]


def _make_usage(faults: list[Fault]) -> Usage:
    return Usage("; ".join(fault["message"] for fault in faults) + ".", "Nothing was changed.")


def _plan_change(
    c: Connection, kind: str, definitions: Definitions
) -> tuple[Row | None, apply.DefinitionChange | Problem]:
    """Return the stored row, and the planned change or the reason against it."""
    (found,) = definitions[kind]
    stored = _read_row(c, kind, found)
    try:
        (change,) = apply.plan_changes(c, definitions)
    except Problem as problem:
        return stored, problem
    return stored, change


def _build_answer(
    kind: str,
    name: str,
    format: str,
    new: bool,
    stored: Row | None,
    change: apply.DefinitionChange | Problem,
) -> dict[str, Any]:
    """Build the answer of `check`."""
    answer = {
        "name": name,
        "before": "" if new or stored is None else _format_text(kind, name, stored)[0],
    }
    if isinstance(change, Problem):
        return answer | {
            "faults": [one_definition.make_fault(change.message)],
            "after": "",
            "fields": {},
        }
    faults = (
        [
            one_definition.make_fault(
                tr("{kind}.{name}: this name is taken", kind=kind, name=sanitize(name))
            )
        ]
        if new and stored
        else []
    )
    return answer | {
        "faults": faults,
        "after": _format_text(kind, name, change.values, format)[0],
        "fields": change.shown_fields,
    }


# --- store ------------------------------------------------------------------------------


def _store(
    c: Connection,
    by: str,
    kind: str,
    was: str | None,
    definitions: Definitions,
    context: dict[str, Any],
) -> dict[str, Any]:
    found = next(iter(definitions[kind]))
    stored = _read_row(c, kind, found)
    if (_format_text(kind, found, stored)[0] if stored else None) != was:
        raise _make_conflict(c, kind, found, is_deleted=stored is None, new=was is None)
    (change,) = apply.plan_changes(c, definitions, context, is_checked=True)
    apply.apply_change(c, change, by)
    return {"name": found, "change": change.word, "fields": change.shown_fields}


def _make_conflict(c: Connection, kind: str, name: str, is_deleted: bool, new: bool) -> Problem:
    """Return the problem that somebody else changed the definition first."""
    word, shown = _get_word(kind), sanitize(name)
    if new:
        return Conflict(
            "there is a {word} {shown} already. Nothing was changed.", word=word, shown=shown
        )
    last = next(
        iter(
            operations.list_operations(
                c, operations.OperationFilter(object=f"{kind.removesuffix('s')} {name}"), 1
            )
        ),
        None,
    )
    who = ""
    if last is not None:
        ago = units.format_age(
            (timestamps.utcnow() - timestamps.parse_time(last.created_at)).total_seconds()
        )
        who = tr(" by {by}, {ago} ago", by=sanitize(last.by), ago=ago)
    if is_deleted:
        return NotFound(
            "{word} {shown} was removed meanwhile{who}. Nothing was changed.",
            word=word,
            shown=shown,
            who=who,
        )
    return Conflict(
        "{word} {shown} was changed meanwhile{who}. Nothing was changed.",
        word=word,
        shown=shown,
        who=who,
    )


# --- text -------------------------------------------------------------------------------


def _read_row(c: Connection, kind: str, name: str) -> Row | None:
    """Return the stored row of that name, or None."""
    return apply.read_existing(c, kind).get(name)


def _format_text(kind: str, name: str, values: Row, format: str = "toml") -> tuple[str, str]:
    """Return a definition as text, and the format: YAML if TOML cannot hold it.

    Formatting is slow, so never call this on the event loop.
    """
    # The import loads the YAML library, which the runtime does not need to start.
    from app.core.definitions import toml_yaml

    document = {kind: {name: apply.to_document(kind, values)}}
    try:
        return toml_yaml.write_document(document, format), format
    except Refused:
        return toml_yaml.write_document(document, "yaml"), "yaml"
