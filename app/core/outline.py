"""A template's parameters as a form shows them: titled groups of fields, one field for each value to fill in. Pure.

The parts of a schema that have a title (the `allOf` groups of a pipeline's schema) and the objects in it become groups.
What is too deep, refers to itself or has several forms is one field that takes JSON. What the values may be is judged by
`app.core.parameters` alone; the outline only says where they stand, and how a text becomes a value (`value_of`, as
`taskdeck submit -p` reads it) and back (`text_of`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from app.core import parameters, schemas
from app.core.clean import MASK, is_secret_name

Path = tuple[str, ...]
"""Where a value stands: names from the outside in. The last one is `REST` for what an object holds beside its fields."""

REST = ""
DEEPEST = 4
"""Levels of groups inside each other; what is deeper is JSON."""
MOST = 2_000
"""Fields, after which an object is one field whatever it holds."""
REFERENCES = ("env:", "file:")
"""What a text begins with that says where a secret is: `env:API_TOKEN`, `file:~/.token`."""

_SCALARS = frozenset(("string", "integer", "number", "boolean", "null"))
_PATHS = ("file-path", "directory-path", "path")


@dataclass(frozen=True, slots=True)
class Field:
    """One value to fill in. `schema` has what its references and `allOf` say taken in."""

    path: Path
    schema: Mapping[str, Any] = field(compare=False)
    kinds: frozenset[str]
    """The JSON types it takes; none said, none here."""
    required: bool = False
    """Whether a task cannot do without it, whatever else is filled in."""
    needed: bool = False
    """Whether its group cannot do without it."""
    items: frozenset[str] | None = None
    """The types of the items of a list of plain values; None for anything else."""
    choices: tuple[tuple[str, Any, str], ...] = field(default=(), compare=False)
    """What it may be when that is a list: the text of each value, the value, its title."""

    @property
    def name(self) -> str:
        """As errors name it: `ref.species`; `ref.*` for what `ref` holds beside its fields."""
        return ".".join((*self.path[:-1], "*")) if self.is_rest else ".".join(self.path)

    @property
    def is_rest(self) -> bool:
        """Whether it takes what an object holds beside its fields."""
        return self.path[-1] == REST

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off and nothing else."""
        return self.kinds == {"boolean"}

    @property
    def is_list(self) -> bool:
        """Whether it takes plain values with commas between them."""
        return self.items is not None and "string" not in self.kinds

    @property
    def is_json(self) -> bool:
        """Whether only JSON says its value."""
        return bool(self.kinds) and self.kinds <= {"object", "array", "null"} and not self.is_list

    @property
    def hidden(self) -> bool:
        """Whether it is folded away until it is asked for."""
        return self.schema.get("hidden") is True or self.schema.get("readOnly") is True

    @property
    def secret(self) -> bool:
        """Whether its text is masked, and may say where the secret is instead (`REFERENCES`)."""
        if self.choices or not self.kinds <= {"string", "null"}:
            return False
        said = self.schema.get("format") == "password" or self.schema.get("writeOnly") is True
        return said or (is_secret_name(self.path[-1]) and self.schema.get("format") not in _PATHS)

    @property
    def default(self) -> str:
        """The text of its default; "" when there is none."""
        return text_of(self, self.schema["default"]) if "default" in self.schema else ""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields under a title; `path` is () when they are parameters themselves, else that of the object they are parts of."""

    path: Path
    title: str
    about: str
    fields: tuple[Field, ...]
    required: bool = True
    """Whether the object is there even when nothing of it is filled in."""


@dataclass(frozen=True)
class Outline:
    """All groups of a schema in its order."""

    groups: tuple[Group, ...]

    @cached_property
    def fields(self) -> Mapping[Path, Field]:
        """Every field by its path."""
        return {found.path: found for group in self.groups for found in group.fields}

    @cached_property
    def objects(self) -> Mapping[Path, bool]:
        """Every object that is a group, by its path, with whether it is always there."""
        return {group.path: group.required for group in self.groups if group.path}

    def values(self, texts: Mapping[Path, str]) -> dict[str, Any]:
        """The parameters that these texts say. A text that is "" says nothing."""
        tree: dict[str, Any] = {}
        for path in (path for path, needed in self.objects.items() if needed):
            _inside(tree, path)
        for path, found in self.fields.items():
            if text := texts.get(path, ""):
                _put(tree, found, value_of(found, text))
        self._switch_off(tree)
        return tree

    def unread(self, texts: Mapping[Path, str]) -> list[Field]:
        """The fields for further names whose text is no JSON object; `values` leaves them out."""
        said = [found for path, found in self.fields.items() if found.is_rest and texts.get(path)]
        return [found for found in said if not isinstance(value_of(found, texts[found.path]), Mapping)]

    def texts(self, values: Mapping[str, Any]) -> dict[Path, str]:
        """The texts that say these parameters; a masked secret is none."""
        found: dict[Path, str] = {}
        self._take(values, (), found)
        return {path: text for path, text in found.items() if text != MASK}

    def given(self, values: Mapping[str, Any]) -> dict[Path, str]:
        """As `texts`, without what is there anyway: defaults where they count."""
        found = self.texts(values)
        return {path: text for path, text in found.items() if text != self.fields[path].default or not self.present(path, {})}

    def present(self, path: Path, texts: Mapping[Path, str]) -> bool:
        """Whether the object that a field is part of will be there: defaults inside it count only then."""
        objects = [path[:depth] for depth in range(1, len(path))]
        return all(self.objects.get(of, True) or any(_under(p, of) for p, text in texts.items() if text) for of in objects)

    def place(self, path: Sequence[str | int]) -> Path:
        """The field or the object that a place inside the values belongs to; () when it is none of them."""
        steps = tuple(str(step) for step in path)
        for depth in range(len(steps), 0, -1):
            for known in (steps[:depth], (*steps[: depth - 1], REST)):
                if known in self.fields or known in self.objects:
                    return known
        return ()

    def _switch_off(self, tree: dict[str, Any]) -> None:
        """What is on or off and must be said is off when nobody touched it, in every object that is there."""
        for path, found in self.fields.items():
            holder = _at(tree, path[:-1])
            if found.is_switch and found.needed and "default" not in found.schema and isinstance(holder, dict):
                holder.setdefault(path[-1], False)

    def _take(self, values: Mapping[str, Any], path: Path, found: dict[Path, str]) -> None:
        rest: dict[str, Any] = {}
        for name, value in values.items():
            here = (*path, name)
            if here in self.fields:
                found[here] = text_of(self.fields[here], value)
            elif here in self.objects and isinstance(value, Mapping) and not parameters.secret(value):
                self._take(value, here, found)
            else:
                rest[name] = value
        if rest and (*path, REST) in self.fields:
            found[(*path, REST)] = json.dumps(rest, ensure_ascii=False)


def outline(schema: Mapping[str, Any]) -> Outline:
    """The groups and fields of a schema that `parameters.check_schema` has passed."""
    return _outline(json.dumps(schema))


def value_of(found: Field, text: str) -> Any:
    """The value that a text says. What cannot be read stays text, for the schema to refuse."""
    for said, value, _ in found.choices:
        if said == text:
            return value
    if found.secret and len(found.path) == 1 and text.startswith(REFERENCES):
        kind, _, where = text.partition(":")
        return {"secret": {kind: where}}
    if found.items is not None and found.is_list and not text.lstrip().startswith("["):
        return [_plain(item, found.items) for item in _items(text)]
    return _plain(text, found.kinds)


def text_of(found: Field, value: Any) -> str:
    """The text that says a value."""
    for said, choice, _ in found.choices:
        if same(choice, value):
            return said
    if found.secret and (reference := parameters.secret(value)):
        return ":".join(next(iter(reference.items())))
    if found.is_list and isinstance(value, list) and value and found.items is not None:
        row = _row([_typed_text(item, found.items) for item in value])
        if same(value_of(found, row), value):
            return row
    return _typed_text(value, found.kinds)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to JSON: 1 is neither true nor "1"."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _plain(text: str, kinds: frozenset[str]) -> Any:
    """As `parameters.typed`; a text of quotation marks alone is read as JSON, so that an empty text can be said."""
    return json.loads(text) if _is_quotes(text) else parameters.typed(text, kinds)


def _typed_text(value: Any, kinds: frozenset[str]) -> str:
    if isinstance(value, str) and not _is_quotes(value) and same(parameters.typed(value, kinds), value) and value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_quotes(text: str) -> bool:
    """`""`, and the JSON of texts of which nothing but quotation marks and their backslashes is left."""
    if len(text) < 2 or not set(text) <= {'"', "\\"}:
        return False
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _items(text: str) -> list[str]:
    """The items of `a, "b, c", d`, also over several lines."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    try:
        return [item.strip() for row in rows for item in row if item.strip()]
    except csv.Error:
        return [text]


def _row(items: Sequence[str]) -> str:
    """Items as `_items` reads them."""
    return ", ".join(_quoted(item) if set(item) & set('",') else item for item in items)


def _quoted(item: str) -> str:
    return '"' + item.replace('"', '""') + '"'


def _put(tree: dict[str, Any], found: Field, value: Any) -> None:
    holder = _inside(tree, found.path[:-1])
    if not found.is_rest:
        holder[found.path[-1]] = value
    elif isinstance(value, Mapping):
        holder.update({name: inner for name, inner in value.items() if name not in holder})


def _inside(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def _at(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _under(path: Path, above: Path) -> bool:
    return path[: len(above)] == above


# -- reading the schema -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _outline(text: str) -> Outline:
    schema = json.loads(text)
    return Outline(tuple(_Reader().groups(schema, schemas.resolver(schema), (), "", True)))


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
        return any(part.get("properties") for node, _, looked in found.said for part, _, _ in parameters.parts(node, looked))

    def _rest(self, path: Path, parts: Sequence[_Part]) -> Field:
        """What an object may hold beside its fields; folded away unless the schema speaks of it."""
        said = any(part.get(word) for part, _, _ in parts for word in ("additionalProperties", "patternProperties"))
        return Field((*path, REST), {"description": "more of them, as a JSON object", "hidden": not said}, frozenset({"object"}))


def _is_open(path: Path, parts: Iterable[_Part]) -> bool:
    """Whether an object may hold what its schema does not name: parameters only when it says so, others unless it forbids."""
    said = [part[word] for part, _, _ in parts for word in ("additionalProperties", "unevaluatedProperties") if word in part]
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
        if (target := schemas.target(node, looked)) is not None:
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
