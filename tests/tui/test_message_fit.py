"""Status messages: cut so that the advice stays readable, and cleared once obsolete."""

from __future__ import annotations

import pytest

from app.core.board import Board, RuntimeFacts
from app.core.text.sanitize import measure_width
from app.errors import Storage
from app.tui.message_fit import fit_message
from app.tui.style import Look
from tests.tui import boards
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown, read_screen_lines

ADVICE = "Bring it back: taskdeck db restore"
DATABASE_GONE = (
    "the database is gone: /srv/home/ann/a-home-with-a-long-name/deck/taskdeck.db. No new one was"
    f" made. {ADVICE}"
)


@pytest.mark.parametrize("room", range(40, 140, 7))
def test_the_advice_is_never_cut(room: int):
    shown = fit_message(DATABASE_GONE, room, Look())
    assert measure_width(shown) <= room and shown.endswith(ADVICE) and shown.startswith("the")


def test_the_path_is_cut_first_and_only_as_needed():
    shown = fit_message(DATABASE_GONE, len(DATABASE_GONE) - 10, Look())
    assert (
        shown.startswith("the database is gone: /srv/home/")
        and "…" in shown
        and "deck/taskdeck.db. No new one was made." in shown
    )
    assert len(shown) == len(DATABASE_GONE) - 10
    assert fit_message(DATABASE_GONE, len(DATABASE_GONE), Look()) == DATABASE_GONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one sentence that goes on and on without an end",
        "/a/path/that/is/too/long/for/it",
        f"x. {ADVICE}",
    ],
)
def test_every_message_fits(text: str):
    for room in range(1, 60):
        for look in (Look(), Look(ascii=True)):
            assert measure_width(fit_message(text, room, look)) <= room


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16)])
async def test_the_message_line_shows_the_advice(size: tuple[int, int]):
    app = make_deck(FakeRuntime())
    async with app.run_test(size=size) as pilot:
        app.connection._show_board_error(DATABASE_GONE, False, None)
        await wait_until(
            pilot, lambda: any(line.rstrip().endswith(ADVICE) for line in read_screen_lines(app))
        )


def make_board(state: str) -> Board:
    return boards.busy()._replace(
        runtime=RuntimeFacts(state, pid=4120 if state == "running" else None)
    )


@pytest.fixture
def lasting_messages(monkeypatch: pytest.MonkeyPatch):
    """Keep messages until something clears them."""
    monkeypatch.setattr("app.tui.status_messages.MESSAGE_SECONDS", float("inf"))


async def test_an_error_stays_until_a_board_of_a_runtime_comes(lasting_messages: None):
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(120, 40)) as pilot:
        app.feed.stop()  # The feed's boards would be those of a running runtime.
        await pilot.pause()
        app.connection._receive_feed_error(Storage("the database is gone.", ADVICE), False)
        await wait_until(pilot, lambda: is_shown(app, ADVICE))
        app.connection._apply_board(make_board("none"))
        assert app.get_message() is not None
        app.connection._apply_board(make_board("running"))
        await wait_until(pilot, lambda: not is_shown(app, ADVICE))


async def test_a_later_message_survives_the_end_of_an_error(lasting_messages: None):
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(120, 40)) as pilot:
        app.connection._show_board_error(DATABASE_GONE, False, None)
        app.show_message("Held #1 encode.")
        app.connection._apply_board(make_board("running"))
        await wait_until(pilot, lambda: is_shown(app, "Held #1 encode."))


async def test_any_board_clears_an_error_in_read_only_mode(lasting_messages: None):
    app = make_deck(FakeRuntime(), read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        app.connection._show_board_error(DATABASE_GONE, False, None)
        app.connection._apply_board(make_board("none"))
        await wait_until(pilot, lambda: not is_shown(app, ADVICE))


async def test_a_read_error_disappears_after_a_successful_read(lasting_messages: None):
    answers = FakeRuntime(operations=Storage("the database is held by another program."))
    app = make_deck(answers)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("O")
        await wait_until(pilot, lambda: is_shown(app, "held by another"))
        answers.table["operations"] = []
        app.screen.reread()  # type: ignore[attr-defined]
        await wait_until(
            pilot,
            lambda: is_shown(app, "No operations yet") and not is_shown(app, "held by another"),
        )
