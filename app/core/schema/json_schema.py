"""Bounded JSON Schema evaluation.

References stay inside the document, and no schema, pattern or value can hang the caller. The
jsonschema package evaluates; every schema applied to a value counts as a step,
`app.core.schema.regex` matches patterns, and the uniqueness test is linear. The package is imported
on first use.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, cast

from app.core.json_types import is_array, is_dict, is_list_or_tuple, is_object
from app.core.schema import regex
from app.core.text.sanitize import sanitize, truncate
from app.core.text.units import quote
from app.translation import tr

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_FILE_STEPS, MAX_STEPS, MAX_VALUE_STEPS = 200_000, 100_000, 20_000
"""Limits of the walks over all schemas of a file, over one schema that is applied, and over one
for the values of a submission.

The largest of 793 real schemas takes 58,000 steps, and 1,368 of 1,371 real documents take at most
13,000. A step takes about 5 µs.
"""
STEPS_PER_SECOND = 200_000

SPARE_FRAMES = 200
"""Frames of the stack that an evaluation leaves free."""

_NEWEST = "http://json-schema.org/draft/2020-12/schema"
_NAME_MAPS = frozenset(
    ("properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies")
)
"""Keywords whose keys are names, not keywords."""
_NAME_PATHS = (("properties",), ("$defs",), ("definitions",))
_DATA_KEYWORDS = frozenset(("enum", "const", "default", "examples"))
_BRANCHES = ("allOf", "anyOf", "oneOf")

_steps_left: ContextVar[int | None] = ContextVar("steps_left", default=None)
"""Steps left in the outermost `limit_steps`, None outside."""
_file_steps_left: ContextVar[int] = ContextVar("file_steps_left", default=sys.maxsize)
"""Steps left for the schemas of a file."""


class InvalidSchemaError(ValueError):
    """The schema cannot be used; the message gives location and reason."""


class LimitExceededError(ValueError):
    """The value cannot be checked in bounded time."""


@contextmanager
def limit_steps(limit: int | None = None) -> Generator[None]:
    """Limit all walks over schemas inside to `limit` steps in total, `MAX_STEPS` if None.

    Nested limits count for the outermost one. Raise LimitExceededError, or InvalidSchemaError for
    an unresolvable reference.
    """
    from referencing.exceptions import Unresolvable

    if _steps_left.get() is not None:
        yield
        return
    limit = MAX_STEPS if limit is None else limit
    left_in_file = _file_steps_left.get()
    outside = _steps_left.set(given := min(limit, left_in_file))
    try:
        yield
    except regex.PatternTimeoutError:
        if given < limit:
            limit, what = MAX_FILE_STEPS, tr(" for all schemas of one file (split it)")
        else:
            what = ""
        raise LimitExceededError(
            tr("takes too long to check: over {limit:,} steps{what}", limit=limit, what=what)
        ) from None
    except regex.PatternError as fault:  # of a template that an older version accepted
        raise InvalidSchemaError(tr("a pattern {fault}", fault=fault)) from None
    except RecursionError:
        raise LimitExceededError(tr("is nested too deeply to check")) from None
    except Unresolvable as error:
        raise _make_unresolved_error("$ref", str(error.ref)) from None
    finally:
        _file_steps_left.set(left_in_file - given + max(0, _steps_left.get() or 0))
        _steps_left.reset(outside)


@contextmanager
def limit_file_steps() -> Generator[None]:
    """Limit the walks over all schemas of a file to `MAX_FILE_STEPS` steps, about a second."""
    outside = _file_steps_left.set(MAX_FILE_STEPS)
    try:
        yield
    finally:
        _file_steps_left.reset(outside)


def count_steps(steps: int = 1) -> None:
    """Count steps of a walk over a schema. Raise PatternTimeoutError beyond the limit."""
    left = _steps_left.get()
    if left is None:
        return
    _steps_left.set(left - steps)
    if left < steps:
        raise regex.PatternTimeoutError


def find_errors(
    schema: Mapping[str, Any], value: Any, *, formats: bool = False
) -> list[ValidationError]:
    """Return all schema violations in `value`.

    With `formats`, check e-mail addresses, dates and so on too. Raise the errors of `limit_steps`.
    """
    with limit_steps():
        return list(_make_validator(_to_json(schema), formats).iter_errors(value))


class Evaluator:
    """Evaluation of values against parts of a schema, which is given as JSON."""

    def __init__(self, text: str) -> None:
        self._validator = _make_validator(text, False)
        self.schema: Mapping[str, Any] = self._validator.schema
        self.resolver = _make_resolver(self.schema, _find_draft(json.loads(text)))

    def is_valid(self, value: Any, part: Any, resolver: Any) -> bool:
        """Return True if a part of the schema accepts a value; `resolver` is that of the part."""
        return next(iter(self._validator.descend(value, part, resolver=resolver)), None) is None


@lru_cache(maxsize=64)
def make_evaluator(text: str) -> Evaluator:
    """Return the evaluator of a schema, which is given as JSON."""
    return Evaluator(text)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise InvalidSchemaError for an invalid or oversized schema, or external references."""
    if measure_depth(schema) > MAX_DEPTH:
        raise InvalidSchemaError(
            tr("is nested more than {max_depth} levels deep", max_depth=MAX_DEPTH)
        )
    if len(_to_json(schema)) > MAX_BYTES:
        raise InvalidSchemaError(
            tr(
                "is larger than {max_bytes}K: remove parts that the parameters do not need",
                max_bytes=MAX_BYTES // 1024,
            )
        )
    with limit_steps():
        _check_meta_schema(schema, _find_draft(schema))
        _check_patterns(schema)
        _check_references(schema)


def measure_depth(value: Any) -> int:
    """Return the nesting depth of lists and objects.

    The value may be any Python object. Counting stops just above `MAX_DEPTH`.
    """
    level, found = [value], 0
    while level and found <= MAX_DEPTH + 1:
        level = [item for node in level for item in _list_children(node)]
        found += 1
    return found - 1


def make_resolver(schema: Mapping[str, Any]) -> Any:
    """Return a resolver for `$ref`.

    Its lookup raises `referencing.exceptions.Unresolvable`.
    """
    return _make_resolver(_unify_dependencies(schema), _find_draft(schema))


def _make_resolver(schema: Mapping[str, Any], draft: Any) -> Any:
    from jsonschema_specifications import REGISTRY  # pyright: ignore[reportMissingTypeStubs]
    from referencing.jsonschema import specification_with

    specification = specification_with(_get_dialect(draft))
    return REGISTRY.resolver_with_root(specification.create_resource(schema))


def resolve_reference(node: Mapping[str, Any], resolver: Any) -> Any:
    """Return the target of a schema's `$ref` (`.contents`, `.resolver`), or None."""
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(node["$ref"]) if isinstance(node.get("$ref"), str) else None
    except Unresolvable:
        return None


def iterate_parts(
    schema: Mapping[str, Any], resolver: Any, certain: bool = False
) -> Iterator[tuple[Mapping[str, Any], bool, Any]]:
    """Yield the schemas that describe the same object, each once.

    Each comes with True if it applies unconditionally, and with the resolver of its references.
    With `certain`, yield only those that apply unconditionally.
    """
    pending, seen = [(schema, resolver, True)], set[int]()
    while pending:
        node, resolver, always = pending.pop(0)
        if not is_object(node) or id(node) in seen or (certain and not always):
            continue
        seen.add(id(node))
        count_steps()
        yield node, always, resolver
        pending[:0] = iterate_subschemas(node, resolver, always)


def iterate_subschemas(
    node: Mapping[str, Any], resolver: Any, always: bool
) -> Iterator[tuple[Any, Any, bool]]:
    """Yield the subschemas of a schema that apply to the same object."""
    if (target := resolve_reference(node, resolver)) is not None:
        yield target.contents, target.resolver, always
    for word in _BRANCHES:
        yield from ((inner, resolver, always and word == "allOf") for inner in node.get(word, ()))
    yield from ((node[word], resolver, False) for word in ("if", "then", "else") if word in node)
    yield from ((inner, resolver, False) for inner in node.get("dependentSchemas", {}).values())


def format_path(path: Any) -> str:
    """Format a path inside a value or schema: `ref.species`, `items[0].name`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return truncate(sanitize(text.removeprefix(".")), 80)


def _list_children(node: Any) -> list[Any]:
    if is_object(node):
        return list(node.values())
    return list(node) if is_list_or_tuple(node) else []


def iterate_nodes(
    node: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield every object in a document with its path."""
    count_steps()
    if is_object(node):
        yield path, node
    steps = node.items() if is_object(node) else enumerate(node) if is_array(node) else ()
    for step, child in steps:
        yield from iterate_nodes(child, (*path, step))


def _to_json(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidSchemaError(
            tr("holds something that JSON cannot write (a date, infinity)")
        ) from None


def _check_meta_schema(schema: Any, draft: Any, reference: str = "") -> None:
    """Check that a schema, or the target of a reference, is written as its draft says."""
    from jsonschema import exceptions

    best_match = cast(Any, exceptions.best_match)  # pyright: ignore[reportUnknownMemberType]
    try:
        error = best_match(_make_meta_validator(draft).iter_errors(schema))
    except RecursionError:
        raise InvalidSchemaError(tr("is nested too deeply")) from None
    if error is not None:
        where = quote(reference) if reference else format_path(error.absolute_path)
        what = truncate(sanitize(error.message), 160)
        raise InvalidSchemaError(f"{where}: {what}" if where else what)


@cache
def _make_meta_validator(draft: Any) -> Any:
    """Return the validator of schemas of a draft, which counts its steps.

    From 2019-09 on, the meta-schema consists of vocabularies. They are joined, because each of
    them would be applied to every part of a schema.
    """
    meta: dict[str, Any] = draft.META_SCHEMA
    if not _is_legacy(draft):
        lookup = _make_resolver(meta, draft).lookup
        parts = [lookup(part["$ref"]).contents for part in meta["allOf"]] + [meta]
        joined = {
            word: {name: inner for part in parts for name, inner in part.get(word, {}).items()}
            for word in ("properties", "$defs")
        }
        text = json.dumps({"type": meta["type"], **joined})
        for reference in ('"$dynamicRef": "#meta"', '"$recursiveRef": "#"'):
            text = text.replace(reference, '"$ref": "#"')
        meta = json.loads(text.replace("meta/validation#", "#"))
    return _make_bounded_class(draft)(_rewrite_schema(meta))


def _check_patterns(schema: Mapping[str, Any]) -> None:
    """Check that each pattern can be read.

    The jsonschema package itself matches names for `unevaluatedProperties`, without a time limit.
    """
    nodes = list(iterate_nodes(schema))
    for path, node in nodes:
        patterns = [] if path[-1:] in _NAME_PATHS else [node.get("pattern")]
        if path[-1:] == ("patternProperties",):
            patterns = list(node)
            if any("unevaluatedProperties" in other for _, other in nodes):
                raise InvalidSchemaError(
                    tr(
                        "{value} cannot stand in a schema with unevaluatedProperties: use"
                        " additionalProperties",
                        value=format_path(path),
                    )
                )
        for pattern in (text for text in patterns if isinstance(text, str)):
            try:
                with _charge_time():
                    regex.compile_pattern(pattern)
            except regex.PatternError as fault:
                raise InvalidSchemaError(
                    tr(
                        "{value}: the pattern {pattern} {fault}",
                        value=format_path(path) or "schema",
                        pattern=quote(pattern),
                        fault=fault,
                    )
                ) from None


def _check_references(schema: Mapping[str, Any]) -> None:
    """Check that references lead to schemas, and not back to the same schema for the same value.

    The target may be below a keyword that the draft does not know, such as `components`, where
    nothing else was checked.
    """
    draft = _find_draft(schema)
    root = _make_resolver(schema := _unify_dependencies(schema), draft)
    pending, nodes, graph = [(schema, root)], dict[int, Any](), dict[int, list[int]]()
    references, own = list[tuple[str, Any]](), set[int]()
    while pending or references:
        if not pending:
            word, target = references.pop()
            if id(target.contents) in nodes:
                continue
            own = own or {id(node) for _, node in iterate_nodes(schema)}
            if is_object(target.contents) and id(target.contents) not in own:
                continue  # a published meta-schema
            _check_meta_schema(target.contents, draft, word)
            pending.append((target.contents, target.resolver))
        node, resolver = pending.pop()
        count_steps()
        if is_object(node):
            nodes[id(node)] = node
            targets = _look_up_references(node, resolver)
            references += targets
            parts = [target.contents for _, target in targets]
            parts += _list_same_value(node, resolver, _is_legacy(draft))
            graph[id(node)] = [id(part) for part in parts]
        pending.extend(_list_subschemas(node, resolver, draft))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found = [nodes[one] for one in error.args[1] if one in nodes]
        words = [node.get("$ref", node.get("$dynamicRef")) for node in found]
        word = next((quote(word) for word in words if isinstance(word, str)), "a reference")
        raise InvalidSchemaError(
            tr(
                "{word} leads back to itself without end: refer to it from a property or an item",
                word=word,
            )
        ) from None


def _look_up_references(node: Mapping[str, Any], resolver: Any) -> list[tuple[str, Any]]:
    """Return the references of a schema, with their targets."""
    from referencing.exceptions import Unresolvable

    found: list[tuple[str, Any]] = []
    if "$ref" in node and not isinstance(node["$ref"], str):  # draft 4 does not say so
        raise InvalidSchemaError(tr("$ref must be text"))
    for word in ("$ref", "$dynamicRef", "$recursiveRef"):
        if isinstance(node.get(word), str):
            try:
                found.append((node[word], resolver.lookup(node[word])))
            except Unresolvable:
                raise _make_unresolved_error(word, node[word]) from None
    return found


def _list_same_value(node: Mapping[str, Any], resolver: Any, is_legacy: bool) -> list[Any]:
    """Return the parts of a schema that it applies to the same value as itself."""
    if is_legacy and "$ref" in node:
        return []
    found = [part for part, _, _ in iterate_subschemas({**node, "$ref": None}, resolver, True)]
    return [*found, node.get("not"), *node.get("dependencies", {}).values()]


def _make_unresolved_error(keyword: str, reference: str) -> InvalidSchemaError:
    if reference.startswith("#"):
        return InvalidSchemaError(
            tr(
                "{keyword} {reference} leads nowhere: correct its path",
                keyword=keyword,
                reference=quote(reference),
            )
        )
    return InvalidSchemaError(
        tr(
            "{keyword} {reference} is outside of the schema, where nothing is read: copy the"
            " definition into $defs and refer to #/$defs/NAME",
            keyword=keyword,
            reference=quote(reference),
        )
    )


def _list_subschemas(node: Any, resolver: Any, draft: Any) -> list[tuple[Any, Any]]:
    from referencing.jsonschema import specification_with

    specification = specification_with(_get_dialect(draft))
    children = specification.create_resource(node).subresources() if is_object(node) else ()
    return [(child.contents, resolver.in_subresource(child)) for child in children]


@cache
def _load_drafts() -> dict[str, Any]:
    import jsonschema

    drafts = (
        jsonschema.Draft4Validator,
        jsonschema.Draft6Validator,
        jsonschema.Draft7Validator,
        jsonschema.Draft201909Validator,
        jsonschema.Draft202012Validator,
    )
    found = {_get_dialect(draft).replace("https:", "http:"): draft for draft in drafts}
    return {**found, "http://json-schema.org/schema": found[_NEWEST]}


def _get_dialect(draft: Any) -> str:
    return draft.META_SCHEMA.get("$id", draft.META_SCHEMA.get("id", "")).rstrip("#")


def _is_legacy(draft: Any) -> bool:
    return "draft-0" in _get_dialect(draft)


def _find_draft(schema: Mapping[str, Any]) -> Any:
    said = str(schema.get("$schema", _NEWEST))
    found = _load_drafts().get(said.rstrip("#").replace("https:", "http:", 1))
    if found is None:
        raise InvalidSchemaError(
            tr(
                "$schema: {said} is not a supported draft (4, 6, 7, 2019-09, 2020-12): name one"
                " of them, or remove the line",
                said=quote(said),
            )
        )
    return found


def _check_frames() -> None:
    """Raise RecursionError before the stack is full.

    The referencing package panics, which no caller expects, if its native code meets a full stack.
    """
    try:
        sys._getframe(sys.getrecursionlimit() - SPARE_FRAMES)  # pyright: ignore[reportPrivateUsage]
    except ValueError:
        return
    raise RecursionError


@cache
def _make_bounded_class(draft: Any) -> Any:
    """Return the validator class of a draft with step counting."""
    from jsonschema.validators import create  # pyright: ignore[reportUnknownVariableType]

    legacy = _is_legacy(draft)

    def applicable(schema: Any) -> Any:
        _check_frames()
        count_steps(1 + len(schema.get("enum", ())) // 50)
        return [("$ref", schema["$ref"])] if legacy and "$ref" in schema else schema.items()

    return create(
        meta_schema=draft.META_SCHEMA,
        validators={
            **draft.VALIDATORS,
            "pattern": _validate_pattern,
            "patternProperties": _validate_pattern_properties,
            "additionalProperties": partial(
                _validate_additional, draft.VALIDATORS["additionalProperties"]
            ),
            "uniqueItems": _validate_unique,
        },
        type_checker=draft.TYPE_CHECKER,
        id_of=draft.ID_OF,
        applicable_validators=applicable,
    )


@lru_cache(maxsize=64)
def _make_validator(text: str, formats: bool) -> Any:
    from referencing import Registry

    schema = json.loads(text)
    draft = _find_draft(schema)
    checker = draft.FORMAT_CHECKER if formats else None
    registry: Registry[Any] = Registry()
    return _make_bounded_class(draft)(
        _rewrite_schema(schema), registry=registry, format_checker=checker
    )


def _unify_dependencies(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema in which `dependencies` are all schemas where some of them are.

    The referencing package reads a list after a schema as a schema and fails.
    """
    return _rewrite_schema(schema) if '"dependencies"' in json.dumps(schema) else schema


def _rewrite_schema(node: Any, is_name_map: bool = False) -> Any:
    """Return a schema with unified dependencies, and without `$schema`.

    A nested `$schema` would select jsonschema's own classes.
    """
    if is_array(node):
        return [_rewrite_schema(item) for item in node]
    if not is_dict(node):
        return node
    found = {
        key: value
        if not is_name_map and key in _DATA_KEYWORDS
        else _rewrite_schema(value, not is_name_map and key in _NAME_MAPS)
        for key, value in node.items()
        if key != "$schema" or not isinstance(value, str)
    }
    needs = found.get("dependencies")
    if not is_name_map and is_dict(needs) and any(map(is_dict, needs.values())):
        found["dependencies"] = {
            name: {"required": need} if is_array(need) else need for name, need in needs.items()
        }
    return found


def _validate_pattern(
    validator: Any, pattern: str, value: Any, schema: Any
) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if validator.is_type(value, "string") and not _is_match(pattern, value):
        yield ValidationError(tr("does not match {pattern}", pattern=pattern))


def _validate_pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any
) -> Iterator[ValidationError]:
    for pattern, inner in patterns.items() if is_object(value) else ():
        for name in value:
            if _is_match(pattern, name):
                yield from validator.descend(value[name], inner, path=name, schema_path=pattern)


def _validate_additional(
    validate: Any, validator: Any, inner: Any, value: Any, schema: Any
) -> Iterator[ValidationError]:
    """Validate with names that match a pattern as if they were in `properties`."""
    patterns = schema.get("patternProperties", {})
    known = schema.get("properties", {})
    if patterns and is_object(value):
        matching = [name for name in value if any(_is_match(one, name) for one in patterns)]
        known = {**known, **dict.fromkeys(matching, True)}
    yield from validate(validator, inner, value, {"properties": known})


def _is_match(pattern: str, text: str) -> bool:
    with _charge_time():
        return regex.search(pattern, text)


@contextmanager
def _charge_time() -> Generator[None, None, None]:
    """Charge the time of patterns."""
    began = time.thread_time()
    yield
    count_steps(int((time.thread_time() - began) * STEPS_PER_SECOND))


def _validate_unique(
    validator: Any, wanted: bool, value: Any, schema: Any
) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if wanted and validator.is_type(value, "array"):
        seen = [json.dumps(_normalize(item), sort_keys=True) for item in value]
        if len(set(seen)) < len(seen):
            yield ValidationError(tr("has an item twice"))


def _normalize(value: Any) -> Any:
    """Convert 1.0 to 1, which are equal in JSON Schema."""
    if is_array(value):
        return [_normalize(item) for item in value]
    if is_dict(value):
        return {key: _normalize(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
