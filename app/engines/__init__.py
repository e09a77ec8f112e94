"""Engine registry: turns a template's schema and parameters into a launch.

An engine is a module with `FIELDS` (the keys of its schema), `check(schema, shape)` (validate the
schema for these parameters), `names(schema)` (the parameters it names) and `build(schema, values)`.
`exec` passes parameters as arguments, `shell` and `python` as `PARAM_<name>`. The keeper starts all
launches alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from app.core.schema import parameters
from app.core.schema.secrets import get_secret_reference
from app.core.text.sanitize import MASK, find_nearest, sanitize, truncate
from app.engines import exec_engine, python_engine, shell_engine
from app.engines.launch import Launch, Values
from app.errors import Usage
from app.translation import tr

__all__ = [
    "ENGINES",
    "Launch",
    "build_environment",
    "check_template",
    "make_launch",
    "make_masked_argv",
]

ENGINES: Mapping[str, ModuleType] = {
    "exec": exec_engine,
    "shell": shell_engine,
    "python": python_engine,
}


def check_template(engine: str, schema: Any, parameter_schema: Mapping[str, Any]) -> None:
    """Raise Usage for an invalid template, with the name of the faulty key."""
    if engine not in ENGINES:
        raise Usage(
            "engine must be {engines}, not {engine}",
            engines=_join_or(ENGINES),
            engine=_quote(engine),
        )
    if not isinstance(schema, Mapping):
        raise Usage("schema: must be a table, such as {example}", example=ENGINES[engine].EXAMPLE)
    for key in schema:
        if key not in ENGINES[engine].FIELDS:
            near = find_nearest(str(key), ENGINES[engine].FIELDS)
            raise Usage(
                "schema: engine {engine} has no {key}{advice}",
                engine=engine,
                key=_quote(key),
                advice=tr(". Nearest: {near}", near=near) if near else "",
            )
    ENGINES[engine].check(schema, parameters.read_shape(parameter_schema))


def derive_parameters(engine: str, schema: Any) -> dict[str, Any]:
    """Return the parameter schema of a template without one.

    Each parameter named by its command or script is text, and required unless a script gives it a
    default.
    """
    if engine not in ENGINES or not isinstance(schema, Mapping):
        return {}
    names = ENGINES[engine].map_parameter_names(schema)
    found = {name: {"type": "string"} for name in names}
    required = [name for name, is_required in names.items() if is_required]
    return {"type": "object", "required": required, "properties": found} if found else {}


def make_launch(
    engine: str,
    schema: Mapping[str, Any],
    given: Mapping[str, Any],
    declared: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the launch of a task as stored: {"argv", "env", "secrets"}.

    `given` are resolved parameters. `declared` is the parameter schema of a template; None means a
    plain command, whose environment stays unchanged. Raise Usage if a value cannot be passed, or if
    all values together are too long.
    """
    secret = {
        name: reference
        for name, value in given.items()
        if (reference := get_secret_reference(value))
    }
    plain = {name: value for name, value in given.items() if name not in secret}
    made: Launch = ENGINES[engine].build(schema, Values(plain, secret))
    return (
        (made if declared is not None else replace(made, env=made.env or None))
        .check_size()
        .to_dict()
    )


def make_masked_argv(
    engine: str, schema: Mapping[str, Any], masked: Mapping[str, Any]
) -> list[str]:
    """Return the arguments of a launch to show, built from masked parameters."""
    mask_in_json = json.dumps(MASK)[1:-1]
    words = ENGINES[engine].build(schema, Values(masked)).argv
    return [word.replace(mask_in_json, MASK) for word in words]


def build_environment(launch: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one run: those of the submitter, parameters and secrets.

    Secrets are read only now. Raise Refused if one is missing.
    """
    return Launch.from_dict(launch).build_environment(base)


def _join_or(words: Iterable[str]) -> str:
    *first, last = words
    return tr("{first} or {last}", first=", ".join(first), last=last)


def _quote(word: Any) -> str:
    return f'"{truncate(sanitize(str(word)), 40)}"'
