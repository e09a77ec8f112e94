"""Safe reading and writing of TOML and YAML.

A text is limited to 4 MiB and 100,000 values, because YAML aliases can expand a small text
enormously. Keys are unique, and all strings can be stored. The output has a stable layout, reads
back unchanged, and keeps multi-line scripts readable.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import tomlkit
import yaml
from tomlkit import items

from app.core.definitions import size_limits
from app.core.json_types import is_array, is_object
from app.core.text.sanitize import sanitize, truncate
from app.core.text.units import quote
from app.errors import Refused, Usage
from app.translation import tr

FORMATS = ("toml", "yaml")

_SPREAD_KEYS = ("properties", "$defs", "definitions")
"""JSON Schema keywords whose entries get one line each."""
_PLAIN_LINES = re.compile(r"[\t\n\x20-\x7e\u00a1-\u2027\u2030-\u205f\u2070-\ud7ff]*")
"""Text without control or direction characters, which need escapes."""
_SIMPLE_TEXT = re.compile(r"[ !#-\[\]-~]*")
"""Printable ASCII that needs no escapes between double quotes."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INVISIBLE = re.compile(r"[\x7f-\xa0\u2028-\u202f\u2060-\u206f\ufeff]")


def read_document(text: str, format: str) -> dict[str, Any]:
    """Parse a text into tables. Raise Usage with the line of an error."""
    if format not in FORMATS:
        raise Usage("format must be toml or yaml, not {format}", format=quote(format))
    size_limits.check_length(text)
    try:
        text.encode()
        found = _load_toml(text) if format == "toml" else _load_yaml(text)
    except UnicodeEncodeError as error:
        raise Usage(
            "line {line}: is not UTF-8. Nothing was changed.", line=_find_line(text, error.start)
        ) from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise Usage("{reason}. Nothing was changed.", reason=_format_parse_error(error)) from None
    except (RecursionError, ValueError) as error:
        raise Usage(
            "cannot be read: {error}. Nothing was changed.",
            error=truncate(sanitize(str(error)), 120),
        ) from None
    size_limits.check_values(found)
    return found


def write_document(document: Mapping[str, Mapping[str, Mapping[str, Any]]], format: str) -> str:
    """Format {kind: {name: {key: value}}} as text.

    Raise Refused for values TOML cannot hold.
    """
    if format not in FORMATS:
        raise Usage("format must be toml or yaml, not {format}", format=quote(format))
    return _write_toml(document) if format == "toml" else _write_yaml(document)


def _load_toml(text: str) -> Any:
    size_limits.check_toml(text)
    return tomllib.loads(text)


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml, which is twenty times faster, where PyYAML was built with it."""
_base, _yaml = _SafeLoader, cast(Any, yaml)  # untyped: PyYAML has no complete types
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


MAX_NUMBER_LENGTH = 1000
_LONG_NUMBER = re.compile(rf"[-+0-9_:.]{{{MAX_NUMBER_LENGTH + 1}}}")
"""Start of a long number: `1:1:1:…` takes quadratic time."""
MAX_TAG_DIRECTIVES = 100
MAX_REPARSED = 16 * 1024
"""Maximum length of a text whose fault is described by the slower parser, in better words."""
_TAG_DIRECTIVE = re.compile("(?:^|[\r\n\x85\u2028\u2029])%TAG")


class _Loader(_SafeLoader):
    """YAML loader that rejects duplicate keys, as TOML does, and limits merged ones."""

    merged = 0

    def flatten_mapping(self, node: Any) -> None:
        """Merge mappings (`<<`) into one, after counting the keys that each of them adds."""
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self._count_merged(source)
        _base.flatten_mapping(self, node)

    def _count_merged(self, source: Any) -> None:
        if isinstance(source, yaml.MappingNode):
            self.flatten_mapping(source)
            self.merged += len(source.value)
            if self.merged > size_limits.MAX_NODES:
                raise size_limits.make_too_many()

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str] | None] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag not in (_TEXT, _MERGE):
                # `on` and `no` would become the names "true" and "false"
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    tr("the key {value} is not text: write '{value}'", value=key.value),
                    key.start_mark,
                )
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name is not None:
                raise yaml.constructor.ConstructorError(
                    None, None, tr("{value!r} appears twice", value=key.value), key.start_mark
                )
            seen.add(name)
        return _base.construct_mapping(self, node, deep)


def _load_yaml(text: str) -> Any:
    if len(_TAG_DIRECTIVE.findall(text)) > MAX_TAG_DIRECTIVES:
        raise Usage(
            "holds more than {max_tag_directives} %TAG lines. Nothing was changed.",
            max_tag_directives=MAX_TAG_DIRECTIVES,
        )
    try:
        _check_events(text, _SafeLoader)
    except yaml.YAMLError as error:
        if tr("nesting depth") in (getattr(error, "problem", None) or ""):
            raise size_limits.make_too_deep() from None
        if len(text) <= MAX_REPARSED:
            _check_events(text, yaml.SafeLoader)
        raise
    found = yaml.load(text, _Loader)
    return {} if found is None else found


def _check_events(text: str, loader: Any) -> None:
    """Raise Usage at the first YAML event with too many values before it, or too deep."""
    count = depth = 0
    for event in _yaml.parse(text, loader):
        if isinstance(event, yaml.NodeEvent):
            count += 1
        if isinstance(event, yaml.ScalarEvent):
            _check_number(event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if count > size_limits.MAX_NODES:
            raise size_limits.make_too_many()
        if depth > size_limits.MAX_DEPTH:
            raise size_limits.make_too_deep()


def _check_number(event: Any) -> None:
    """Raise YAMLError for a text without quotes that begins as a very long number."""
    if event.implicit[0] and _LONG_NUMBER.match(event.value):
        message = tr(
            "a number has more than {max_number_length:,} characters",
            max_number_length=MAX_NUMBER_LENGTH,
        )
        raise yaml.MarkedYAMLError(None, None, message, event.start_mark)


def _find_line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _format_parse_error(error: Exception) -> str:
    """Format a parser error with its line: `line 3: …`."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        message = getattr(error, "problem", None) or tr("cannot be read as YAML")
        return tr("line {line}: {said}", line=mark.line + 1, said=truncate(sanitize(message), 120))
    what, _, at = str(error).rpartition(" (at ")
    line = at.split(",")[0] if at.startswith("line") else tr("at the end")
    hint = (
        tr(" (names and texts take no control characters)")
        if what.startswith("Illegal character")
        else tr(" (this table was closed by { … }: write all of it there, or each key as a line)")
        if what.startswith("Cannot mutate immutable namespace")
        else ""
    )
    return f"{line}: {truncate(sanitize(what), 120)}{hint}"


def _write_toml(document: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    for path, value in _iterate_leaves(document, ()):
        if value is None:
            where = ".".join(sanitize(str(step)) for step in path)
            raise Refused(
                "{where} is null, which TOML cannot hold.",
                "Use YAML: taskdeck export --format yaml",
                where=where,
            )
    tables = [
        table
        for kind, bodies in document.items()
        for name, body in bodies.items()
        for table in _write_definition(_format_key(kind, name), body)
    ]
    # Only double-quoted strings contain invisible characters, and escapes are valid in them.
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", "\n".join(tables))


def _iterate_leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    steps = value.items() if is_object(value) else enumerate(value) if is_array(value) else None
    if steps is None:
        yield path, value
    for step, inner in steps or ():
        yield from _iterate_leaves(inner, (*path, step))


def _write_definition(path: str, body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of one definition, with simple keys first.

    The tables are text: tomlkit takes ten times as long to build and print its own.
    """
    own = {key for key, value in body.items() if is_object(value) and _needs_table(key, value)}
    if not own or len(own) < len(body):
        lines = [_write_line(_format_key(key), body[key]) for key in body if key not in own]
        yield "".join((f"[{path}]\n", *lines))
    for key in body:
        if key in own:
            yield "".join((f"[{path}.{_format_key(key)}]\n", *_spread(body[key])))


def _needs_table(key: str, value: Mapping[str, Any]) -> bool:
    return key == "parameters" or any(
        isinstance(inner, str) and "\n" in inner for inner in value.values()
    )


def _spread(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table, with a line for each entry of the keys in `_SPREAD_KEYS`."""
    for key, value in body.items():
        if key in _SPREAD_KEYS and is_object(value) and value:
            for name, inner in value.items():
                yield _write_line(_format_key(key, name), inner)
        else:
            yield _write_line(_format_key(key), value)


def _write_line(key: str, value: Any) -> str:
    return f"{key} = {_format_value(value)}\n"


def _format_key(*names: str) -> str:
    """Return a key, dotted for several names."""
    return ".".join(
        name if _BARE_KEY.fullmatch(name) else items.SingleKey(name).as_string() for name in names
    )


def _format_value(value: Any) -> str:
    """Format a value for one line."""
    if is_object(value):
        entries = (f"{_format_key(key)} = {_format_value(inner)}" for key, inner in value.items())
        return f"{{{', '.join(entries)}}}"
    if is_array(value):
        return f"[{', '.join(map(_format_value, value))}]"
    if isinstance(value, str):
        return _format_string(value)
    return cast(items.Item, tomlkit.item(value)).as_string()


def _format_string(text: str) -> str:
    """Format a string; use single quotes for scripts, on several lines if needed."""
    if _SIMPLE_TEXT.fullmatch(text):
        return f'"{text}"'
    literal = _PLAIN_LINES.fullmatch(text) and "'''" not in text and not text.endswith("'")
    if literal and "\n" in text:
        return f"'''\n{text}'''"
    is_literal = bool(literal and '"' in text and "'" not in text)
    return tomlkit.string(text, literal=is_literal).as_string()


class _Dumper(yaml.SafeDumper):
    """YAML dumper that keeps the order, avoids aliases and uses blocks for long text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if not _PLAIN_LINES.fullmatch(text) else "|" if "\n" in text else None
    tag = "tag:yaml.org,2002:str"
    return dumper.represent_scalar(tag, text, style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _represent_text)


def _write_yaml(document: Mapping[str, Any]) -> str:
    plain = {kind: dict(tables) for kind, tables in document.items() if tables}
    return yaml.dump(
        plain,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
