"""Messages to channels: reads the secrets, and sends to each URL of a channel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from typing import Any, NamedTuple

from app.config import read_regular_file
from app.core.notifications import channels
from app.core.notifications.channels import Channel, NotificationSettings
from app.core.notifications.messages import Message
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages.sender_client import SenderClient


class SendResult(NamedTuple):
    """Result of one attempt: why the message was not sent everywhere, or None, and where it was.

    `reached` holds the marks of the URLs that took the message; a repeat leaves them out.
    `is_recorded` is True for an action whose effect and record were one transaction.
    """

    error: str | None
    reached: list[str]
    snapshot: dict[str, Any] | None = None
    is_recorded: bool = False


class ChannelSender:
    """Sender to the channels of config.toml."""

    def __init__(self, settings: ConfigWatcher) -> None:
        self._settings = settings
        self._client = SenderClient()

    @property
    def settings(self) -> NotificationSettings:
        """Current settings of notifications."""
        return self._settings.notifications

    async def send(
        self,
        name: str,
        message: Message,
        key: str,
        data: dict[str, Any],
        reached: Collection[str] = (),
    ) -> SendResult:
        """Send a message to a channel; `data` is what a webhook gets."""
        settings = self.settings
        channel = settings.channels.get(name)
        if channel is None:
            return SendResult(channels.explain_missing(settings, name), [*reached])
        done, errors = list(reached), []
        for url in (channel.webhook,) if channel.webhook else channel.urls:
            mark = hashlib.sha256(url.encode()).hexdigest()[:12]
            if mark in done:
                continue
            error = await self._send_to_url(channel, url, message, key, data)
            if error is None:
                done.append(mark)
            else:
                errors.append(error)
        return SendResult("; ".join(dict.fromkeys(errors)) or None, done)

    async def _send_to_url(
        self, channel: Channel, url: str, message: Message, key: str, data: dict[str, Any]
    ) -> str | None:
        """Send to one URL; return the error or None."""
        try:
            resolved, secrets = _resolve(url, in_url=True)
            signature_key, more = _resolve(channel.secret)
        except ValueError as error:
            return f"{error}"
        if channel.webhook:
            return await self._post(resolved, signature_key, key, data, [*secrets, *more])
        request = {"kind": "apprise", "url": resolved, **message._asdict()}
        return await self._client.send(request, secrets)

    async def post_signed(
        self, url: str, secret: str, key: str, data: dict[str, Any]
    ) -> str | None:
        """Send data to a webhook of a rule; `secret` refers to the key of the signature."""
        try:
            signature_key, secrets = _resolve(secret)
        except ValueError as error:
            return f"{error}"
        return await self._post(url, signature_key, key, data, secrets)

    async def _post(
        self, url: str, secret: str, key: str, data: dict[str, Any], secrets: list[str]
    ) -> str | None:
        """Send data to a webhook; return the error or None."""
        request = {
            "kind": "webhook",
            "url": url,
            "secret": secret,
            "key": key,
            "body": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
            "allow_private": [str(one) for one in self.settings.allow_private],
        }
        return await self._client.send(request, secrets)

    async def close(self) -> None:
        """End the process that sends."""
        await self._client.close()


def _resolve(text: str, in_url: bool = False) -> tuple[str, list[str]]:
    return channels.resolve_references(text, os.environ.get, _read_secret_file, in_url)


def _read_secret_file(path: str) -> str:
    return read_regular_file(path).decode()
