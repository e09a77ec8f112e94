"""Acceptance tests of user commands in a real terminal."""

from __future__ import annotations

import os
import signal

import pytest

SETTINGS = """
[keys.commands.L]
name = "page log"
argv = ["sh", "-c", 'cat "$1"; echo "$TASKDECK_HOME: which line?"; read line; echo "$line" >said',
        "sh", "{log}"]

[keys.commands.P]
name = "fail"
argv = ["sh", "-c", "echo broken >&2; exit 3"]

[keys.commands.K]
name = "linger"
argv = ["sh", "-c", "trap 'echo interrupted >said; exit 130' INT; echo lingers; sleep 60 & wait"]
"""


@pytest.fixture
def commands_home(clean_home):
    """Yield the module's home with user commands and one task that has ended."""
    path = clean_home.work.parent / "config" / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SETTINGS)
    number = clean_home.submit("-n", "the-task", "--", "echo", "printed by the task")
    clean_home.run_cli("wait", number)
    yield clean_home
    path.unlink()


def test_a_program_gets_the_terminal_and_the_deck_comes_back(commands_home):
    with commands_home.open_terminal() as deck:
        deck.wait("the-task").type("E").press("L", until="which line?")
        assert "printed by the task" in deck.text and "JUST ENDED" not in deck.text.upper()
        assert str(commands_home.home) in deck.text
        deck.type("typed q ?\n").wait("the-task")
        deck.press("P", until="broken").wait("fail ended with exit code 3. Press enter")
        deck.type("\n").wait("the-task").wait("fail ended with exit code 3.")
        deck.type("q").end()

    assert (commands_home.work / "said").read_text() == "typed q ?\n"


def test_an_interrupt_ends_the_program_and_not_the_deck(commands_home):
    with commands_home.open_terminal() as deck:
        deck.wait("the-task").type("E").press("K", until="lingers")
        deck.type("\x03").wait("the-task")
        deck.type("q").end()

    assert (commands_home.work / "said").read_text() == "interrupted\n"


def test_a_signal_ends_the_deck_while_a_program_has_the_terminal(commands_home):
    with commands_home.open_terminal() as deck:
        deck.wait("the-task").type("E").press("K", until="lingers")
        os.kill(deck.pid, signal.SIGTERM)
        assert deck.end() == 128 + signal.SIGTERM
