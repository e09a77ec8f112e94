"""Style: glyphs, bars, sparklines and lines, in Unicode and in ASCII."""

from __future__ import annotations

import pytest

from app.core.text.sanitize import measure_width
from app.tui.style import ALERTS, QUEUES, STATES, Look, get_load_style
from app.tui.widgets.footer import KeyHint, select_hints

pytestmark = pytest.mark.unit

UNICODE, ASCII = Look(), Look(ascii=True)


def test_every_glyph_takes_one_cell_and_states_are_distinct():
    for table in (STATES, ALERTS, QUEUES):
        for sign in table.values():
            assert measure_width(sign.glyph) == 1 and len(sign.ascii) == 1 and sign.ascii.isascii()
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
def test_a_bar_is_empty_only_at_zero_and_full_only_when_full(part: float, whole: float, shown: str):
    assert UNICODE.draw_bar(part, whole, 8) == shown


@pytest.mark.parametrize(
    ("part", "style", "ascii_bar", "mono_bar"),
    [
        (1, "calm", "#...", "█···"),
        (9, "busy", "%%%.", "▓▓▓·"),
        (10, "busy", "%%%%", "▓▓▓▓"),
        (50, "over", "!!!!", "!!!!"),
    ],
)
def test_a_bar_shows_its_load_by_colour_or_by_texture(
    part: float, style: str, ascii_bar: str, mono_bar: str
):
    assert get_load_style(part, 10) == style
    assert ASCII.draw_bar(part, 10, 4) == ascii_bar
    assert Look(colour=False).draw_bar(part, 10, 4) == mono_bar
    assert set(UNICODE.draw_bar(part, 10, 4)) <= {"█", "·"}
    colours = {UNICODE.style(name).color for name in ("calm", "busy", "over")}
    assert len(colours) == 3 and None not in colours


def test_a_two_tone_bar_distinguishes_used_from_reserved():
    assert UNICODE.draw_two_tone(5.1, 6, 8, 13) == "████████▒▒···"
    assert ASCII.draw_two_tone(5.1, 6, 8, 13) == "########==..."
    assert ASCII.draw_two_tone(5.1, 8, 8, 13, "busy") == "%%%%%%%%====="


def test_a_sparkline_keeps_zero_low_and_leaves_missing_cells_blank():
    assert UNICODE.draw_sparkline((0, 1, 7), 5, top=7) == "  ▁▂█"
    assert ASCII.draw_sparkline((0, 1, 2, 3, 4, 5, 6, 7), 8, top=7) == "0123568#"


def test_a_title_line_aligns_headings_and_drops_a_tail_too_long():
    assert (
        UNICODE.draw_rule(30, [(2, "1 Queues"), (14, "WAIT")], "+1 idle")
        == "─ 1 Queues ── WAIT ─ +1 idle ─"
    )
    assert (
        UNICODE.draw_rule(24, [(2, "1 Queues"), (14, "WAIT")], "+1 idle", focused=True)
        == "━▌1 Queues ━━ WAIT ━━━━━"
    )
    assert ASCII.draw_rule(16, [(2, "Work")], focused=True) == "=[Work ========="
    wide = UNICODE.draw_rule(24, [(2, "夜间é"), (12, "WAIT")], "é夜")
    assert wide == "─ 夜间é ─── WAIT ─ é夜 ─" and measure_width(wide) == 24


def test_without_colour_failures_are_bold():
    look = Look(colour=False)
    assert all(look.style(sign.style).color is None for sign in STATES.values())
    assert look.style("broken").bold


def test_ascii_mode_uses_only_ascii_glyphs():
    assert ASCII.adapt_text("↵ – … · › █ ▒ ‖ → ● ○ ✗ ✓ ┌─┐│└┘ ━▌ ▲ △").isascii()


def test_names_on_a_terminal_without_utf8_become_ascii():
    assert Look(utf8=False).sanitize("夜 x") == "? x"


def test_a_strip_has_exactly_its_width_for_any_text():
    for text in ("", "abc", "夜间备份" * 40, "e\u0301" * 50):
        assert UNICODE.strip([(text, "")], 33).cell_length == 33


def test_the_footer_fills_its_width_and_cuts_no_key():
    hints = [KeyHint("a", "bc", "a", 1), KeyHint("d", "ef", "d", 0)]
    assert select_hints(hints, UNICODE, 10) == hints
    assert select_hints(hints, UNICODE, 9) == hints[1:]


def test_ascii_arrows_point_both_ways():
    assert Look(ascii=True).adapt_text("← →") == "<- ->"
