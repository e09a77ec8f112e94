"""A template's parameters as a form shows them: titled groups of fields, one field for each value to fill in. Pure.

The parts of a schema that have a title (the `allOf` groups of a pipeline's schema) and the objects in it become groups.
What is too deep, refers to itself or has several forms is one field that takes JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.core.schema import json_schema, parameters
from app.core.schema.form_fields import REST, Field, Group, Outline, Path, same

DEEPEST = 4
"""Levels of groups inside each other; what is deeper is JSON."""
MOST = 2_000
"""Fields, after which an object is one field whatever it holds."""
_SCALARS = frozenset(("string", "integer", "number", "boolean", "null"))


def outline(schema: Mapping[str, Any]) -> Outline:
    """The groups and fields of a schema that `parameters.check_schema` has passed."""
    return _outline(json.dumps(schema))


@lru_cache(maxsize=64)
def _outline(text: str) -> Outline:
    schema = json.loads(text)
    return Outline(tuple(_Reader().groups(schema, json_schema.resolver(schema), (), "", True)))


_Part = tuple[Mapping[str, Any], bool, Any]
"""A schema, whether it always holds, and what looks up its references."""


@dataclass(slots=True)
class _Property:
    """One property, as every part of the schema that speaks of it says."""

    said: list[_Part] = field(default_factory=list)

    def add(self, part: _Part) -> None:
        """Parts that always hold are heard alone; a condition is not what it asks about."""
        if not self.said or part[1] == self.said[0][1]:
            self.said.append(part)
        elif part[1]:
            self.said = [part]

    def parts(self) -> Iterator[tuple[Mapping[str, Any], Any]]:
        for node, _, looked in self.said:
            yield from _taken_in(node, looked)

    def words(self) -> dict[str, Any]:
        """What it says with its references taken in; what is said first counts."""
        words: dict[str, Any] = {}
        for part, _ in self.parts():
            words = {**part, **words}
        return words

    def kinds(self) -> frozenset[str]:
        return frozenset().union(*(parameters.kinds_of(node, looked) for node, _, looked in self.said))

    def choices(self) -> list[tuple[Any, str]] | None:
        """What it may be: what a part that always holds lists; else all that the others list, when each does."""
        each = [_first_listed(node, looked) for node, _, looked in self.said]
        if self.said[0][1]:
            return next((found for found in each if found is not None), None)
        return None if any(found is None for found in each) else [choice for found in each for choice in found or ()]


@dataclass(slots=True)
class _Reader:
    """Goes through a schema once; counts the fields, so that parts that refer to each other end."""

    count: int = 0

    def groups(self, node: Mapping[str, Any], looked: Any, path: Path, title: str, required: bool) -> Iterator[Group]:
        """The groups of an object: its own fields first, then the parts with a title, each followed by the objects in it."""
        parts = list(parameters.parts(node, looked))
        needed = {name for part, always, _ in parts if always for name in part.get("required", ())}
        properties = _properties(parts)
        about, here = str(_words(node, looked).get("description") or "") if path else "", set[str]()
        for titled, names in _titled(parts, title).items():
            mine = {name: properties[name] for name in names if name not in here}
            here.update(mine)
            said, text = titled
            rest = [self._rest(path, parts)] if said == title and _is_open(path, parts) else []
            yield from self._group(path, said, text or about, mine, needed, required, rest)

    def _group(
        self, path: Path, title: str, about: str, properties: Mapping[str, _Property], needed: set[str], required: bool,
        rest: list[Field],
    ) -> Iterator[Group]:  # fmt: skip
        fields, below = list[Field](), list[Group]()
        for name, found in properties.items():
            here, must = (*path, name), required and name in needed
            if self._is_object(found, here):
                node = {"allOf": [part for part, _, _ in found.said]} if len(found.said) > 1 else found.said[0][0]
                below += self.groups(node, found.said[0][2], here, str(found.words().get("title") or ""), must)
            else:
                self.count += 1
                fields.append(_field(found, here, must, name in needed))
        if fields or rest or path:
            yield Group(path, title, about, (*fields, *rest), required)
        yield from below

    def _is_object(self, found: _Property, path: Path) -> bool:
        """Whether its parts get fields of their own."""
        if not found.kinds() <= {"object"} or len(path) > DEEPEST or self.count > MOST:
            return False
        return any(
            part.get("properties") for node, _, looked in found.said for part, _, _ in parameters.parts(node, looked)
        )

    def _rest(self, path: Path, parts: Sequence[_Part]) -> Field:
        """What an object may hold beside its fields; folded away unless the schema speaks of it."""
        said = any(part.get(word) for part, _, _ in parts for word in ("additionalProperties", "patternProperties"))
        return Field(
            (*path, REST), {"description": "more of them, as a JSON object", "hidden": not said}, frozenset({"object"})
        )


def _is_open(path: Path, parts: Iterable[_Part]) -> bool:
    """Whether an object may hold what its schema does not name: parameters only when it says so, others unless it forbids."""
    said = [
        part[word] for part, _, _ in parts for word in ("additionalProperties", "unevaluatedProperties") if word in part
    ]
    named = any(part.get("patternProperties") for part, _, _ in parts)
    return named or (False not in said if path else any(word is not False for word in said))


def _properties(parts: Iterable[_Part]) -> dict[str, _Property]:
    found: dict[str, _Property] = {}
    for part, always, looked in parts:
        for name, inner in part.get("properties", {}).items():
            found.setdefault(name, _Property()).add((inner if isinstance(inner, Mapping) else {}, always, looked))
    return found


def _titled(parts: Iterable[_Part], title: str) -> dict[tuple[str, str], list[str]]:
    """The names that each part brings, by its title and description; those of the object itself and of parts without a title first."""
    found: dict[tuple[str, str], list[str]] = {(title, ""): []}
    for number, (part, _, _) in enumerate(parts):
        said = (str(part.get("title") or ""), str(part.get("description") or "")) if number else ("", "")
        names = part.get("properties", {})
        if names:
            found.setdefault(said if said[0] else (title, ""), []).extend(names)
    return found


def _field(found: _Property, path: Path, required: bool, needed: bool) -> Field:
    words, kinds = found.words(), found.kinds()
    choices = found.choices()
    items = _item_kinds(found) if "array" in kinds else None
    return Field(path, words, kinds, required, needed, items, _texts(choices, kinds) if choices else ())


def _item_kinds(found: _Property) -> frozenset[str] | None:
    """The types of the items when they are plain values, else None."""
    kinds = frozenset[str]()
    for part, looked in found.parts():
        items = part.get("items")
        if isinstance(items, Mapping):
            kinds = kinds or parameters.kinds_of(items, looked)
        elif items is not None or "prefixItems" in part:
            return None
    return (kinds or frozenset({"string"})) if kinds <= _SCALARS else None


def _texts(choices: Sequence[tuple[Any, str]], kinds: frozenset[str]) -> tuple[tuple[str, Any, str], ...]:
    """Each choice once, with a text that no other has."""
    found: dict[str, tuple[str, Any, str]] = {}
    for value, title in choices:
        text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
        if text in found and not same(found[text][1], value):
            text = json.dumps(value, ensure_ascii=False)
        found.setdefault(text, (text, value, title))
    return tuple(found.values())


def _words(node: Mapping[str, Any], looked: Any) -> dict[str, Any]:
    return _Property([(node, True, looked)]).words()


def _taken_in(node: Mapping[str, Any], looked: Any) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """A schema, what it refers to, its `allOf`, and the one thing that it is when it is not null; each once."""
    pending, seen = [(node, looked)], set[int]()
    while pending:
        node, looked = pending.pop(0)
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        yield node, looked
        if (target := json_schema.target(node, looked)) is not None:
            pending.append((target.contents, target.resolver))
        pending += [(inner, looked) for inner in (*node.get("allOf", ()), *_only_form(node))]


def _only_form(node: Mapping[str, Any]) -> list[Any]:
    """The form that is left of several when null is taken away."""
    for word in ("anyOf", "oneOf"):
        forms = [form for form in node.get(word, ()) if not (isinstance(form, Mapping) and form.get("type") == "null")]
        if len(forms) == 1:
            return forms
    return []


def _first_listed(node: Mapping[str, Any], looked: Any) -> list[tuple[Any, str]] | None:
    return next((found for part, _ in _taken_in(node, looked) if (found := _listed(part)) is not None), None)


def _listed(node: Mapping[str, Any]) -> list[tuple[Any, str]] | None:
    """The values that a schema lists, each with its title; None when it lists none."""
    title = str(node.get("title") or "")
    if isinstance(node.get("enum"), list):
        return [(value, "") for value in node["enum"]]
    if "const" in node:
        return [(node["const"], title)]
    for word in ("oneOf", "anyOf"):
        forms = [_form_listed(form) for form in node.get(word, ())]
        if forms and all(found is not None for found in forms):
            return [choice for found in forms for choice in found or ()]
    return None


def _form_listed(form: Any) -> list[tuple[Any, str]] | None:
    if not isinstance(form, Mapping):
        return None
    return [(None, str(form.get("title") or ""))] if form.get("type") == "null" else _listed(form)
