"""One definition at a time, as text: read, looked over while it is typed, and stored unless somebody changed it meanwhile.

The text is what `export` writes and `apply` reads, with exactly one table: `[templates.encode]`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from app.core.definitions import fault_location
from app.core.definitions.document import KINDS, Definitions, examine
from app.core.text import units
from app.core.text.sanitize import clean, cut, nearest
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply
from app.service.tasks import lookup
from db import timestamps
from db.queries import operations

LONGEST = 256 * 1024
"""Characters of one definition."""

Row = Mapping[str, Any]
"""A definition by the names of its columns."""


async def show(call: Call, *, kind: str, name: str) -> dict[str, Any]:
    """{"text", "format"}: one definition as it is stored. Format is toml, or yaml where TOML cannot hold it. Raises NotFound."""
    row = await call.db.read(_row, _kind(kind), name)
    if row is None:
        known = await call.db.read(apply.names, _kind(kind))
        raise lookup.named(_word(kind), name, known)
    text, format = await asyncio.to_thread(_text, kind, name, row)
    return {"text": text, "format": format}


async def check(call: Call, *, kind: str, text: str, name: str | None = None, format: str = "toml") -> dict[str, Any]:
    """What `set` would do with this text, and all that is wrong with it; stores nothing.

    {"name", "faults": [{"line", "column", "message"}], "before", "after": the stored and the new definition in the same words,
    "fields": {column: [old, new]}}. `name` is the one that is edited, None for a new one; lines and columns count from 1, None where
    nobody knows.
    """
    wanted, faults = await asyncio.to_thread(_examined, _kind(kind), name, text, format)
    if wanted is None:
        return {"name": name, "faults": faults, "before": "", "after": "", "fields": {}}
    stored, change = await call.db.read(_looked_over, kind, wanted)
    (found,) = wanted[kind]
    return await asyncio.to_thread(_told, kind, found, text, format, name is None, stored, change)


async def set_(
    call: Call, *, kind: str, text: str, name: str | None = None, was: str | None = None, format: str = "toml"
) -> dict[str, Any]:
    """Store it. `was` is the text that the change was made to (None: a new one): when what is stored is another by now, or is not
    there, nothing is changed. Raises Usage with what is wrong, Conflict with who changed it.

    {"name", "change": create|update|same, "fields"}.
    """
    wanted, faults = await asyncio.to_thread(_examined, _kind(kind), name, text, format)
    if wanted is None:
        raise _faulty(faults)
    return await call.db.write(_set, call.by, kind, name, text, format, was, wanted)


def _kind(kind: str) -> str:
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        raise Usage(f'there is no kind "{cut(clean(kind), 40)}".' + (f" Nearest: {near}." if near else ""))
    return kind


def _word(kind: str) -> str:
    return "SLA" if kind == "slas" else kind.removesuffix("s")


# --- looking it over ----------------------------------------------------------------------------------------------------------------


def _examined(kind: str, name: str | None, text: str, format: str) -> tuple[Definitions | None, list[dict[str, Any]]]:
    """What a text defines, None when that is not one thing of this kind; and all that can be said against it without a database."""
    if len(text) > LONGEST:
        return None, [_fault(None, f"is longer than {LONGEST // 1024} KiB")]
    try:
        wanted, said = examine(text, format)
    except Problem as problem:
        return None, [_fault(fault_location.syntax(text) if format == "toml" else None, problem.message, text)]
    if not said:
        said = [*_not_one(wanted, kind, name), *_unfit(wanted)]
    faults = [_fault(None, fault, text) for fault in said]
    return (None if said else wanted), sorted(faults, key=lambda fault: fault["line"] or 0)


def _not_one(wanted: Definitions, kind: str, name: str | None) -> list[str]:
    """What is defined beside the one thing that is edited."""
    found = [(table, each) for table in KINDS for each in wanted[table]]
    head = f"[{kind}.{_key(name) if name is not None else 'NAME'}]"
    if not found:
        return [f"there is nothing in it yet: begin with {head}"]
    others = [(table, each) for table, each in found if table != kind or (name is not None and each != name)]
    if others or len(found) > 1:
        table, each = (others or found[1:])[0]
        return [f"{table}.{clean(each)}: does not belong here, where only {head} is edited"]
    return []


def _key(name: str) -> str:
    """A name as the head of a table has it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(clean(name), ensure_ascii=False)


def _unfit(wanted: Definitions) -> list[str]:
    """What an engine has against a template."""
    try:
        apply.check_engines(wanted)
    except Problem as problem:
        return [problem.message]
    return []


def _fault(place: fault_location.Place | None, said: str, text: str = "") -> dict[str, Any]:
    said = said.replace(" Nothing was changed.", "").rstrip(".")
    line, column = place or fault_location.place(text, said) or (None, None)
    return {"line": line, "column": column, "message": said}


def _faulty(faults: list[dict[str, Any]]) -> Usage:
    return Usage("; ".join(fault["message"] for fault in faults) + ".", "Nothing was changed.")


def _looked_over(c: Connection, kind: str, wanted: Definitions) -> tuple[Row | None, apply.Change | Problem]:
    """What is stored under that name, and what would be done to it or why it cannot be."""
    (found,) = wanted[kind]
    stored = _row(c, kind, found)
    try:
        (change,) = apply.plan(c, wanted)
    except Problem as problem:
        return stored, problem
    return stored, change


def _told(
    kind: str, name: str, text: str, format: str, new: bool, stored: Row | None, change: apply.Change | Problem
) -> dict[str, Any]:
    """The answer of `check`."""
    answer = {"name": name, "before": "" if new or stored is None else _text(kind, name, stored)[0]}
    if isinstance(change, Problem):
        return answer | {"faults": [_fault(None, change.message, text)], "after": "", "fields": {}}
    faults = [_fault(None, f"{kind}.{clean(name)}: is the name of another one", text)] if new and stored else []
    return answer | {"faults": faults, "after": _text(kind, name, change.values, format)[0], "fields": change.fields}


# --- storing ------------------------------------------------------------------------------------------------------------------------


def _set(
    c: Connection, by: str, kind: str, name: str | None, text: str, format: str, was: str | None, wanted: Definitions
) -> dict[str, Any]:
    found = next(iter(wanted[kind]))
    stored = _row(c, kind, found)
    if (_text(kind, found, stored)[0] if stored else None) != was:
        raise _meanwhile(c, kind, found, gone=stored is None, new=was is None)
    (change,) = apply.plan(c, wanted)
    apply.make(c, change, by)
    return {"name": found, "change": change.word, "fields": change.fields}


def _meanwhile(c: Connection, kind: str, name: str, gone: bool, new: bool) -> Problem:
    """Somebody was quicker."""
    word, shown = _word(kind), clean(name)
    if new:
        return Conflict(f"there is a {word} {shown} already. Nothing was changed.")
    last = next(iter(operations.listed(c, operations.Wanted(object=f"{kind.removesuffix('s')} {name}"), 1)), None)
    who = ""
    if last is not None:
        ago = units.age((timestamps.utcnow() - timestamps.parse(last.created_at)).total_seconds())
        who = f" by {clean(last.by)}, {ago} ago"
    if gone:
        return NotFound(f"{word} {shown} was removed meanwhile{who}. Nothing was changed.")
    return Conflict(f"{word} {shown} was changed meanwhile{who}. Nothing was changed.")


# --- as text ------------------------------------------------------------------------------------------------------------------------


def _row(c: Connection, kind: str, name: str) -> Row | None:
    """What is stored under that name."""
    return apply.existing(c, kind).get(name)


def _text(kind: str, name: str, values: Row, format: str = "toml") -> tuple[str, str]:
    """A definition as text, and its format: YAML where TOML cannot hold it. Takes time, so never within the event loop: what is read
    from the database is read there."""
    from app.core.definitions import toml_yaml  # which reads YAML's library: a runtime need not have it to come up

    document = {kind: {name: apply.document_of(kind, values)}}
    try:
        return toml_yaml.write(document, format), format
    except Refused:
        return toml_yaml.write(document, "yaml"), "yaml"
