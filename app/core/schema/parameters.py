"""The parameters of a template: a JSON Schema of what may be filled in, and values checked against it.

Every fault of a set of values is told at once, each with its path and in words (`app.core.schema.error_text`). A value may be a
reference to a secret, `{"secret": {"env": NAME}}` or `{"secret": {"file": PATH}}`: it is stored as it is, looked up
when the task starts (`app.engines`), and stands for a text that no schema can check.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.core.schema import error_text, json_schema, regex
from app.core.schema import secrets as schema_secrets
from app.core.text.sanitize import clean, cut, nearest, valid_name
from app.errors import Usage

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Schema = Mapping[str, Any]

MAX_VALUE = 128 * 1024
"""Bytes of one value as a task receives it: Linux takes no longer argument or variable."""
MAX_PARAMETERS = 1_000
DEEPEST_DEFAULT = 8
"""Objects inside each other that get their defaults; a schema may refer to itself without an end."""

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_BRANCHES = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a schema says of an object: its `properties` by name (also those of `allOf`, `$ref` …), and the rest."""

    properties: Mapping[str, Schema]
    kinds: Mapping[str, frozenset[str]]
    """The JSON types that each property allows; none said, none here."""
    required: frozenset[str]
    patterns: tuple[str, ...]
    open: bool
    """Whether a name that is not listed is welcome."""

    def knows(self, name: str) -> bool:
        return self.open or name in self.properties or any(regex.search(p, name) for p in self.patterns)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a set of parameters. `path` leads to it from the outside in; () is all of them."""

    path: tuple[str | int, ...]
    text: str
    """What is wrong, with the name in front: `crf must be 0 to 51, not 99`."""
    missing: bool = False
    """Whether it is only that nothing was given."""

    @property
    def name(self) -> str:
        """The parameter, or the place inside it; "" for all of them."""
        return error_text.label(*self.path)


def check_schema(schema: Any) -> None:
    """Whether a template may have this schema of its parameters. Raises Usage, which names the place."""
    if not isinstance(schema, Mapping):
        raise Usage("parameters: must be a JSON Schema (an object)")
    if schema.get("type", "object") != "object":
        raise Usage('parameters: type must be "object": each of its properties is one parameter')
    try:
        json_schema.check(schema)
        _check_properties(schema)
    except (json_schema.BadSchema, json_schema.TooMuch) as error:
        raise Usage(f"parameters: {error}") from None
    except RecursionError:
        raise Usage("parameters: its parts refer to each other too deeply") from None


def shape(schema: Schema) -> Shape:
    """The parameters that a schema names, in its order; for forms and help too."""
    return _shape(json.dumps(schema))


def kinds(schema: Schema, root: Schema) -> frozenset[str]:
    """The JSON types that one property's schema allows: of its `type`, `enum`, `const`, `$ref` and alternatives."""
    return kinds_of(schema, json_schema.resolver(root))


def kinds_of(node: Any, looked: Any) -> frozenset[str]:
    """As `kinds`, with what looks up the references of this part (`schemas.resolver`)."""
    return frozenset(_kinds(node, looked, set()))


def convert(texts: Iterable[tuple[str, str]], schema: Schema) -> dict[str, Any]:
    """Values from `-p NAME=TEXT`, each by its property's type: 2, true, null, [1, 2] where those are asked for.

    A list may be given as JSON or one item at a time. What does not convert stays text, for `resolve` to name with
    everything else that is wrong. Raises Usage for a name that is given twice but takes one value.
    """
    shown = shape(schema)
    found: dict[str, Any] = {}
    for name, text in texts:
        allowed, inner = shown.kinds.get(name, frozenset()), shown.properties.get(name, {})
        if name not in found:
            found[name] = _first(text, allowed, inner, schema)
        elif "array" in allowed and isinstance(found[name], list):
            found[name] = [*found[name], _item(text, inner, schema)]
        else:
            raise Usage(f"{error_text.label(name)} is given twice. Nothing was submitted.")
    return found


def resolve(schema: Schema, given: Mapping[str, Any], template: str = "") -> dict[str, Any]:
    """`given` with the defaults filled in, checked. Raises Usage with all faults, led by the template's name."""
    shown = shape(schema)
    faults = error_text.Faults(template)
    faults.add(*_hostile(given), *_unknown(shown, given))
    filled = _filled({name: value for name, value in given.items() if not faults.told(name)}, schema)
    try:
        errors = list(_errors(schema, filled))
        hidden = schema_secrets.names(schema, filled) if errors else ()
        for error in errors:
            faults.add_error(error, shown.properties, hidden)
    except (json_schema.TooMuch, json_schema.BadSchema) as error:
        faults.add(error_text.Fault("", str(error)))
    faults.stop()
    return filled


def findings(schema: Schema, given: Mapping[str, Any]) -> list[Finding]:
    """All that `resolve` would refuse, each at its place, for a form that shows it there."""
    shown = shape(schema)
    told = {fault.name: fault.text for fault in (*_hostile(given), *_unknown(shown, given))}
    found = [Finding((name,) if name else (), text) for name, text in told.items()]
    filled = _filled({name: value for name, value in given.items() if name not in told}, schema)
    try:
        errors = list(_errors(schema, filled))
        hidden = schema_secrets.names(schema, filled) if errors else ()
        for error in errors:
            found += [one for one in _found(error, hidden) if not one.path or one.path[0] not in told]
    except (json_schema.TooMuch, json_schema.BadSchema) as error:
        found.append(Finding((), str(error)))
    return list(dict.fromkeys(found))


def texts(values: Mapping[str, Any], schema: Schema) -> tuple[list[list[str]], dict[str, Any]]:
    """Parameters as pairs for `-p NAME=TEXT`, as far as `convert` reads the same values from them, and the others."""
    pairs, others = list[list[str]](), dict[str, Any]()
    for name, value in values.items():
        text = as_text(value)
        if _reads_as(name, text, value, schema):
            pairs.append([name, text])
        else:
            others[name] = value
    return pairs, others


def secret(value: Any) -> Mapping[str, str] | None:
    """The reference in a value such as `{"secret": {"env": "API_TOKEN"}}`, or None when it is none."""
    inner = value.get("secret") if isinstance(value, Mapping) and len(value) == 1 else None
    if isinstance(inner, Mapping) and len(inner) == 1 and next(iter(inner)) in ("env", "file"):
        return inner if isinstance(next(iter(inner.values())), str) else None
    return None


def as_text(value: Any) -> str:
    """A value as a task receives it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def fits(text: str) -> bool:
    """Whether Linux takes it as one argument."""
    return len(text.encode("utf-8", "surrogateescape")) < MAX_VALUE


@lru_cache(maxsize=64)
def _shape(text: str) -> Shape:
    schema = json.loads(text)
    properties: dict[str, Schema] = {}
    required: set[str] = set()
    names: list[str] = []
    welcome = False
    root = json_schema.resolver(schema)
    for part, always, _ in parts(schema, root):
        for name, inner in part.get("properties", {}).items():
            properties.setdefault(name, inner if isinstance(inner, Mapping) else {})
        required.update(part.get("required", ()) if always else ())
        names.extend(part.get("patternProperties", {}))
        welcome |= any(part.get(word, False) is not False for word in ("additionalProperties", "unevaluatedProperties"))
    types = {name: kinds_of(inner, root) for name, inner in properties.items()}
    return Shape(properties, types, frozenset(required), tuple(names), welcome)


def parts(schema: Schema, looked: Any) -> Iterator[tuple[Schema, bool, Any]]:
    """The schemas that speak of the same object, each once, with whether it always holds and what looks up its references."""
    pending, seen = [(schema, looked, True)], set[int]()
    while pending:
        node, looked, always = pending.pop(0)
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        yield node, always, looked
        pending[:0] = _beside(node, looked, always)


def _beside(node: Schema, looked: Any, always: bool) -> Iterator[tuple[Any, Any, bool]]:
    """The schemas that a schema takes in; a part that was cut out of its document may refer to what is not there."""
    if (target := json_schema.target(node, looked)) is not None:
        yield target.contents, target.resolver, always
    for word in _BRANCHES:
        yield from ((inner, looked, always and word == "allOf") for inner in node.get(word, ()))
    yield from ((node[word], looked, False) for word in ("if", "then", "else") if word in node)
    yield from ((inner, looked, False) for inner in node.get("dependentSchemas", {}).values())


def _kinds(node: Any, looked: Any, seen: set[int]) -> set[str]:
    """As `kinds`; each part is looked at once, because parts may refer to each other."""
    if not isinstance(node, Mapping) or id(node) in seen:
        return set()
    seen.add(id(node))
    if (said := node.get("type")) is not None:
        return {said} if isinstance(said, str) else set(said)
    found = {_kind(value) for value in node.get("enum", [node["const"]] if "const" in node else [])}
    for inner, resolver, _ in () if found else _beside(node, looked, True):
        found |= _kinds(inner, resolver, seen)
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _first(text: str, allowed: frozenset[str], schema: Schema, root: Schema) -> Any:
    value = typed(text, allowed)
    if isinstance(value, str) and "array" in allowed and "string" not in allowed:
        return [_item(text, schema, root)]
    return value


def _item(text: str, schema: Schema, root: Schema) -> Any:
    """One item of a list that is given one by one."""
    items = schema.get("items")
    return typed(text, kinds(items, root) if isinstance(items, Mapping) else frozenset({"string"}))


def typed(text: str, allowed: frozenset[str]) -> Any:
    """`text` as the first of the allowed JSON types that it reads as, text last."""
    word = text.strip()
    if "boolean" in allowed and word.lower() in _TRUE + _FALSE:
        return word.lower() in _TRUE
    value = _json(word) if allowed - {"string"} else None
    kind = _kind(value)
    if value is None:
        return None if "null" in allowed and word == "null" else text
    return value if kind in allowed or (kind == "integer" and "number" in allowed) or not allowed else text


def _json(text: str) -> Any:
    """What `text` says as JSON; None when it says nothing, or a number that is none."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def _hostile(given: Mapping[str, Any]) -> Iterator[error_text.Fault]:
    """Values that no process could be given."""
    if len(given) > MAX_PARAMETERS:
        yield error_text.Fault("", f"at most {MAX_PARAMETERS:,} parameters, not {len(given):,}")
    for name, value in given.items():
        if fault := _unfit(value):
            yield error_text.Fault(name, f"{error_text.label(name)} {fault}")


def _unfit(value: Any) -> str:
    if json_schema.depth(value) > json_schema.MAX_DEPTH:
        return f"is nested more than {json_schema.MAX_DEPTH} levels deep"
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return "must be a value that JSON can write, without NaN and infinity"
    if "\0" in text or (text is not value and "\\u0000" in text.replace("\\\\", "")):
        return "holds a NUL character, which no process can be given"
    try:
        return "" if fits(text) else f"is over {MAX_VALUE // 1024}K, which no process can be given"
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"


def _unknown(shown: Shape, given: Mapping[str, Any]) -> Iterator[error_text.Fault]:
    for name in given:
        if valid_name(name) is not None or not shown.knows(name):
            near = nearest(name, shown.properties)
            said = f" (nearest: {clean(near)})" if near else ""
            yield error_text.Fault(name, f'no parameter "{cut(clean(name), 40)}"{said}')


def _errors(schema: Schema, filled: Mapping[str, Any]) -> Iterator[ValidationError]:
    """What the schema forbids, formats included, but for references to secrets, which it cannot know."""
    secrets = {name for name, value in filled.items() if secret(value)}
    for error in json_schema.errors(schema, filled, formats=True):
        if not (error.absolute_path and error.absolute_path[0] in secrets):
            yield error


def _found(error: ValidationError, hidden: Collection[str]) -> Iterator[Finding]:
    """An error as findings: what is missing stands where it is missed. `hidden`: see `wording.rule`."""
    path = tuple(error.absolute_path)
    if not path and error.validator in ("additionalProperties", "unevaluatedProperties"):
        return  # `_unknown` has told of each
    missing = list(error_text.lacking(error))
    for name in missing:
        yield Finding((*path, name), f"{error_text.label(*path, name)} is {error_text.missed(error, name)}", missing=True)
    if not missing:
        yield Finding(path, f"{error_text.label(*path)} {error_text.rule(error, hidden)}".lstrip())


def _reads_as(name: str, text: str, value: Any, schema: Schema) -> bool:
    """Whether `-p NAME=TEXT` gives this value."""
    found = convert([(name, text)], schema)[name]
    plain = isinstance(value, (str, int, float, bool)) or value is None
    return plain and type(found) is type(value) and found == value


@lru_cache(maxsize=64)
def _defaults(text: str) -> Defaults:
    schema = json.loads(text)
    return _defaults_in(schema, json_schema.resolver(schema), 0)


Defaults = Mapping[str, tuple[tuple[Any, ...], "Defaults"]]
"""By property: its default, when there is one (a tuple of none or one), and the defaults inside the object it is."""


def _defaults_in(schema: Schema, looked: Any, depth: int) -> Defaults:
    found: dict[str, tuple[tuple[Any, ...], Defaults]] = {}
    for part, _, resolver in parts(schema, looked) if depth <= DEEPEST_DEFAULT else ():
        for name, inner in part.get("properties", {}).items():
            if name not in found and isinstance(inner, Mapping):
                found[name] = _default_of(inner, resolver, depth)
    return {name: said for name, said in found.items() if any(said)}


def _default_of(inner: Schema, looked: Any, depth: int) -> tuple[tuple[Any, ...], Defaults]:
    said = [part["default"] for part, always, _ in parts(inner, looked) if always and "default" in part]
    return tuple(said[:1]), _defaults_in(inner, looked, depth + 1)


def _filled(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """`value` with the defaults of what is missing, also inside the objects it holds."""
    return _with(value, _defaults(json.dumps(schema)))


def _with(value: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    found = dict(value)
    for name, (said, inside) in defaults.items():
        if name not in found and said:
            found[name] = copy.deepcopy(said[0])
        if inside and isinstance(found.get(name), dict) and not secret(found[name]):
            found[name] = _with(found[name], inside)
    return found


def _check_properties(schema: Schema) -> None:
    """Every name is one, and every default is allowed by what it is the default of."""
    for name in shape(schema).properties:
        if reason := valid_name(name):
            raise Usage(f"parameters: a name {reason}")
    defaults = _filled({}, schema)
    for name, value in defaults.items():
        if fault := _unfit(value):
            raise Usage(f"parameters: the default of {error_text.label(name)} {fault}")
    for error in json_schema.errors(schema, defaults):
        if error.absolute_path:
            said = error_text.rule(error, schema_secrets.names(schema, defaults))
            raise Usage(f"parameters: the default of {error_text.label(*error.absolute_path)} {said}")
