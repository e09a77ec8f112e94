"""Tests of the section `hooks` of config.toml."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.notifications.hooks import MAX_HOOKS, Hook, parse_hooks

GOOD = {"on": ["end"], "argv": ["/bin/true"]}


def test_a_hook_is_read_with_its_defaults():
    given = {"tell": {**GOOD, "timeout": "10s"}, "log": {**GOOD, "on": ["start", "alert"]}}
    found, faults = parse_hooks(given)

    assert faults == []
    assert found["tell"] == Hook("tell", frozenset({"end"}), ("/bin/true",), 10.0)
    assert found["log"] == Hook("log", frozenset({"start", "alert"}), ("/bin/true",), 30.0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "hooks: must be tables, such as [hooks.tell]."),
        ({"a": "x"}, "hooks.a: must be a table, such as [hooks.tell]."),
        ({"a/b": GOOD}, 'hooks.a/b: the name must not contain "/"'),
        ({"a": {**GOOD, "on": "end"}}, "hooks.a.on: must be a list of start, end, alert."),
        ({"a": {**GOOD, "on": []}}, "hooks.a.on: must be a list of"),
        ({"a": {**GOOD, "on": [["end"]]}}, "hooks.a.on: must be a list of"),
        ({"a": {**GOOD, "argv": "true"}}, "hooks.a.argv: must be a program with its arguments."),
        ({"a": {**GOOD, "argv": [""]}}, "hooks.a.argv: must be a program"),
        ({"a": {**GOOD, "argv": 3}}, "hooks.a.argv: must be a program"),
        ({"a": {**GOOD, "timeout": "1h"}}, "hooks.a.timeout: must be more than 0 and at most 10m."),
        ({"a": {**GOOD, "timeout": True}}, "hooks.a.timeout: must be a duration such as 10s."),
        ({"a": {**GOOD, "timeuot": 1}}, 'there is no setting "timeuot". Nearest: timeout.'),
    ],
)
def test_a_faulty_hook_is_named_and_left_out(value: Any, said: str):
    found, faults = parse_hooks(value | {"ok": GOOD} if isinstance(value, dict) else value)

    assert said in faults[0].message
    assert faults[0].message.endswith(" The hook does not run.") == isinstance(value, dict)
    assert list(found) == (["ok"] if isinstance(value, dict) else [])


def test_there_are_few_hooks():
    found, faults = parse_hooks({f"h{n}": GOOD for n in range(MAX_HOOKS + 1)})

    assert len(found) == MAX_HOOKS
    assert [one.message for one in faults] == [f"hooks.h{MAX_HOOKS}: there are more than 8 hooks."]
