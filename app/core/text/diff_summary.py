"""What an operation changed, as one short line of safe words: `priority 0 → 5`, `paused → open`, `task #122`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.text import diff, units
from app.core.text.diff import Field
from app.core.text.sanitize import clean, cut

MOST = 3
"""Things that are told of what was made or taken away."""
_STATES = frozenset({"status", "run"})
"""Columns whose values need no name."""
_TIMES = diff.MOMENTS | {"until"}
_UNTOLD = frozenset({"name", "created_at", "updated_at", "current_load", "by", "ids", "with", "uuid", "id", "type", "enabled"})
"""What tells nothing of what was made or taken away."""


def line(obj: str, before: Any, after: Any) -> str:
    """What became of it; of what was made or taken away, what it is or was; "" where there is nothing to tell."""
    if numbers := made(after):
        return numbers
    if before is None or after is None:
        found, was = (after, "") if before is None else (before, "was ")
        told = _listed(obj, found)
        return f"{was}{told}" if told else ""
    return ", ".join(_said(obj, field) for field in diff.telling(before, after))


def made(after: Any) -> str:
    """The tasks that a submission made: `task #12`, `tasks #12–#14`; "" for what made none."""
    if not isinstance(after, Mapping) or set(after) != {"first", "last"}:
        return ""
    first, last = after["first"], after["last"]
    return clean(f"task #{first}" if first == last else f"tasks #{first}–#{last}")


def _said(obj: str, field: Field) -> str:
    if _is_structure(field.before) or _is_structure(field.after):
        return diff.sentence(field)
    was, now = (_value(obj, field.name, value) for value in field[1:])
    return f"{_label(obj, field.name)}{was} → {now}"


def _listed(obj: str, found: Any) -> str:
    """What there is to tell of it."""
    if isinstance(found, Sequence) and not isinstance(found, str):
        told = [cut(clean(str(text)), diff.LONGEST) for text in found]
    elif isinstance(found, Mapping):
        told = [words for key, value in found.items() if (words := _fact(obj, str(key), value))]
    else:
        told = []
    return ", ".join([*told[:MOST], *([f"{len(told) - MOST:,} more"] if len(told) > MOST else [])])


def _fact(obj: str, key: str, value: Any) -> str:
    if key == "conditions":
        return _rule(value)
    if key in _UNTOLD or _is_structure(value) or (not value and key != "bytes"):
        return ""
    if value is True:
        return diff.name(key)
    return f"{_label(obj, key)}{_value(obj, key, value)}"


def _rule(conditions: Any) -> str:
    """The sentence of a rule; "" for one that is none."""
    from app.core import sla

    try:
        return clean(sla.describe(sla.parse(conditions)))
    except (ValueError, TypeError):
        return ""


def _label(obj: str, key: str) -> str:
    if key in _STATES or key == "bytes":
        return ""
    return "severity " if _is_severity(obj, key) else f"{diff.name(key)} "


def _value(obj: str, key: str, value: Any) -> str:
    if key == "bytes" and type(value) is int:
        return units.size(value)
    if key in _STATES and isinstance(value, str):
        return clean(diff.STATES.get(value, value.replace("_", " ")))
    if key in _TIMES and isinstance(value, str):
        return diff.moment(value)
    if _is_severity(obj, key) and type(value) is int:
        from app.core import sla

        return sla.severity(value)
    if key == "enabled" and isinstance(value, bool):
        return "on" if value else "off"
    return diff.short(key, value)


def _is_severity(obj: str, key: str) -> bool:
    return key == "priority" and obj.startswith("sla ")


def _is_structure(value: Any) -> bool:
    return isinstance(value, (dict, list))
