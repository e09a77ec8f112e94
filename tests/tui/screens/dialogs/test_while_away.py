"""While you were away: told once, when something happened, and gone with one key."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import AppBlur, AppFocus

from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.dialogs.while_away import AwayScreen, question
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import an_app, until
from tests.tui.screen_text import screen_text
from tests.tui.widgets.test_modal import seen, shown

FOUND: dict[str, Any] = {
    "since": boards.NOW - 28_800,
    "ended": {"succeeded": 1204, "failed": 9, "timed_out": 1},
    "bad": [
        {"number": 1048, "name": "thumbs S02", "status": "failed", "queue": "media", "reason": "exit 1",
         "ended_at": "2026-11-25T10:40:04.000000Z"},
    ],
    "alerts": [{"sla": "gpu-wait", "severity": "warning", "status": "firing", "object": "#1049 resnet50"}],
}  # fmt: skip
NOTHING: dict[str, Any] = {"since": boards.NOW - 28_800, "ended": {}, "bad": [], "alerts": []}


@asynccontextmanager
async def coming_back(found: dict[str, Any], looked: float | None = boards.NOW - 28_800, size: tuple[int, int] = (80, 24)):
    app, recording = an_app()
    recording.answers["away"] = found
    if looked is not None:
        app.memory.put("looked", looked)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.board is not None and isinstance(app.screen, (DeckScreen, AwayScreen)))
        yield app, recording, pilot


async def test_what_happened_is_told_with_numbers_and_names():
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        text = "\n".join(screen_text(app))
        for part in ("While you were away", "1,204  ✓ succeeded", "9  ✗ failed", "1048 thumbs S02", "… and 9 more", "gpu-wait on #1049"):
            assert part in text


def test_in_a_plain_look_a_state_is_said_once():
    body = question(FOUND, boards.NOW, Look(ascii=True, plain=True), 20).body
    lines = ["".join(text for text, _ in line).split() for line in body]
    assert ["1,204", "succeeded"] in lines and ["9", "failed"] in lines


@pytest.mark.parametrize("key", ["enter", "escape", "q", "space"])
async def test_one_key_goes_on(key: str):
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))


@pytest.mark.parametrize(("on", "screen"), [("show what failed", "TasksScreen"), ("go on", "DeckScreen"), ("You last", "DeckScreen")])
async def test_a_click_gives_the_answer_it_is_on_or_goes_on(on: str, screen: str):
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen) and any(on in line for line in screen_text(app)))
        y, line = next((n, line) for n, line in enumerate(screen_text(app)) if on in line)
        await pilot.click(offset=(line.index(on) + 2, y))
        await until(pilot, lambda: type(app.screen).__name__ == screen)
        await pilot.pause()


async def test_a_key_of_the_deck_goes_on_and_does_what_it_does():
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen) and app.focused is not None and app.focused.id == "pools")


async def test_nothing_is_told_when_nothing_happened():
    async with coming_back(NOTHING) as (app, recording, pilot):
        await until(pilot, lambda: "away" in recording.verbs())
        assert isinstance(app.screen, DeckScreen)


@pytest.mark.parametrize("looked", [None, boards.NOW - 20], ids=["never", "just now"])
async def test_who_was_not_away_is_told_nothing(looked: float | None):
    async with coming_back(FOUND, looked) as (app, recording, _):
        assert "away" not in recording.verbs()
        assert isinstance(app.screen, DeckScreen)


async def test_leaving_is_the_last_look():
    async with coming_back(NOTHING) as (app, _, _):
        pass
    assert app.seen.last_look == boards.NOW // 1


async def test_nothing_is_drawn_while_another_window_has_the_focus():
    async with coming_back(NOTHING, None) as (app, recording, pilot):
        app.post_message(AppBlur())
        await until(pilot, lambda: "Not refreshed while another window has the focus" in screen_text(app)[-2])
        before = screen_text(app)
        recording.board = boards.empty()
        app._feed_shows(boards.empty())
        await pilot.pause()
        assert screen_text(app) == before
        app.post_message(AppFocus())
        await until(pilot, lambda: "0 running" in screen_text(app)[0])
        assert "Not refreshed" not in "\n".join(screen_text(app))


async def test_a_click_on_a_key_of_the_last_line_is_that_key_and_no_other():
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen) and shown(app, "↵ go on  f what failed", -1))
        await pilot.click(offset=(seen(app)[-1].index("go on"), 23))
        await until(pilot, lambda: not isinstance(app.screen, AwayScreen))
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)
    async with coming_back(FOUND) as (app, _, pilot):
        await until(pilot, lambda: isinstance(app.screen, AwayScreen) and shown(app, "f what failed", -1))
        await pilot.click(offset=(seen(app)[-1].index("what failed"), 23))
        await until(pilot, lambda: type(app.screen).__name__ == "TasksScreen")


async def test_what_there_is_no_room_for_is_counted_and_the_answers_stay():
    more = FOUND | {"bad": [FOUND["bad"][0] | {"number": n} for n in range(9)]}
    async with coming_back(more, size=(60, 16)) as (app, _, pilot):
        await until(pilot, lambda: any("more lines" in line for line in screen_text(app)))
        text = "\n".join(screen_text(app))
        assert "You last looked" in text and "more lines" in text and "f  show what failed" in text
