"""What is different between two states of a thing, in words: `priority 5 → 9`, and line by line for longer texts. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import clean, cut

LONGEST = 40
"""Cells of a value within a sentence."""
CONTEXT = 2
"""Unchanged lines around a change."""

_SIZES = frozenset({"memory", "total_memory", "log_limit"})
_TIMES = frozenset({"timeout", "grace", "retry_delay"})
_CORES = frozenset({"cpu", "total_cpu"})
_NAMES = {"total_memory": "memory", "total_cpu": "cpu", "retry_delay": "retry delay", "sla_id": "SLA", "not_before": "not before",
          "retry_at": "next attempt"}  # fmt: skip
MOMENTS = frozenset({"not_before", "retry_at"})
"""Columns that hold a stored moment."""
STATES = {"active": "open"}
"""Stored states that are called otherwise."""


class Field(NamedTuple):
    """One thing that differs; None for what is not there."""

    name: str
    before: Any
    after: Any


def fields(before: Any, after: Any) -> list[Field]:
    """What differs, by its key; of what was made or taken away, all that says something."""
    was, now = (value if isinstance(value, Mapping) else {} for value in (before, after))
    return [
        Field(str(key), was.get(key), now.get(key)) for key in dict.fromkeys([*was, *now]) if _plain(was.get(key)) != _plain(now.get(key))
    ]


def telling(before: Any, after: Any) -> list[Field]:
    """What changed, less what follows from something else that did; of what was made or taken away nothing: its name says it."""
    if before is None or after is None:
        return []
    found = fields(before, after)
    return [field for field in found if field.name not in _FOLLOWING or len(found) == 1]


_FOLLOWING = frozenset({"hold", "retry_at", "ids", "with"})


def number_of(obj: str) -> int | None:
    """The number in `task #12`."""
    digits = obj.removeprefix("task #")
    return int(digits) if digits != obj and digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def thing(obj: str, title: str | None = None) -> str:
    """`#12 encode` for a task of that name, else the object itself; safe."""
    number = number_of(obj)
    return clean(obj) if number is None else f"#{number}" + (f" {clean(title)}" if title else "")


def told(verb: str, obj: str, title: str | None, before: Any, after: Any) -> str:
    """What was done, in safe words: `hold of #12 encode: status queued → held`."""
    changed = ", ".join(sentence(field) for field in telling(before, after))
    return f"{clean(verb)} of {thing(obj, title)}" + (f": {changed}" if changed else "")


def _plain(value: Any) -> str:
    """Numbers compare as numbers (true is not 1), all else as JSON whatever the order of its keys."""
    return json.dumps(float(value) if type(value) is int else value, sort_keys=True, default=str)


def sentence(field: Field) -> str:
    """`priority 5 → 9`, in safe text; of what has parts only that it changed."""
    if isinstance(field.before, (dict, list)) or isinstance(field.after, (dict, list)):
        return f"{name(field.name)} changed"
    return f"{name(field.name)} {short(field.name, field.before)} → {short(field.name, field.after)}"


def name(key: str) -> str:
    """A column as people call it."""
    return _NAMES.get(key) or clean(key).replace("_", " ")


def short(key: str, value: Any) -> str:
    """A value in a few safe words, with its unit."""
    return cut(_words(key, value).replace("\n", " "), LONGEST)


def _words(key: str, value: Any) -> str:
    if value is None:
        return "no limit" if key == "timeout" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and (write := _writer(key)):
        return write(float(value))
    if isinstance(value, str) and key in MOMENTS:
        return moment(value)
    if isinstance(value, str):
        return clean(STATES.get(value, value.replace("_", " ")) if key == "status" else value)
    return clean(json.dumps(value))


def moment(text: str) -> str:
    """A stored moment as a clock on the wall says it."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return cut(clean(text), LONGEST)


def _writer(key: str) -> Callable[[float], str] | None:
    if key in _TIMES:
        return units.setting
    return units.memory if key in _SIZES else units.plain if key in _CORES else None


def lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Line by line what two texts have (" "), what only the first ("-") and only the second ("+"); "@" where lines are left out.

    The lines are as they are in the texts, not yet safe.
    """
    from difflib import unified_diff

    found = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT)
    for at, line in enumerate(found):
        if line.startswith("@@"):
            if at > 2:
                yield "@", ""
        elif at > 1:
            yield line[0], line[1:]


def text_of(value: Any) -> str:
    """A value as lines: text as it is, structures as indented JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
