"""What leads somewhere in the header is clicked: places, and the counters, which are filters."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from app.core.text.sanitize import width
from app.tui.app import TaskdeckApp
from app.tui.panes.work import WorkPane
from app.tui.screens.base_list import ListScreen
from tests.tui.recording_runtime import an_app, until
from tests.tui.screen_text import screen_text


async def click_on(app: TaskdeckApp, pilot: Pilot[int], text: str) -> None:
    """Click on this text of the header."""
    await until(pilot, lambda: any(text in line for line in screen_text(app)[:2]))
    y, line = next((n, line) for n, line in enumerate(screen_text(app)[:2]) if text in line)
    await pilot.click(offset=(width(line[: line.index(text)]) + 1, y))
    await pilot.pause()


def place(app: TaskdeckApp) -> str:
    return getattr(app.screen, "PLACE", "0")


def words(app: TaskdeckApp) -> str:
    screen = app.screen
    return screen.words if isinstance(screen, ListScreen) else screen.query_one(WorkPane).keep_text


async def test_a_place_is_gone_to_from_everywhere():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        for text, digit in (("7 Alerts", "7"), ("5 Tasks", "5"), ("6 Templates", "6"), ("9 History", "9"), ("0 Deck", "0")):
            await click_on(app, pilot, text)
            await until(pilot, lambda digit=digit: place(app) == digit)
            assert len(app.screen_stack) <= 2
        assert words(app) == ""


@pytest.mark.parametrize(("size", "text", "means"), [
    ((120, 40), "7 running", "status:active"), ((80, 24), "22 waiting", "status:queued,retrying"),
    ((120, 40), "3 blocked", "status:blocked"), ((80, 24), "9 later", "status:blocked,held,scheduled"), ((80, 24), "3 failed", "failed"),
])  # fmt: skip
async def test_a_counter_filters_the_deck_by_what_it_counts(size: tuple[int, int], text: str, means: str):
    app, _ = an_app()
    async with app.run_test(size=size) as pilot:
        await click_on(app, pilot, text)
        await until(pilot, lambda: words(app) == means)
        assert place(app) == "0"


async def test_elsewhere_a_counter_shows_the_tasks_it_counts():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        for start in ("7", "9", "5"):
            await pilot.press(start)
            await until(pilot, lambda start=start: place(app) == start)
            await click_on(app, pilot, "2 held")
            await until(pilot, lambda: place(app) == "5" and words(app) == "status:held")
        await click_on(app, pilot, "3 failed")
        await until(pilot, lambda: words(app) == "status:failed,timed-out,lost")


async def test_what_leads_nowhere_is_not_clicked_on_and_a_form_is_not_left():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await click_on(app, pilot, "render01")
        await click_on(app, pilot, "runtime 4120")
        assert (place(app), words(app)) == ("0", "")
        await pilot.press("n")
        await until(pilot, lambda: type(app.screen).__name__ == "SubmitScreen")
        form = app.screen
        await click_on(app, pilot, "7 Alerts")
        assert app.screen is form


async def test_on_a_small_terminal_the_panes_digits_are_places():
    app, _ = an_app()
    async with app.run_test(size=(70, 20)) as pilot:
        await click_on(app, pilot, " 4 ")
        await until(pilot, lambda: any("4 SLA alerts" in line for line in screen_text(app)))
