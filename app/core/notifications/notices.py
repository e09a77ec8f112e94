"""Recipients of the end of a task: the column `notify`, as stored, as typed, and in words.

The column holds `ended` or `failed`, a space, and a channel, or nothing for the default channel;
`never` and a space for nobody; or NULL for the settings in `[notifications]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.core.text.sanitize import sanitize
from app.translation import tr, tr_noop

ENDED, FAILED, NEVER = "ended", "failed", "never"
OUTCOMES = (FAILED, ENDED)
"""Ends of a task that can be announced."""
NOBODY, DEFAULT = "none", "default"
"""Words typed in place of a channel: tell nobody, or as in `[notifications]`."""
RESERVED = (NOBODY, DEFAULT)
_WHEN = {ENDED: tr_noop("{channel} when it ends"), FAILED: tr_noop("{channel} if it fails")}


class Notice(NamedTuple):
    """A channel, empty for the default one, and the ends that it hears of."""

    channel: str
    on: str


def parse_notice(stored: str | None) -> Notice | None:
    """Return the column of a task; None if the task has no channel of its own."""
    if stored is None:
        return None
    on, _, channel = stored.partition(" ")
    return Notice(channel, on)


def has_channel(stored: str | None) -> bool:
    """Return whether a task has a channel of its own."""
    return bool((notice := parse_notice(stored)) and notice.channel)


def change_notice(stored: str | None, channel: str | None, on: str | None) -> str | None:
    """Return the column after a change of the channel or of the ends; None keeps either."""
    if channel == DEFAULT and on is None:
        return None
    if channel == NOBODY or on == NEVER:
        return f"{NEVER} "
    was = parse_notice(stored)
    if channel is None and was is not None:
        channel = was.channel
    kept = was.on if was is not None and was.on != NEVER else ENDED
    return f"{on or kept} {'' if channel in (None, DEFAULT) else channel}"


def describe_recipient(recipient: Mapping[str, Any] | None) -> str:
    """Return who hears of the end of a task, from an answer of `show`; empty for nobody.

    The keys are "channel", "on" and "default".
    """
    if not recipient:
        return ""
    if recipient["on"] == NEVER:
        return tr("nobody")
    words = _describe(sanitize(recipient["channel"]), recipient["on"])
    return tr("{notice}, by default", notice=words) if recipient["default"] else words


def _describe(channel: str, on: str) -> str:
    return tr(_WHEN.get(on, "{channel}"), channel=channel)


def describe_default_notice(channel: str | None, on: str | None) -> str:
    """Return who hears of the tasks of a template, in words; empty if the settings decide."""
    stored = change_notice(None, channel, on) if channel or on else None
    return "" if stored is None else format_notice(stored)


def format_notice(stored: str | None) -> str:
    """Return the column in words: `ops when it ends`, `nobody`, `default`."""
    notice = parse_notice(stored)
    if notice is None:
        return DEFAULT
    if notice.on == NEVER:
        return tr("nobody")
    return _describe(sanitize(notice.channel) or tr("default channel"), notice.on)
