"""Bursts of keys act in typing order and on the intended target."""

from __future__ import annotations

from typing import Any

import pytest

from app.tui.app import TaskdeckApp
from app.tui.screens.tasks.tasks import TasksScreen
from app.tui.widgets.filter_input import FilterInput
from tests.tui.recording_runtime import make_recorded_deck, post_keys, wait_for
from tests.tui.screen_text import read_screen_lines


async def test_a_verb_right_after_a_pane_key_acts_in_that_pane():
    app, recording = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        post_keys(app, "1", "e")
        # The edit form found no such queue.
        await wait_for(
            pilot, lambda: "There is no queue media any more." in read_screen_lines(app)[-2]
        )
        post_keys(app, "3", "2", "p")
        await wait_for(pilot, lambda: "pool.pause" in recording.verbs())
    assert [args for verb, args in recording.calls if verb == "pool.pause"] == [{"name": "gpu"}]
    assert "pause" not in recording.verbs() and app.failure is None


async def test_moves_and_verbs_keep_their_order():
    app, recording = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        numbers = [row.number for row in app.board.running] if app.board else []
        post_keys(app, "g", "j", "p", "j", "j", "+")
        await wait_for(pilot, lambda: {"pause", "set"} <= set(recording.verbs()))
    asked = {verb: args["ids"][0] for verb, args in recording.calls if verb in ("pause", "set")}
    assert {verb: int(uuid[-12:]) for verb, uuid in asked.items()} == {
        "pause": numbers[1],
        "set": numbers[3],
    }


@pytest.mark.parametrize("place", ["5", "6", "7", "O"])
async def test_a_filter_typed_right_after_a_screen_key_belongs_to_that_screen(place: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        post_keys(app, place, "/", *"zqx")
        await wait_for(
            pilot, lambda: isinstance(app.focused, FilterInput) and app.focused.value == "zqx"
        )
        assert app.screen is not app.deck
        assert app.deck is not None and app.deck.words == ""


@pytest.mark.parametrize("keys", [[], ["5"], ["9"]], ids=["deck", "tasks", "history"])
async def test_keys_after_the_colon_go_to_the_palette(keys: list[str]):
    app, recording = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        post_keys(app, *keys, ":", *"xport")
        await wait_for(pilot, lambda: _get_input_value(app) == "xport")
    assert not {"cancel", "retry", "front"} & set(recording.verbs())


async def test_a_letter_after_o_chooses_the_order():
    app, recording = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        post_keys(app, "5", "o", "p")
        await wait_for(
            pilot, lambda: isinstance(app.screen, TasksScreen) and app.screen.order == "priority"
        )
    assert not {"hold", "pause"} & set(recording.verbs())


async def test_enter_applies_the_filter_before_the_next_key():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        # Cursor keys inside the line are queued too.
        post_keys(app, "/", *"#9", "left", "#", "delete", "enter", "j", "k", "+")
        await wait_for(pilot, lambda: not isinstance(app.focused, FilterInput))
        assert app.deck is not None and app.deck.words == "##"
        post_keys(app, "/", *"xq", "escape", "/", *"zqx", "enter", "5")
        await wait_for(pilot, lambda: isinstance(app.screen, TasksScreen))
        assert app.deck.words == "zqx" and app.failure is None


def _get_input_value(app: TaskdeckApp) -> Any:
    return getattr(app.focused, "value", None)
