"""Parser for the text of one definition in an editor: tables, and faults with positions.

The editor's process parses the text, so a hostile text costs the runtime nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from app.core.definitions import fault_location, size_limits
from app.core.definitions.document import (
    KINDS,
    Definitions,
    check_json,
    find_definitions,
    read_tables,
)
from app.core.text.sanitize import sanitize
from app.errors import Problem
from app.translation import tr

MAX_LENGTH = 256 * 1024
"""Maximum number of characters of a definition."""

Fault = Mapping[str, Any]
"""{"line", "column", "message"}; line and column count from 1, and are None if unknown."""


def read_text(
    kind: str, name: str | None, text: str, format: str
) -> tuple[dict[Any, Any], list[Fault]]:
    """Parse a text that must define one object, and return its tables and all faults.

    `name` is None for a new definition.
    """
    if len(text) > MAX_LENGTH:
        return {}, [
            make_fault(tr("is longer than {max_length} KiB", max_length=MAX_LENGTH // 1024))
        ]
    try:
        tables = read_tables(text, format)
        _, faults = read_definition(kind, name, tables)
        if not faults:
            check_json(tables)
    except Problem as problem:
        position = fault_location.find_syntax_error(text) if format == "toml" else None
        return {}, [make_fault(problem.message, text, position)]
    return tables, sort_faults([make_fault(fault, text) for fault in faults])


def read_definition(kind: str, name: str | None, tables: Any) -> tuple[Definitions, list[str]]:
    """Return the definitions of parsed tables, and all faults. Raise Usage for oversized tables."""
    size_limits.check_values(tables)
    definitions, faults = find_definitions(tables)
    return definitions, faults or _find_extra(definitions, kind, name)


def make_fault(
    message: str, text: str = "", position: fault_location.TextPosition | None = None
) -> Fault:
    """Return a fault at the given position, else at the one that the message refers to."""
    message = message.replace(tr(" Nothing was changed."), "").rstrip(".")
    line, column = position or fault_location.locate_fault(text, message) or (None, None)
    return {"line": line, "column": column, "message": message}


def sort_faults(faults: list[Fault]) -> list[Fault]:
    """Return faults in the order of their lines."""
    return sorted(faults, key=lambda fault: fault["line"] or 0)


def _find_extra(definitions: Definitions, kind: str, name: str | None) -> list[str]:
    """Return a fault if the text does not define exactly the edited object."""
    found = [(table, each) for table in KINDS for each in definitions[table]]
    head = f"[{kind}.{_quote_name(name) if name is not None else 'NAME'}]"
    if not found:
        return [tr("nothing is defined yet: begin with {head}", head=head)]
    others = [
        (table, each)
        for table, each in found
        if table != kind or (name is not None and each != name)
    ]
    if others or len(found) > 1:
        table, each = (others or found[1:])[0]
        return [
            tr(
                "{table}.{each}: does not belong here; only {head} is edited",
                table=table,
                each=sanitize(each),
                head=head,
            )
        ]
    return []


def _quote_name(name: str) -> str:
    """Quote a name for a table heading if needed."""
    return (
        name
        if re.fullmatch(r"[A-Za-z0-9_-]+", name)
        else json.dumps(sanitize(name), ensure_ascii=False)
    )
