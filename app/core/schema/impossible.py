"""Reasons why no submission can satisfy a schema of parameters.

A required parameter must be allowed and have a possible value. A default forbids nothing, since
values that are valid as given do without it. The search is not complete: it finds contradictions
that people write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.schema import json_schema, regex
from app.core.schema.json_schema import format_path
from app.translation import tr

_Part = tuple[Any, Any]
"""A schema, and the resolver of its references."""

_BOUNDS = (
    ("minimum", "maximum", {"integer", "number"}),
    ("minLength", "maxLength", {"string"}),
    ("minItems", "maxItems", {"array"}),
    ("minProperties", "maxProperties", {"object"}),
)
_ALL_TYPES = frozenset(("string", "integer", "number", "boolean", "null", "array", "object"))


def find_contradiction(
    evaluator: json_schema.Evaluator, is_known: Callable[[str], bool], count: float
) -> str:
    """Return why no submission can pass, or "".

    `is_known` says which parameters a submission may give, `count` how many there are.
    """
    finder = _Finder(evaluator)
    parts = list(finder.iterate_certain(evaluator.schema, evaluator.resolver))
    required = list(dict.fromkeys(name for part, _ in parts for name in part.get("required", ())))
    for name in required:
        fault = "" if is_known(name) else tr("properties does not describe it: it cannot be given")
        if fault := fault or finder.find_fault(name, parts):
            return tr("{name} is required, but {fault}", name=format_path([name]), fault=fault)
    if any(_forbids_all(part) for part, _ in parts):
        return tr("not: {} forbids every value")
    least = max((part.get("minProperties", 0) for part, _ in parts), default=0)
    if least > count:
        return tr("at least {least} parameters are needed, but there are {n}", least=least, n=count)
    most = min(
        (part["maxProperties"] for part, _ in parts if "maxProperties" in part), default=None
    )
    if most is not None and most < len(required):
        return tr(
            "at most {most} parameters are allowed, but {n} are required",
            most=most,
            n=len(required),
        )
    return ""


@dataclass(frozen=True, slots=True)
class _Finder:
    """Search for a required parameter that no task can have."""

    evaluator: json_schema.Evaluator

    def iterate_certain(self, schema: Any, resolver: Any) -> Iterator[_Part]:
        """Yield the parts of a schema that always apply.

        Up to draft 7, `$ref` replaces all keywords beside it.
        """
        for part, _, part_resolver in json_schema.iterate_parts(schema, resolver, certain=True):
            if not (self.evaluator.is_legacy and "$ref" in part):
                yield part, part_resolver

    def find_fault(self, name: str, parts: Sequence[_Part]) -> str:
        """Return why a parameter cannot be given, or ""."""
        if not all(_is_allowed(name, part) for part, _ in parts):
            return tr("additionalProperties: false forbids it")
        schemas = [
            (part["properties"][name], resolver)
            for part, resolver in parts
            if name in part.get("properties", {})
        ]
        return "" if self._has_value(schemas) else tr("its schema allows no value")

    def _has_value(self, schemas: Sequence[_Part]) -> bool:
        nodes = [
            node for inner, resolver in schemas for node, _ in self.iterate_certain(inner, resolver)
        ]
        types = _ALL_TYPES.intersection(*map(_read_types, nodes))
        if (
            any(inner is False for inner, _ in schemas)
            or any(map(_forbids_all, nodes))
            or not types
        ):
            return False
        if any(_is_empty_range(nodes, types, *bound) for bound in _BOUNDS):
            return False
        lists = [found for node in nodes if (found := _list_values(node)) is not None]
        return not lists or any(
            all(self.evaluator.is_valid(value, inner, resolver) for inner, resolver in schemas)
            for value in min(lists, key=len)
        )


def _forbids_all(node: Mapping[str, Any]) -> bool:
    """Return True for `not: {}` and `not: true`."""
    return "not" in node and (node["not"] is True or node["not"] == {})


def _is_allowed(name: str, part: Mapping[str, Any]) -> bool:
    return (
        part.get("additionalProperties") is not False
        or name in part.get("properties", {})
        or any(regex.search(pattern, name) for pattern in part.get("patternProperties", {}))
    )


def _read_types(node: Mapping[str, Any]) -> frozenset[str]:
    named = node.get("type", _ALL_TYPES)
    types = frozenset([named] if isinstance(named, str) else named)
    return types | {"integer"} if "number" in types else types


def _list_values(node: Mapping[str, Any]) -> Sequence[Any] | None:
    return [node["const"]] if "const" in node else node.get("enum")


def _is_empty_range(
    nodes: Sequence[Mapping[str, Any]],
    types: frozenset[str],
    low: str,
    high: str,
    limited_types: set[str],
) -> bool:
    """Return True if all values have a type that the bounds limit, and the bounds cross."""
    lows = [node[low] for node in nodes if low in node]
    highs = [node[high] for node in nodes if high in node]
    return types <= limited_types and bool(lows and highs) and max(lows) > min(highs)
