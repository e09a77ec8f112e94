"""A deck on a blocked terminal ends on a signal and restores the terminal as far as possible."""

from __future__ import annotations

import os
import signal
import sys
import termios
from pathlib import Path

import pytest

from tests.acceptance.terminal import Terminal

ROOT = Path(__file__).parents[3]
ENV = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_deck_on_a_blocked_terminal(number: signal.Signals):
    with Terminal([sys.executable, "-m", "tests.tui.run_deck", "busy"], ENV, ROOT) as deck:
        before = termios.tcgetattr(deck.keyboard)
        deck.wait("q quit")
        assert termios.tcgetattr(deck.keyboard) != before
        deck.block_output()
        deck.type("\x0c" * 100)  # redraws that overflow the output queue
        os.kill(deck.pid, number)
        assert deck.is_ended_unread()
        assert deck.end() == 128 + number
        assert termios.tcgetattr(deck.keyboard) == before
    assert b"\x1b[?1049l\x1b[?25h" in deck.raw
