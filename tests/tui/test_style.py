"""Glyphs, bars, sparklines, rules: what a terminal shows of a state."""

from __future__ import annotations

import pytest

from app.core.text.sanitize import width
from app.tui.style import ALERTS, QUEUES, STATES, Look
from app.tui.widgets.footer import Hint, fit

UNICODE, ASCII = Look(), Look(ascii=True)


def test_every_sign_takes_one_cell_and_states_share_neither_glyph_nor_word():
    for table in (STATES, ALERTS, QUEUES):
        for sign in table.values():
            assert width(sign.glyph) == 1 and len(sign.ascii) == 1 and sign.ascii.isascii()
    assert len({sign.glyph for sign in STATES.values()}) == len(STATES)
    assert len({sign.ascii for sign in STATES.values()}) == len(STATES)
    assert len({sign.word for sign in STATES.values()}) == len(STATES)


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 8, "········"),
        (1, 1000, "█·······"),
        (4, 8, "████····"),
        (999, 1000, "███████·"),
        (8, 8, "████████"),
        (3, 0, "········"),
    ],
)
def test_a_bar_shows_a_cell_for_anything_and_is_full_only_when_full(part: float, whole: float, shown: str):
    assert UNICODE.bar(part, whole, 8) == shown


def test_a_two_tone_bar_sets_what_is_used_apart_from_what_is_reserved():
    assert UNICODE.two_tone(5.1, 6, 8, 13) == "████████▒▒···"
    assert ASCII.two_tone(5.1, 6, 8, 13) == "########==..."


def test_a_sparkline_keeps_zero_low_and_leaves_missing_cells_blank():
    assert UNICODE.spark((0, 1, 7), 5, top=7) == "  ▁▂█"
    assert ASCII.spark((0, 1, 2, 3, 4, 5, 6, 7), 8, top=7) == "0123568#"


def test_a_rule_holds_its_heads_at_their_cells_and_drops_a_tail_that_does_not_fit():
    assert UNICODE.rule(30, [(2, "1 Queues"), (14, "WAIT")], "+1 idle") == "─ 1 Queues ── WAIT ─ +1 idle ─"
    assert UNICODE.rule(24, [(2, "1 Queues"), (14, "WAIT")], "+1 idle", focused=True) == "━▌1 Queues ━━ WAIT ━━━━━"
    assert ASCII.rule(16, [(2, "Work")], focused=True) == "=[Work ========="
    wide = UNICODE.rule(24, [(2, "夜间é"), (12, "WAIT")], "é夜")
    assert wide == "─ 夜间é ─── WAIT ─ é夜 ─" and width(wide) == 24


def test_without_colour_a_failure_is_bold_and_nothing_has_a_colour():
    look = Look(colour=False)
    assert all(look.style(sign.style).color is None for sign in STATES.values())
    assert look.style("broken").bold


def test_in_ascii_our_own_signs_are_all_ascii():
    assert ASCII.own("↵ – … · › █ ▒ ‖ → ● ○ ✗ ✓ ┌─┐│└┘ ━▌ ▲ △").isascii()


def test_names_on_a_terminal_without_utf8_become_ascii():
    assert Look(utf8=False).theirs("夜 x") == "? x"


def test_a_strip_has_exactly_its_width_whatever_the_text():
    for text in ("", "abc", "夜间备份" * 40, "e\u0301" * 50):
        assert UNICODE.strip([(text, "")], 33).cell_length == 33


def test_the_footer_uses_every_cell_and_cuts_no_key():
    hints = [Hint("a", "bc", "a", 1), Hint("d", "ef", "d", 0)]
    assert fit(hints, UNICODE, 10) == hints
    assert fit(hints, UNICODE, 9) == hints[1:]


def test_arrows_go_both_ways_in_ascii():
    assert Look(ascii=True).own("← →") == "<- ->"
