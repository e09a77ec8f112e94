"""What is wrong with a set of parameters, in words: `encode: crf must be 0 to 51, not 99 (parameter crf).`"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.schema.json_schema import place
from app.core.schema.secrets import declared, is_secret, opened
from app.core.text.sanitize import MASK, clean, cut, nearest
from app.errors import Usage

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST = 20
"""Faults told at once; the rest is counted."""

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list (as JSON)",
    "object": "an object (as JSON)",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_DEPENDENT = ("dependentRequired", "dependencies")
_FORMATS = {
    "email": "an e-mail address",
    "date": "a date such as 2026-01-31",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "uuid": "a UUID",
    "regex": "a regular expression",
}
_PATHS = ("file", "path", "dir", "input", "output", "folder")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the parameter `name` ("" for all of them together)."""

    name: str
    text: str


class Faults:
    """Gathers what is wrong, then stops the submission with all of it."""

    def __init__(self, template: str) -> None:
        self.template = clean(template)
        self._found: dict[str, Fault] = {}
        self._missing: dict[str, Mapping[str, Any]] = {}

    def add(self, *faults: Fault) -> None:
        self._found.update({fault.text: fault for fault in faults})

    def add_error(self, error: ValidationError, properties: Mapping[str, Mapping[str, Any]], hidden: Collection[str]) -> None:
        """A validation error, unless it was told in other words already. `properties` are the schema's, by name; `hidden`: see `rule`."""
        path = tuple(error.absolute_path)
        if path and self.told(str(path[0])):
            return
        if not path and error.validator in ("additionalProperties", "unevaluatedProperties", "required"):
            self._missing.update({name: properties.get(name, {}) for name in lacking(error) if not self.told(name)})
            return
        name = label(*path)
        text = f"{name} {rule(error, hidden)}".lstrip()
        self.add(Fault(str(path[0]) if path else "", f"{text} (parameter {name})" if name else text))

    def told(self, name: str) -> bool:
        return any(fault.name == name for fault in self._found.values())

    def stop(self) -> None:
        """Raises Usage when anything was found."""
        if not self._found and not self._missing:
            return
        needs = f"needs {', '.join(_described(*item) for item in self._missing.items())}"
        add = "Add: " + " ".join(f"-p {label(name)}={_sample(name, inner)}" for name, inner in self._missing.items())
        if not self._found:
            raise Usage(f"{self.template} {needs}.".lstrip(), add)
        lines = [fault.text for fault in self._found.values()] + ([needs] if self._missing else [])
        more = f"; and {len(lines) - MOST} more" if len(lines) > MOST else ""
        start = f"{self.template}: " if self.template else ""
        raise Usage(f"{start}{'; '.join(lines[:MOST])}{more}.", "Nothing was submitted.")


def label(*path: str | int) -> str:
    """The name of a parameter, or of a place inside it, safe to show."""
    return place(path)


def rule(error: ValidationError, hidden: Collection[str] = ()) -> str:
    """What the value must be, and what it is: `must be 0 to 51, not 99`. Neither is told of one that its schema, the name of its parameter
    or being one of `hidden` makes secret."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if isinstance(schema.get("errorMessage"), str):
        return f"is refused: {cut(clean(schema['errorMessage']), 160)}"
    say = _RULES.get(str(error.validator), _other)
    secret = declared(schema) or any(isinstance(step, str) and is_secret(step, hidden) for step in error.absolute_path)
    if secret and error.validator not in _BARE:
        return "is none of those that it may be" if error.validator in ("enum", "const") else "is refused by its schema"
    seen = MASK if secret else opened(error.instance, hidden)
    if error.validator in ("anyOf", "oneOf"):
        said = _alternatives(error, hidden)
    else:
        said = "is refused by its schema" if say is _other and seen != error.instance else say(error, schema)
    told = error.validator in _WITH_VALUE and not _is_torn(error)
    return cut(f"{said}{f', not {seen if secret else _shown(seen)}' if told else ''}", 400)


def _is_torn(error: ValidationError) -> bool:
    """Whether there is text where something with parts should be: which of it is secret cannot be told then."""
    wanted: Any = error.validator_value
    kinds = wanted if isinstance(wanted, list) else [wanted]
    return error.validator == "type" and isinstance(error.instance, str) and ("object" in kinds or "array" in kinds)


def lacking(error: ValidationError) -> Iterator[str]:
    """The names that an object should have and has not."""
    wanted: Any = error.validator_value
    if not isinstance(error.instance, Mapping):
        return
    if error.validator == "required":
        yield from (name for name in wanted if name not in error.instance)
    elif error.validator in _DEPENDENT:
        yield from (name for of in _causes(error) for name in wanted[of] if name not in error.instance)


def missed(error: ValidationError, name: str) -> str:
    """Why `name`, which is lacking, should be there: `required: where the .mp4 goes`, `needed with input`."""
    if error.validator in _DEPENDENT:
        wanted: Any = error.validator_value
        return f"needed with {label(next(of for of in _causes(error) if name in wanted[of]))}"
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    inner = (schema.get("properties") or {}).get(name)
    about = inner.get("description") or inner.get("title") if isinstance(inner, Mapping) else None
    return f"required: {cut(clean(about), 120)}" if isinstance(about, str) and about.strip() else "required"


def _causes(error: ValidationError) -> list[str]:
    """The names that are there and ask for others."""
    wanted: Any = error.validator_value
    given: Any = error.instance
    return [of for of, needs in wanted.items() if of in given and isinstance(needs, list)]


def _described(name: str, schema: Mapping[str, Any]) -> str:
    about = schema.get("description") or schema.get("title")
    return f"{label(name)} ({cut(clean(about), 60)})" if isinstance(about, str) else label(name)


def _sample(name: str, schema: Mapping[str, Any]) -> str:
    """What stands for a value in a line to copy."""
    if isinstance(schema.get("enum"), list) and not (declared(schema) or is_secret(name, ())):
        return "|".join(cut(clean(str(value)), 20) for value in schema["enum"][:3])
    if "path" in str(schema.get("format", "")) or any(word in name.lower() for word in _PATHS):
        return "PATH"
    return {"integer": "N", "number": "N", "boolean": "true"}.get(str(schema.get("type")), "VALUE")


def _shown(value: Any) -> str:
    return cut(clean(value if isinstance(value, str) and not value else json.dumps(value, ensure_ascii=False)), 40)


def _type(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return _one_of_kinds([error])


def _one_of_kinds(errors: Iterable[ValidationError]) -> str:
    said = [e.validator_value if isinstance(e.validator_value, list) else [e.validator_value] for e in errors]
    return "must be " + " or ".join(dict.fromkeys(_KINDS.get(str(kind), str(kind)) for kinds in said for kind in kinds))


def _range(error: ValidationError, schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and error.validator in ("minimum", "maximum"):
        return f"must be {low} to {high}"
    return f"must be {_BOUNDS[str(error.validator)]} {error.validator_value}"


def _listed(error: ValidationError, schema: Mapping[str, Any]) -> str:
    allowed: Any = error.validator_value if error.validator == "enum" else [error.validator_value]
    words = [cut(clean(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)), 40) for v in allowed]
    near = nearest(error.instance, words) if isinstance(error.instance, str) and len(words) > 8 else None
    rest = f" and {len(words) - 8} more{f' (nearest: {near})' if near else ''}" if len(words) > 8 else ""
    return f"must be {'one of ' if len(words) > 1 else ''}{', '.join(words[:8])}{rest}"


def _length(error: ValidationError, schema: Mapping[str, Any]) -> str:
    unit = {"Len": "characters", "Ite": "items", "Pro": "entries"}[str(error.validator)[3:6]]
    return f"must have {'at least' if str(error.validator)[:3] == 'min' else 'at most'} {error.validator_value} {unit}"


def _pattern(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return f"must match {cut(clean(str(error.validator_value)), 80)}"


def _extra(error: ValidationError, schema: Mapping[str, Any]) -> str:
    known = schema.get("properties", {})
    extra = [name for name in error.instance if name not in known] if isinstance(error.instance, Mapping) else []
    near = nearest(extra[0], known) if extra else None
    return f"must not have {', '.join(label(name) for name in extra[:8])}{f' (nearest: {clean(near)})' if near else ''}"


def _alternatives(error: ValidationError, hidden: Collection[str]) -> str:
    """Of several forms none fits: the types when that is all, else the fault of the form that fits best."""
    inner = error.context or []
    if inner and all(e.validator == "type" and not e.path for e in inner):
        return _one_of_kinds(inner)
    best = max(inner, key=lambda e: len(e.path), default=None)
    if best is None:
        return "must fit exactly one of its forms"
    return f"{f'at {label(*best.absolute_path)} ' if best.path else ''}{rule(best, hidden)} (or another of its forms)"


def _format(error: ValidationError, schema: Mapping[str, Any]) -> str:
    asked = cut(clean(str(error.validator_value)), 40)
    return f"must be {_FORMATS.get(asked, f'of the format {asked}')}"


def _other(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return f"is refused: {cut(clean(error.message), 160)}"


_RULES = {
    "type": _type,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _range),
    **dict.fromkeys(("enum", "const"), _listed),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _length),
    "pattern": _pattern,
    "required": lambda error, schema: f"needs {', '.join(label(name) for name in lacking(error))}",
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties"), _extra),
    **dict.fromkeys(_DEPENDENT, lambda error, schema: f"needs {', '.join(label(name) for name in lacking(error))}"),
    "format": _format,
    "uniqueItems": lambda error, schema: "has an item twice",
    "multipleOf": lambda error, schema: f"must be a multiple of {error.validator_value}",
    "not": lambda error, schema: "is a value that is ruled out",
}
_WITH_VALUE = frozenset(
    (
        "type",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "enum",
        "const",
        "pattern",
        "multipleOf",
    )
)
_BARE = (_WITH_VALUE - {"enum", "const"}) | {
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems",
}  # fmt: skip
"""Rules that tell nothing of a value in words."""
