"""Validation of template parameters against their JSON Schema.

All faults of a set of values are reported together, each with its path, worded by
`app.core.schema.error_text`. A value may refer to a secret: `{"secret": {"env": NAME}}` or
`{"secret": {"file": PATH}}`. The reference is stored as it is, and `app.engines` resolves it when
the task starts. The reference represents a text that no schema can check.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.core.json_types import is_array, is_object
from app.core.schema import error_text, json_schema, regex
from app.core.schema import secrets as schema_secrets
from app.core.schema.defaults import fill_defaults
from app.core.schema.secrets import UNDECLARED, DeclaredNames, get_secret_reference
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import Usage
from app.translation import tr

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

JsonSchema = Mapping[str, Any]

MAX_VALUE = 128 * 1024
"""Maximum bytes of a value; Linux accepts no longer argument or variable."""
MAX_PARAMETERS = 1_000

_TRUE_WORDS, _FALSE_WORDS = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True, slots=True)
class ParameterShape:
    """Properties of an object from its schema, including `allOf`, `$ref` and so on."""

    properties: Mapping[str, JsonSchema]
    kinds: Mapping[str, frozenset[str]]
    """JSON types of each property; empty if the schema names none."""
    required: frozenset[str]
    patterns: tuple[str, ...]
    open: bool
    """True if additional names are allowed."""

    def is_known(self, name: str) -> bool:
        return (
            self.open
            or name in self.properties
            or any(regex.search(p, name) for p in self.patterns)
        )


@dataclass(frozen=True, slots=True)
class ParameterFinding:
    """One fault in a set of parameters.

    `path` locates the fault; () means the whole set.
    """

    path: tuple[str | int, ...]
    text: str
    """The fault with the name in front: `crf must be 0 to 51, not 99`."""
    missing: bool = False
    """True if the value is missing."""

    @property
    def name(self) -> str:
        """Name of the parameter or of the place inside it; "" for the whole set."""
        return error_text.format_label(*self.path)


def check_schema(schema: Any) -> None:
    """Check that a template may have this parameter schema.

    Raise Usage with the location.
    """
    if not is_object(schema):
        raise Usage("parameters: must be a JSON Schema (an object)")
    said = schema.get("type", "object")
    if "object" not in (said if is_array(said) else [said]):
        raise Usage(
            'parameters: type must be "object", because each property is one parameter: put'
            " another value into a property of an object"
        )
    try:
        with json_schema.limit_steps():
            json_schema.check_schema(schema)
            _check_properties(schema)
            schema_secrets.find_declared_names(schema, {})
    except json_schema.InvalidSchemaError as error:
        raise Usage("parameters: {error}", error=error) from None
    except json_schema.LimitExceededError as error:
        raise Usage(
            "parameters: the schema {error}. Remove parts that the parameters do not need,"
            " and references that multiply",
            error=error,
        ) from None


def read_shape(schema: JsonSchema) -> ParameterShape:
    """Return the parameters of a schema, in schema order."""
    return _read_shape(json.dumps(schema))


def find_kinds(schema: JsonSchema, root: JsonSchema) -> frozenset[str]:
    """Return the JSON types that a property's schema allows."""
    return find_kinds_with(schema, json_schema.make_resolver(root))


def find_kinds_with(node: Any, resolver: Any) -> frozenset[str]:
    """Return the JSON types that a schema allows, with a resolver for its references."""
    return frozenset(_collect_kinds(node, resolver, set()))


def convert_texts(texts: Iterable[tuple[str, str]], schema: JsonSchema) -> dict[str, Any]:
    """Convert `-p NAME=TEXT` pairs to values of their properties' types.

    A list may be given as JSON or one item at a time. Text that does not convert stays text, so
    that `resolve_values` can report it with all other faults. Raise Usage if a single value is
    given twice.
    """
    shape = read_shape(schema)
    found: dict[str, Any] = {}
    for name, text in texts:
        allowed, inner = shape.kinds.get(name, frozenset()), shape.properties.get(name, {})
        if name not in found:
            found[name] = _convert_first(text, allowed, inner, schema)
        elif "array" in allowed and is_array(found[name]):
            found[name] = [*found[name], _convert_item(text, inner, schema)]
        else:
            raise Usage(
                "{label} is given twice. Nothing was submitted.",
                label=error_text.format_label(name),
            )
    return found


def resolve_values(
    schema: JsonSchema, values: Mapping[str, Any], template: str = ""
) -> dict[str, Any]:
    """Fill in defaults and validate.

    Raise Usage with all faults, after the template's name. Of the violations inside of a parameter
    only the first is reported, and all missing values.
    """
    filled, refused, violations = _find_faults(schema, values)
    lines, missing, reported = [one.text for one in refused], dict[str, JsonSchema](), set[Any]()
    for one in violations:
        if one.missing and len(one.path) == 1:
            name = str(one.path[0])
            missing[name] = read_shape(schema).properties.get(name, {})
        elif one.missing or not one.path:
            lines.append(one.text)
        elif one.path[0] not in reported:
            reported.add(one.path[0])
            lines.append(tr("{said} (parameter {name})", said=one.text, name=one.name))
    error_text.raise_if_faulty(template, list(dict.fromkeys(lines)), missing)
    return filled


def find_faults(schema: JsonSchema, values: Mapping[str, Any]) -> list[ParameterFinding]:
    """Return all faults in a set of parameters, each with its location."""
    _, refused, violations = _find_faults(schema, values)
    return list(dict.fromkeys([*refused, *violations]))


def _find_faults(
    schema: JsonSchema, values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[ParameterFinding], list[ParameterFinding]]:
    """Return the values with defaults, the faults that no schema words, and the violations.

    A value with a fault of the first kind is not validated.
    """
    filled, refused, names = dict(values), list[ParameterFinding](), set[Any]()
    try:
        with json_schema.limit_steps():
            refused = [*_find_unusable(values), *_find_unknown(read_shape(schema), values)]
        names = {one.path[0] for one in refused if one.path}
        filled = {name: value for name, value in values.items() if name not in names}
        filled, errors, declared = _fill_and_validate(schema, filled)
    except (json_schema.LimitExceededError, json_schema.InvalidSchemaError) as error:
        return filled, refused, [ParameterFinding((), str(error))]
    found = [one for error in errors for one in _make_findings(error, declared)]
    return filled, refused, [one for one in found if not (one.path and one.path[0] in names)]


def split_texts(
    values: Mapping[str, Any], schema: JsonSchema
) -> tuple[list[list[str]], dict[str, Any]]:
    """Split parameters into `-p NAME=TEXT` pairs that read back alike, and the rest."""
    pairs, others = list[list[str]](), dict[str, Any]()
    for name, value in values.items():
        text = as_text(value)
        if _can_round_trip(name, text, value, schema):
            pairs.append([name, text])
        else:
            others[name] = value
    return pairs, others


def as_text(value: Any) -> str:
    """Return a value as the task receives it: text as it is, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def can_be_argument(text: str) -> bool:
    """Return True if Linux accepts the text as one argument."""
    return len(text.encode("utf-8", "surrogateescape")) < MAX_VALUE


@lru_cache(maxsize=64)
def _read_shape(text: str) -> ParameterShape:
    schema = json.loads(text)
    properties: dict[str, JsonSchema] = {}
    required: set[str] = set()
    names: list[str] = []
    is_open = False
    root = json_schema.make_resolver(schema)
    for part, always, _ in json_schema.iterate_parts(schema, root):
        for name, inner in part.get("properties", {}).items():
            properties.setdefault(name, inner if is_object(inner) else {})
        required.update(part.get("required", ()) if always else ())
        names.extend(part.get("patternProperties", {}))
        is_open |= any(
            part.get(word, False) is not False
            for word in ("additionalProperties", "unevaluatedProperties")
        )
    types = {name: find_kinds_with(inner, root) for name, inner in properties.items()}
    return ParameterShape(properties, types, frozenset(required), tuple(names), is_open)


def _collect_kinds(node: Any, resolver: Any, seen: set[int]) -> set[str]:
    """Collect JSON types, visiting each part once, because parts may be recursive."""
    if not is_object(node) or id(node) in seen:
        return set()
    seen.add(id(node))
    json_schema.count_steps()
    if (said := node.get("type")) is not None:
        return {said} if isinstance(said, str) else set(said)
    found = {
        _get_json_type(value)
        for value in node.get("enum", [node["const"]] if "const" in node else [])
    }
    for inner, inner_resolver, _ in (
        () if found else json_schema.iterate_subschemas(node, resolver, True)
    ):
        found |= _collect_kinds(inner, inner_resolver, seen)
    return found


def _get_json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in (
        (str, "string"),
        (int, "integer"),
        (float, "number"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kind):
            return name
    return "null"


def _convert_first(text: str, allowed: frozenset[str], schema: JsonSchema, root: JsonSchema) -> Any:
    value = parse_typed(text, allowed)
    if isinstance(value, str) and "array" in allowed and "string" not in allowed:
        return [_convert_item(text, schema, root)]
    return value


def _convert_item(text: str, schema: JsonSchema, root: JsonSchema) -> Any:
    """Convert one item of a list that is given item by item."""
    items = schema.get("items")
    return parse_typed(text, find_kinds(items, root) if is_object(items) else frozenset({"string"}))


def parse_typed(text: str, allowed: frozenset[str]) -> Any:
    """Parse a text as the first allowed JSON type that matches, text last."""
    word = text.strip()
    if "boolean" in allowed and word.lower() in _TRUE_WORDS + _FALSE_WORDS:
        return word.lower() in _TRUE_WORDS
    value = _parse_json(word) if allowed - {"string"} else None
    kind = _get_json_type(value)
    if value is None:
        return None if "null" in allowed and word == "null" else text
    return (
        value
        if kind in allowed or (kind == "integer" and "number" in allowed) or not allowed
        else text
    )


def _parse_json(text: str) -> Any:
    """Parse JSON; return None for invalid text and for non-finite numbers."""
    try:
        return json.loads(text, parse_constant=_reject_constant, parse_float=_parse_finite)
    except (ValueError, RecursionError):
        return None


def _reject_constant(text: str) -> Any:
    raise ValueError(text)


def _parse_finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def _find_unusable(values: Mapping[str, Any]) -> Iterator[ParameterFinding]:
    """Yield a fault for each value that cannot be passed to a process."""
    if len(values) > MAX_PARAMETERS:
        yield ParameterFinding(
            (),
            tr(
                "at most {max_parameters:,} parameters, not {n:,}",
                max_parameters=MAX_PARAMETERS,
                n=len(values),
            ),
        )
    for name, value in values.items():
        if fault := _find_value_fault(value):
            yield ParameterFinding((name,), f"{error_text.format_label(name)} {fault}")


def _find_value_fault(value: Any) -> str:
    if json_schema.measure_depth(value) > json_schema.MAX_DEPTH:
        return tr("is nested more than {max_depth} levels deep", max_depth=json_schema.MAX_DEPTH)
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return tr("must be a value that JSON can write, without NaN and infinity")
    if "\0" in text or (text is not value and "\\u0000" in text.replace("\\\\", "")):
        return tr("holds a NUL character, which no process can be given")
    try:
        return (
            ""
            if can_be_argument(text)
            else tr(
                "is over {max_value}K, which no process can be given", max_value=MAX_VALUE // 1024
            )
        )
    except UnicodeEncodeError:
        return tr("holds half a character (a lone surrogate)")


def _find_unknown(shape: ParameterShape, values: Mapping[str, Any]) -> Iterator[ParameterFinding]:
    for name in values:
        if find_name_error(name) is not None or not shape.is_known(name):
            near = find_nearest(name, shape.properties)
            said = f" (nearest: {sanitize(near)})" if near else ""
            yield ParameterFinding(
                (name,),
                tr(
                    'there is no parameter "{name}"{said}',
                    name=truncate(sanitize(name), 40),
                    said=said,
                ),
            )


def _fill_and_validate(
    schema: JsonSchema, given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[ValidationError], DeclaredNames]:
    """Return the values with defaults, the schema violations and the names for their texts.

    Values that are valid as given get no defaults that would make them invalid.
    """
    with json_schema.limit_steps(json_schema.MAX_VALUE_STEPS):
        filled = fill_defaults(schema, given)
        errors = list(_iterate_errors(schema, filled))
        if errors and filled != given and not any(_iterate_errors(schema, given)):
            return dict(given), [], UNDECLARED
        names = schema_secrets.find_declared_names(schema, filled) if errors else UNDECLARED
    return filled, errors, names


def _iterate_errors(schema: JsonSchema, filled: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Yield schema violations, formats included, but none of references to secrets."""
    secrets = {name for name, value in filled.items() if get_secret_reference(value)}
    for error in json_schema.find_errors(schema, filled, formats=True):
        if not (error.absolute_path and error.absolute_path[0] in secrets):
            yield error


def _make_findings(error: ValidationError, names: DeclaredNames) -> Iterator[ParameterFinding]:
    """Convert an error to findings. A missing value is located where it belongs."""
    path = tuple(error.absolute_path)
    missing = list(error_text.find_missing(error))
    for name in missing:
        yield ParameterFinding(
            (*path, name),
            tr(
                "{value} is {missing}",
                value=error_text.format_label(*path, name),
                missing=error_text.describe_missing(error, name),
            ),
            missing=True,
        )
    if not missing:
        text = f"{error_text.format_label(*path)} {error_text.describe_violation(error, names)}"
        yield ParameterFinding(path, text.lstrip())


def _can_round_trip(name: str, text: str, value: Any, schema: JsonSchema) -> bool:
    """Return True if `-p NAME=TEXT` yields this value."""
    found = convert_texts([(name, text)], schema)[name]
    plain = isinstance(value, (str, int, float, bool)) or value is None
    return plain and type(found) is type(value) and found == value


def _check_properties(schema: JsonSchema) -> None:
    """Check the names of properties, and all defaults against their schemas."""
    shape = read_shape(schema)
    for name in shape.properties:
        if reason := find_name_error(name):
            raise Usage("parameters: a name {reason}: rename or remove it", reason=reason)
    for name in sorted(shape.required):
        if not shape.is_known(name):
            raise Usage(
                "parameters: {name} is required, but properties does not describe it: it cannot be"
                " given",
                name=error_text.format_label(name),
            )
    defaults = fill_defaults(schema, {})
    for name, value in defaults.items():
        if fault := _find_value_fault(value):
            raise Usage(
                "parameters: the default of {label} {fault}",
                label=error_text.format_label(name),
                fault=fault,
            )
    _check_secrets(schema)
    references = {name for name, value in defaults.items() if get_secret_reference(value)}
    for error in json_schema.find_errors(schema, defaults):
        if error.absolute_path and error.absolute_path[0] not in references:
            said = error_text.describe_violation(
                error, schema_secrets.find_declared_names(schema, defaults)
            )
            name = error_text.format_label(*error.absolute_path)
            raise Usage(
                "parameters: the default of {name} {said}: correct or remove it",
                name=name,
                said=said,
            )


def _check_secrets(schema: JsonSchema) -> None:
    """Raise Usage if the schema holds the value of a secret parameter, which `export` would show.

    Of secrets inside of a parameter only those that the schema declares are checked. Real schemas
    have defaults below words such as `access_token`, which are no secrets.
    """
    properties, root = read_shape(schema).properties, json_schema.make_resolver(schema)
    names = schema_secrets.find_declared_names(schema, properties)
    parts = [
        (error_text.format_label(name), part)
        for name in filter(names.is_secret, properties)
        for part, _, _ in json_schema.iterate_parts(properties[name], root)
    ]
    parts += [
        (json_schema.format_path(path), node)
        for path, node in json_schema.iterate_nodes(schema)
        if schema_secrets.is_declared_secret(node)
    ]
    for label, part in parts:
        if word := schema_secrets.find_plain_value(part):
            raise Usage(
                "parameters: {label} is secret, but its {word} is in the schema, where"
                ' everybody sees it: remove it, refer to the secret ({{"secret": {{"env":'
                ' "NAME"}}}}), or declare the value plain (writeOnly: false)',
                label=label,
                word=word,
            )
