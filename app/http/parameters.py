"""Parameters of requests: their JSON schemas, and the checks of given values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage

_INTEGER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a path or query. A schema of type array means a repeated parameter."""

    name: str
    summary: str
    schema: Mapping[str, Any]
    in_path: bool = False

    def parse(self, given: list[str]) -> Any:
        """Return the value of one or more texts. Raise Usage."""
        if self.schema["type"] == "array":
            if len(given) > self.schema["maxItems"]:
                raise self._make_error(f"must be given at most {self.schema['maxItems']} times")
            return [self._parse_one(text, self.schema["items"]) for text in given]
        if len(given) > 1:
            raise self._make_error("must be given once")
        return self._parse_one(given[0], self.schema)

    def _parse_one(self, text: str, schema: Mapping[str, Any]) -> Any:
        if schema["type"] == "integer":
            return self._parse_integer(text, schema)
        self._check_text(text, schema)
        return text

    def _parse_integer(self, text: str, schema: Mapping[str, Any]) -> int:
        if not _INTEGER.fullmatch(text):
            raise self._make_error("must be a whole number")
        value, low, high = int(text), schema["minimum"], schema["maximum"]
        if not low <= value <= high:
            raise self._make_error(f"must be {low:,} to {high:,}")
        return value

    def _check_text(self, text: str, schema: Mapping[str, Any]) -> None:
        if "enum" in schema and text not in schema["enum"]:
            raise self._make_error(f"must be one of {', '.join(schema['enum'])}")
        if len(text) < schema.get("minLength", 0):
            raise self._make_error("must not be empty")
        if len(text) > schema.get("maxLength", 1000):
            raise self._make_error(f"must have at most {schema['maxLength']:,} characters")
        if "pattern" in schema and not re.search(schema["pattern"], text):
            raise self._make_error(f"does not have the form {schema['pattern'].strip('^$')}")

    def _make_error(self, fault: str) -> Usage:
        return Usage(f"{self.name} {fault}.")

    def describe(self) -> dict[str, Any]:
        """Return the parameter as an OpenAPI document describes it."""
        return {
            "name": self.name,
            "in": "path" if self.in_path else "query",
            "required": self.in_path,
            "description": self.summary,
            "schema": self.schema,
        }


def make_integer(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    """Return the schema of a whole number."""
    found: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return found if default is None else found | {"default": default}


def make_text(most: int = 1000, **more: Any) -> dict[str, Any]:
    """Return the schema of a text that is not empty."""
    return {"type": "string", "minLength": 1, "maxLength": most, **more}


def make_choice(*words: str) -> dict[str, Any]:
    """Return the schema of one of some words, of which the first is the default."""
    return {"type": "string", "enum": list(words), "default": words[0]}


def make_list(items: Mapping[str, Any], most: int = 32) -> dict[str, Any]:
    """Return the schema of a parameter that may be repeated."""
    return {"type": "array", "items": items, "maxItems": most}


def parse_parameters(
    parameters: Iterable[Parameter], path: Mapping[str, Any], query: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Return the values by name; those that are not given have their defaults or are left out.

    Raise Usage for an unknown name or a faulty value.
    """
    known = {one.name: one for one in parameters}
    given: dict[str, list[str]] = {name: [str(value)] for name, value in path.items()}
    for name, text in query:
        if name not in known or known[name].in_path:
            raise _make_unknown_error(name, [one.name for one in known.values() if not one.in_path])
        given.setdefault(name, []).append(text)
    defaults = {
        name: one.schema["default"] for name, one in known.items() if "default" in one.schema
    }
    return defaults | {name: known[name].parse(texts) for name, texts in given.items()}


def _make_unknown_error(name: str, known: list[str]) -> Usage:
    shown = truncate(sanitize(name), 40)
    near = find_nearest(name, known)
    there_are = f"There are: {', '.join(known)}." if known else "The path takes none."
    return Usage(
        f'there is no parameter "{shown}".' + (f" Nearest: {near}." if near else ""), there_are
    )
