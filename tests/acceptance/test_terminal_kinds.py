"""Acceptance tests of the deck on small, monochrome, ASCII and resized terminals."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.escape_sequences import find_faults

COLOUR_SEQUENCE = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
NON_ASCII_SYMBOLS = re.compile("[\u00b7\u2010-\u27bf]")
"""Lines, blocks, arrows, signs and typographic marks, which an ASCII terminal cannot show."""
LONG_RUN = 'n=0; while [ ! -e stop ]; do n=$((n+1)); echo "tick $n"; sleep 0.2; done'


@pytest.fixture(scope="module")
def busy_home(shared_home):
    """Return a home with a running, a waiting, a held and a failed task."""
    shared_home.run_ok("queue", "set", "default", "--capacity", "1")
    shared_home.run_cli("submit", "--wait", "-n", "failed one", "--", "false")
    shared_home.submit("-n", "running one", "--", "sh", "-c", LONG_RUN)
    shared_home.submit("-n", "waiting one", "--", "true")
    shared_home.submit("-n", "held one", "--hold", "--", "true")
    return shared_home


def quit_deck(deck):
    """Quit the deck and check everything it sent."""
    assert deck.type("q").end() == 0
    assert find_faults(bytes(deck.raw)) == []


@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24), (200, 50)])
def test_every_pane_is_shown_within_the_width_and_colour_is_used(busy_home, columns, rows):
    with busy_home.open_terminal(columns=columns, rows=rows) as deck:
        deck.wait("running one").wait("waiting one")
        for words in (
            "1 Queues",
            "2 Pools",
            "3 Running",
            "Next to start",
            "4 SLA alerts",
            "? help",
            "q quit",
        ):
            deck.wait(words)
        quit_deck(deck)

    assert COLOUR_SEQUENCE.search(bytes(deck.raw)) is not None


def test_at_60x16_digits_switch_between_single_panes(busy_home):
    with busy_home.open_terminal(columns=60, rows=16) as deck:
        deck.wait("running one").wait("? help").wait("q quit")
        assert "1 Queues" not in deck.text
        deck.type("1").wait("1 Queues").wait(lambda t: "running one" not in t.text)
        deck.type("4").wait("4 SLA").type("3").wait("running one")
        quit_deck(deck)


def test_a_too_small_terminal_says_so_and_q_quits(busy_home):
    with busy_home.open_terminal(columns=52, rows=12) as deck:
        deck.wait("Terminal too small").wait("52x12")
        quit_deck(deck)


def test_no_screen_or_dialog_is_drawn_on_a_too_small_terminal(busy_home):
    with busy_home.open_terminal(columns=80, rows=24) as deck:
        deck.wait("running one")
        for keys, here in (
            ("5", "5 Tasks"),
            ("6", "6 Templates"),
            ("7", "7 Alerts"),
            ("9", "9 History"),
            ("0n", "New task"),
        ):
            deck.type(keys).wait(here).resize(59, 15).wait("too small (59x15)").wait(
                lambda t, here=here: here not in t.text
            )
            deck.resize(80, 24).wait(here)
        deck.type("\x1b").wait("3 Running").type("?").wait("Keys").resize(59, 15).wait(
            "too small (59x15)"
        ).wait(is_only_notice)
        deck.resize(80, 24).wait("Keys").type("q").wait("? help")
        quit_deck(deck)


def is_only_notice(terminal):
    """Return true if the terminal shows only the notice."""
    return (
        " ".join(terminal.text.split())
        == "Terminal too small (59x15): needs 60x16. Jobs keep running; q leaves."
    )


def test_the_deck_follows_resizing(busy_home):
    with busy_home.open_terminal(columns=120, rows=40) as deck:
        deck.wait("running one").wait("LAST OUTPUT")
        deck.resize(80, 24).wait(lambda t: "LAST OUTPUT" not in t.text and "running one" in t.text)
        deck.resize(60, 16).wait(lambda t: "1 Queues" not in t.text and "running one" in t.text)
        deck.resize(40, 10).wait("too small")
        deck.resize(140, 45).wait("LAST OUTPUT").wait("running one").wait("waiting one")
        deck.wait(lambda t: t.lines[-1].endswith("q quit"))
        quit_deck(deck)


def test_a_window_resized_repeatedly_shows_its_last_size(busy_home):
    with busy_home.open_terminal(columns=120, rows=40) as deck:
        deck.wait("running one")
        for n in range(20):
            for size in ((80, 24), (60, 16), (120, 40))[: n % 4]:
                deck.resize(*size)
            deck.resize(40, 10).wait("too small")
            if n % 3:
                deck.resize(80, 24).wait("running one")
        deck.resize(80, 24).wait("? help")
        quit_deck(deck)


def test_no_color_means_no_colour_but_a_cursor(busy_home):
    with busy_home.open_terminal(NO_COLOR="1") as deck:
        deck.wait("running one").wait("✗ failed one").type("jj").wait(
            lambda t: t.find_line("held one").startswith("›")
        )
        quit_deck(deck)

    assert COLOUR_SEQUENCE.search(bytes(deck.raw)) is None


@pytest.mark.parametrize(
    ("words", "env"),
    [(["--ascii"], {}), ([], {"TERM": "linux"}), ([], {"TERM": "vt100"})],
    ids=["--ascii", "linux", "vt100"],
)
def test_in_ascii_only_ascii_is_drawn(busy_home, words, env):
    with busy_home.open_terminal(*words, columns=80, rows=24, **env) as deck:
        deck.wait("running one").wait("enter open")
        for open_it, shown, close_it in (
            ("?", "Keys", "q"),
            (":", "Commands", "\x1b"),
            ("w", "attempt 1 of 1", "q"),
            ("x", "work lost", "n"),
        ):
            deck.type(open_it).wait(shown).wait("+----").type(close_it).wait(
                lambda t: "+----" not in t.text
            )
        quit_deck(deck)

    drawn = bytes(deck.raw).decode().partition("\x1b[?1049h")[2]
    assert set(NON_ASCII_SYMBOLS.findall(drawn)) == set()


def test_a_terminal_with_wide_box_characters_gets_ascii(busy_home):
    with busy_home.open_terminal(columns=80, rows=24) as deck:
        deck.screen.box_cells = 2
        deck.wait("running one")
        assert "─" not in deck.text
        quit_deck(deck)


def test_a_read_only_deck_changes_nothing(busy_home):
    with busy_home.open_terminal("--read-only") as deck:
        deck.wait("READ ONLY").wait("running one").type("p").wait("Read only")
        quit_deck(deck)

    assert busy_home.run_json("show", 2)["status"] == "running"
