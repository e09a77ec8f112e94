"""Engine shell: `schema.script`, run by `schema.shell` (default /bin/sh) with `-c`.

Parameters are passed as variables `PARAM_<name>` and never inserted into the text; values other
than strings are JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.core.schema.parameters import ParameterShape, can_be_argument
from app.core.text.sanitize import sanitize, truncate
from app.engines.launch import PREFIX, Launch, Values
from app.errors import Usage

FIELDS = ("script", "shell")
EXAMPLE = """{ script = 'gzip "$PARAM_file"' }"""
DEFAULT_SHELL = "/bin/sh"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMED = re.compile(r"\$(\{)?PARAM_([A-Za-z_][A-Za-z0-9_]*)(:?[-+])?")
"""A use of a parameter; in braces, it may be followed by `:-` and a default."""


def check(schema: Mapping[str, Any], shape: ParameterShape) -> None:
    """Raise Usage unless the script is text and parameters are valid variable names."""
    check_text(schema, "script", EXAMPLE)
    if "shell" in schema:
        check_text(schema, "shell", "/bin/bash")
    check_names(shape.properties)


def build(schema: Mapping[str, Any], values: Values) -> Launch:
    """Return the launch. Raise Usage for a parameter that cannot be a variable."""
    check_names([*values.plain, *values.secret])
    return Launch(
        (schema.get("shell", DEFAULT_SHELL), "-c", schema["script"]),
        values.to_variables(),
        values.to_references(),
    )


def map_parameter_names(schema: Mapping[str, Any]) -> dict[str, bool]:
    """Return {name: required} of the parameters that the script names.

    `${PARAM_name:-default}` does not require the parameter; `$PARAM_name` does.
    """
    names: dict[str, bool] = {}
    for brace, name, default in _NAMED.findall(str(schema.get("script", ""))):
        names[name] = names.get(name, False) or not (brace and default)
    return names


def check_text(schema: Mapping[str, Any], key: str, example: str) -> None:
    """Raise Usage unless `schema[key]` is text that a process accepts."""
    value = schema.get(key)
    if (
        not isinstance(value, str)
        or not value.strip()
        or "\0" in value
        or not can_be_argument(value)
    ):
        raise Usage(
            "schema: {key} must be text of less than 128K, such as {example}",
            key=key,
            example=example,
        )


def check_names(names: Any) -> None:
    """Raise Usage unless all names can be `PARAM_<name>` or keyword arguments."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise Usage(
                'parameters: "{name}" cannot be a variable {prefix}…: use letters, digits'
                " and _, no digit first, or engine exec, which takes any name",
                name=truncate(sanitize(name), 40),
                prefix=PREFIX,
            )
