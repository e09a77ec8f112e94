"""Actions of rules: what is done when an alert fires, is resolved, acknowledged or escalated.

The stored form is a list of objects without defaults, with durations in seconds. The empty object
of older rules means no actions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from app.core.json_types import is_array, is_object
from app.core.notifications.channels import find_reference_error
from app.core.task_spec import NameStr, Priority, TaskSpec, describe_error
from app.core.text.joining import join_and
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.core.text.units import format_duration_setting, parse_positive_duration, quote
from app.translation import tr

EVENTS = ("firing", "resolved", "acknowledged", "escalated")
KINDS = (
    "notify", "webhook", "command", "submit", "pause_queue", "resume_queue", "cancel", "retry",
    "set_priority", "snapshot",
)  # fmt: skip
"""Kinds of actions. Each action has exactly one of these keys."""
MAX_ACTIONS = 20
MIN_REPEAT = 60.0
"""Shortest time between two messages about the same alert, in seconds."""
_DURATIONS = ("after", "repeat_every")
_URL = re.compile(r"https?://[^\s/?#]+\S*")


def _parse_seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(tr("must be a duration such as 10m"))
    return parse_positive_duration(str(value))


def _parse_repeat(value: Any) -> float:
    seconds = _parse_seconds(value)
    if seconds < MIN_REPEAT:
        raise ValueError(
            tr("must be at least {duration}", duration=format_duration_setting(MIN_REPEAT))
        )
    return seconds


def _check_url(value: Any) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise ValueError(tr("must be a URL that begins with https:// or http://"))
    return value


def _check_secret(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("{") or not value.endswith("}"):
        raise ValueError(tr("must be a reference, {env:NAME} or {file:/path}"))
    if wrong := find_reference_error(value):
        raise ValueError(wrong)
    return value


def _check_argv(value: Any) -> list[str]:
    if (
        not is_array(value)
        or not value
        or not all(isinstance(one, str) and one and "\0" not in one for one in value)
    ):
        raise ValueError(
            tr('must be a program with its arguments, such as ["logger", "-t", "deck"]')
        )
    return list(value)


def _check_submit(value: Any) -> dict[str, Any]:
    if not is_object(value) or not ("template" in value) ^ ("argv" in value):
        raise ValueError(
            tr('must be a table with template or argv, such as { template = "repair" }')
        )
    task = {str(key): one for key, one in value.items()}
    try:
        TaskSpec.model_validate(task)
    except ValidationError as error:
        raise ValueError(tr("is no task: {error}", error=describe_error(error))) from None
    return task


class Action(BaseModel):
    """One action of a rule: when, what, and how often."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    on: Literal["firing", "resolved", "acknowledged", "escalated"] = "firing"
    notify: NameStr | None = None
    webhook: Annotated[str, BeforeValidator(_check_url)] | None = None
    secret: Annotated[str, BeforeValidator(_check_secret)] | None = None
    command: Annotated[list[str], BeforeValidator(_check_argv)] | None = None
    submit: Annotated[dict[str, Any], BeforeValidator(_check_submit)] | None = None
    pause_queue: NameStr | None = None
    resume_queue: NameStr | None = None
    cancel: Literal[True] | None = None
    retry: Literal[True] | None = None
    set_priority: Priority | None = None
    snapshot: Literal[True] | None = None
    after: Annotated[float, BeforeValidator(_parse_seconds)] | None = None
    repeat_every: Annotated[float, BeforeValidator(_parse_repeat)] | None = None
    max: Annotated[int, Field(ge=1, le=1000)] | None = None
    dry_run: bool = False

    @model_validator(mode="after")
    def check_kinds(self) -> Action:
        """Raise ValueError unless the keys go together."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = tr(", not {given}", given=join_and(given)) if given else ""
            raise ValueError(tr("needs one of {kinds}{found}", kinds=", ".join(KINDS), found=found))
        if self.secret is not None and self.webhook is None:
            raise ValueError(tr("secret goes with webhook"))
        if self.repeat_every is not None and self.on != "firing":
            raise ValueError(tr('repeat_every goes with on = "firing"'))
        return self


def normalize_actions(value: Any) -> list[dict[str, Any]] | dict[str, Any]:
    """Return actions in stored form. Raise ValueError with the path of the mistake."""
    if is_object(value) and not value:
        return {}
    if not is_array(value):
        raise ValueError(tr('actions must be a list, such as [{ on = "firing", notify = "ops" }]'))
    if len(value) > MAX_ACTIONS:
        raise ValueError(
            tr(
                "actions must be at most {max_actions}, not {n}",
                max_actions=MAX_ACTIONS,
                n=len(value),
            )
        )
    found = [_parse_action(one, at) for at, one in enumerate(value)]
    return [_store(action) for action in found] or {}


def _store(action: Action) -> dict[str, Any]:
    stored = action.model_dump(exclude_none=True, exclude_defaults=True)
    return {"on": action.on} | stored


def format_actions(actions: Any) -> Any:
    """Return stored actions as a definitions file has them, with durations as typed."""
    return [
        {
            key: format_duration_setting(value) if key in _DURATIONS else value
            for key, value in action.items()
        }
        for action in list_actions(actions)
    ]


def list_actions(actions: Any) -> list[dict[str, Any]]:
    """Return stored actions as a list; none for the empty object."""
    return cast(list[dict[str, Any]], actions) if is_array(actions) else []


def list_channels(actions: Any) -> list[str]:
    """Return the channels that actions send to, each once."""
    return list(dict.fromkeys(one["notify"] for one in list_actions(actions) if "notify" in one))


def set_channels(actions: Any, channels: Sequence[str]) -> list[dict[str, Any]] | dict[str, Any]:
    """Return actions that send firing and resolved alerts to these channels, and to no others.

    Actions of other kinds stay.
    """
    others = [one for one in list_actions(actions) if "notify" not in one]
    sent = [{"on": on, "notify": name} for name in channels for on in ("firing", "resolved")]
    return [*sent, *others] or {}


def get_kind(action: Mapping[str, Any]) -> str:
    """Return the kind of a stored action."""
    return next(kind for kind in KINDS if kind in action)


def describe_action(action: Mapping[str, Any]) -> str:
    """Return an action in words: `firing: notify ops, after 10m`."""
    kind = get_kind(action)
    value = action[kind]
    words = f"{action.get('on', 'firing')}: {kind.replace('_', ' ')}"
    if kind == "command":
        words += f" {value[0]}"
    elif kind == "submit":
        words += f" {value.get('template') or value['argv'][0]}"
    elif value is not True:
        words += f" {value}"
    words += (
        tr(", after {duration}", duration=format_duration_setting(action["after"]))
        if "after" in action
        else ""
    )
    if "repeat_every" in action:
        words += tr(", every {duration}", duration=format_duration_setting(action["repeat_every"]))
    words += tr(", at most {max} times", max=action["max"]) if "max" in action else ""
    return sanitize(words) + (tr(", dry run") if action.get("dry_run") else "")


def _parse_action(value: Any, at: int) -> Action:
    where = f"actions[{at + 1}]"
    if not is_object(value):
        raise ValueError(
            tr('{where} must be a table, such as {{ on = "firing", notify = "ops" }}', where=where)
        )
    for key in value:
        if key not in Action.model_fields:
            near = find_nearest(str(key), Action.model_fields)
            hint = f"Nearest: {near}" if near else f"Known: {', '.join(Action.model_fields)}"
            raise ValueError(
                tr(
                    "{where}: unknown key {key}. {advice}",
                    where=where,
                    key=quote(str(key)),
                    advice=hint,
                )
            )
    if "on" in value and value["on"] not in EVENTS:
        near = find_nearest(str(value["on"]), EVENTS)
        hint = f". Nearest: {near}" if near else ""
        raise ValueError(
            tr(
                "{where}.on must be {events}, not {on}{advice}",
                where=where,
                events=", ".join(EVENTS),
                on=quote(str(value["on"])),
                advice=hint,
            )
        )
    try:
        return Action.model_validate(dict(value))
    except ValidationError as error:
        raise ValueError(_format_error(where, error.errors(include_url=False)[0])) from None


def _format_error(where: str, fault: Any) -> str:
    path = ".".join([where, *(sanitize(str(step)) for step in fault["loc"][:1])])
    if fault["type"] == "value_error":
        return f"{path} {fault['ctx']['error']}"
    if fault["type"] == "literal_error":
        return tr("{path} must be true", path=path)
    if fault["type"] in ("bool_type", "string_type"):
        wanted = tr("true or false") if fault["type"] == "bool_type" else tr("text")
        return tr(
            "{path} must be {wanted}, not {input}",
            path=path,
            wanted=wanted,
            input=quote(truncate(str(fault["input"]), 60)),
        )
    return tr("{path} is wrong: {reason}", path=path, reason=sanitize(fault["msg"]).lower())
