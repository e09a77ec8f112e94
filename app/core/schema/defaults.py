"""Defaults of parameters, filled in as far as they apply to the given values.

A schema that always applies gives all its defaults. A branch (`oneOf`, `anyOf`, `then`, `else`,
`dependentSchemas`) gives defaults only if the values fit that branch. An object that is valid as
given gets no defaults that would make it invalid. A recursive schema adds nothing inside its own
defaults.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.core.json_types import is_dict, is_object
from app.core.schema import json_schema
from app.core.schema.secrets import get_secret_reference


def fill_defaults(schema: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `value` with defaults for missing entries, also in nested objects.

    Raise the errors of `json_schema.limit_steps`.
    """
    text = json.dumps(schema)
    if '"default"' not in text:
        return dict(value)
    with json_schema.limit_steps():
        evaluator = json_schema.make_evaluator(text)
        return _DefaultFiller(evaluator).fill(value, evaluator.schema, evaluator.resolver)


@dataclass(frozen=True, slots=True)
class _DefaultFiller:
    """Walk over the parts of a schema that apply to a value."""

    evaluator: json_schema.Evaluator
    optional: bool = False
    """True in a branch or a given object. A default that its own schema refuses is then ignored."""
    seen: frozenset[int] = frozenset()
    """Identities of schemas that described the value already, or the default that holds it."""

    def fill(self, value: Mapping[str, Any], schema: Any, resolver: Any) -> dict[str, Any]:
        """Return an object with the defaults of a schema."""
        found = dict(value)
        parts = [
            (part, part_resolver)
            for part, _, part_resolver in json_schema.iterate_parts(schema, resolver, certain=True)
            if id(part) not in self.seen
        ]
        for part, part_resolver in parts:
            found |= self._find_missing(found, part, part_resolver)
        seen = self.seen | {id(part) for part, _ in parts}
        for part, part_resolver in parts:
            replace(self, seen=seen)._fill_inside(found, value, part, part_resolver)
        for part, part_resolver in parts:
            found = replace(self, optional=True, seen=seen)._fill_branches(
                found, part, part_resolver
            )
        return found

    def _find_missing(
        self, value: Mapping[str, Any], part: Mapping[str, Any], resolver: Any
    ) -> dict[str, Any]:
        """Return the defaults of the properties that `value` lacks."""
        found: dict[str, Any] = {}
        for name, inner in part.get("properties", {}).items():
            if name in value or not is_object(inner):
                continue
            for node, _, _ in json_schema.iterate_parts(inner, resolver, certain=True):
                if "default" not in node:
                    continue
                if not self.optional or self.evaluator.is_valid(node["default"], inner, resolver):
                    found[name] = copy.deepcopy(node["default"])
                break
        return found

    def _fill_inside(
        self,
        found: dict[str, Any],
        given: Mapping[str, Any],
        part: Mapping[str, Any],
        resolver: Any,
    ) -> None:
        """Fill in the defaults of nested objects."""
        for name, inner in part.get("properties", {}).items():
            nested = found.get(name)
            if not is_dict(nested) or get_secret_reference(nested):
                continue
            if name in given:
                found[name] = self._fill_given(nested, inner, resolver)
            else:
                found[name] = self.fill(nested, inner, resolver)

    def _fill_given(self, value: dict[str, Any], schema: Any, resolver: Any) -> dict[str, Any]:
        """Fill in the defaults of a given object, unless they would make the object invalid."""
        filled = replace(self, optional=True, seen=frozenset()).fill(value, schema, resolver)
        is_worse = (
            filled != value
            and not self.evaluator.is_valid(filled, schema, resolver)
            and self.evaluator.is_valid(value, schema, resolver)
        )
        return value if is_worse else filled

    def _fill_branches(
        self, value: dict[str, Any], part: Mapping[str, Any], resolver: Any
    ) -> dict[str, Any]:
        for branch in self._list_conditional(value, part, resolver):
            value = self.fill(value, branch, resolver)
        for word in ("anyOf", "oneOf"):
            if part.get(word):
                value = self._fill_alternatives(value, word, part[word], resolver)
        return value

    def _list_conditional(
        self, value: Mapping[str, Any], part: Mapping[str, Any], resolver: Any
    ) -> Iterator[Any]:
        if "if" in part:
            word = "then" if self.evaluator.is_valid(value, part["if"], resolver) else "else"
            yield part.get(word)
        for word in ("dependentSchemas", "dependencies"):
            for name, branch in part.get(word, {}).items():
                if name in value:
                    yield branch

    def _fill_alternatives(
        self, value: dict[str, Any], word: str, branches: Sequence[Any], resolver: Any
    ) -> dict[str, Any]:
        """Fill in the defaults of the branches that the value fits.

        If it fits none, take a branch that it fits with the defaults. Defaults are left out if the
        value would no longer fit with them.
        """
        whole = {word: branches}
        fitting = [one for one in branches if self.evaluator.is_valid(value, one, resolver)]
        if word == "anyOf" and fitting:
            for branch in fitting:
                filled = self.fill(value, branch, resolver)
                value = filled if self.evaluator.is_valid(filled, whole, resolver) else value
            return value
        each = [self.fill(value, branch, resolver) for branch in fitting or branches]
        each = [filled for filled in each if self.evaluator.is_valid(filled, whole, resolver)]
        return each[0] if len(each) == 1 or (each and word == "anyOf") else value
