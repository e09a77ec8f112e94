"""Equivalent shell commands: the words of `taskdeck submit`, with quoting."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.dependency_kinds import AFTER_FIELDS, FAILURES
from app.core.scheduling.resources import format_named_option
from app.core.schema.parameters import parse_typed
from app.core.text.sanitize import sanitize
from app.core.text.units import format_number

_OPTIONS = (
    ("name", "-n"), ("queue", "-q"), ("priority", "-P"), ("timeout", "-t"), ("cpu", "--cpu"),
    ("memory", "--memory"),
    ("retries", "--retries"), ("retry_delay", "--retry-delay"), ("grace", "--grace"),
    ("signal", "--signal"), ("output", "--output"), ("error", "--error"),
    ("retry_on_oom", "--retry-on-oom"),
    ("log_limit", "--log-limit"), ("notify", "--notify"), ("notify_on", "--notify-on"),
    ("at", "--at"), ("cwd", "-C"),
)  # fmt: skip
_SECONDS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MIB = ((1024, "G"), (1, "M"))


def build_submit_words(spec: Mapping[str, Any]) -> list[str]:
    """Return the `taskdeck submit` words for a specification (a task of verb `submit`).

    Secrets are masked already: by the form, which knows the schema, or by the runtime.
    """
    words = ["taskdeck", "submit"]
    if spec.get("template"):
        words.append(str(spec["template"]))
    for name, option in _OPTIONS:
        if spec.get(name) not in (None, ""):
            words += [option, str(spec[name])]
    words += [
        word
        for name, amount in sorted((spec.get("resources") or {}).items())
        for word in format_named_option(name, amount).split()
    ]
    for name in AFTER_FIELDS:
        option = f"--{name.replace('_', '-')}"
        words += [word for ident in spec.get(name) or () for word in (option, str(ident))]
    words += [
        word
        for key, value in (spec.get("tags") or {}).items()
        for word in ("--tag", f"{key}={value}")
    ]
    words += ["--hold"] if spec.get("hold") else []
    words += ["--stdin"] if spec.get("stdin") else []
    words += ["--split"] if spec.get("split") and not spec.get("error") else []
    return words + _build_parameter_words(spec) + _build_command_words(spec)


def quote_words(words: Sequence[str]) -> str:
    """Quote words as one sanitized line that a shell splits into the same words."""
    return " ".join(sanitize(shlex.quote(word)) for word in words)


def format_typed_value(value: Any) -> str:
    """Return a parameter value as typed: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def format_launch(launch: Mapping[str, Any]) -> str:
    """Return a task's command as typed: quoted argv, or the script on one line."""
    if launch.get("argv"):
        return quote_words([str(word) for word in launch["argv"]])
    return sanitize(str(launch.get("script") or "").strip().replace("\n", "; "))


def build_spec_from_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Build the specification that submits a task again, from its row."""
    spec: dict[str, Any] = {
        "name": task["name"],
        "queue": task["queue"],
        "cwd": task["cwd"],
        "tags": task.get("tags"),
    }
    if task.get("template"):
        spec |= {"template": task["template"], "parameters": task.get("parameters")}
    else:
        spec |= _pick_fields(task.get("launch") or {}, "argv", "script")
    return spec | _list_resources(task)


def build_repeat_words(task: Mapping[str, Any]) -> list[str]:
    """Return the `taskdeck submit` words that submit a task again, from the answer of `show`.

    Variables of `--env` are left out: the answer does not contain them.
    """
    parents = task.get("parents") or ()
    after = {
        field: [
            parent["number"]
            for parent in parents
            if ("failure" if parent["kind"] == FAILURES else parent["kind"]) == kind
        ]
        for field, kind in AFTER_FIELDS.items()
    }
    return build_submit_words(
        build_spec_from_task(task)
        | after
        | {
            name: _format_exact(task[name], _SECONDS)
            for name, usual in (("retry_delay", 1.0), ("grace", 5.0))
            if task.get(name) not in (None, usual)
        }
        | _pick_notice(task.get("notify"))
        | ({"log_limit": _format_exact(task["log_limit"], _MIB)} if task.get("log_limit") else {})
    )


def _pick_notice(notice: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options about who hears of the end of a task, unless it is by default."""
    if not notice or notice["default"]:
        return {}
    channel = {"notify": notice["channel"]} if notice["channel"] else {}
    return channel | ({"notify_on": notice["on"]} if notice["on"] != "ended" else {})


def _list_resources(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return requested resources that differ from the defaults."""
    resources: dict[str, Any] = {
        "priority": task["priority"] or None,
        "retries": task["retries"] or None,
    }
    resources["timeout"] = _format_exact(task["timeout"], _SECONDS) if task["timeout"] else None
    resources |= {"signal": task.get("early_signal"), "output": task.get("output")}
    resources |= {name: task.get(name) for name in ("error", "retry_on_oom")}
    resources["cpu"] = format_number(task["cpu"]) if task["cpu"] != 1 else None
    resources["memory"] = _format_exact(task["memory"], _MIB) if task["memory"] else None
    resources["resources"] = task.get("resources") or None
    return resources


def _format_exact(number: float, units: Sequence[tuple[int, str]]) -> str:
    """Format an amount exactly, in the largest unit."""
    size, unit = next((size, unit) for size, unit in units if size == 1 or number % size == 0)
    return f"{format_number(number / size)}{unit}"


def _pick_fields(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for name in names if found.get(name)}


def _build_parameter_words(spec: Mapping[str, Any]) -> list[str]:
    found = [
        *(f"{name}={text}" for name, text in spec.get("parameter_texts") or ()),
        *(
            _format_parameter(str(name), value)
            for name, value in (spec.get("parameters") or {}).items()
        ),
    ]
    return [word for text in found for word in ("-p", text)]


def _format_parameter(name: str, value: Any) -> str:
    """Return `NAME=TEXT` for unambiguous text, else `NAME:=JSON`."""
    if isinstance(value, str) and parse_typed(value, _ANY_TYPE) == value:
        return f"{name}={value}"
    return f"{name}:={json.dumps(value, ensure_ascii=False)}"


_ANY_TYPE = frozenset(("string", "integer", "number", "boolean", "null", "array", "object"))


def _build_command_words(spec: Mapping[str, Any]) -> list[str]:
    if spec.get("script"):
        return ["-c", str(spec["script"])]
    return ["--", *map(str, spec["argv"])] if spec.get("argv") else []
