"""Differences between two states of an object: `priority 5 → 9`, and line by line for texts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.core.json_types import is_object
from app.core.notifications.notices import format_notice
from app.core.scheduling.order import PRIORITY, format_ageing
from app.core.scheduling.resources import format_named
from app.core.text import units
from app.core.text.joining import join_colon
from app.core.text.sanitize import sanitize, truncate
from app.translation import tr, tr_noop

MAX_VALUE_WIDTH = 40
"""Maximum cells of a value in a sentence."""
CONTEXT_LINES = 2
"""Unchanged lines around a change."""

_SIZE_COLUMNS = frozenset({"memory", "total_memory", "log_limit"})
_DURATION_COLUMNS = frozenset({"timeout", "grace", "retry_delay", "jitter", "missed_within"})
_CPU_COLUMNS = frozenset({"cpu", "total_cpu"})
_COLUMN_NAMES = {
    "total_memory": tr_noop("memory"),
    "total_cpu": tr_noop("cpu"),
    "retry_delay": tr_noop("retry delay"),
    "sla_id": tr_noop("rule"),
    "not_before": tr_noop("not before"),
    "retry_at": tr_noop("next attempt"),
    "env": tr_noop("variables"),
    "cwd": tr_noop("directory"),
    "early_signal": tr_noop("signal"),
}
_MISSING_VALUES = {"timeout": tr_noop("no limit"), "policy": PRIORITY}
TIMESTAMP_COLUMNS = frozenset({"not_before", "retry_at", "paused_until", "skipped"})
"""Columns that hold a timestamp."""
STATE_NAMES = {"active": "open"}
"""Stored states with a different display name."""


class ChangedField(NamedTuple):
    """One changed field; None means a missing value."""

    name: str
    before: Any
    after: Any


def diff_fields(before: Any, after: Any) -> list[ChangedField]:
    """Return the changed fields by key.

    A created or deleted object lists all its values.
    """
    was: Mapping[Any, Any] = before if is_object(before) else {}
    now: Mapping[Any, Any] = after if is_object(after) else {}
    return [
        ChangedField(str(key), was.get(key), now.get(key))
        for key in dict.fromkeys([*was, *now])
        if not _is_equal(was.get(key), now.get(key))
    ]


def _is_equal(one: Any, other: Any) -> bool:
    """Return True for equal values. 1 equals 1.0, not true; key order is ignored."""
    if type(one) is type(other) and isinstance(one, (str, int, type(None))):
        return one == other  # most values, without making JSON of them
    return _normalize(one) == _normalize(other)


def find_relevant_changes(before: Any, after: Any) -> list[ChangedField]:
    """Return the changed fields worth showing.

    Fields that follow from other changes are left out. A created or deleted object has none.
    """
    if before is None or after is None:
        return []
    found = diff_fields(before, after)
    return [field for field in found if field.name not in _DERIVED_COLUMNS or len(found) == 1]


_DERIVED_COLUMNS = frozenset({"hold", "retry_at", "ids", "notes", "with", "start"})


def parse_task_number(obj: str) -> int | None:
    """Return the number in `task #12`, or None for another object."""
    digits = obj.removeprefix("task #")
    return (
        int(digits)
        if digits != obj and digits.isascii() and digits.isdigit() and len(digits) < 19
        else None
    )


def format_object(obj: str, title: str | None = None) -> str:
    """Format an object, a task with its name: `#12 encode`. The result is sanitized."""
    number = parse_task_number(obj)
    return (
        sanitize(obj) if number is None else f"#{number}" + (f" {sanitize(title)}" if title else "")
    )


def format_act(obj: str, title: str | None, count: int, tasks: int | None) -> str:
    """Format the objects of an act by its first: `5,000 tasks: #12 encode, …`, sanitized."""
    first = format_object(obj, title)
    if tasks is not None and tasks > 1 and parse_task_number(obj) is not None:
        return tr("{n:,} tasks: {first}, …", n=tasks, first=first)
    if count > 1 and tasks is None:
        return tr("{n:,} changes: {first}, …", n=count, first=first)
    return first


def format_operation(verb: str, obj: str, title: str | None, before: Any, after: Any) -> str:
    """Format an operation, sanitized: `hold of #12 encode: status queued → held`."""
    changed = ", ".join(format_change(field) for field in find_relevant_changes(before, after))
    text = tr("{verb} of {object}", verb=sanitize(verb), object=format_object(obj, title))
    return join_colon(text, changed) if changed else text


def _normalize(value: Any) -> str:
    return json.dumps(float(value) if type(value) is int else value, sort_keys=True, default=str)


def format_change(field: ChangedField) -> str:
    """Format a change: `priority 5 → 9`.

    Lists and objects are only reported as changed.
    """
    if field.name == "launch":
        field = ChangedField("command", format_command(field.before), format_command(field.after))
    if isinstance(field.before, (dict, list)) or isinstance(field.after, (dict, list)):
        return tr("{field} changed", field=format_column(field.name))
    return (
        f"{format_column(field.name)} {format_value(field.name, field.before)} →"
        f" {format_value(field.name, field.after)}"
    )


def format_command(launch: Any) -> str:
    """Return the command of a launch as typed in a shell, unsanitized."""
    words: Mapping[str, Any] = launch if is_object(launch) else {}
    return words.get("script") or shlex.join(words.get("argv") or ())


def format_column(key: str) -> str:
    """Return the display name of a column."""
    return tr(_COLUMN_NAMES.get(key) or sanitize(key).replace("_", " "))


def format_value(key: str, value: Any) -> str:
    """Format a value as short sanitized text, with its unit."""
    return truncate(_format_full_value(key, value).replace("\n", " "), MAX_VALUE_WIDTH)


def _format_full_value(key: str, value: Any) -> str:
    if key == "notify" and (value is None or isinstance(value, str)):
        return format_notice(value)
    if key == "resources":
        return format_named(json.loads(value) if isinstance(value, str) else value) or tr("none")
    if key == "ageing" and (value is None or isinstance(value, int | float)):
        return format_ageing(value)
    if value is None:
        return tr(_MISSING_VALUES.get(key, tr_noop("none")))
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, (int, float)) and (write := _find_formatter(key)):
        return write(float(value))
    if isinstance(value, str) and key in TIMESTAMP_COLUMNS:
        return format_timestamp(value)
    if isinstance(value, str):
        if key != "status":
            return sanitize(value)
        return tr(sanitize(STATE_NAMES.get(value, value.replace("_", " "))))
    return sanitize(json.dumps(value))


def format_timestamp(text: str) -> str:
    """Format a stored timestamp as local time."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return truncate(sanitize(text), MAX_VALUE_WIDTH)


def _find_formatter(key: str) -> Callable[[float], str] | None:
    if key in _DURATION_COLUMNS:
        return units.format_duration_setting
    return (
        units.format_memory
        if key in _SIZE_COLUMNS
        else units.format_number
        if key in _CPU_COLUMNS
        else None
    )


def diff_lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield the line differences of two texts, unsanitized.

    Each line has a mark: " " for both texts, "-" for the first, "+" for the second, "@" for a gap.
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
    """Return a value as text; structures become indented JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
