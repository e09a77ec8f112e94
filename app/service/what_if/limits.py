"""Supposed limits of tags and groups: other amounts, checked as by `limit set`.

The forecast knows which tasks a limit bounds only for limits that exist, so a new one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.definitions.document import LimitDefinition, validate_definition
from app.core.scheduling.limits import (
    RUNNING,
    Limits,
    find_name,
    format_subject,
    make_group_subject,
)
from app.core.task_groups import parse_group
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import NotFound, Usage
from app.service.what_if.settings import NOT_DONE, RESOURCES, SettingStep, list_options
from app.translation import tr

Supposed = Mapping[str, Mapping[str, Any]]
"""{limit: {"running", "cpu", "memory", "resources"}}, those that change."""


def change_limits(limits: Limits, given: Supposed) -> Limits | None:
    """Return all limits with the changes, or None without any. Raise Problem."""
    changed = {
        name: {**limits.get(name, {}), **_to_amounts(values)}
        for name, values in _resolve(limits, given).items()
    }
    return {**limits, **changed} if changed else None


def list_steps(limits: Limits, given: Supposed) -> list[SettingStep]:
    """Return the verbs that change these limits."""
    return [_make_step(name, values) for name, values in _resolve(limits, given).items()]


def _resolve(limits: Limits, given: Supposed) -> dict[str, dict[str, Any]]:
    """Return the checked values by the limits of the home. Raise Problem for an unknown one."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in given.items():
        group = None if find_name(limits, name) else parse_group(name)
        subject = name if group is None else make_group_subject(group)
        if find_name(limits, subject) is None:
            raise _make_unknown(limits, name, group is not None)
        if group is not None and values.keys() - {"running"}:
            raise Usage(
                "group {name} has no limit but running. {not_done}",
                name=name,
                not_done=tr(NOT_DONE),
            )
        checked = validate_definition(LimitDefinition, dict(values)).model_dump(exclude_none=True)
        found[subject] = checked
    return found


def _make_unknown(limits: Limits, name: str, is_group: bool) -> NotFound:
    known = sorted(map(format_subject, limits))
    near = find_nearest(name, known) or find_nearest(name.partition("=")[0], known)
    option = "set g12 --max-running 4" if is_group else "limit set team=a --running 4"
    return NotFound(
        'there is no limit "{name}", and what-if changes only existing limits.{advice} {not_done}',
        "To set one: taskdeck {option}",
        name=truncate(sanitize(name), 60),
        advice=f" Nearest: {sanitize(near)}." if near else "",
        not_done=tr(NOT_DONE),
        option=option,
    )


def _to_amounts(values: Mapping[str, Any]) -> dict[str, float]:
    found = {RUNNING if name == "running" else name: amount for name, amount in values.items()}
    named = found.pop(RESOURCES, {})
    return {name: float(amount) for name, amount in {**found, **named}.items()}


def _make_step(subject: str, values: Mapping[str, Any]) -> SettingStep:
    name = format_subject(subject)
    if name != subject:
        most = values["running"]
        command = ("taskdeck", "set", name, "--max-running", str(most))
        return SettingStep("group.set", {"id": name, "max_running": most}, command)
    command = ("taskdeck", "limit", "set", name, *list_options(values))
    return SettingStep("limit.set", {"name": name, **values}, command)
