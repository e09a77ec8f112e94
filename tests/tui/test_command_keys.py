"""Tests of the keys of user commands."""

from __future__ import annotations

from app.core.user_commands import UserCommand
from app.tui.command_keys import resolve_commands


def make_command(key: str, program: str = "true") -> UserCommand:
    return UserCommand(key, f"command {key}", (program,))


def test_a_taken_key_is_refused_with_its_owner():
    given = [make_command(key) for key in ("L", "v", "ctrl+q", "5", ",")]
    found, faults = resolve_commands(given, {}, "config.toml")

    assert [command.key for command in found] == ["L"]
    assert faults[0].startswith(
        "config.toml: keys.commands.v: v is already tasks.range (Mark from the last mark to here)."
    )
    assert [fault.split(": ")[1] for fault in faults] == [
        f"keys.commands.{key}" for key in ("v", "ctrl+q", "5", ",")
    ]


def test_a_key_that_the_user_freed_can_be_used_and_a_claimed_one_cannot():
    given = [make_command("v"), make_command("L")]
    found, faults = resolve_commands(given, {"tasks.range": "f6", "task.log": "L"}, "c")

    assert [command.key for command in found] == ["v"]
    assert faults == ["c: keys.commands.L: L is already task.log (Log). Ignored."]


def test_a_key_name_is_checked_and_given_to_one_command():
    given = [make_command(key) for key in ("ctrl+shift+Q", "f33", "f6", "f6")]
    found, faults = resolve_commands(given, {}, "c")

    assert [command.key for command in found] == ["f6"] or "f33" in faults[0]
    assert faults[-1] == "c: keys.commands.f6: f6 is already the command command f6. Ignored."


def test_a_missing_program_is_told_and_its_key_stays_bound():
    found, faults = resolve_commands([make_command("L", "no-such-program")], {}, "c")

    assert [command.key for command in found] == ["L"]
    assert faults == ['c: keys.commands.L: there is no program "no-such-program".']
    assert resolve_commands((), {}, "c") == ((), [])
