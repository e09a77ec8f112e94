"""Engine shell: `schema.script`, run by `schema.shell` (default /bin/sh) with `-c`.

Parameters arrive as variables `PARAM_<name>`, never pasted into the text; what is no string arrives as JSON.
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
_NAMED = re.compile(r"\$\{?PARAM_([A-Za-z_][A-Za-z0-9_]*)")


def check(schema: Mapping[str, Any], shape: ParameterShape) -> None:
    """script is a text, and every parameter can be a variable."""
    check_text(schema, "script", EXAMPLE)
    if "shell" in schema:
        check_text(schema, "shell", "/bin/bash")
    check_names(shape.properties)


def build(schema: Mapping[str, Any], values: Values) -> Launch:
    """Raises Usage for a parameter whose name cannot be a variable's."""
    check_names([*values.plain, *values.secret])
    return Launch((schema.get("shell", DEFAULT_SHELL), "-c", schema["script"]), values.to_variables(), values.to_references())


def names(schema: Mapping[str, Any]) -> list[str]:
    """The parameters that the script names, as `$PARAM_name` or `${PARAM_name…}`."""
    return _NAMED.findall(str(schema.get("script", "")))


def check_text(schema: Mapping[str, Any], key: str, example: str) -> None:
    """`schema[key]` is a text that a process can be given."""
    value = schema.get(key)
    if not isinstance(value, str) or not value.strip() or "\0" in value or not can_be_argument(value):
        raise Usage(f"schema: {key} must be a text of less than 128K, such as {example}")


def check_names(names: Any) -> None:
    """Every name can be `PARAM_<name>`, or a keyword argument."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise Usage(
                f'parameters: "{truncate(sanitize(name), 40)}" cannot be a variable {PREFIX}…: '
                "use letters, digits and _, no digit first"
            )
