"""Dialog about events since the last visit."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import AppBlur, AppFocus

from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.dialogs.while_away import WhileAwayScreen, make_question
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines
from tests.tui.widgets.test_modal import is_shown, read_terminal_lines

SOME_EVENTS: dict[str, Any] = {
    "since": boards.NOW - 28_800,
    "ended": {"succeeded": 1204, "failed": 9, "timed_out": 1},
    "bad": [
        {"number": 1048, "name": "thumbs S02", "status": "failed", "queue": "media",
        "reason": "exit 1",
         "ended_at": "2026-11-25T10:40:04.000000Z"},
    ],
    "alerts": [{"sla": "gpu-wait", "severity": "warning", "status": "firing",
    "object": "#1049 resnet50"}],
}  # fmt: skip
NO_EVENTS: dict[str, Any] = {"since": boards.NOW - 28_800, "ended": {}, "bad": [], "alerts": []}


@asynccontextmanager
async def reopen_deck(
    found: dict[str, Any],
    looked: float | None = boards.NOW - 28_800,
    size: tuple[int, int] = (80, 24),
):
    app, recording = make_recorded_deck()
    recording.table["away"] = found
    if looked is not None:
        app.memory.put("looked", looked)
    async with app.run_test(size=size) as pilot:
        await wait_for(
            pilot,
            lambda: app.board is not None and isinstance(app.screen, (DeckScreen, WhileAwayScreen)),
        )
        yield app, recording, pilot


async def test_the_dialog_shows_counts_and_names():
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(pilot, lambda: isinstance(app.screen, WhileAwayScreen))
        text = "\n".join(read_screen_lines(app))
        for part in (
            "While you were away",
            "1,204  ✓ succeeded",
            "9  ✗ failed",
            "1048 thumbs S02",
            "… and 9 more",
            "gpu-wait on #1049",
        ):
            assert part in text


def test_plain_style_shows_each_state_once():
    body = make_question(SOME_EVENTS, boards.NOW, Look(ascii=True, plain=True), 20).body
    lines = ["".join(text for text, _ in line).split() for line in body]
    assert ["1,204", "succeeded"] in lines and ["9", "failed"] in lines


@pytest.mark.parametrize("key", ["enter", "escape", "q", "space"])
async def test_any_of_these_keys_closes_the_dialog(key: str):
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(pilot, lambda: isinstance(app.screen, WhileAwayScreen))
        await pilot.press(key)
        await wait_for(pilot, lambda: isinstance(app.screen, DeckScreen))


@pytest.mark.parametrize(
    ("on", "screen"),
    [("show what failed", "TasksScreen"), ("continue", "DeckScreen"), ("You last", "DeckScreen")],
)
async def test_a_click_gives_its_answer_or_closes_the_dialog(on: str, screen: str):
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(
            pilot,
            lambda: (
                isinstance(app.screen, WhileAwayScreen)
                and any(on in line for line in read_screen_lines(app))
            ),
        )
        y, line = next((n, line) for n, line in enumerate(read_screen_lines(app)) if on in line)
        await pilot.click(offset=(line.index(on) + 2, y))
        await wait_for(pilot, lambda: type(app.screen).__name__ == screen)
        await pilot.pause()


async def test_a_deck_key_closes_the_dialog_and_takes_effect():
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(pilot, lambda: isinstance(app.screen, WhileAwayScreen))
        await pilot.press("2")
        await wait_for(
            pilot,
            lambda: (
                isinstance(app.screen, DeckScreen)
                and app.focused is not None
                and app.focused.id == "pools"
            ),
        )


async def test_no_dialog_without_events():
    async with reopen_deck(NO_EVENTS) as (app, recording, pilot):
        await wait_for(pilot, lambda: "away" in recording.verbs())
        assert isinstance(app.screen, DeckScreen)


@pytest.mark.parametrize("looked", [None, boards.NOW - 20], ids=["never", "just now"])
async def test_no_dialog_without_an_absence(looked: float | None):
    async with reopen_deck(SOME_EVENTS, looked) as (app, recording, _):
        assert "away" not in recording.verbs()
        assert isinstance(app.screen, DeckScreen)


async def test_closing_the_deck_records_the_visit():
    async with reopen_deck(NO_EVENTS) as (app, _, _):
        pass
    assert app.read_marks.last_view == boards.NOW // 1


async def test_an_unfocused_terminal_is_not_redrawn():
    async with reopen_deck(NO_EVENTS, None) as (app, recording, pilot):
        app.post_message(AppBlur())
        await wait_for(
            pilot, lambda: "Paused while another window has the focus" in read_screen_lines(app)[-2]
        )
        before = read_screen_lines(app)
        recording.board = boards.empty()
        app.connection._receive_board(boards.empty())
        await pilot.pause()
        assert read_screen_lines(app) == before
        app.post_message(AppFocus())
        await wait_for(pilot, lambda: "0 running" in read_screen_lines(app)[0])
        assert "Paused while" not in "\n".join(read_screen_lines(app))


async def test_a_click_on_a_footer_key_presses_only_that_key():
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(
            pilot,
            lambda: (
                isinstance(app.screen, WhileAwayScreen)
                and is_shown(app, "↵ continue  f what failed", -1)
            ),
        )
        await pilot.click(offset=(read_terminal_lines(app)[-1].index("continue"), 23))
        await wait_for(pilot, lambda: not isinstance(app.screen, WhileAwayScreen))
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)
    async with reopen_deck(SOME_EVENTS) as (app, _, pilot):
        await wait_for(
            pilot,
            lambda: isinstance(app.screen, WhileAwayScreen) and is_shown(app, "f what failed", -1),
        )
        await pilot.click(offset=(read_terminal_lines(app)[-1].index("what failed"), 23))
        await wait_for(pilot, lambda: type(app.screen).__name__ == "TasksScreen")


async def test_hidden_lines_are_counted_and_the_answers_stay_visible():
    more = SOME_EVENTS | {"bad": [SOME_EVENTS["bad"][0] | {"number": n} for n in range(9)]}
    async with reopen_deck(more, size=(60, 16)) as (app, _, pilot):
        await wait_for(pilot, lambda: any("more lines" in line for line in read_screen_lines(app)))
        text = "\n".join(read_screen_lines(app))
        assert "You last looked" in text and "more lines" in text and "f  show what failed" in text
