"""What is different between two states of a thing, in words: `priority 5 → 9`, and line by line for longer texts. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import sanitize, truncate

MAX_VALUE_WIDTH = 40
"""Cells of a value within a sentence."""
CONTEXT_LINES = 2
"""Unchanged lines around a change."""

_SIZE_COLUMNS = frozenset({"memory", "total_memory", "log_limit"})
_DURATION_COLUMNS = frozenset({"timeout", "grace", "retry_delay"})
_CPU_COLUMNS = frozenset({"cpu", "total_cpu"})
_COLUMN_NAMES = {"total_memory": "memory", "total_cpu": "cpu", "retry_delay": "retry delay", "sla_id": "SLA", "not_before": "not before",
          "retry_at": "next attempt"}  # fmt: skip
TIMESTAMP_COLUMNS = frozenset({"not_before", "retry_at"})
"""Columns that hold a stored moment."""
STATE_NAMES = {"active": "open"}
"""Stored states that are called otherwise."""


class ChangedField(NamedTuple):
    """One thing that differs; None for what is not there."""

    name: str
    before: Any
    after: Any


def diff_fields(before: Any, after: Any) -> list[ChangedField]:
    """What differs, by its key; of what was made or taken away, all that says something."""
    was, now = (value if isinstance(value, Mapping) else {} for value in (before, after))
    return [
        ChangedField(str(key), was.get(key), now.get(key)) for key in dict.fromkeys([*was, *now]) if _normalize(was.get(key)) != _normalize(now.get(key))
    ]


def find_relevant_changes(before: Any, after: Any) -> list[ChangedField]:
    """What changed, less what follows from something else that did; of what was made or taken away nothing: its name says it."""
    if before is None or after is None:
        return []
    found = diff_fields(before, after)
    return [field for field in found if field.name not in _DERIVED_COLUMNS or len(found) == 1]


_DERIVED_COLUMNS = frozenset({"hold", "retry_at", "ids", "with"})


def parse_task_number(obj: str) -> int | None:
    """The number in `task #12`."""
    digits = obj.removeprefix("task #")
    return int(digits) if digits != obj and digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def format_object(obj: str, title: str | None = None) -> str:
    """`#12 encode` for a task of that name, else the object itself; safe."""
    number = parse_task_number(obj)
    return sanitize(obj) if number is None else f"#{number}" + (f" {sanitize(title)}" if title else "")


def format_operation(verb: str, obj: str, title: str | None, before: Any, after: Any) -> str:
    """What was done, in safe words: `hold of #12 encode: status queued → held`."""
    changed = ", ".join(format_change(field) for field in find_relevant_changes(before, after))
    return f"{sanitize(verb)} of {format_object(obj, title)}" + (f": {changed}" if changed else "")


def _normalize(value: Any) -> str:
    """Numbers compare as numbers (true is not 1), all else as JSON whatever the order of its keys."""
    return json.dumps(float(value) if type(value) is int else value, sort_keys=True, default=str)


def format_change(field: ChangedField) -> str:
    """`priority 5 → 9`, in safe text; of what has parts only that it changed."""
    if isinstance(field.before, (dict, list)) or isinstance(field.after, (dict, list)):
        return f"{format_column(field.name)} changed"
    return f"{format_column(field.name)} {format_value(field.name, field.before)} → {format_value(field.name, field.after)}"


def format_column(key: str) -> str:
    """A column as people call it."""
    return _COLUMN_NAMES.get(key) or sanitize(key).replace("_", " ")


def format_value(key: str, value: Any) -> str:
    """A value in a few safe words, with its unit."""
    return truncate(_format_full_value(key, value).replace("\n", " "), MAX_VALUE_WIDTH)


def _format_full_value(key: str, value: Any) -> str:
    if value is None:
        return "no limit" if key == "timeout" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and (write := _find_formatter(key)):
        return write(float(value))
    if isinstance(value, str) and key in TIMESTAMP_COLUMNS:
        return format_timestamp(value)
    if isinstance(value, str):
        return sanitize(STATE_NAMES.get(value, value.replace("_", " ")) if key == "status" else value)
    return sanitize(json.dumps(value))


def format_timestamp(text: str) -> str:
    """A stored moment as a clock on the wall says it."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return truncate(sanitize(text), MAX_VALUE_WIDTH)


def _find_formatter(key: str) -> Callable[[float], str] | None:
    if key in _DURATION_COLUMNS:
        return units.format_duration_setting
    return units.format_memory if key in _SIZE_COLUMNS else units.format_number if key in _CPU_COLUMNS else None


def diff_lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Line by line what two texts have (" "), what only the first ("-") and only the second ("+"); "@" where lines are left out.

    The lines are as they are in the texts, not yet safe.
    """
    from difflib import unified_diff

    found = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT_LINES)
    for at, line in enumerate(found):
        if line.startswith("@@"):
            if at > 2:
                yield "@", ""
        elif at > 1:
            yield line[0], line[1:]


def to_text(value: Any) -> str:
    """A value as lines: text as it is, structures as indented JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
