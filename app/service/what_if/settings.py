"""Supposed settings: `pool.gpu.resources.gpu=10`, `queue.night.capacity=4`, `task.12.priority=5`.

Keys are spelled as in definitions files, and values are checked as by the commands that set them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.core.scheduling.open_times import ALWAYS
from app.core.scheduling.resources import check_name, format_named_option
from app.core.text import units
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage
from app.service.definitions import queues
from app.service.definitions.bookings import parse_moment
from app.service.tasks.changes import actions
from app.service.tasks.changes.option_values import COUNT, TOTAL, validate
from app.translation import tr
from db import timestamps

RESOURCES, GPU = "resources", "gpu"
FIELDS: Mapping[str, Sequence[str]] = {
    "pool": ("cpu", "memory", RESOURCES),
    "queue": ("capacity", "priority", "pool", "open"),
    "task": ("priority", "queue", "cpu", "memory", "timeout", RESOURCES),
    "resource": ("total",),
    "limit": ("running", "cpu", "memory", RESOURCES),
    "reservation": ("from", "to", "cpu", "memory", RESOURCES),
}
"""Settings of each kind that change a forecast. `resources` is followed by a name."""
_SAME = {"total_cpu": "cpu", "total_memory": "memory"}
"""Spelling in definitions files of settings that commands name otherwise."""
EXAMPLES = "pool.NAME.cpu=16, pool.NAME.resources.gpu=8, queue.NAME.capacity=4, task.12.priority=5"
NOT_DONE = "Nothing was changed."


class Setting(NamedTuple):
    """One supposed value: what it belongs to, its field, and the resource of `resources`."""

    kind: str
    name: str
    field: str
    resource: str
    value: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked values by name; the times of bookings remain texts."""

    pools: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    queues: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    resources: dict[str, int] = field(default_factory=dict[str, int])
    bookings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    limits: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def parse_settings(texts: Sequence[str]) -> Settings:
    """Return the values of `KEY=VALUE` texts. Raise Usage."""
    found = Settings()
    known: set[tuple[str, ...]] = set()
    for text in texts:
        one = _parse_setting(text)
        if one[:4] in known:
            raise Usage(
                "{setting} is given twice. {not_done}",
                setting=units.quote(_split(text)[0]),
                not_done=tr(NOT_DONE),
            )
        known.add(one[:4])
        _add(found, one)
    return found


def _split(text: str) -> tuple[str, str, str]:
    """Split KEY=VALUE. The key of a limit may have a `=` itself: `limit.team=a.running=4`."""
    is_limit = text.strip().startswith(("limit.", "limits."))
    return text.rpartition("=") if is_limit else text.partition("=")


def _parse_setting(text: str) -> Setting:
    key, is_given, value = _split(text)
    if not is_given or not key:
        raise Usage(
            "{said} is no setting: write KEY=VALUE. {not_done}",
            "Keys: {example}",
            said=units.quote(text),
            not_done=tr(NOT_DONE),
            example=tr(EXAMPLES),
        )
    word, _, rest = key.strip().partition(".")
    kind = word.removesuffix("s")
    if kind not in FIELDS:
        near = find_nearest(word, [*FIELDS, *(f"{kind}s" for kind in FIELDS)])
        raise Usage(
            "nothing to suppose is called {word}.{advice} {not_done}",
            "Keys: {example}",
            word=units.quote(word),
            advice=f" Nearest: {near}." if near else "",
            not_done=tr(NOT_DONE),
            example=tr(EXAMPLES),
        )
    name, resource = rest, ""
    if RESOURCES in FIELDS[kind] and f".{RESOURCES}." in rest:
        name, _, resource = rest.partition(f".{RESOURCES}.")
        given = RESOURCES
    else:
        name, _, given = rest.rpartition(".")
    given = _SAME.get(given, given) if kind == "pool" else given
    if given == GPU and RESOURCES in FIELDS[kind]:  # as the options of commands
        given, resource = RESOURCES, GPU
    if given not in FIELDS[kind] or not name or (given == RESOURCES) is not bool(resource):
        raise _make_unknown_field(kind, given, key)
    return Setting(kind, _unquote(name), given, _unquote(resource), value.strip())


def _unquote(text: str) -> str:
    """Return a name without the quotes that TOML needs around dots."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _make_unknown_field(kind: str, given: str, key: str) -> Usage:
    known = [f"{RESOURCES}.NAME" if one == RESOURCES else one for one in FIELDS[kind]]
    near = find_nearest(given, FIELDS[kind])
    shown = truncate(sanitize(key), 60)
    meant = f" Nearest: {near}." if near and near != given else ""
    return Usage(
        '"{shown}" is no setting of a {kind} that a forecast depends on.{meant} {not_done}',
        "Settings of a {kind}: {known}",
        shown=shown,
        kind=kind,
        meant=meant,
        not_done=tr(NOT_DONE),
        known=", ".join(f"{kind}.NAME.{one}" for one in known),
    )


def _add(found: Settings, one: Setting) -> None:
    if one.kind == "resource":
        found.resources[one.name] = validate("total", TOTAL, one.value)
        return
    values = {
        "pool": found.pools, "queue": found.queues, "task": found.tasks,
        "reservation": found.bookings, "limit": found.limits,
    }[one.kind]  # fmt: skip
    mine = values.setdefault(one.name, {})
    parse = actions.parse_field if one.kind == "task" else queues.parse_value
    if one.field in ("from", "to"):
        parse_moment(one.field, one.value, timestamps.utcnow(), NOT_DONE)
        mine[one.field] = one.value
        return
    if one.field == "open":
        mine[one.field] = parse(one.field, one.value) or ALWAYS
        return
    if one.field == "running":
        mine[one.field] = validate("running", COUNT, one.value)
        return
    if one.field != RESOURCES:
        mine[one.field] = parse(one.field, _read_value(one))
        return
    amount = int(one.value) if one.value.isascii() and one.value.isdigit() else one.value
    mine.setdefault(RESOURCES, {}).update(parse(RESOURCES, {one.resource: amount}))


def _read_value(one: Setting) -> str | None:
    return None if one.field == "timeout" and one.value == "none" else one.value


class SettingStep(NamedTuple):
    """A verb that would make a change, with the equivalent command; "" if there is none."""

    verb: str
    args: dict[str, Any]
    command: tuple[str, ...]


def list_options(values: Mapping[str, Any]) -> list[str]:
    """Return values as options of a command: `--cpu 16 --gpu 10`."""
    words: list[str] = []
    for name, value in values.items():
        if name == RESOURCES:
            for resource, amount in value.items():
                words += format_named_option(check_name(resource), amount).split(" ")
        else:
            words += [f"--{name.replace('_', '-')}", _format_value(name, value)]
    return words


def _format_value(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == "memory":
        return f"{units.format_number(value)}M"
    if name == "timeout":
        return f"{units.format_number(value)}s"
    return units.format_number(value) if isinstance(value, float) else str(value)


def list_steps(found: Settings) -> list[SettingStep]:
    """Return the verbs that make these settings, in the order in which they depend on others."""
    steps = [
        SettingStep(
            "resource.set",
            {"name": name, "total": total},
            ("taskdeck", "resource", "set", name, "--total", str(total)),
        )
        for name, total in found.resources.items()
    ]
    for kind, values in (("pool", found.pools), ("queue", found.queues)):
        steps += [
            SettingStep(
                f"{kind}.set", {"name": name, **given}, ("taskdeck", kind, "set", name, *words)
            )
            for name, given in values.items()
            if (words := list_options(given))
        ]
    return steps + [
        SettingStep("set", {"ids": [task], "fields": given}, ("taskdeck", "set", task, *words))
        for task, given in found.tasks.items()
        if (words := list_options(given))
    ]
