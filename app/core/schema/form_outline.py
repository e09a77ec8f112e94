"""Form outline of a template's parameters: titled groups of fields.

Titled parts of a schema (such as the `allOf` groups of a pipeline) and nested objects become
groups. A value that is too deep, recursive or has several forms becomes one field that takes JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.core.json_types import is_array, is_object
from app.core.schema import json_schema, parameters
from app.core.schema.form_fields import (
    REST_NAME,
    FieldGroup,
    FieldPath,
    FormField,
    FormOutline,
    is_equal_json,
)

MAX_DEPTH = 4
"""Maximum depth of nested groups; deeper objects are JSON fields."""
MAX_FIELDS = 2_000
"""Number of fields after which every object is one JSON field."""
_SCALARS = frozenset(("string", "integer", "number", "boolean", "null"))


def build_outline(schema: Mapping[str, Any]) -> FormOutline:
    """Return the groups and fields of a schema that `parameters.check_schema` accepts."""
    return _build_outline(json.dumps(schema))


@lru_cache(maxsize=64)
def _build_outline(text: str) -> FormOutline:
    schema = json.loads(text)
    return FormOutline(
        tuple(_OutlineReader().read_groups(schema, json_schema.make_resolver(schema), (), "", True))
    )


_SchemaPart = tuple[Mapping[str, Any], bool, Any]
"""A schema, True if it applies unconditionally, and the resolver of its references."""


@dataclass(slots=True)
class _Property:
    """One property, with all parts of the schema that describe it."""

    said: list[_SchemaPart] = field(default_factory=list[_SchemaPart])

    def add(self, part: _SchemaPart) -> None:
        """Add a part. Unconditional parts replace conditional ones."""
        if not self.said or part[1] == self.said[0][1]:
            self.said.append(part)
        elif part[1]:
            self.said = [part]

    def iterate_parts(self) -> Iterator[tuple[Mapping[str, Any], Any]]:
        for node, _, resolver in self.said:
            yield from _expand_schema(node, resolver)

    def merge_keywords(self) -> dict[str, Any]:
        """Return the keywords with references resolved; the first occurrence wins.

        The default of a conditional part is left out, because the part may not apply.
        """
        words: dict[str, Any] = {}
        for part, _ in self.iterate_parts():
            words = {**part, **words}
        if not self.said[0][1]:
            words.pop("default", None)
        return words

    def find_kinds(self) -> frozenset[str]:
        return frozenset[str]().union(
            *(parameters.find_kinds_with(node, resolver) for node, _, resolver in self.said)
        )

    def find_choices(self) -> list[tuple[Any, str]] | None:
        """Return the allowed values, if an unconditional part or all others list them."""
        each = [_find_first_choices(node, resolver) for node, _, resolver in self.said]
        if self.said[0][1]:
            return next((found for found in each if found is not None), None)
        return (
            None
            if any(found is None for found in each)
            else [choice for found in each for choice in found or ()]
        )


@dataclass(slots=True)
class _OutlineReader:
    """Traversal of a schema. Counts the fields, so that recursive schemas terminate."""

    count: int = 0

    def read_groups(
        self, node: Mapping[str, Any], resolver: Any, path: FieldPath, title: str, required: bool
    ) -> Iterator[FieldGroup]:
        """Yield the groups of an object: own fields, titled parts, then nested objects."""
        parts = list(json_schema.iterate_parts(node, resolver))
        needed = {name for part, always, _ in parts if always for name in part.get("required", ())}
        properties = _collect_properties(parts)
        about, properties_seen = (
            str(_merge_keywords(node, resolver).get("description") or "") if path else "",
            set[str](),
        )
        for titled, names in _group_by_title(parts, title).items():
            new_properties = {
                name: properties[name] for name in names if name not in properties_seen
            }
            properties_seen.update(new_properties)
            said, text = titled
            rest = (
                [self._make_rest_field(path, parts)]
                if said == title and _is_open(path, parts)
                else []
            )
            yield from self._read_group(
                path, said, text or about, new_properties, needed, required, rest
            )

    def _read_group(
        self, path: FieldPath, title: str, about: str, properties: Mapping[str, _Property],
        needed: set[str], required: bool,
        rest: list[FormField],
    ) -> Iterator[FieldGroup]:  # fmt: skip
        fields, below = list[FormField](), list[FieldGroup]()
        for name, found in properties.items():
            here, is_required = (*path, name), required and name in needed
            if self._is_object(found, here):
                node = (
                    {"allOf": [part for part, _, _ in found.said]}
                    if len(found.said) > 1
                    else found.said[0][0]
                )
                below += self.read_groups(
                    node,
                    found.said[0][2],
                    here,
                    str(found.merge_keywords().get("title") or ""),
                    is_required,
                )
            else:
                self.count += 1
                fields.append(_make_field(found, here, is_required, name in needed))
        if fields or rest or path:
            yield FieldGroup(path, title, about, (*fields, *rest), required)
        yield from below

    def _is_object(self, property_: _Property, path: FieldPath) -> bool:
        """Return True if the parts of the property get fields of their own."""
        if (
            not property_.find_kinds() <= {"object"}
            or len(path) > MAX_DEPTH
            or self.count > MAX_FIELDS
        ):
            return False
        return any(
            part.get("properties")
            for node, _, resolver in property_.said
            for part, _, _ in json_schema.iterate_parts(node, resolver)
        )

    def _make_rest_field(self, path: FieldPath, parts: Sequence[_SchemaPart]) -> FormField:
        """Return the field for additional properties, hidden if the schema has none."""
        said = any(
            part.get(word)
            for part, _, _ in parts
            for word in ("additionalProperties", "patternProperties")
        )
        return FormField(
            (*path, REST_NAME),
            {"description": "additional properties, as a JSON object", "hidden": not said},
            frozenset({"object"}),
        )


def _is_open(path: FieldPath, parts: Iterable[_SchemaPart]) -> bool:
    """Return True if an object accepts additional properties.

    Parameters accept them only if the schema says so, nested objects unless the schema forbids
    them.
    """
    said = [
        part[word]
        for part, _, _ in parts
        for word in ("additionalProperties", "unevaluatedProperties")
        if word in part
    ]
    named = any(part.get("patternProperties") for part, _, _ in parts)
    return named or (False not in said if path else any(word is not False for word in said))


def _collect_properties(parts: Iterable[_SchemaPart]) -> dict[str, _Property]:
    found: dict[str, _Property] = {}
    for part, always, resolver in parts:
        for name, inner in part.get("properties", {}).items():
            found.setdefault(name, _Property()).add(
                (inner if is_object(inner) else {}, always, resolver)
            )
    return found


def _group_by_title(parts: Iterable[_SchemaPart], title: str) -> dict[tuple[str, str], list[str]]:
    """Return property names by title and description, untitled ones first."""
    found: dict[tuple[str, str], list[str]] = {(title, ""): []}
    for number, (part, _, _) in enumerate(parts):
        said = (
            (str(part.get("title") or ""), str(part.get("description") or ""))
            if number
            else ("", "")
        )
        names = part.get("properties", {})
        if names:
            found.setdefault(said if said[0] else (title, ""), []).extend(names)
    return found


def _make_field(property_: _Property, path: FieldPath, required: bool, needed: bool) -> FormField:
    words, kinds = property_.merge_keywords(), property_.find_kinds()
    choices = property_.find_choices()
    items = _find_item_kinds(property_) if "array" in kinds else None
    return FormField(
        path,
        words,
        kinds,
        required,
        needed,
        items,
        _format_choices(choices, kinds) if choices else (),
    )


def _find_item_kinds(property_: _Property) -> frozenset[str] | None:
    """Return the JSON types of plain items, else None."""
    kinds = frozenset[str]()
    for part, resolver in property_.iterate_parts():
        items = part.get("items")
        if is_object(items):
            kinds = kinds or parameters.find_kinds_with(items, resolver)
        elif items is not None or "prefixItems" in part:
            return None
    return (kinds or frozenset({"string"})) if kinds <= _SCALARS else None


def _format_choices(
    choices: Sequence[tuple[Any, str]], kinds: frozenset[str]
) -> tuple[tuple[str, Any, str], ...]:
    """Return each choice once, with a unique text."""
    found: dict[str, tuple[str, Any, str]] = {}
    for value, title in choices:
        text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
        if text in found and not is_equal_json(found[text][1], value):
            text = json.dumps(value, ensure_ascii=False)
        found.setdefault(text, (text, value, title))
    return tuple(found.values())


def _merge_keywords(node: Mapping[str, Any], resolver: Any) -> dict[str, Any]:
    return _Property([(node, True, resolver)]).merge_keywords()


def _expand_schema(
    node: Mapping[str, Any], resolver: Any
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield a schema, its references, its `allOf` and its only non-null form, each once."""
    pending, seen = [(node, resolver)], set[int]()
    while pending:
        node, resolver = pending.pop(0)
        if not is_object(node) or id(node) in seen:
            continue
        seen.add(id(node))
        json_schema.count_steps()
        yield node, resolver
        if (target := json_schema.resolve_reference(node, resolver)) is not None:
            pending.append((target.contents, target.resolver))
        pending += [(inner, resolver) for inner in (*node.get("allOf", ()), *_find_only_form(node))]


def _find_only_form(node: Mapping[str, Any]) -> list[Any]:
    """Return the only form besides null, or an empty list."""
    for word in ("anyOf", "oneOf"):
        forms = [
            form
            for form in node.get(word, ())
            if not (is_object(form) and form.get("type") == "null")
        ]
        if len(forms) == 1:
            return forms
    return []


def _find_first_choices(node: Mapping[str, Any], resolver: Any) -> list[tuple[Any, str]] | None:
    return next(
        (
            found
            for part, _ in _expand_schema(node, resolver)
            if (found := _list_choices(part)) is not None
        ),
        None,
    )


def _list_choices(node: Mapping[str, Any]) -> list[tuple[Any, str]] | None:
    """Return the values that a schema lists, with titles, or None."""
    title = str(node.get("title") or "")
    if is_array(node.get("enum")):
        return [(value, "") for value in node["enum"]]
    if "const" in node:
        return [(node["const"], title)]
    for word in ("oneOf", "anyOf"):
        forms = [_list_form_choices(form) for form in node.get(word, ())]
        if forms and all(found is not None for found in forms):
            return [choice for found in forms for choice in found or ()]
    return None


def _list_form_choices(form: Any) -> list[tuple[Any, str]] | None:
    if not is_object(form):
        return None
    return (
        [(None, str(form.get("title") or ""))]
        if form.get("type") == "null"
        else _list_choices(form)
    )
