"""Tests of the section `keys.commands` of config.toml, and of filled placeholders."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.user_commands import UserCommand, parse_user_commands

VALUES = {"number": "12", "name": "train $(id)", "log": "/home/ann/runs/a1/a1.log"}


def test_a_command_is_read_with_its_defaults():
    table = {"name": "view log", "argv": ["less", "+F", "{log}"]}
    found, faults = parse_user_commands({"L": table})

    assert faults == []
    assert found == (UserCommand("L", "view log", ("less", "+F", "{log}")),)
    assert found[0].needs_log


def test_values_become_arguments_and_double_braces_stay():
    argv = ("sh", "-c", 'echo "$1" {{name}} {print}', "sh", "{number}:{name}", "{{log}}")
    with pytest.raises(KeyError):  # refused by the parser
        UserCommand("L", "x", argv).fill(VALUES)

    filled = UserCommand("L", "x", (*argv[:2], "echo {{name}} { print }", *argv[3:])).fill(VALUES)
    assert filled == ["sh", "-c", "echo {name} { print }", "sh", "12:train $(id)", "{log}"]


@pytest.mark.parametrize(
    ("argv", "name", "expected"),
    [
        (("grep", "{name}"), "-rf", '{name} begins with "-" and would be an option'),
        (("grep", "{name}"), "a\x1b[2J", "{name} contains control characters"),
        (("grep", "--", "{name}"), "-rf", ["grep", "--", "-rf"]),
        (("grep", "--regexp={name}"), "-rf", ["grep", "--regexp=-rf"]),
        (("grep", "-{number}"), "-rf", ["grep", "-12"]),
    ],
)
def test_a_name_never_becomes_an_option_unnoticed(argv: tuple[str, ...], name: str, expected: Any):
    command = UserCommand("L", "x", argv)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            command.fill(VALUES | {"name": name})
    else:
        assert command.fill(VALUES | {"name": name}) == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "keys.commands: must be tables, such as [keys.commands.L]."),
        ({"L": "less"}, "keys.commands.L: must be a table with name and argv."),
        ({"L": {"name": "x", "argv": "less"}}, "argv: must be a program with its arguments."),
        ({"L": {"name": "x"}}, "argv: must be a program with its arguments."),
        ({"L": {"argv": ["less"]}}, "name: must be a text of 1 to 40 visible characters."),
        ({"L": {"name": "a\x1b", "argv": ["less"]}}, "name: must be a text of 1 to 40 visible"),
        (
            {"L": {"name": "x", "argv": ["less", "{lgo}"]}},
            "there is no {lgo}. There are: {number}, ",
        ),
        ({"L": {"name": "x", "argv": ["{name}"]}}, "must begin with the name of a program."),
        ({"L": {"name": "x", "argv": ["a"], "mdoe": 1}}, 'no setting "mdoe". Nearest: mode.'),
        ({"L": {"name": "x", "argv": ["a"], "mode": "tab"}}, "must be terminal or background."),
        ({"L": {"name": "x", "argv": ["a"], "confirm": "y"}}, "confirm: must be true or false."),
        ({"L": {"name": "x", "argv": ["a\0"]}}, "argv: must not contain NUL."),
        ({"L": {"name": "x", "argv": ["/bin/bash", "-xc", "wc {name}"]}}, "a value must not stand"),
        ({"L": {"name": "x", "argv": ["python3", "-c", "p('{name}')"]}}, "a value must not stand"),
        ({"L": {"name": "x", "argv": ["sudo", "sh", "-c", "{name}"]}}, "a value must not stand"),
        ({"L": {"name": "x", "argv": ["node", "--eval", "{name}"]}}, "a value must not stand"),
    ],
)
def test_a_faulty_command_is_named_and_left_out(value: Any, said: str):
    good = {"K": {"name": "y", "argv": ["true"]}}
    found, faults = parse_user_commands(value | good if isinstance(value, dict) else value)

    assert said in faults[0].message
    assert [one.key for one in found] == (["K"] if isinstance(value, dict) else [])
