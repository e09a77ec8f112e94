"""Error text for parameters, such as `crf must be 0 to 51, not 99 (parameter crf)`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.core.json_types import is_array, is_object
from app.core.schema import regex
from app.core.schema.json_schema import format_path
from app.core.schema.secrets import (
    UNDECLARED,
    DeclaredNames,
    is_declared_secret,
    is_secret_property,
    mask_value,
)
from app.core.text.joining import end_sentence, join_clauses, join_colon, join_or
from app.core.text.sanitize import MASK, find_nearest, sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_noop

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_FAULTS = 20
"""Maximum faults in one message; the rest are counted."""

_TYPE_WORDS = {
    "string": tr_noop("text"),
    "integer": tr_noop("a whole number"),
    "number": tr_noop("a number"),
    "boolean": tr_noop("true or false"),
    "null": "null",
    "array": tr_noop("a list (as JSON)"),
    "object": tr_noop("an object (as JSON)"),
}
_BOUND_WORDS = {
    "minimum": tr_noop("at least"),
    "maximum": tr_noop("at most"),
    "exclusiveMinimum": tr_noop("more than"),
    "exclusiveMaximum": tr_noop("less than"),
}
_DEPENDENCY_RULES = ("dependentRequired", "dependencies")
_FORMAT_WORDS = {
    "email": tr_noop("an e-mail address"),
    "date": tr_noop("a date such as 2026-01-31"),
    "ipv4": tr_noop("an IPv4 address"),
    "ipv6": tr_noop("an IPv6 address"),
    "uuid": tr_noop("a UUID"),
    "regex": tr_noop("a regular expression"),
}
_PATH_WORDS = ("file", "path", "dir", "input", "output", "folder")


def raise_if_faulty(
    template: str, faults: Sequence[str], missing: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise Usage, after the template's name, if there are faults or missing parameters.

    `missing` holds the schemas of parameters by name.
    """
    if not faults and not missing:
        return
    template = sanitize(template)
    needs = tr(
        "needs {items}", items=", ".join(_describe_parameter(*item) for item in missing.items())
    )
    if not faults:
        add = "Add: " + " ".join(
            tr("-p {name}={sample}", name=format_label(name), sample=_make_sample(name, inner))
            for name, inner in missing.items()
        )
        raise Usage(f"{template} {needs}.".lstrip(), add)
    lines = [*faults, needs] if missing else [*faults]
    if len(lines) > MAX_FAULTS:
        more = tr("and {more} more", more=len(lines) - MAX_FAULTS)
        lines = [*lines[:MAX_FAULTS], more]
    said = join_clauses(lines)
    raise Usage(
        end_sentence(join_colon(template, said) if template else said), "Nothing was submitted."
    )


def format_label(*path: str | int) -> str:
    """Format the name of a parameter, or of a place inside it."""
    return format_path(path)


def describe_violation(error: ValidationError, names: DeclaredNames = UNDECLARED) -> str:
    """Describe the allowed value and the actual one: `must be 0 to 51, not 99`.

    A secret value is never shown. A value is secret if its schema declares it so, or by its name
    and the `names` that other parts of the schema declare.
    """
    schema: Mapping[str, Any] = error.schema if is_object(error.schema) else {}
    if isinstance(schema.get("errorMessage"), str):
        return tr("is refused: {said}", said=truncate(sanitize(schema["errorMessage"]), 160))
    say = _DESCRIBERS.get(str(error.validator), _describe_other)
    secret = is_declared_secret(schema) or any(
        isinstance(step, str) and names.is_secret(step) for step in error.absolute_path
    )
    if secret and error.validator not in _VALUE_FREE_RULES:
        return (
            tr("is not an allowed value")
            if error.validator in ("enum", "const")
            else tr("is refused by its schema")
        )
    shown_value = MASK if secret else mask_value(error.instance, names)
    if error.validator in ("anyOf", "oneOf"):
        text = _describe_alternatives(error, names)
    else:
        text = (
            tr("is refused by its schema")
            if say is _describe_other and shown_value != error.instance
            else say(error, schema)
        )
    shows_value = error.validator in _RULES_WITH_VALUE and not _may_hide_secret(error)
    if shows_value:
        text = tr(
            "{said}, not {value}",
            said=text,
            value=shown_value if secret else _format_value(shown_value),
        )
    return truncate(text, 400)


def _may_hide_secret(error: ValidationError) -> bool:
    """Return True for text where a list or an object is expected.

    The secret parts of such a text cannot be identified.
    """
    wanted: Any = error.validator_value
    kinds = wanted if is_array(wanted) else [wanted]
    return (
        error.validator == "type"
        and isinstance(error.instance, str)
        and ("object" in kinds or "array" in kinds)
    )


def find_missing(error: ValidationError) -> Iterator[str]:
    """Yield the missing names of an object."""
    wanted: Any = error.validator_value
    if not is_object(error.instance):
        return
    if error.validator == "required":
        yield from (name for name in wanted if name not in error.instance)
    elif error.validator in _DEPENDENCY_RULES:
        yield from (
            name
            for trigger in _find_causes(error)
            for name in wanted[trigger]
            if name not in error.instance
        )


def describe_missing(error: ValidationError, name: str) -> str:
    """Describe why `name` is needed: `required: …`, `needed with input`."""
    if error.validator in _DEPENDENCY_RULES:
        wanted: Any = error.validator_value
        trigger = next(cause for cause in _find_causes(error) if name in wanted[cause])
        return tr("needed with {trigger}", trigger=format_label(trigger))
    schema: Mapping[str, Any] = error.schema if is_object(error.schema) else {}
    properties: Any = schema.get("properties")
    inner: Any = properties.get(name) if properties else None
    about = inner.get("description") or inner.get("title") if is_object(inner) else None
    return (
        f"required: {truncate(sanitize(about), 120)}"
        if isinstance(about, str) and about.strip()
        else "required"
    )


def _find_causes(error: ValidationError) -> list[str]:
    """Return the present names that require others."""
    wanted: Any = error.validator_value
    given: Any = error.instance
    return [trigger for trigger, needs in wanted.items() if trigger in given and is_array(needs)]


def _describe_parameter(name: str, schema: Mapping[str, Any]) -> str:
    label, about = format_label(name), schema.get("description") or schema.get("title")
    return f"{label} ({truncate(sanitize(about), 60)})" if isinstance(about, str) else label


def _make_sample(name: str, schema: Mapping[str, Any]) -> str:
    """Return a placeholder for a value in a command to copy."""
    if is_array(schema.get("enum")) and not (
        is_declared_secret(schema) or is_secret_property(name, schema)
    ):
        return "|".join(truncate(sanitize(str(value)), 20) for value in schema["enum"][:3])
    if "path" in str(schema.get("format", "")) or any(word in name.lower() for word in _PATH_WORDS):
        return "PATH"
    return {"integer": "N", "number": "N", "boolean": "true"}.get(str(schema.get("type")), "VALUE")


def _format_value(value: Any) -> str:
    return truncate(
        sanitize(
            value if isinstance(value, str) and not value else json.dumps(value, ensure_ascii=False)
        ),
        40,
    )


def _describe_type(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return _describe_kinds([error])


def _describe_kinds(errors: Iterable[ValidationError]) -> str:
    kind_lists = [
        e.validator_value if is_array(e.validator_value) else [e.validator_value] for e in errors
    ]
    kinds = dict.fromkeys(str(kind) for kinds in kind_lists for kind in kinds)
    return tr("must be {what}", what=join_or(tr(_TYPE_WORDS.get(kind, kind)) for kind in kinds))


def _describe_range(error: ValidationError, schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and error.validator in ("minimum", "maximum"):
        return tr("must be {low} to {high}", low=low, high=high)
    return tr(
        "must be {bound} {value}",
        bound=tr(_BOUND_WORDS[str(error.validator)]),
        value=error.validator_value,
    )


def _describe_choices(error: ValidationError, schema: Mapping[str, Any]) -> str:
    allowed: Any = error.validator_value if error.validator == "enum" else [error.validator_value]
    words = [
        truncate(sanitize(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)), 40)
        for v in allowed
    ]
    near = (
        find_nearest(error.instance, words)
        if isinstance(error.instance, str) and len(words) > 8
        else None
    )
    rest = (
        tr(
            " and {more} more{nearest}",
            more=len(words) - 8,
            nearest=tr(" (nearest: {near})", near=near) if near else "",
        )
        if len(words) > 8
        else ""
    )
    words_and_more = ", ".join(words[:8]) + rest
    if len(words) > 1:
        return tr("must be one of {words}", words=words_and_more)
    return tr("must be {what}", what=words_and_more)


def _describe_length(error: ValidationError, schema: Mapping[str, Any]) -> str:
    unit = {"Len": "characters", "Ite": "items", "Pro": "entries"}[str(error.validator)[3:6]]
    return tr(
        "must have {bound} {value} {unit}",
        bound=tr("at least") if str(error.validator)[:3] == "min" else tr("at most"),
        value=error.validator_value,
        unit=unit,
    )


def _describe_pattern(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return tr("must match {value}", value=truncate(sanitize(str(error.validator_value)), 80))


def _describe_extra(error: ValidationError, schema: Mapping[str, Any]) -> str:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [
        name
        for name in (error.instance if is_object(error.instance) else ())
        if name not in known and not any(regex.search(pattern, name) for pattern in patterns)
    ]
    near = find_nearest(extra[0], known) if extra else None
    nearest = f" (nearest: {sanitize(near)})" if near else ""
    return tr(
        "must not have {extra}{nearest}",
        extra=", ".join(format_label(name) for name in extra[:8]),
        nearest=nearest,
    )


def _describe_alternatives(error: ValidationError, names: DeclaredNames) -> str:
    """Describe the allowed types, or the fault of the closest form."""
    inner = error.context or []
    if inner and all(e.validator == "type" and not e.path for e in inner):
        return _describe_kinds(inner)
    best = max(inner, key=lambda e: len(e.path), default=None)
    if best is None:
        return tr("must fit exactly one of its forms")
    place = tr("at {name} ", name=format_label(*best.absolute_path)) if best.path else ""
    return tr(
        "{place}{violation} (or another of its forms)",
        place=place,
        violation=describe_violation(best, names),
    )


def _describe_format(error: ValidationError, schema: Mapping[str, Any]) -> str:
    format_name = truncate(sanitize(str(error.validator_value)), 40)
    return (
        tr("must be {what}", what=tr(_FORMAT_WORDS[format_name]))
        if format_name in _FORMAT_WORDS
        else tr("must be of the format {format}", format=format_name)
    )


def _describe_other(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return tr("is refused: {said}", said=truncate(sanitize(error.message), 160))


def _describe_missing(error: ValidationError, schema: Mapping[str, Any]) -> str:
    return tr(
        "needs {missing}", missing=", ".join(format_label(name) for name in find_missing(error))
    )


def _describe_multiple(error: ValidationError, schema: Mapping[str, Any]) -> str:
    wanted: Any = error.validator_value
    return tr("must be a multiple of {wanted}", wanted=wanted)


_DESCRIBERS: dict[str, Callable[[ValidationError, Mapping[str, Any]], str]] = {
    "type": _describe_type,
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _describe_range
    ),
    **dict.fromkeys(("enum", "const"), _describe_choices),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _describe_length,
    ),
    "pattern": _describe_pattern,
    **dict.fromkeys(("required", *_DEPENDENCY_RULES), _describe_missing),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties"), _describe_extra),
    "format": _describe_format,
    "uniqueItems": lambda error, schema: tr("has an item twice"),
    "multipleOf": _describe_multiple,
    "not": lambda error, schema: tr("is not allowed"),
}
_RULES_WITH_VALUE = frozenset(
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
_VALUE_FREE_RULES = (_RULES_WITH_VALUE - {"enum", "const"}) | {
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "uniqueItems",
}  # fmt: skip
"""Rules whose wording does not reveal the value."""
