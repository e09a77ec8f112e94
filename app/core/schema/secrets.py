"""Secret parameter values and their masking.

A value is secret by its name, or because the schema declares it (`writeOnly`, `format: password`).
A schema with `writeOnly: false` declares that a value is plain, whatever its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.core.json_types import is_array, is_dict, is_object
from app.core.text.sanitize import MASK, is_secret_name

MAX_DEPTH = 80
"""Levels searched for secrets; deeper values are always masked."""
_VALUE_KEYWORDS = frozenset({"default", "const", "enum", "example", "examples"})
"""Schema keywords that quote values."""
_GIVING_KEYWORDS = ("default", "const", "enum")
"""Schema keywords that quote values which a task may get."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class DeclaredNames:
    """Names that a schema declares secret or plain. Their words decide about all others."""

    secret: Collection[str] = ()
    plain: Collection[str] = ()

    def is_secret(self, name: str) -> bool:
        """Return True if a value of this name is secret."""
        return name in self.secret or (name not in self.plain and is_secret_name(name))


UNDECLARED = DeclaredNames()
"""Names without a known schema."""


def is_declared_secret(schema: Mapping[str, Any]) -> bool:
    """Return True if a schema declares its value secret."""
    return schema.get("format") == "password" or schema.get("writeOnly") is True


def is_declared_plain(schema: Any) -> bool:
    """Return True if a schema declares that its value is no secret."""
    return is_object(schema) and schema.get("writeOnly") is False and not is_declared_secret(schema)


def is_secret_property(name: str, schema: Any) -> bool:
    """Return True if the name of a property makes its value secret."""
    return is_secret_name(name) and not is_declared_plain(schema)


def find_plain_value(schema: Mapping[str, Any]) -> str:
    """Return the keyword of a secret's schema that gives the value away, or "".

    References to a secret, empty values, null, true and false give nothing away.
    """
    for word in _GIVING_KEYWORDS:
        value = schema.get(word)
        values = value if word == "enum" and is_array(value) else [value]
        if any(
            one not in _EMPTY and not isinstance(one, bool) and not get_secret_reference(one)
            for one in values
        ):
            return word
    return ""


def find_declared_names(schema: Mapping[str, Any], values: Mapping[str, Any]) -> DeclaredNames:
    """Return the names in `values`, at any depth, that the schema declares secret or plain."""
    declared = _read_declarations(json.dumps(schema))
    if not any(declared.values()):
        return UNDECLARED
    names = sorted(set(_iterate_names(values)))
    secret = [name for name in names if _is_declared(name, declared, is_declared_secret)]
    plain = [name for name in names if _is_declared(name, declared, is_declared_plain)]
    return DeclaredNames(secret, [name for name in plain if name not in secret])


def mask_value(value: Any, names: DeclaredNames = UNDECLARED, depth: int = 0) -> Any:
    """Mask secrets in a parameter value, at any depth."""
    if depth > MAX_DEPTH:
        return MASK
    if is_dict(value):
        return {
            name: MASK if names.is_secret(str(name)) else mask_value(inner, names, depth + 1)
            for name, inner in value.items()
        }
    return [mask_value(inner, names, depth + 1) for inner in value] if is_array(value) else value


def find_secret_texts(
    value: Any, names: DeclaredNames = UNDECLARED, depth: int = 0
) -> Iterator[str]:
    """Yield the texts that `mask_value` hides, as they may appear in a command."""
    if is_dict(value) and depth <= MAX_DEPTH:
        for name, inner in value.items():
            yield from (
                _iterate_texts(inner)
                if names.is_secret(str(name))
                else find_secret_texts(inner, names, depth + 1)
            )
    elif is_array(value) and depth <= MAX_DEPTH:
        for inner in value:
            yield from find_secret_texts(inner, names, depth + 1)


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
            key: mask_record(inner, secret or is_secret_property(str(key), inner))
            for key, inner in value.items()
        }
    plain = value is not None and not isinstance(value, (Mapping, list, bool))
    return MASK if plain and is_secret_name(name) else mask_record(value, secret)


def get_secret_reference(value: Any) -> Mapping[str, str] | None:
    """Return the reference in `{"secret": {"env": "API_TOKEN"}}`, else None."""
    inner = value.get("secret") if is_object(value) and len(value) == 1 else None
    if is_object(inner) and len(inner) == 1 and next(iter(inner)) in ("env", "file"):
        return inner if isinstance(next(iter(inner.values())), str) else None
    return None


def _iterate_texts(value: Any) -> Iterator[str]:
    """Yield the forms of a value in a command: raw and JSON text, also of its items."""
    yield from {value, json.dumps(value)[1:-1]} if isinstance(value, str) else [json.dumps(value)]
    for inner in value.values() if is_dict(value) else value if is_array(value) else ():
        yield from _iterate_texts(inner)


_NAME_KEYWORDS = ("properties", "patternProperties")
_Declaration = Callable[[Mapping[str, Any]], bool]
_Declarations = Mapping[tuple[str, _Declaration], Collection[str]]
"""Property names and name patterns, by keyword and by what their schemas declare."""


@lru_cache(maxsize=64)
def _read_declarations(text: str) -> _Declarations:
    """Return what a schema, as JSON, declares of its properties."""
    declarations = (is_declared_secret, is_declared_plain)
    found: dict[tuple[str, _Declaration], set[str]] = {
        (word, is_declared): set() for word in _NAME_KEYWORDS for is_declared in declarations
    }
    if not any(word in text for word in ('"password"', '"writeOnly"')):
        return found
    from app.core.schema import json_schema

    schema = json.loads(text)
    resolver = json_schema.make_resolver(schema)
    for _, node in json_schema.iterate_nodes(schema):
        for word in _NAME_KEYWORDS:
            properties = node.get(word)
            for name, inner in properties.items() if is_object(properties) else ():
                parts = list(_iterate_value_schemas(inner, resolver))
                for is_declared in declarations:
                    if any(map(is_declared, parts)):
                        found[word, is_declared].add(name)
    return found


def _iterate_value_schemas(schema: Any, resolver: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas of a value and of its items."""
    from app.core.schema import json_schema

    for part, _, part_resolver in json_schema.iterate_parts(schema, resolver):
        yield part
        for item, _, _ in json_schema.iterate_parts(part.get("items") or {}, part_resolver):
            yield item


def _is_declared(name: str, declared: _Declarations, is_declared: _Declaration) -> bool:
    from app.core.schema import regex

    return name in declared["properties", is_declared] or any(
        regex.search(pattern, name) for pattern in declared["patternProperties", is_declared]
    )


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
