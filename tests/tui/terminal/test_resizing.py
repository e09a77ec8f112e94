"""Terminal resizes: the deck is always drawn for the latest size."""

from __future__ import annotations

import asyncio
import itertools
import sys

import pytest
from textual import _time

from tests.acceptance.terminal import Terminal
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.terminal.test_blocked_terminal import ENV, ROOT

RESIZED_WHILE_READ = """
import sys, termios
from app.tui.terminal.driver import ClickDriver
from tests.tui.run_deck import main

asked = ClickDriver._get_terminal_size

def size(self):
    found = asked(self)
    if found == (100, 30):
        termios.tcsetwinsize(0, (10, 40))
    return found

ClickDriver._get_terminal_size = size
sys.exit(main("busy"))
"""


def test_the_terminal_s_size_overrides_environment_variables():
    with Terminal(
        [sys.executable, "-m", "tests.tui.run_deck", "busy"],
        ENV | {"COLUMNS": "80", "LINES": "24"},
        ROOT,
    ) as deck:
        deck.wait("? help").resize(40, 10).wait("too small (40x10)").type("q")
        assert deck.end() == 0


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_a_huge_size_in_the_environment_does_not_hang_the_deck(name: str):
    with Terminal(
        [sys.executable, "-m", "tests.tui.run_deck", "busy"], ENV | {name: "99999999"}, ROOT
    ) as deck:
        deck.wait("q quit").type("\x11")
        assert deck.end() == 0


def test_the_later_of_two_quick_resizes_wins():
    with Terminal([sys.executable, "-c", RESIZED_WHILE_READ], ENV, ROOT) as deck:
        deck.wait("? help").resize(100, 30).wait("too small (40x10)").type("q")
        assert deck.end() == 0


async def test_a_timer_fires_late_rather_than_never(monkeypatch: pytest.MonkeyPatch):
    """Guard the timer that applies a new window size: once skipped, it never fired again."""
    app, fired, looks, now = (
        make_deck(FakeRuntime()),
        asyncio.Event(),
        itertools.count(),
        _time.get_time,
    )
    async with app.run_test(size=(80, 24)) as pilot:
        with monkeypatch.context() as patched:
            patched.setattr(_time, "get_time", lambda: now() + 0.05 * min(next(looks), 3))
            app.set_timer(1 / 120, fired.set)
            await wait_until(pilot, fired.is_set)
