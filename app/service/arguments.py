"""Check of a verb's arguments against the annotations of its function, and past times.

Values are only checked, not converted: file names may hold bytes that are not UTF-8, which pydantic
refuses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from app.core.text import units
from app.core.text.joining import join_or
from app.errors import Usage
from app.translation import tr, tr_noop
from db import timestamps

_MAX_INT = 2**63 - 1
"""Largest integer that SQLite stores."""
_MAX_SECONDS = 6e10
"""Largest number of seconds. A time that far from now is before the year 9999."""
_NAMES = {
    str: tr_noop("text"),
    int: tr_noop("a whole number"),
    float: tr_noop("a number"),
    bool: tr_noop("true or false"),
}


def check_arguments(verb: str, run: Callable[..., Any], args: Mapping[str, Any]) -> None:
    """Raise Usage if an argument does not have the type of its annotation."""
    hints = _read_hints(run)
    for name, value in args.items():
        check_value(f"{verb}: {name}", value, hints.get(name, Any))  # Any: a keyword of **values


def check_value(title: str, value: Any, hint: Any) -> None:
    """Raise Usage if a JSON value does not have this type."""
    if not _is_of_type(value, hint):
        raise Usage("{title} must be {type}. Nothing was done.", title=title, type=_describe(hint))


@functools.cache
def _read_hints(run: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(run.func if isinstance(run, functools.partial) else run)


def parse_since(value: Any) -> str | None:
    """Return the timestamp of a past time: text, or seconds before now. Raise Usage."""
    if value is None:
        return None
    now = timestamps.utcnow()
    try:
        return timestamps.format_time(units.parse_past_period(str(value), now)[0])
    except ValueError as error:
        raise Usage("since {error}.", error=error) from None


def _is_of_type(value: Any, hint: Any) -> bool:
    """Return True if a JSON value has this type; NaN and numbers out of range have none."""
    if hint is Any:
        return True
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_of_type(value, one) for one in inner)
    if origin is dict:
        return isinstance(value, Mapping) and all(
            _is_of_type(key, inner[0]) and _is_of_type(item, inner[1])
            for key, item in value.items()
        )
    if origin is Sequence:
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(_is_of_type(item, inner[0]) for item in value)
        )
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and abs(value) <= _MAX_INT
    if hint is float:
        return isinstance(value, (int, float)) and abs(value) <= _MAX_SECONDS
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    """Return a type in words: `a list of text or a whole number`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return join_or(_describe(one) for one in inner if one is not NoneType)
    if origin is Sequence:
        if inner[0] is Any:
            return tr("a list")
        return tr("a list of {type}", type=_describe(inner[0]))
    if origin is dict:
        return tr("an object")
    return tr(_NAMES.get(hint, "an object"))
