"""Settings of hooks: the section `hooks` of config.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.core.json_types import is_array, is_object
from app.core.maintenance_settings import SettingFault, add_fault, format_unknown_setting
from app.core.text import units
from app.core.text.sanitize import find_name_error
from app.translation import tr

START, END, ALERT = "start", "end", "alert"
KINDS = (START, END, ALERT)
MAX_HOOKS = 8
"""Maximum number of hooks: each runs a program of its own at the same time."""
MAX_TIMEOUT = 600.0
DEFAULT_TIMEOUT = 30.0
_SETTINGS = ("on", "argv", "timeout")
_EXAMPLE = 'Example: on = ["end"] and argv = ["/usr/local/bin/tell"]'


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of the user that runs on events; `timeout` is in seconds."""

    name: str
    on: frozenset[str]
    argv: tuple[str, ...]
    timeout: float = DEFAULT_TIMEOUT


def parse_hooks(value: Any) -> tuple[dict[str, Hook], list[SettingFault]]:
    """Parse the section; return the valid hooks by name, and the faults of the others."""
    faults: list[SettingFault] = []
    if not is_object(value):
        add_fault(faults, ("hooks",), tr("must be tables, such as [hooks.tell]."))
        return {}, faults
    hooks: dict[str, Hook] = {}
    for name, table in value.items():
        before = len(faults)
        hook = _parse_hook(str(name), table, faults)
        if hook and len(faults) == before:
            hooks[hook.name] = hook
        else:
            first = faults[before]
            text = tr("{fault} The hook does not run.", fault=first.message)
            faults[before] = first._replace(message=text)
    for name in list(hooks)[MAX_HOOKS:]:
        add_fault(
            faults,
            ("hooks", name),
            tr("there are more than {max_hooks} hooks.", max_hooks=MAX_HOOKS),
        )
        del hooks[name]
    return hooks, faults


def _parse_hook(name: str, table: Any, faults: list[SettingFault]) -> Hook | None:
    where = ("hooks", name)
    if wrong := find_name_error(name):
        add_fault(faults, where, tr("the name {wrong}.", wrong=wrong))
    if not is_object(table):
        add_fault(faults, where, tr("must be a table, such as [hooks.tell]."), _EXAMPLE)
        return None
    for key in table:
        if key not in _SETTINGS:
            add_fault(faults, (*where, str(key)), format_unknown_setting(str(key), _SETTINGS))
    on, argv = table.get("on"), table.get("argv")
    if not is_array(on) or not on or any(kind not in KINDS for kind in on):
        add_fault(
            faults,
            (*where, "on"),
            tr("must be a list of {kinds}.", kinds=", ".join(KINDS)),
            _EXAMPLE,
        )
    if not _is_argv(argv):
        add_fault(faults, (*where, "argv"), tr("must be a program with its arguments."), _EXAMPLE)
    timeout = DEFAULT_TIMEOUT
    try:
        timeout = _parse_timeout(table.get("timeout", f"{DEFAULT_TIMEOUT:.0f}s"))
    except ValueError as error:
        add_fault(faults, (*where, "timeout"), f"{error}.")
    try:
        return Hook(name, frozenset(on or ()), tuple(argv or ()), timeout)
    except TypeError:  # told above
        return None


def _is_argv(value: Any) -> bool:
    if not is_array(value) or not value or not value[0]:
        return False
    return all(isinstance(word, str) and "\0" not in word for word in value)


def _parse_timeout(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(tr("must be a duration such as 10s"))
    seconds = units.parse_duration(str(value))
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError(
            tr("must be more than 0 and at most {max_timeout:.0f}m", max_timeout=MAX_TIMEOUT / 60)
        )
    return seconds
