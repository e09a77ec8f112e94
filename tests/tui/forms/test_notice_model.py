"""The field of forms that says who hears of the end of a task."""

from __future__ import annotations

import pytest

from app.tui.forms.notice_model import (
    list_channels,
    list_notice_options,
    make_notice_keys,
    make_set_args,
    read_notice,
    read_recipient,
)


def test_each_channel_is_offered_for_every_end_and_for_failures():
    answer = {"channels": [{"name": "ops", "faulty": False}, {"name": "bad", "faulty": True}]}
    found = list_notice_options(list_channels(answer), ["ended gone", ""])
    assert found == [
        ("ended ops", "ops when it ends"), ("failed ops", "ops if it fails"), ("never ", "nobody"),
        ("ended gone", "gone when it ends"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "given", "args"),
    [
        ("", {"notify": "", "notify_on": ""}, {"notify": "default"}),
        ("never ", {"notify": "", "notify_on": "never"}, {"notify": "none"}),
        ("failed ops", {"notify": "ops", "notify_on": "failed"},
         {"notify": "ops", "notify_on": "failed"}),
        ("failed ", {"notify": "", "notify_on": "failed"},
         {"notify": "default", "notify_on": "failed"}),
    ],
)  # fmt: skip
def test_a_value_is_read_from_the_keys_that_it_becomes(
    value: str, given: dict[str, str], args: dict[str, str]
):
    assert make_notice_keys(value) == given
    assert read_notice(given) == value
    assert make_set_args(value) == args


def test_the_default_is_no_value_of_its_own():
    assert read_recipient({"channel": "ops", "on": "failed", "default": True}) == ""
    assert read_recipient({"channel": "ops", "on": "failed", "default": False}) == "failed ops"
    assert read_recipient(None) == ""
