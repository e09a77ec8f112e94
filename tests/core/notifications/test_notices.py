"""The column `notify` of tasks."""

from __future__ import annotations

import pytest

from app.core.notifications.notices import Notice, change_notice, format_notice, parse_notice


@pytest.mark.parametrize(
    ("stored", "channel", "on", "then", "words"),
    [
        (None, "ops", None, "ended ops", "ops when it ends"),
        (None, "ops", "failed", "failed ops", "ops if it fails"),
        ("failed ops", "chat", None, "failed chat", "chat if it fails"),
        ("failed ops", None, "ended", "ended ops", "ops when it ends"),
        (None, None, "failed", "failed ", "default channel if it fails"),
        ("ended ops", "none", "failed", "never ", "nobody"),
        ("never ", "ops", None, "ended ops", "ops when it ends"),
        ("never ", None, "failed", "failed ", "default channel if it fails"),
        ("ended ops", "default", None, None, "default"),
        ("ended ops", "default", "failed", "failed ", "default channel if it fails"),
    ],
)
def test_a_change_keeps_what_it_does_not_name(
    stored: str | None, channel: str | None, on: str | None, then: str | None, words: str
):
    assert change_notice(stored, channel, on) == then
    assert format_notice(then) == words


def test_a_stored_notice_has_a_channel_and_ends():
    assert parse_notice("failed my ops") == Notice("my ops", "failed")
    assert parse_notice(None) is None
