"""Engine exec: a program and its arguments, without a shell.

`{{ name }}` inside an element of `schema.argv` is replaced by the value of that parameter. Other
braces stay, nothing is split or expanded, and values are not scanned again. An element that names a
missing parameter is omitted, so write `--width={{ width }}` instead of two elements. The program
itself must not depend on an optional parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.core.schema.parameters import ParameterShape, as_text
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.engines.launch import Launch, Values
from app.errors import Usage
from app.translation import tr

FIELDS = ("argv",)
EXAMPLE = '{ argv = ["gzip", "{{ file }}"] }'

_PLACEHOLDER = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*\}\}")


def check(schema: Mapping[str, Any], shape: ParameterShape) -> None:
    """Raise Usage unless argv is a list of strings whose placeholders are parameters."""
    argv = schema.get("argv")
    if (
        not isinstance(argv, list)
        or not argv
        or not all(isinstance(word, str) for word in argv)
        or not argv[0]
    ):
        raise Usage(
            "schema: argv must be a list of strings that begins with a program, such as {example}",
            example=tr(EXAMPLE),
        )
    if any("\0" in word for word in argv):
        raise Usage("schema: argv contains a NUL character, which no process accepts")
    for name in _iter_names(argv):
        if name not in shape.properties:
            near = find_nearest(name, shape.properties)
            hint = (
                f" Nearest: {sanitize(near)}."
                if near
                else tr(" Declare it under parameters, properties.")
            )
            raise Usage(
                'schema: argv names "{name}", which is not a parameter.{advice}',
                name=truncate(sanitize(name), 40),
                advice=hint,
            )
    for name in _iter_names(argv[:1]):
        if name not in shape.required and "default" not in shape.properties[name]:
            raise Usage(
                "schema: argv begins with {name}, which may be missing: make it required",
                name=sanitize(name),
            )


def build(schema: Mapping[str, Any], values: Values) -> Launch:
    """Return the launch.

    Raise Usage for a secret: every user of a machine can read arguments of processes.
    """
    for name in _iter_names(schema["argv"]):
        if name in values.secret:
            raise Usage(
                "{name} is a secret, but arguments are public. Use engine shell or python.",
                name=sanitize(name),
            )
    words = (
        word for word in schema["argv"] if all(name in values.plain for name in _iter_names([word]))
    )
    return Launch(
        tuple(
            _PLACEHOLDER.sub(lambda found: as_text(values.plain[found[1]]), word) for word in words
        )
    )


def map_parameter_names(schema: Mapping[str, Any]) -> dict[str, bool]:
    """Return the parameters that argv names; all are required (True)."""
    words = [word for word in schema.get("argv", ()) if isinstance(word, str)]
    return dict.fromkeys(_iter_names(words), True)


def _iter_names(argv: list[str]) -> Iterator[str]:
    return (found[1] for word in argv for found in _PLACEHOLDER.finditer(word))
