"""Keys that come in one burst, as over a slow line, act in the order they were typed and on what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from app.tui.app import TaskdeckApp
from app.tui.screens.tasks import TasksScreen
from app.tui.widgets.filter_input import FilterLine
from tests.tui.recording_runtime import an_app, burst, until
from tests.tui.screen_text import screen_text


async def test_a_verb_right_after_a_place_means_what_stands_there():
    app, recording = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        burst(app, "1", "e")
        await until(pilot, lambda: "There is no queue media any more." in screen_text(app)[-2])  # the form for it found none
        burst(app, "3", "2", "p")
        await until(pilot, lambda: "pool.pause" in recording.verbs())
    assert [args for verb, args in recording.asked if verb == "pool.pause"] == [{"name": "gpu"}]
    assert "pause" not in recording.verbs() and app.failure is None


async def test_moves_and_verbs_keep_their_order():
    app, recording = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        numbers = [row.number for row in app.board.running] if app.board else []
        burst(app, "g", "j", "p", "j", "j", "+")
        await until(pilot, lambda: {"pause", "set"} <= set(recording.verbs()))
    asked = {verb: args["ids"][0] for verb, args in recording.asked if verb in ("pause", "set")}
    assert {verb: int(uuid[-12:]) for verb, uuid in asked.items()} == {"pause": numbers[1], "set": numbers[3]}


@pytest.mark.parametrize("place", ["5", "6", "7", "O"])
async def test_a_filter_typed_at_a_place_belongs_to_that_place(place: str):
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.board is not None)
        burst(app, place, "/", *"zqx")
        await until(pilot, lambda: isinstance(app.focused, FilterLine) and app.focused.value == "zqx")
        assert app.screen is not app.deck
        assert app.deck is not None and app.deck.words == ""


@pytest.mark.parametrize("keys", [[], ["5"], ["9"]], ids=["deck", "tasks", "history"])
async def test_what_is_typed_after_the_colon_goes_to_the_palette(keys: list[str]):
    app, recording = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.board is not None)
        burst(app, *keys, ":", *"xport")
        await until(pilot, lambda: _typed(app) == "xport")
    assert not {"cancel", "retry", "front"} & set(recording.verbs())


async def test_a_letter_after_o_is_an_answer_and_not_a_verb():
    app, recording = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.board is not None)
        burst(app, "5", "o", "p")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen) and app.screen.order == "priority")
    assert not {"hold", "pause"} & set(recording.verbs())


async def test_enter_keeps_the_filter_before_the_next_key_is_read():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        burst(app, "/", *"#9", "left", "#", "delete", "enter", "j", "k", "+")  # moves in the line, too, have their turn
        await until(pilot, lambda: not isinstance(app.focused, FilterLine))
        assert app.deck is not None and app.deck.words == "##"
        burst(app, "/", *"xq", "escape", "/", *"zqx", "enter", "5")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
        assert app.deck.words == "zqx" and app.failure is None


def _typed(app: TaskdeckApp) -> Any:
    return getattr(app.focused, "value", None)
