"""Tests of the status glyphs that the deck and the command line share."""

from __future__ import annotations

from app.cli import styles as words
from app.core.text import status_glyphs
from app.tui import style as deck


def test_deck_and_command_line_show_every_state_alike():
    for status, sign in status_glyphs.STATES.items():
        assert words.GLYPHS[status] == sign
        shown = deck.STATES[status]
        assert (shown.glyph, shown.ascii, shown.word, shown.style) == sign


def test_every_glyph_style_is_known_to_both():
    for sign in (
        *status_glyphs.STATES.values(),
        *status_glyphs.ALERTS.values(),
        *status_glyphs.QUEUES.values(),
        *status_glyphs.RUNTIME.values(),
    ):
        assert sign[3] in deck.STYLES
        assert not sign[3] or sign[3] in words.SGR_CODES
