"""The deck on a real terminal: what a person does with it in the first hour."""

from __future__ import annotations

import os
import signal

import pytest

TICKER = 'n=0; while [ ! -e stop ]; do n=$((n+1)); echo "tick $n"; sleep 0.1; done; echo done'


@pytest.fixture
def house(tidied):
    """One runtime for all: it is the deck that is looked at."""
    return tidied


def ticking(house, *options):
    """A task that writes a line ten times a second until the file `stop` is there."""
    return house.submit(*options, "--", "sh", "-c", TICKER)


def has_ended(house, number):
    (house.work / "stop").touch()
    return house.td("wait", number).returncode == 0


def test_n_submits_a_task_from_a_form(house):
    with house.terminal() as deck:
        deck.wait("Nothing has been submitted yet").type("n").wait("Command")
        deck.type("touch made-by-the-form").wait("made-by-the-form").type("\n")
        deck.wait("✓ touch")
        deck.type("q").end()

    assert (house.work / "made-by-the-form").exists()


def test_the_deck_shows_the_running_task_and_its_live_log(house):
    number = ticking(house, "-n", "ticker one")

    with house.terminal() as deck:
        deck.wait("ticker one").wait("● runtime").wait("LAST OUTPUT").wait("tick ")
        deck.type("l").wait("following")
        first = deck.wait("tick 1").text
        deck.wait(lambda t: t.text != first and "tick" in t.text)
        (house.work / "stop").touch()
        deck.wait("done").wait("succeeded")
        deck.type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert house.td("wait", number).returncode == 0


def test_x_and_y_cancel_the_running_task_under_the_cursor(house):
    number = ticking(house, "-n", "to be cancelled")

    with house.terminal() as deck:
        deck.wait("tick ").type("x").wait("Cancel").wait("to be cancelled").wait("keep")
        deck.press("y", until=lambda t: "keep it" not in t.text).wait("⊘ to be cancelled")
        deck.type("q")
        assert deck.end() == 0

    assert house.json("show", number)["status"] == "cancelled"


def test_p_pauses_what_runs_and_lets_it_go_on_n_keeps_it_and_q_leaves_it_running(house):
    number = ticking(house, "-n", "pausable")

    with house.terminal() as deck:
        deck.wait("tick ").type("p").wait("‖ pausable").wait("paused")
        assert house.json("instances", number)[0]["status"] == "paused"
        deck.press("p", until="● pausable", again_after=5.0)
        deck.press("x", until="keep", again_after=5.0).type("n").wait(lambda t: "keep" not in t.text)
        deck.type("q")
        assert deck.end() == 0
        assert "1 job goes on" in deck.text

    assert house.json("show", number)["status"] == "running"
    assert has_ended(house, number)


def test_of_what_waits_w_says_why_p_holds_it_u_undoes_that_and_a_click_puts_the_cursor_on_it(house):
    house.ok("queue", "set", "default", "--capacity", "1")
    first, second = ticking(house, "-n", "runs"), house.submit("-n", "waits", "--", "true")

    with house.terminal() as deck:
        deck.wait("○ waits").type("j").wait(lambda t: t.line_with("waits").startswith("›"))
        deck.type("w").wait(lambda t: "full" in t.text and "1 of 1" in t.text)
        deck.type("q").wait(lambda t: "┌" not in t.text and "○ waits" in t.text).type("p").wait("⊟ waits")
        assert house.json("show", second)["status"] == "held"
        deck.wait("u undo").type("u").wait("○ waits")
        deck.type("k").wait(lambda t: t.line_with("● runs").startswith("›"))
        row = next(y for y, line in enumerate(deck.lines) if "○ waits" in line)
        deck.click(20, row).wait(lambda t: t.line_with("○ waits").startswith("›"))
        deck.type("q")
        assert deck.end() == 0

    assert house.json("show", second)["status"] == "queued"
    assert has_ended(house, first)


def test_closing_the_terminal_or_killing_the_deck_ends_no_task(house):
    number = ticking(house)

    with house.terminal() as closed, house.terminal() as killed:
        closed.wait("tick ").hang_up()
        os.kill(killed.wait("tick ").pid, signal.SIGKILL)
        assert killed.end() == -signal.SIGKILL
        closed.close()

    (row,) = house.json("instances", number)
    assert row["status"] == "running"
    assert has_ended(house, number)
    assert house.ok("logs", number).endswith("done\n")


def test_two_decks_and_a_submit_from_a_third_terminal_see_the_same(house):
    first = ticking(house, "-n", "already there")

    with house.terminal() as one, house.terminal(columns=80, rows=24) as two:
        one.wait("already there"), two.wait("already there")
        third = house.submit("--hold", "-n", "from a third", "--", "true")
        one.wait("⊟ from a third"), two.wait("⊟ from a third")
        house.ok("release", third)
        one.wait("✓ from a third")
        one.type("q").end(), two.type("q").end()

    assert has_ended(house, first)
