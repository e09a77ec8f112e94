"""Tests of the actions of rules."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.definitions.document import build_definition, parse_document
from app.core.rules import actions


def test_actions_are_stored_without_defaults_and_in_seconds():
    assert actions.normalize_actions(
        [
            {"notify": "ops", "after": "10m", "repeat_every": "1h", "max": 3},
            {"on": "resolved", "notify": "ops", "dry_run": False},
        ]
    ) == [
        {"on": "firing", "notify": "ops", "after": 600.0, "repeat_every": 3600.0, "max": 3},
        {"on": "resolved", "notify": "ops"},
    ]
    assert actions.normalize_actions({}) == {} == actions.normalize_actions([])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, 'actions must be a list, such as [{ on = "firing", notify = "ops" }]'),
        ({"on": "firing"}, "actions must be a list"),
        ([{"notify": "a"}] * 21, "actions must be at most 20, not 21"),
        ([3], "actions[1] must be a table"),
        ([{"notify": "a"}, {}], "actions[2] needs one of notify, webhook,"),
        ([{"notify": "a", "cancel": True}], "set_priority, snapshot, not notify and cancel"),
        ([{"notfy": "a"}], 'actions[1]: unknown key "notfy". Nearest: notify'),
        ([{"notify": "a", "on": "fired"}], 'actions[1].on must be firing, resolved,'),
        ([{"notify": 3}], 'actions[1].notify must be text, not "3"'),
        ([{"notify": "a/b"}], "actions[1].notify must not contain"),
        ([{"notify": "a", "after": True}], "actions[1].after must be a duration such as 10m"),
        ([{"notify": "a", "after": "0s"}], "actions[1].after must be"),
        ([{"notify": "a", "repeat_every": "1s"}], "actions[1].repeat_every must be at least 1m"),
        ([{"on": "resolved", "notify": "a", "repeat_every": "1h"}], "repeat_every goes with on"),
        ([{"notify": "a", "max": 0}], "actions[1].max is wrong"),
        ([{"notify": "a", "dry_run": 1}], "actions[1].dry_run must be true or false"),
        ([{"webhook": "ftp://x"}], "actions[1].webhook must be a URL that begins with https://"),
        ([{"webhook": "https://x", "secret": "plain"}], "actions[1].secret must be a reference"),
        ([{"webhook": "https://x", "secret": "{env:A B}"}], "actions[1].secret must name a"),
        ([{"notify": "a", "secret": "{env:A}"}], "secret goes with webhook"),
        ([{"command": "x"}], "actions[1].command must be a program with its arguments"),
        ([{"submit": {}}], "actions[1].submit must be a table with template or argv"),
        ([{"submit": {"argv": ["x"], "quue": "a"}}], "actions[1].submit is no task: "),
        ([{"cancel": False}], "actions[1].cancel must be true"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_path(value: Any, says: str):
    with pytest.raises(ValueError) as caught:
        actions.normalize_actions(value)

    assert says in str(caught.value)


def test_actions_of_a_file_read_back_the_same():
    text = (
        '[slas.deep]\nconditions = { preset = "starts-within", value = "30m" }\n'
        'actions = [{ on = "firing", notify = "ops", after = "10m" }, { command = ["a", "b"] }]\n'
    )
    rule = parse_document(text)["slas"]["deep"]

    built = build_definition("slas", {"conditions": rule.conditions, "actions": rule.actions})

    assert built["actions"] == [
        {"on": "firing", "notify": "ops", "after": "10m"},
        {"on": "firing", "command": ["a", "b"]},
    ]
    assert "actions" not in build_definition("slas", {"conditions": {}, "actions": {}})


def test_channels_replace_channels_and_keep_other_actions():
    old = [{"on": "firing", "notify": "a"}, {"on": "firing", "retry": True}]

    new = actions.set_channels(old, ["b"])

    assert actions.list_channels(new) == ["b"] and new[-1] == {"on": "firing", "retry": True}
    assert [one["on"] for one in new] == ["firing", "resolved", "firing"]
    assert actions.set_channels([], []) == {}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"on": "resolved", "notify": "ops"}, "resolved: notify ops"),
        (
            {"notify": "ops", "after": 600.0, "repeat_every": 3600.0, "max": 3, "dry_run": True},
            "firing: notify ops, after 10m, every 1h, at most 3 times, dry run",
        ),
        ({"command": ["logger", "x"]}, "firing: command logger"),
        ({"submit": {"template": "repair"}}, "firing: submit repair"),
        ({"cancel": True}, "firing: cancel"),
        ({"pause_queue": "media"}, "firing: pause queue media"),
    ],
)
def test_actions_are_told_in_words(action: dict[str, Any], words: str):
    assert actions.describe_action(action) == words
