"""One-line summary of an operation's changes: `priority 0 → 5`, `paused → open`, `task #122`."""

from __future__ import annotations

from typing import Any

from app.core.json_types import is_list_or_tuple, is_object
from app.core.text import diff, units
from app.core.text.diff import ChangedField
from app.core.text.sanitize import sanitize, truncate
from app.translation import tr

MAX_ITEMS = 3
"""Maximum number of properties shown for a created or deleted object."""
_STATUS_COLUMNS = frozenset({"status", "run"})
"""Columns whose values need no label."""
_TIME_COLUMNS = diff.TIMESTAMP_COLUMNS | {"until"}
_HIDDEN_COLUMNS = frozenset(
    {
        "name",
        "created_at",
        "updated_at",
        "current_load",
        "by",
        "ids",
        "notes",
        "with",
        "uuid",
        "id",
        "type",
        "enabled",
    }
)
"""Columns left out for a created or deleted object."""


def summarize_change(obj: str, before: Any, after: Any) -> str:
    """Return a summary of a change, "" if nothing is worth showing.

    For a created or deleted object, list its main properties.
    """
    if numbers := format_created_tasks(after):
        return numbers
    if before is None or after is None:
        summary = _format_items(obj, after if before is None else before)
        if before is None or not summary:
            return summary
        return tr("was {summary}", summary=summary)
    return ", ".join(
        _format_field(obj, field) for field in diff.find_relevant_changes(before, after)
    )


def format_created_tasks(after: Any) -> str:
    """Format the tasks of a submission: `task #12`, `tasks #12–#14`; "" for none."""
    if not is_object(after) or set(after) != {"first", "last"}:
        return ""
    first, last = after["first"], after["last"]
    if first == last:
        return sanitize(tr("task #{number}", number=first))
    return sanitize(tr("tasks #{first}–#{last}", first=first, last=last))


def _format_field(obj: str, field: ChangedField) -> str:
    if _is_structure(field.before) or _is_structure(field.after):
        return diff.format_change(field)
    was, now = (_format_value(obj, field.name, value) for value in field[1:])
    return f"{_format_label(obj, field.name)}{was} → {now}"


def _format_items(obj: str, found: Any) -> str:
    if is_list_or_tuple(found):
        summary = [truncate(sanitize(str(text)), diff.MAX_VALUE_WIDTH) for text in found]
    elif is_object(found):
        summary = [
            words for key, value in found.items() if (words := _format_item(obj, str(key), value))
        ]
    else:
        summary = []
    return ", ".join(
        [
            *summary[:MAX_ITEMS],
            *(
                [tr("{more:,} more", more=len(summary) - MAX_ITEMS)]
                if len(summary) > MAX_ITEMS
                else []
            ),
        ]
    )


def _format_item(obj: str, key: str, value: Any) -> str:
    if key == "conditions":
        return _format_rule(value)
    if key in _HIDDEN_COLUMNS or _is_structure(value) or (not value and key != "bytes"):
        return ""
    if value is True:
        return diff.format_column(key)
    return f"{_format_label(obj, key)}{_format_value(obj, key, value)}"


def _format_rule(conditions: Any) -> str:
    """Format an SLA rule as a sentence; return "" if it is invalid."""
    from app.core import sla

    try:
        return sanitize(sla.describe_conditions(conditions))
    except (ValueError, TypeError):
        return ""


def _format_label(obj: str, key: str) -> str:
    if key in _STATUS_COLUMNS or key == "bytes":
        return ""
    return f"{tr('severity') if _is_severity(obj, key) else diff.format_column(key)} "


def _format_value(obj: str, key: str, value: Any) -> str:
    if key == "bytes" and type(value) is int:
        return units.format_bytes(value)
    if key in _STATUS_COLUMNS and isinstance(value, str):
        return tr(sanitize(diff.STATE_NAMES.get(value, value.replace("_", " "))))
    if key in _TIME_COLUMNS and isinstance(value, str):
        return diff.format_timestamp(value)
    if _is_severity(obj, key) and type(value) is int:
        from app.core import sla

        return tr(sla.get_severity(value))
    if key == "enabled" and isinstance(value, bool):
        return tr("on") if value else tr("off")
    return diff.format_value(key, value)


def _is_severity(obj: str, key: str) -> bool:
    return key == "priority" and obj.startswith("sla ")


def _is_structure(value: Any) -> bool:
    return isinstance(value, (dict, list))
