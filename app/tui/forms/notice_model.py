"""Field of forms that says who hears of the end of a task.

A list offers each channel twice, so one field holds the channel and the ends that it hears of. Its
values have the form of the column `notify`; the empty value is the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.core.notifications import notices
from app.core.notifications.notices import (
    DEFAULT,
    ENDED,
    FAILED,
    NEVER,
    change_notice,
    format_notice,
    parse_notice,
)
from app.translation import tr_noop

HINT = tr_noop("who hears of its end")
NOBODY = f"{NEVER} "
"""Value of the field for tasks whose end nobody hears of."""


def list_notice_options(
    channels: Iterable[str], current: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Return (value, label) of all choices but the default, and of current values."""
    found = [f"{on} {name}" for name in channels for on in (ENDED, FAILED)]
    values = dict.fromkeys([*found, NOBODY, *filter(None, current)])
    return [(value, format_notice(value)) for value in values]


def list_channels(answer: Mapping[str, Any]) -> list[str]:
    """Return the channels of an answer of `notify.ls` that can be used."""
    return [str(row["name"]) for row in answer["channels"] if not row["faulty"]]


def read_notice(given: Mapping[str, Any]) -> str:
    """Return the value of the field from the keys `notify` and `notify_on` of a definition."""
    channel, on = given.get("notify"), given.get("notify_on")
    return (change_notice(None, channel, on) or "") if channel or on else ""


def read_recipient(recipient: Mapping[str, Any] | None) -> str:
    """Return the value of the field from the key `notify` of an answer of `show`."""
    if not recipient or recipient["default"]:
        return ""
    return f"{recipient['on']} {recipient['channel']}"


def make_notice_keys(value: str) -> dict[str, str]:
    """Return the value as the keys `notify` and `notify_on`; both are empty for the default."""
    notice = parse_notice(value or None)
    return {"notify": "", "notify_on": ""} if notice is None else {
        "notify": notice.channel, "notify_on": notice.on
    }  # fmt: skip


def make_set_args(value: str) -> dict[str, str]:
    """Return the value as the verb `set` takes it."""
    keys = make_notice_keys(value)
    if keys["notify_on"] == NEVER:
        return {"notify": notices.NOBODY}
    channel = {"notify": keys["notify"] or DEFAULT}
    return channel | ({"notify_on": keys["notify_on"]} if keys["notify_on"] else {})
