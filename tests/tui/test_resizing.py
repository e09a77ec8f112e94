"""A window that becomes another size while the last one is being told: the deck is drawn for the one that it has."""

from __future__ import annotations

import sys

from tests.acceptance.terminal import Terminal
from tests.tui.test_stuck import ENV, ROOT

PULLED_ON = """
import sys, termios
from app.tui.terminal import ClicksOnlyDriver
from tests.tui.deck_on_a_board import main

asked = ClicksOnlyDriver._get_terminal_size

def size(self):
    found = asked(self)
    if found == (100, 30):
        termios.tcsetwinsize(0, (10, 40))
    return found

ClicksOnlyDriver._get_terminal_size = size
sys.exit(main("busy"))
"""


def test_the_size_is_the_terminals_whatever_is_exported():
    with Terminal([sys.executable, "-m", "tests.tui.deck_on_a_board", "busy"], ENV | {"COLUMNS": "80", "LINES": "24"}, ROOT) as deck:
        deck.wait("? help").resize(40, 10).wait("too small (40x10)").type("q")
        assert deck.end() == 0


def test_of_two_sizes_at_once_the_later_counts():
    with Terminal([sys.executable, "-c", PULLED_ON], ENV, ROOT) as deck:
        deck.wait("? help").resize(100, 30).wait("too small (40x10)").type("q")
        assert deck.end() == 0
