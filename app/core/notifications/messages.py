"""Texts of messages: one subject line, and a body that says what to type."""

from __future__ import annotations

from typing import NamedTuple

from app.core.text.sanitize import sanitize, truncate

MAX_SUBJECT = 150
"""Longest subject in cells; some services cut longer ones."""


class Message(NamedTuple):
    """A message to people. `severity` is critical, warning, info, or resolved for good news."""

    subject: str
    body: str
    severity: str = "info"


def make_message(subject: str, lines: list[str], severity: str, footer: str) -> Message:
    """Return a message of sanitized lines. The footer tells the sender and the key."""
    body = "\n".join([*map(sanitize, lines), "", sanitize(footer)])
    return Message(truncate(sanitize(subject), MAX_SUBJECT), body, severity)


def make_test_message(channel: str, by: str, host: str, key: str) -> Message:
    """Return the message of `taskdeck notify test`."""
    lines = [f"This is a test of the channel {channel}, sent by {by or 'taskdeck'}."]
    subject = f"[test] {channel}: a message of Taskdeck"
    return make_message(subject, lines, "info", format_footer(host, key))


def format_footer(host: str, key: str) -> str:
    """Return the last line of a message. A repeated message has the same key."""
    return f"Taskdeck on {host}, message {key}"
