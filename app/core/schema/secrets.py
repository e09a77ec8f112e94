"""Secret parameter values and their masking.

A value is secret by its name, or because the schema declares it (`writeOnly`, `format: password`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from app.core.json_types import is_array, is_dict, is_object
from app.core.text.sanitize import MASK, is_secret_name

MAX_DEPTH = 80
"""Levels searched for secrets; deeper values are always masked."""
_VALUE_KEYWORDS = frozenset({"default", "const", "enum", "example", "examples"})
"""Schema keywords that quote values."""


def is_declared_secret(schema: Mapping[str, Any]) -> bool:
    """Return True if a schema declares its value secret."""
    return schema.get("format") == "password" or schema.get("writeOnly") is True


def find_secret_names(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return the names in `values`, at any depth, that the schema declares secret."""
    exact, like = _find_declared_names(json.dumps(schema))
    if not (exact or like):
        return []
    from app.core.schema import regex

    return sorted(
        {
            name
            for name in _iterate_names(values)
            if name in exact or any(regex.search(text, name) for text in like)
        }
    )


def mask_value(value: Any, hidden: Collection[str] = (), depth: int = 0) -> Any:
    """Mask secrets in a parameter value, at any depth."""
    if depth > MAX_DEPTH:
        return MASK
    if is_dict(value):
        return {
            name: MASK if is_secret(str(name), hidden) else mask_value(inner, hidden, depth + 1)
            for name, inner in value.items()
        }
    return [mask_value(inner, hidden, depth + 1) for inner in value] if is_array(value) else value


def find_secret_texts(value: Any, hidden: Collection[str] = (), depth: int = 0) -> Iterator[str]:
    """Yield the texts that `mask_value` hides, as they may appear in a command."""
    if is_dict(value) and depth <= MAX_DEPTH:
        for name, inner in value.items():
            yield from (
                _iterate_texts(inner)
                if is_secret(str(name), hidden)
                else find_secret_texts(inner, hidden, depth + 1)
            )
    elif is_array(value) and depth <= MAX_DEPTH:
        for inner in value:
            yield from find_secret_texts(inner, hidden, depth + 1)


def is_secret(name: str, hidden: Collection[str]) -> bool:
    """Return True if a value is secret by its name or as one of `hidden`."""
    return name in hidden or is_secret_name(name)


def mask_record(value: Any, secret: bool = False) -> Any:
    """Mask secrets in a recorded value or in a schema.

    Mask plain values under a secret name, and schema keywords that quote the value of a secret
    parameter. References to a secret are kept, because they do not contain the secret.
    """
    if is_array(value):
        return [mask_record(inner, secret) for inner in value]
    if not is_object(value):
        return value
    secret = secret or is_declared_secret(value)
    return {
        key: MASK if secret and key in _VALUE_KEYWORDS else _mask_entry(str(key), inner, secret)
        for key, inner in value.items()
    }


def _mask_entry(name: str, value: Any, secret: bool) -> Any:
    if name == "properties" and is_object(value):
        return {
            key: mask_record(inner, secret or is_secret_name(str(key)))
            for key, inner in value.items()
        }
    plain = value is not None and not isinstance(value, (Mapping, list, bool))
    return MASK if plain and is_secret_name(name) else mask_record(value, secret)


def _iterate_texts(value: Any) -> Iterator[str]:
    """Yield the forms of a value in a command: raw and JSON text, also of its items."""
    yield from {value, json.dumps(value)[1:-1]} if isinstance(value, str) else [json.dumps(value)]
    for inner in value.values() if is_dict(value) else value if is_array(value) else ():
        yield from _iterate_texts(inner)


@lru_cache(maxsize=64)
def _find_declared_names(text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the property names and name patterns that a schema declares secret."""
    if not any(word in text for word in ('"password"', '"writeOnly"')):
        return frozenset(), ()
    from app.core.schema import json_schema, parameters

    schema = json.loads(text)
    looked = json_schema.make_resolver(schema)

    def is_secret_schema(inner: Any) -> bool:
        parts = [part for part, _, _ in parameters.iterate_parts(inner, looked)]
        items = [
            one
            for part in parts
            for one, _, _ in parameters.iterate_parts(part.get("items") or {}, looked)
        ]
        return any(map(is_declared_secret, [*parts, *items]))

    found: dict[str, list[str]] = {"properties": [], "patternProperties": []}
    for _, node in json_schema.iterate_nodes(schema):
        for word, names in found.items():
            properties = node.get(word)
            names += (
                [name for name, inner in properties.items() if is_secret_schema(inner)]
                if is_object(properties)
                else []
            )
    return frozenset(found["properties"]), tuple(found["patternProperties"])


def _iterate_names(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield every name in a value."""
    if depth <= MAX_DEPTH:
        for name, inner in (
            value.items()
            if is_object(value)
            else (("", one) for one in value)
            if is_array(value)
            else ()
        ):
            yield str(name)
            yield from _iterate_names(inner, depth + 1)
