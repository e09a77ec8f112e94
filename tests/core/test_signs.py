"""The one table of signs: what deck and command line show of a state."""

from __future__ import annotations

from app.cli import look as words
from app.core import signs
from app.tui import look as deck


def test_deck_and_command_line_show_every_state_alike():
    for status, sign in signs.STATES.items():
        assert words.SIGNS[status] == sign
        shown = deck.STATES[status]
        assert (shown.glyph, shown.ascii, shown.word, shown.style) == sign


def test_every_style_of_a_sign_is_known_to_both():
    for sign in (*signs.STATES.values(), *signs.ALERTS.values(), *signs.QUEUES.values(), *signs.RUNTIME.values()):
        assert sign[3] in deck.STYLES
        assert not sign[3] or sign[3] in words.CODES
