"""Verbs of notifications: list the channels, and send a test message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app import config, paths
from app.core.notifications import channels, notices
from app.core.notifications.channels import NotificationSettings
from app.core.rules import actions
from app.core.text.joining import end_sentence, join_colon
from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.name_hints import is_program
from app.translation import tr
from db.queries.rules import deliveries
from db.rows import DeliveryRow

LATEST = 20
"""Deliveries that the list shows."""
EXAMPLE = "How to make one: taskdeck help notifications"


class NotSentError(Problem):
    """A message that did not reach its channel."""

    code = "not-sent"


def get_settings(call: Call) -> NotificationSettings:
    """Return the settings that the runtime uses, else those of the file."""
    if call.live is not None:
        return call.live.notifications
    return config.read(paths.get_config_path()).notifications


async def ls(call: Call) -> dict[str, Any]:
    """Return the channels without their secrets, and the latest deliveries.

    `channels` are {"name", "kinds", "urls", "default", "problems", "faulty"}; `problems` is True
    for the one that tells alerts of Taskdeck itself. `deliveries` are rows: failing ones, then the
    latest, newest first.
    """
    failing = await call.db.read(deliveries.list_failing, LATEST)
    latest = await call.db.read(deliveries.list_latest, LATEST)
    latest = [*failing, *(row for row in latest if row not in failing)]
    settings = get_settings(call)
    found = [
        {
            "name": channel.name,
            "kinds": channel.kinds,
            "urls": channel.masked,
            "default": channel.name == settings.default,
            "problems": channel.name == settings.problems,
            "faulty": False,
        }
        for channel in settings.channels.values()
    ]
    found += [
        {
            "name": name,
            "kinds": [],
            "urls": [],
            "default": False,
            "problems": name == settings.problems,
            "faulty": True,
        }
        for name in settings.faulty
    ]
    return {
        "channels": sorted(found, key=lambda channel: channel["name"]),
        "deliveries": [describe_delivery(row) for row in latest],
    }


def describe_delivery(row: DeliveryRow) -> dict[str, Any]:
    """Return a delivery as sent to clients: `about` names what it tells, `failing` its state."""
    if tasks := row.payload.get("tasks"):
        count, about = row.payload["count"], f"#{tasks[0]['number']} {tasks[0]['name']}"
    elif alerts := row.payload["alerts"]:
        count, about = len(row.payload["ids"]), f"{alerts[0]['name']}: {alerts[0]['object']}"
    else:
        count, about = 0, ""
    about += tr(" and {more:,} more", more=count - 1) if count > 1 else ""
    return {
        "id": row.id, "key": row.key, "event": row.event, "target": row.target, "about": about,
        "status": row.status, "attempts": row.attempts, "next_at": row.next_at,
        "last_error": row.last_error, "log": row.log, "created_at": row.created_at,
        "updated_at": row.updated_at,
    }  # fmt: skip


async def test(call: Call, *, channel: str) -> dict[str, Any]:
    """Send one message to a channel now. Raise NotSentError with the reason."""
    require_channel(call, channel, "Nothing was sent.")
    if call.live is None:
        raise Refused(
            "the runtime sends messages, and no runtime is running.", "Start it: taskdeck serve"
        )
    error = await call.live.send_test(channel, call.by)
    if error:
        raise NotSentError(end_sentence(join_colon(channel, error)))
    return {"channel": channel, "sent": True}


def require_channels(call: Call, names: Sequence[str], what: str) -> None:
    """Raise NotFound for a channel that config.toml lacks; `what` says what was not done."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise Usage("notify must be a list of channels. {what}", what=tr(what))
    for name in names:
        require_channel(call, name, what)


def require_usable(call: Call, given: Any, what: str) -> None:
    """Raise NotFound for a channel or a program of actions that does not exist.

    `what` says what was not done.
    """
    for name in actions.list_channels(given):
        require_channel(call, name, what)
    for action in actions.list_actions(given):
        argv = action.get("command")
        if argv and not is_program(argv[0], "/"):
            raise NotFound(
                'there is no program "{argv}" for the action command. {what}',
                argv=truncate(sanitize(argv[0]), 60),
                what=tr(what),
            )


def note_commands_off(call: Call, rules: Mapping[str, Any]) -> None:
    """Tell the caller which rules of {rule: actions} have commands although those are off."""
    acting = [rule for rule, found in rules.items() if any("command" in one for one in found)]
    if acting and not get_settings(call).allow_command:
        for rule in acting:
            call.note(
                tr(
                    "slas.{rule}: commands are off; to allow them: [actions] command = true in"
                    " config.toml.",
                    rule=sanitize(rule),
                )
            )


def note_unknown_channels(call: Call, kind: str, told: Mapping[str, Any]) -> None:
    """Tell the caller which channels of {schedule or template: channel} config.toml lacks."""
    named = {owner: name for owner, name in told.items() if isinstance(name, str)}
    settings = get_settings(call) if named else NotificationSettings()
    for owner, name in named.items():
        if name not in (*settings.channels, *notices.RESERVED):
            missing = channels.explain_missing(settings, name)
            call.note(f"{kind}.{sanitize(owner)}: {missing}")


def check_notice(
    settings: NotificationSettings, name: str | None, on: str | None, what: str = NOT_SUBMITTED
) -> None:
    """Raise Problem if a task names an unknown channel, or none where there is no default.

    `what` says what was not done.
    """
    if name in notices.RESERVED:
        return
    if name is not None:
        _require(settings, name, what)
    elif on not in (None, notices.NEVER) and not settings.default:
        raise Usage(
            "--notify-on needs a channel. {what}",
            "Add --notify CHANNEL, or [notifications] default in config.toml.",
            what=tr(what),
        )


def describe_notice(
    notice: Mapping[str, str] | None, settings: NotificationSettings
) -> dict[str, Any] | None:
    """Return who hears of the end of a task: {"channel", "on", "default"}, or None."""
    if notice is not None:
        channel = notice["channel"] or settings.default * (notice["on"] != notices.NEVER)
        return {"channel": channel, "on": notice["on"], "default": False}
    if not settings.default:
        return None
    return {"channel": settings.default, "on": settings.on, "default": True}


def require_channel(call: Call, name: str, what: str) -> None:
    """Raise NotFound for a channel that config.toml lacks, with the nearest name."""
    _require(get_settings(call), name, what)


def _require(settings: NotificationSettings, name: str, what: str) -> None:
    if name not in settings.channels:
        message = f"{channels.explain_missing(settings, name)} {what}"
        raise NotFound(message, "See: taskdeck notify ls" if settings.channels else EXAMPLE)
