"""Tests of the texts of messages."""

from __future__ import annotations

from app.core.notifications.messages import make_message, make_test_message


def test_a_test_message_names_channel_user_host_and_key():
    found = make_test_message("ops", "ann", "web1", "k-1")

    assert found.subject == "[test] ops: a message of Taskdeck"
    assert "channel ops, sent by ann." in found.body
    assert found.body.endswith("\n\nTaskdeck on web1, message k-1")


def test_outside_text_is_sanitized_and_subjects_are_short():
    found = make_message("a\nb" + "x" * 300, ["\x1b[31mred"], "info", "f\r")

    assert len(found.subject) == 150 and "\n" not in found.subject
    assert found.body == "␛[31mred\n\nf␍"
