"""Clicks in the header: places, and counters that set a filter."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from app.core.text.sanitize import measure_width
from app.tui.app import TaskdeckApp
from app.tui.panes.work import WorkPane
from app.tui.screens.base_list import ListScreen
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines


async def click_on(app: TaskdeckApp, pilot: Pilot[int], text: str) -> None:
    """Click on this text of the header."""
    await wait_for(pilot, lambda: any(text in line for line in read_screen_lines(app)[:2]))
    y, line = next((n, line) for n, line in enumerate(read_screen_lines(app)[:2]) if text in line)
    await pilot.click(offset=(measure_width(line[: line.index(text)]) + 1, y))
    await pilot.pause()


def get_place(app: TaskdeckApp) -> str:
    return getattr(app.screen, "PLACE", "0")


def get_filter_text(app: TaskdeckApp) -> str:
    screen = app.screen
    return screen.words if isinstance(screen, ListScreen) else screen.query_one(WorkPane).keep_text


async def test_a_click_on_a_place_works_from_every_screen():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        for text, digit in (
            ("7 Alerts", "7"),
            ("5 Tasks", "5"),
            ("6 Templ", "6"),
            ("8 Sched", "8"),
            ("9 Hist", "9"),
            ("O Ops", "O"),
            (" B 7 running", "B"),
            ("0 Deck", "0"),
        ):
            await click_on(app, pilot, text)
            await wait_for(pilot, lambda digit=digit: get_place(app) == digit)
            assert len(app.screen_stack) <= 2
        assert get_filter_text(app) == ""


@pytest.mark.parametrize(("size", "text", "means"), [
    ((120, 40), "7 running", "status:active"), ((80, 24), "22 waiting", "status:queued,retrying"),
    ((120, 40), "3 blocked", "status:blocked"), ((80, 24), "9 later",
    "status:blocked,held,scheduled"), ((80, 24), "3 failed", "failed"),
])  # fmt: skip
async def test_a_counter_filters_the_deck(size: tuple[int, int], text: str, means: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=size) as pilot:
        await click_on(app, pilot, text)
        await wait_for(pilot, lambda: get_filter_text(app) == means)
        assert get_place(app) == "0"


async def test_a_counter_on_another_screen_opens_the_task_list():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        for start in ("7", "9", "5"):
            await pilot.press(start)
            await wait_for(pilot, lambda start=start: get_place(app) == start)
            await click_on(app, pilot, "2 held")
            await wait_for(
                pilot, lambda: get_place(app) == "5" and get_filter_text(app) == "status:held"
            )
        await click_on(app, pilot, "3 failed")
        await wait_for(pilot, lambda: get_filter_text(app) == "status:failed,timed-out,lost")


async def test_clicks_on_plain_text_and_from_a_form_do_nothing():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await click_on(app, pilot, "render01")
        await click_on(app, pilot, "runtime ok")
        assert (get_place(app), get_filter_text(app)) == ("0", "")
        await pilot.press("n")
        await wait_for(pilot, lambda: type(app.screen).__name__ == "SubmitScreen")
        form = app.screen
        await click_on(app, pilot, "7 Alerts")
        assert app.screen is form


async def test_pane_digits_are_clickable_on_a_small_terminal():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(70, 20)) as pilot:
        await click_on(app, pilot, " 4 ")
        await wait_for(
            pilot, lambda: any("4 SLA alerts" in line for line in read_screen_lines(app))
        )
