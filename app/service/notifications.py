"""Verbs of notifications: list the channels, and send a test message."""

from __future__ import annotations

from typing import Any

from app import config, paths
from app.core.notifications import channels
from app.core.notifications.channels import NotificationSettings
from app.errors import NotFound, Problem, Refused
from app.service.context import Call

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
    """Return the channels without their secrets.

    `channels` are {"name", "kinds", "urls", "default", "faulty"}.
    """
    settings = get_settings(call)
    found = [
        {
            "name": channel.name,
            "kinds": channel.kinds,
            "urls": channel.masked,
            "default": channel.name == settings.default,
            "faulty": False,
        }
        for channel in settings.channels.values()
    ]
    found += [
        {"name": name, "kinds": [], "urls": [], "default": False, "faulty": True}
        for name in settings.faulty
    ]
    return {"channels": sorted(found, key=lambda channel: channel["name"])}


async def test(call: Call, *, channel: str) -> dict[str, Any]:
    """Send one message to a channel now. Raise NotSentError with the reason."""
    require_channel(call, channel, "Nothing was sent.")
    if call.live is None:
        raise Refused(
            "the runtime sends messages, and no runtime is running.", "Start it: taskdeck serve"
        )
    error = await call.live.send_test(channel, call.by)
    if error:
        raise NotSentError(f"{channel}: {error}.")
    return {"channel": channel, "sent": True}


def require_channel(call: Call, name: str, what: str) -> None:
    """Raise NotFound for a channel that config.toml lacks, with the nearest name."""
    settings = get_settings(call)
    if name not in settings.channels:
        message = f"{channels.explain_missing(settings, name)} {what}"
        raise NotFound(message, "See: taskdeck notify ls" if settings.channels else EXAMPLE)
