"""Health check of config.toml: faults, and values that were probably not meant."""

from __future__ import annotations

import os

from app import config
from app.core.notifications.addresses import find_refused_address
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_edit_command
from app.paths import get_config_path
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.config import LoadedConfig


def check_settings(keys: Callable[[LoadedConfig], list[str]] | None = None) -> Iterator[Finding]:
    """Yield the faults of the settings; nothing without a file.

    `keys`: see `run_checks`; checking the keys is slow.
    """
    path = get_config_path()
    found, cure = config.read(path), make_edit_command()
    removed = "; nothing is removed until it is fixed" if found.retention_fault else ""
    for one in found.faults:
        yield Finding("config", f"{one.message} Ignored{removed}", "broken", cure)
    odd = keys(found) if keys and (found.settings.keys or found.commands) else []
    for text in odd:
        yield Finding("config", text, "broken", cure)
    if not found.faults and not odd and os.path.exists(path):
        yield Finding("config", sanitize(path))
    notifications = found.notifications
    for channel in notifications.channels.values():
        refused = find_refused_address(channel.webhook, notifications.allow_private)
        if refused:
            text = tr(
                "channel {name} cannot be reached: {refused} is a private address; to allow"
                ' it: [actions] allow_private = ["{refused}"]',
                name=sanitize(channel.name),
                refused=refused,
            )
            yield Finding("config", text, "broken", cure)
    for text in config.find_short_retention(found.maintenance):
        yield Finding("config", text, "hint", cure)
