"""Form fields from a schema, and conversion between their texts and values.

`app.core.schema.form_outline` finds the fields. `app.core.schema.parameters` alone validates
values. `parse_value` reads a text as `taskdeck submit -p` does.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.core.json_types import is_array, is_dict, is_object
from app.core.schema import parameters
from app.core.schema.secrets import get_secret_reference, is_declared_secret, is_secret_property
from app.core.text.sanitize import MASK

FieldPath = tuple[str, ...]
"""Location of a value, from the outside in. The last name is `REST_NAME` for additional
properties."""

REST_NAME = "\0"
"""Impossible name: no process can receive a NUL."""
SECRET_PREFIXES = ("env:", "file:")
"""Prefixes of a reference to a secret: `env:API_TOKEN`, `file:~/.token`."""

_PATH_FORMATS = ("file-path", "directory-path", "path")


@dataclass(frozen=True, slots=True)
class FormField:
    """One value to fill in.

    `schema` includes the keywords of its references and of `allOf`.
    """

    path: FieldPath
    schema: Mapping[str, Any] = field(compare=False)
    kinds: frozenset[str]
    """JSON types of the value; empty if the schema names none."""
    required: bool = False
    """True if the task always needs the value."""
    needed: bool = False
    """True if the object that holds the value requires it."""
    items: frozenset[str] | None = None
    """JSON types of the items for a list of plain values, else None."""
    choices: tuple[tuple[str, Any, str], ...] = field(default=(), compare=False)
    """Allowed values, if the schema lists them: text, value and title of each."""

    @property
    def name(self) -> str:
        """Name as in errors: `ref.species`, or `ref.*` for additional properties."""
        return ".".join((*self.path[:-1], "*")) if self.is_rest else ".".join(self.path)

    @property
    def is_rest(self) -> bool:
        """True for the field that takes the additional properties of an object."""
        return self.path[-1] == REST_NAME

    @property
    def is_switch(self) -> bool:
        """True if the value can only be true or false."""
        return self.kinds == frozenset({"boolean"})

    @property
    def is_list(self) -> bool:
        """True if the text is a comma-separated list of plain values."""
        return self.items is not None and "string" not in self.kinds

    @property
    def is_hidden(self) -> bool:
        """True if the form hides the field until the user asks for it."""
        return self.schema.get("hidden") is True or self.schema.get("readOnly") is True

    @property
    def is_secret(self) -> bool:
        """True if the text is masked.

        The text may be a reference to the secret (`SECRET_PREFIXES`).
        """
        if self.choices or not self.kinds <= {"string", "null"}:
            return False
        return is_declared_secret(self.schema) or (
            is_secret_property(self.path[-1], self.schema)
            and self.schema.get("format") not in _PATH_FORMATS
        )

    @property
    def default(self) -> str:
        """Text of the default, "" if there is none."""
        return format_value(self, self.schema["default"]) if "default" in self.schema else ""


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Fields under a title.

    `path` is () for top-level parameters, else the path of the object that the fields belong to.
    """

    path: FieldPath
    title: str
    about: str
    fields: tuple[FormField, ...]
    required: bool = True
    """True if the object exists even when all its fields are empty."""


@dataclass(frozen=True)
class FormOutline:
    """All groups of a schema, in schema order."""

    groups: tuple[FieldGroup, ...]

    @cached_property
    def fields(self) -> Mapping[FieldPath, FormField]:
        """All fields by path."""
        return {found.path: found for group in self.groups for found in group.fields}

    @cached_property
    def objects(self) -> Mapping[FieldPath, bool]:
        """All objects that are groups, by path, with True if the object is always present."""
        return {group.path: group.required for group in self.groups if group.path}

    def parse_texts(self, texts: Mapping[FieldPath, str]) -> dict[str, Any]:
        """Return the parameters from these texts. Empty texts are ignored."""
        tree: dict[str, Any] = {}
        for path in (path for path, needed in self.objects.items() if needed):
            _get_or_create(tree, path)
        for path, found in self.fields.items():
            if text := texts.get(path, ""):
                _put_value(tree, found, parse_value(found, text))
        self._set_switch_defaults(tree)
        return tree

    def find_unparsed(self, texts: Mapping[FieldPath, str]) -> list[FormField]:
        """Return the fields for additional properties whose text is not a JSON object."""
        fields = [found for path, found in self.fields.items() if found.is_rest and texts.get(path)]
        return [found for found in fields if not is_object(parse_value(found, texts[found.path]))]

    def format_values(self, values: Mapping[str, Any]) -> dict[FieldPath, str]:
        """Return the texts for these parameters, without masked secrets."""
        found: dict[FieldPath, str] = {}
        self._collect_texts(values, (), found)
        return {path: text for path, text in found.items() if text != MASK}

    def format_given_values(self, values: Mapping[str, Any]) -> dict[FieldPath, str]:
        """Return the texts for these parameters, without effective defaults."""
        found = self.format_values(values)
        return {
            path: text
            for path, text in found.items()
            if text != self.fields[path].default or not self.is_present(path, {})
        }

    def is_present(self, path: FieldPath, texts: Mapping[FieldPath, str]) -> bool:
        """Return True if the object of a field will exist, so that its defaults apply."""
        objects = [path[:depth] for depth in range(1, len(path))]
        return all(
            self.objects.get(of, True) or any(_is_under(p, of) for p, text in texts.items() if text)
            for of in objects
        )

    def find_location(self, path: Sequence[str | int]) -> FieldPath:
        """Return the path of the field or object that holds a value, or ()."""
        steps = tuple(str(step) for step in path)
        for depth in range(len(steps), 0, -1):
            for known in (steps[:depth], (*steps[: depth - 1], REST_NAME)):
                if known in self.fields or known in self.objects:
                    return known
        return ()

    def _set_switch_defaults(self, tree: dict[str, Any]) -> None:
        """Set required switches without a value to false, in every existing object."""
        for path, found in self.fields.items():
            holder = _get_nested(tree, path[:-1])
            if (
                found.is_switch
                and found.needed
                and "default" not in found.schema
                and is_dict(holder)
            ):
                holder.setdefault(path[-1], False)

    def _collect_texts(
        self, values: Mapping[str, Any], path: FieldPath, found: dict[FieldPath, str]
    ) -> None:
        rest: dict[str, Any] = {}
        for name, value in values.items():
            here = (*path, name)
            if here in self.fields:
                found[here] = format_value(self.fields[here], value)
            elif here in self.objects and is_object(value) and not get_secret_reference(value):
                self._collect_texts(value, here, found)
            else:
                rest[name] = value
        if rest and (*path, REST_NAME) in self.fields:
            found[(*path, REST_NAME)] = json.dumps(rest, ensure_ascii=False)


def parse_value(found: FormField, text: str) -> Any:
    """Parse the text of a field. Invalid text stays text, for the schema to reject."""
    for label, value, _ in found.choices:
        if label == text:
            return value
    if found.is_secret and len(found.path) == 1 and text.startswith(SECRET_PREFIXES):
        kind, _, where = text.partition(":")
        return {"secret": {kind: where}}
    if found.items is not None and found.is_list and not text.lstrip().startswith("["):
        return [_parse_plain(item, found.items) for item in _split_items(text)]
    return _parse_plain(text, found.kinds)


def format_value(found: FormField, value: Any) -> str:
    """Format the value of a field."""
    for label, choice, _ in found.choices:
        if is_equal_json(choice, value):
            return label
    if found.is_secret and (reference := get_secret_reference(value)):
        return ":".join(next(iter(reference.items())))
    if found.is_list and is_array(value) and value and found.items is not None:
        row = _join_items([_format_typed(item, found.items) for item in value])
        if is_equal_json(parse_value(found, row), value):
            return row
    return _format_typed(value, found.kinds)


def is_equal_json(one: Any, other: Any) -> bool:
    """Return True if two values are equal in JSON: 1 is neither true nor "1"."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _parse_plain(text: str, kinds: frozenset[str]) -> Any:
    """Parse a text by type.

    Text of quotation marks only is JSON, so that "" can be entered.
    """
    return json.loads(text) if _is_quotes(text) else parameters.parse_typed(text, kinds)


def _format_typed(value: Any, kinds: frozenset[str]) -> str:
    if (
        isinstance(value, str)
        and not _is_quotes(value)
        and is_equal_json(parameters.parse_typed(value, kinds), value)
        and value
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_quotes(text: str) -> bool:
    """Return True for JSON strings of quotation marks and backslashes only."""
    if len(text) < 2 or not set(text) <= {'"', "\\"}:
        return False
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _split_items(text: str) -> list[str]:
    """Split `a, "b, c", d`, also over several lines."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    try:
        return [item.strip() for row in rows for item in row if item.strip()]
    except csv.Error:
        return [text]


def _join_items(items: Sequence[str]) -> str:
    """Join items so that `_split_items` can read them."""
    return ", ".join(_quote_item(item) if set(item) & set('",') else item for item in items)


def _quote_item(item: str) -> str:
    return '"' + item.replace('"', '""') + '"'


def _put_value(tree: dict[str, Any], found: FormField, value: Any) -> None:
    holder = _get_or_create(tree, found.path[:-1])
    if not found.is_rest:
        holder[found.path[-1]] = value
    elif is_object(value):
        holder.update({name: inner for name, inner in value.items() if name not in holder})


def _get_or_create(tree: dict[str, Any], path: FieldPath) -> dict[str, Any]:
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def _get_nested(tree: Any, path: FieldPath) -> Any:
    for name in path:
        tree = tree.get(name) if is_object(tree) else None
    return tree


def _is_under(path: FieldPath, folder_path: FieldPath) -> bool:
    return path[: len(folder_path)] == folder_path
