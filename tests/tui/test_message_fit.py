"""What is said fits the line in such a way that one can read what to do, and goes when it holds no longer."""

from __future__ import annotations

import pytest

from app.core.board import Board, RuntimeFacts
from app.core.text.sanitize import width
from app.errors import Storage
from app.tui.message_fit import in_room
from app.tui.style import Look
from tests.tui import boards
from tests.tui.fake_runtime import Answers, deck, until
from tests.tui.screen_text import screen_text

CURE = "Bring it back: taskdeck db restore"
GONE = f"the database is gone: /srv/home/ann/a-home-with-a-long-name/deck/taskdeck.db. No new one was made. {CURE}"


@pytest.mark.parametrize("room", range(40, 140, 7))
def test_the_cure_is_never_cut(room: int):
    shown = in_room(GONE, room, Look())
    assert width(shown) <= room and shown.endswith(CURE) and shown.startswith("the")


def test_the_path_is_cut_first_in_its_middle_and_only_as_far_as_is_needed():
    shown = in_room(GONE, len(GONE) - 10, Look())
    assert shown.startswith("the database is gone: /srv/home/") and "…" in shown and "deck/taskdeck.db. No new one was made." in shown
    assert len(shown) == len(GONE) - 10
    assert in_room(GONE, len(GONE), Look()) == GONE


@pytest.mark.parametrize("text", ["", "one sentence that goes on and on without an end", "/a/path/that/is/too/long/for/it", f"x. {CURE}"])
def test_whatever_is_said_fits(text: str):
    for room in range(1, 60):
        for look in (Look(), Look(ascii=True)):
            assert width(in_room(text, room, look)) <= room


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16)])
async def test_the_line_at_the_bottom_shows_the_cure(size: tuple[int, int]):
    app = deck(Answers())
    async with app.run_test(size=size) as pilot:
        app._no_board(GONE, False, None)
        await until(pilot, lambda: any(line.rstrip().endswith(CURE) for line in screen_text(app)))


def up(state: str) -> Board:
    return boards.busy()._replace(runtime=RuntimeFacts(state, pid=4120 if state == "running" else None))


def says(app: object, text: str) -> bool:
    return any(text in line for line in screen_text(app))  # type: ignore[arg-type]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch):
    """What is said stays for as long as nothing takes it away."""
    monkeypatch.setattr("app.tui.status_messages.SAID", float("inf"))


async def test_trouble_goes_with_the_board_of_a_runtime_and_stays_while_none_can_be_had(still: None):
    app = deck(Answers())
    async with app.run_test(size=(120, 40)) as pilot:
        app.feed.stop()  # whose boards would be those of a living runtime
        await pilot.pause()
        app._feed_lost(Storage("the database is gone.", CURE), False)
        await until(pilot, lambda: says(app, CURE))
        app._take(up("none"))
        assert app.said() is not None
        app._take(up("running"))
        await until(pilot, lambda: not says(app, CURE))


async def test_what_was_said_since_stays_when_the_trouble_is_over(still: None):
    app = deck(Answers())
    async with app.run_test(size=(120, 40)) as pilot:
        app._no_board(GONE, False, None)
        app.say("Held #1 encode.")
        app._take(up("running"))
        await until(pilot, lambda: says(app, "Held #1 encode."))


async def test_a_deck_that_starts_nothing_is_told_by_any_board_that_the_trouble_is_over(still: None):
    app = deck(Answers(), read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        app._no_board(GONE, False, None)
        app._take(up("none"))
        await until(pilot, lambda: not says(app, CURE))


async def test_why_a_list_cannot_be_read_goes_when_it_can(still: None):
    answers = Answers(operations=Storage("the database is held by another program."))
    app = deck(answers)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("O")
        await until(pilot, lambda: says(app, "held by another"))
        answers.table["operations"] = []
        app.screen.reread()  # type: ignore[attr-defined]
        await until(pilot, lambda: says(app, "Nothing was done yet") and not says(app, "held by another"))
