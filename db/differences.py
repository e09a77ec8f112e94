"""Differences of JSON values, as the operation log stores them.

A schema may have 100 KB, and most changes touch one line. The log therefore stores only the parts
that differ, before and after, in the shape of the whole value. Plain values beside a changed part
are kept: they show its place, and declare secrets.
"""

from __future__ import annotations

import json
from typing import Any

_MISSING = object()


def to_comparable(value: Any) -> str:
    """Return a value in comparable form: whole numbers as integers, all else as JSON.

    An integer may be too large for a float.
    """
    is_whole = type(value) is float and value.is_integer()
    return json.dumps(int(value) if is_whole else value, sort_keys=True)


def prune(before: Any, after: Any) -> tuple[Any, Any]:
    """Return two different values without the objects and lists that they share."""
    if _are_objects(before, after):
        return _prune_objects(before, after)
    if _are_lists(before, after):
        pairs = [_prune_item(*pair) for pair in zip(before, after, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return before, after


def _prune_objects(before: Any, after: Any) -> tuple[Any, Any]:
    kept_keys = [key for key in before if key in after]
    # Without all shared keys their old order could not be restored.
    has_order = [*before] == [*kept_keys, *(key for key in before if key not in after)] and (
        kept_keys == [key for key in after if key in before]
    )
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for key in kept_keys:
        if not (has_order and _is_container(before[key]) and _are_equal(before[key], after[key])):
            was[key], now[key] = _prune_item(before[key], after[key])
    return (
        {
            key: was.get(key, value)
            for key, value in before.items()
            if key in was or key not in after
        },
        {
            key: now.get(key, value)
            for key, value in after.items()
            if key in now or key not in before
        },
    )


def _prune_item(before: Any, after: Any) -> tuple[Any, Any]:
    """Return a shared object as `{}`, which has no difference; prune other values."""
    if not _are_equal(before, after):
        return prune(before, after)
    return ({}, {}) if isinstance(before, dict) else (before, after)


def is_after(value: Any, before: Any, after: Any) -> bool:
    """Return True if a whole value agrees with the pruned state after a change."""
    if _are_objects(before, after):
        return isinstance(value, dict) and all(
            key in value and is_after(value[key], before.get(key, _MISSING), after[key])
            if key in after
            else key not in value
            for key in {**before, **after}
        )
    if _are_lists(before, after):
        return _are_lists(value, after) and all(map(is_after, value, before, after))
    return _are_equal(value, after)


def revert(value: Any, before: Any, after: Any) -> Any:
    """Return a whole value as it was before a change. `is_after` must be true for the value."""
    if _are_objects(before, after):
        whole = {
            key: revert(inner, before[key], after[key]) if key in before and key in after else inner
            for key, inner in value.items()
            if key in before or key not in after
        } | {key: inner for key, inner in before.items() if key not in after}
        return {key: whole[key] for key in before} if len(whole) == len(before) else whole
    if _are_lists(before, after):
        return [*map(revert, value, before, after)]
    return before


def _are_objects(before: Any, after: Any) -> bool:
    return isinstance(before, dict) and isinstance(after, dict)


def _are_lists(before: Any, after: Any) -> bool:
    return isinstance(before, list) and isinstance(after, list) and len(before) == len(after)


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _are_equal(one: Any, other: Any) -> bool:
    return to_comparable(one) == to_comparable(other)
