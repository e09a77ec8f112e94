"""A task that is being written in the form: its texts as typed, and the specification they stand for. Pure.

The command is split as a shell would split it, but no shell runs it: signs that mean something to a shell are told.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.core import amounts
from app.core.clean import clean, nearest, valid_name

KINDS = ("command", "shell", "template")
FIELDS = ("name", "queue", "priority", "cpu", "memory", "timeout", "retries", "retry_delay", "after", "at", "cwd")
_SIGNS = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?P<sign>&&|\|\||>>|[|<>;&`*?]|\$[({\w])""", re.S)


@dataclass(frozen=True, slots=True)
class Draft:
    """What was typed. `values` holds the texts of FIELDS.

    `parameters` holds, by template, the texts of its parameters that are not just their defaults.
    """

    kind: str = "command"
    command: str = ""
    script: str = ""
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    hold: bool = False
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """The text of a field, blanks around it taken off."""
        return self.values.get(name, "").strip()

    def given(self) -> dict[str, str]:
        """The parameters of the chosen template that were filled in."""
        return dict(self.parameters.get(self.template, {}))

    def with_value(self, name: str, text: str) -> Draft:
        """The same with another text in one field."""
        return replace(self, values={**self.values, name: text})

    def with_parameter(self, name: str, text: str) -> Draft:
        """The same with another text for one parameter of the chosen template."""
        own = {**self.parameters.get(self.template, {}), name: text}
        if not text:
            del own[name]
        return replace(self, parameters={**self.parameters, self.template: own})


def spec(draft: Draft) -> dict[str, Any]:
    """The specification as the verb `submit` takes it. Raises ValueError when the command cannot be split."""
    found: dict[str, Any] = {name: draft.value(name) for name in FIELDS if draft.value(name) and name != "after"}
    if "cwd" in found:
        found["cwd"] = os.path.expanduser(found["cwd"])
    if draft.kind == "command":
        found["argv"] = words(draft.command)
    elif draft.kind == "shell":
        found["script"] = draft.script
    else:
        found["template"] = draft.template
        found["parameter_texts"] = [[name, text] for name, text in draft.given().items()]
    if draft.value("after"):
        found["after"] = draft.value("after").replace(",", " ").split()
    return found | ({"hold": True} if draft.hold else {})


def words(command: str) -> list[str]:
    """The words of a command. Raises ValueError when a quotation mark has no partner."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"Command: {str(error)[:1].lower()}{str(error)[1:]}") from None


def shell_signs(command: str) -> list[str]:
    """The signs in a command, outside quotes, that a shell would act on, each once."""
    found = [match["sign"] for match in _SIGNS.finditer(command) if match["sign"]]
    return list(dict.fromkeys(sign[0] if sign[0] == "$" else sign for sign in found))


def faults(draft: Draft, base: str, now: datetime) -> list[str]:
    """What is wrong with the fields, a sentence each; what only the runtime knows is not among it."""
    found = [text for text in (_command_fault(draft), _cwd_fault(draft, base), _name_fault(draft)) if text]
    for name, label, parse in _PARSERS:
        found += _fault(label, draft.value(name), parse)
    return found + _fault("Start at", draft.value("at"), lambda text: amounts.parse_time(text, now))


def _fault(label: str, text: str, parse: Callable[[str], object]) -> list[str]:
    if not text:
        return []
    try:
        parse(text)
    except ValueError as error:
        return [f"{label} {error}"]
    return []


_PARSERS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("priority", "Priority", lambda text: amounts.parse_int(text, -1_000_000, 1_000_000)),
    ("cpu", "CPU", amounts.parse_cpu),
    ("memory", "Memory", amounts.parse_size),
    ("timeout", "Timeout", amounts.parse_duration),
    ("retries", "Retries", lambda text: amounts.parse_int(text, 0, 10_000)),
    ("retry_delay", "every", amounts.parse_duration),
)


def _command_fault(draft: Draft) -> str:
    if draft.kind == "template":
        return "" if draft.template else "Choose a template."
    if draft.kind == "shell":
        return "" if draft.script.strip() else "Shell text is empty."
    try:
        return "" if words(draft.command) else "Command is empty."
    except ValueError as error:
        return str(error)


def _name_fault(draft: Draft) -> str:
    name = draft.value("name")
    return f"Name {wrong}" if name and (wrong := valid_name(name)) else ""


def _cwd_fault(draft: Draft, base: str) -> str:
    if not draft.value("cwd"):
        return ""
    path = os.path.join(base, os.path.expanduser(draft.value("cwd")))
    if os.path.isdir(path):
        return ""
    near = nearest_directory(path)
    shown = clean(path)
    what = "is no directory" if os.path.exists(path) else "does not exist"
    return f"In: {shown} {what}." + (f" Did you mean {clean(near)}?" if near else "")


def nearest_directory(path: str) -> str | None:
    """The directory that was probably meant, beside one that does not exist."""
    parent, name = os.path.split(path.rstrip("/"))
    try:
        with os.scandir(parent) as entries:
            beside = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return None
    near = nearest(name, beside)
    return os.path.join(parent, near) if near else None


def prefill(schema: Mapping[str, Any], kinds: frozenset[str]) -> str:
    """The text that a parameter's field begins with: its default, as it would be typed."""
    if "default" not in schema:
        return ""
    default = schema["default"]
    return default if isinstance(default, str) and "string" in kinds else json.dumps(default, ensure_ascii=False)
