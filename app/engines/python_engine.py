"""Engine python: `schema.callable` ("module:function") or `schema.script`.

`schema.python` is the interpreter, by default the python3 on the task's PATH. A callable gets
parameters as keyword arguments, a script as global variables. Parameters travel in `PARAM_<name>`
(values other than strings as JSON) and are removed from the environment before the code runs.
Taskdeck writes no file before a start and removes none afterwards, and secrets stay out of `ps`.
Imports are resolved from the task's directory and the interpreter; nothing of Taskdeck is on the
path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.core.schema.parameters import ParameterShape
from app.engines.launch import Launch, Values
from app.engines.shell_engine import check_names, check_text
from app.errors import Usage
from app.translation import tr

FIELDS = ("callable", "script", "python")
EXAMPLE = '{ callable = "package.module:function" }'
DEFAULT_PYTHON = "python3"

_CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_PRELUDE = """\
import json, os, sys
def _value(word):
    name, _, kind = word.partition("=")
    text = os.environb.pop(b"PARAM_" + name.encode()).decode("utf-8", "surrogateescape")
    return name, text if kind == "text" else json.loads(text)
target, given = sys.argv[1], dict(map(_value, sys.argv[2:]))
del sys.argv[1:]
"""
CALL_CODE = _PRELUDE + """\
import importlib
module, _, path = target.partition(":")
found = importlib.import_module(module)
for name in path.split("."):
    found = getattr(found, name)
result = found(**given)
if hasattr(result, "__await__"):
    import asyncio
    async def main():
        await result
    asyncio.run(main())
"""  # fmt: skip
SCRIPT_CODE = _PRELUDE + """\
given.update(__name__="__main__", __builtins__=__builtins__)
exec(compile(target, "<script>", "exec"), given)
"""  # fmt: skip


def check(schema: Mapping[str, Any], shape: ParameterShape) -> None:
    """Raise Usage unless the schema has one of callable and script, and valid names."""
    if ("callable" in schema) is ("script" in schema):
        raise Usage(
            "schema: needs exactly one of callable and script, such as {example}",
            example=tr(EXAMPLE),
        )
    for key in schema:
        check_text(schema, key, EXAMPLE)
    if "callable" in schema and not _CALLABLE.fullmatch(schema["callable"]):
        raise Usage('schema: callable must be "module:function"')
    check_names(shape.properties)


def build(schema: Mapping[str, Any], values: Values) -> Launch:
    """Return the launch. Raise Usage for a parameter that cannot be a keyword argument."""
    check_names([*values.plain, *values.secret])
    kinds = {
        name: "text" if isinstance(value, str) else "json" for name, value in values.plain.items()
    }
    words = [
        f"{name}={kind}" for name, kind in (kinds | dict.fromkeys(values.secret, "text")).items()
    ]
    code, target = (
        (CALL_CODE, schema["callable"]) if "callable" in schema else (SCRIPT_CODE, schema["script"])
    )
    return Launch(
        (schema.get("python", DEFAULT_PYTHON), "-c", code, target, *words),
        values.to_variables(),
        values.to_references(),
    )


def map_parameter_names(schema: Mapping[str, Any]) -> dict[str, bool]:
    """Return no names: a callable's parameters are known only where it runs."""
    return {}
