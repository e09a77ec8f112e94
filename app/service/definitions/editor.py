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
from app.core.definitions.document import KINDS, Definitions, parse_with_faults
from app.core.text import units
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply
from app.service.tasks import lookup
from db import timestamps
from db.queries import operations

MAX_LENGTH = 256 * 1024
"""Characters of one definition."""

Row = Mapping[str, Any]
"""A definition by the names of its columns."""


async def show(call: Call, *, kind: str, name: str) -> dict[str, Any]:
    """{"text", "format"}: one definition as it is stored. Format is toml, or yaml where TOML cannot hold it. Raises NotFound."""
    row = await call.db.read(_read_row, _check_kind(kind), name)
    if row is None:
        known = await call.db.read(apply.list_names, _check_kind(kind))
        raise lookup.make_unknown_name(_get_word(kind), name, known)
    text, format = await asyncio.to_thread(_format_text, kind, name, row)
    return {"text": text, "format": format}


async def check(call: Call, *, kind: str, text: str, name: str | None = None, format: str = "toml") -> dict[str, Any]:
    """What `set` would do with this text, and all that is wrong with it; stores nothing.

    {"name", "faults": [{"line", "column", "message"}], "before", "after": the stored and the new definition in the same words,
    "fields": {column: [old, new]}}. `name` is the one that is edited, None for a new one; lines and columns count from 1, None where
    nobody knows.
    """
    wanted, faults = await asyncio.to_thread(_parse_text, _check_kind(kind), name, text, format)
    if wanted is None:
        return {"name": name, "faults": faults, "before": "", "after": "", "fields": {}}
    stored, change = await call.db.read(_plan_change, kind, wanted)
    (found,) = wanted[kind]
    return await asyncio.to_thread(_build_answer, kind, found, text, format, name is None, stored, change)


async def set_(
    call: Call, *, kind: str, text: str, name: str | None = None, was: str | None = None, format: str = "toml"
) -> dict[str, Any]:
    """Store it. `was` is the text that the change was made to (None: a new one): when what is stored is another by now, or is not
    there, nothing is changed. Raises Usage with what is wrong, Conflict with who changed it.

    {"name", "change": create|update|same, "fields"}.
    """
    wanted, faults = await asyncio.to_thread(_parse_text, _check_kind(kind), name, text, format)
    if wanted is None:
        raise _make_usage(faults)
    return await call.db.write(_store, call.by, kind, name, text, format, was, wanted)


def _check_kind(kind: str) -> str:
    if kind not in KINDS:
        near = find_nearest(kind, KINDS)
        raise Usage(f'there is no kind "{truncate(sanitize(kind), 40)}".' + (f" Nearest: {near}." if near else ""))
    return kind


def _get_word(kind: str) -> str:
    return "SLA" if kind == "slas" else kind.removesuffix("s")


# --- looking it over ----------------------------------------------------------------------------------------------------------------


def _parse_text(kind: str, name: str | None, text: str, format: str) -> tuple[Definitions | None, list[dict[str, Any]]]:
    """What a text defines, None when that is not one thing of this kind; and all that can be said against it without a database."""
    if len(text) > MAX_LENGTH:
        return None, [_make_fault(None, f"is longer than {MAX_LENGTH // 1024} KiB")]
    try:
        wanted, said = parse_with_faults(text, format)
    except Problem as problem:
        return None, [_make_fault(fault_location.find_syntax_error(text) if format == "toml" else None, problem.message, text)]
    if not said:
        said = [*_find_extra(wanted, kind, name), *_find_engine_fault(wanted)]
    faults = [_make_fault(None, fault, text) for fault in said]
    return (None if said else wanted), sorted(faults, key=lambda fault: fault["line"] or 0)


def _find_extra(wanted: Definitions, kind: str, name: str | None) -> list[str]:
    """What is defined beside the one thing that is edited."""
    found = [(table, each) for table in KINDS for each in wanted[table]]
    head = f"[{kind}.{_quote_name(name) if name is not None else 'NAME'}]"
    if not found:
        return [f"there is nothing in it yet: begin with {head}"]
    others = [(table, each) for table, each in found if table != kind or (name is not None and each != name)]
    if others or len(found) > 1:
        table, each = (others or found[1:])[0]
        return [f"{table}.{sanitize(each)}: does not belong here, where only {head} is edited"]
    return []


def _quote_name(name: str) -> str:
    """A name as the head of a table has it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(sanitize(name), ensure_ascii=False)


def _find_engine_fault(wanted: Definitions) -> list[str]:
    """What an engine has against a template."""
    try:
        apply.check_engines(wanted)
    except Problem as problem:
        return [problem.message]
    return []


def _make_fault(place: fault_location.TextPosition | None, said: str, text: str = "") -> dict[str, Any]:
    said = said.replace(" Nothing was changed.", "").rstrip(".")
    line, column = place or fault_location.locate_fault(text, said) or (None, None)
    return {"line": line, "column": column, "message": said}


def _make_usage(faults: list[dict[str, Any]]) -> Usage:
    return Usage("; ".join(fault["message"] for fault in faults) + ".", "Nothing was changed.")


def _plan_change(c: Connection, kind: str, wanted: Definitions) -> tuple[Row | None, apply.DefinitionChange | Problem]:
    """What is stored under that name, and what would be done to it or why it cannot be."""
    (found,) = wanted[kind]
    stored = _read_row(c, kind, found)
    try:
        (change,) = apply.plan_changes(c, wanted)
    except Problem as problem:
        return stored, problem
    return stored, change


def _build_answer(
    kind: str, name: str, text: str, format: str, new: bool, stored: Row | None, change: apply.DefinitionChange | Problem
) -> dict[str, Any]:
    """The answer of `check`."""
    answer = {"name": name, "before": "" if new or stored is None else _format_text(kind, name, stored)[0]}
    if isinstance(change, Problem):
        return answer | {"faults": [_make_fault(None, change.message, text)], "after": "", "fields": {}}
    faults = [_make_fault(None, f"{kind}.{sanitize(name)}: is the name of another one", text)] if new and stored else []
    return answer | {"faults": faults, "after": _format_text(kind, name, change.values, format)[0], "fields": change.fields}


# --- storing ------------------------------------------------------------------------------------------------------------------------


def _store(
    c: Connection, by: str, kind: str, name: str | None, text: str, format: str, was: str | None, wanted: Definitions
) -> dict[str, Any]:
    found = next(iter(wanted[kind]))
    stored = _read_row(c, kind, found)
    if (_format_text(kind, found, stored)[0] if stored else None) != was:
        raise _make_conflict(c, kind, found, gone=stored is None, new=was is None)
    (change,) = apply.plan_changes(c, wanted)
    apply.apply_change(c, change, by)
    return {"name": found, "change": change.word, "fields": change.fields}


def _make_conflict(c: Connection, kind: str, name: str, gone: bool, new: bool) -> Problem:
    """Somebody was quicker."""
    word, shown = _get_word(kind), sanitize(name)
    if new:
        return Conflict(f"there is a {word} {shown} already. Nothing was changed.")
    last = next(iter(operations.list_operations(c, operations.OperationFilter(object=f"{kind.removesuffix('s')} {name}"), 1)), None)
    who = ""
    if last is not None:
        ago = units.format_age((timestamps.utcnow() - timestamps.parse_time(last.created_at)).total_seconds())
        who = f" by {sanitize(last.by)}, {ago} ago"
    if gone:
        return NotFound(f"{word} {shown} was removed meanwhile{who}. Nothing was changed.")
    return Conflict(f"{word} {shown} was changed meanwhile{who}. Nothing was changed.")


# --- as text ------------------------------------------------------------------------------------------------------------------------


def _read_row(c: Connection, kind: str, name: str) -> Row | None:
    """What is stored under that name."""
    return apply.read_existing(c, kind).get(name)


def _format_text(kind: str, name: str, values: Row, format: str = "toml") -> tuple[str, str]:
    """A definition as text, and its format: YAML where TOML cannot hold it. Takes time, so never within the event loop: what is read
    from the database is read there."""
    from app.core.definitions import toml_yaml  # which reads YAML's library: a runtime need not have it to come up

    document = {kind: {name: apply.to_document(kind, values)}}
    try:
        return toml_yaml.write_document(document, format), format
    except Refused:
        return toml_yaml.write_document(document, "yaml"), "yaml"
