"""Acceptance tests of the deck on a real terminal: the first hour of use."""

from __future__ import annotations

import os
import signal

import pytest

TICKER = 'n=0; while [ ! -e stop ]; do n=$((n+1)); echo "tick $n"; sleep 0.1; done; echo done'


@pytest.fixture
def acceptance_home(clean_home):
    """Return the module's home, because only the deck is under test."""
    return clean_home


def submit_ticker(house, *options):
    """Submit a task that writes ten lines a second until the file `stop` exists."""
    return house.submit(*options, "--", "sh", "-c", TICKER)


def stop_ticker(house, number):
    (house.work / "stop").touch()
    return house.run_cli("wait", number).returncode == 0


def test_n_submits_a_task_from_a_form(acceptance_home):
    with acceptance_home.open_terminal() as deck:
        deck.wait("Nothing has been submitted yet").type("n").wait("Command")
        deck.type("touch made-by-the-form").wait("made-by-the-form").type("\n")
        deck.wait("✓ touch")
        deck.type("q").end()

    assert (acceptance_home.work / "made-by-the-form").exists()


def test_the_deck_shows_the_running_task_and_its_live_log(acceptance_home):
    number = submit_ticker(acceptance_home, "-n", "ticker one")

    with acceptance_home.open_terminal() as deck:
        deck.wait("ticker one").wait("● runtime").wait("LAST OUTPUT").wait("tick ")
        deck.type("l").wait("following")
        first = deck.wait("tick 1").text
        deck.wait(lambda t: t.text != first and "tick" in t.text)
        (acceptance_home.work / "stop").touch()
        deck.wait("done").wait("succeeded")
        deck.type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert acceptance_home.run_cli("wait", number).returncode == 0


def test_x_and_y_cancel_the_running_task_at_the_cursor(acceptance_home):
    number = submit_ticker(acceptance_home, "-n", "to be cancelled")

    with acceptance_home.open_terminal() as deck:
        deck.wait("tick ").type("x").wait("Cancel").wait("to be cancelled").wait("y  cancel it")
        deck.press("y", until=lambda t: "y  cancel it" not in t.text).wait("⊘ to be cancelled")
        deck.type("q")
        assert deck.end() == 0

    assert acceptance_home.run_json("show", number)["status"] == "cancelled"


def test_p_pauses_and_resumes_n_keeps_and_q_leaves_a_running_task(acceptance_home):
    number = submit_ticker(acceptance_home, "-n", "pausable")

    with acceptance_home.open_terminal() as deck:
        deck.wait("tick ").type("p").wait("‖ pausable").wait("paused")
        assert acceptance_home.run_json("instances", number)[0]["status"] == "paused"
        deck.press("p", until="● pausable", again_after=1.5)
        deck.press("x", until="y  cancel it", again_after=1.5).type("n").wait(
            lambda t: "y  cancel it" not in t.text
        )
        deck.type("q")
        assert deck.end() == 0
        assert "1 job continues" in deck.text

    assert acceptance_home.run_json("show", number)["status"] == "running"
    assert stop_ticker(acceptance_home, number)


def test_w_explains_p_holds_u_undoes_and_a_click_moves_the_cursor(acceptance_home):
    acceptance_home.run_ok("queue", "set", "default", "--capacity", "1")
    first, second = (
        submit_ticker(acceptance_home, "-n", "runs"),
        acceptance_home.submit("-n", "waits", "--", "true"),
    )

    with acceptance_home.open_terminal() as deck:
        deck.wait("○ waits").type("j").wait(lambda t: t.find_line("waits").startswith("›"))
        deck.type("w").wait(lambda t: "full" in t.text and "1 of 1" in t.text)
        deck.type("q").wait(lambda t: "┌" not in t.text and "○ waits" in t.text).type("p").wait(
            "⊟ waits"
        )
        assert acceptance_home.run_json("show", second)["status"] == "held"
        deck.wait("u undo").type("u").wait("○ waits")
        deck.type("k").wait(lambda t: t.find_line("● runs").startswith("›"))
        row = next(y for y, line in enumerate(deck.lines) if "○ waits" in line)
        deck.click(20, row).wait(lambda t: t.find_line("○ waits").startswith("›"))
        deck.type("q")
        assert deck.end() == 0

    assert acceptance_home.run_json("show", second)["status"] == "queued"
    assert stop_ticker(acceptance_home, first)


def test_keys_that_come_too_fast_are_discarded_and_the_deck_answers(acceptance_home):
    with acceptance_home.open_terminal() as deck:
        deck.wait("1 Queues")
        for _ in range(24):
            deck.type("56" * 500)
        deck.wait("Keys came faster than the deck can act")
        deck.press("0", until="1 Queues").type("q")
        assert deck.end() == 0


def test_closing_or_killing_the_deck_ends_no_task(acceptance_home):
    number = submit_ticker(acceptance_home)

    with acceptance_home.open_terminal() as closed, acceptance_home.open_terminal() as killed:
        closed.wait("tick ").hang_up()
        os.kill(killed.wait("tick ").pid, signal.SIGKILL)
        assert killed.end() == -signal.SIGKILL
        closed.close()

    (row,) = acceptance_home.run_json("instances", number)
    assert row["status"] == "running"
    assert stop_ticker(acceptance_home, number)
    assert acceptance_home.run_ok("logs", number).endswith("done\n")


def test_two_decks_and_a_third_terminal_show_the_same(acceptance_home):
    first = submit_ticker(acceptance_home, "-n", "already there")

    with (
        acceptance_home.open_terminal() as one,
        acceptance_home.open_terminal(columns=80, rows=24) as two,
    ):
        one.wait("already there"), two.wait("already there")
        third = acceptance_home.submit("--hold", "-n", "from a third", "--", "true")
        one.wait("⊟ from a third"), two.wait("⊟ from a third")
        acceptance_home.run_ok("release", third)
        one.wait("✓ from a third")
        one.type("q").end(), two.type("q").end()

    assert stop_ticker(acceptance_home, first)
