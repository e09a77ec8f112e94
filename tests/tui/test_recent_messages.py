"""What did not fit into the message line can be read in full, and its end, which says what to do, is in the line."""

from __future__ import annotations

import re

import pytest

from app.core.text.sanitize import width
from app.tui.app import TaskdeckApp
from app.tui.message_fit import in_room
from app.tui.status_messages import KEPT, Lately
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import an_app, until
from tests.tui.screen_text import screen_text

NOTE = "#1 is running: this run keeps what it has, and the change counts for the next one."
LONG = f"Priority 0 → 1: #1 long-1.  {NOTE}  u undo"


def shown(app: TaskdeckApp) -> str:
    """The whole screen as one line, without the frame of a box."""
    return re.sub(r"[\s│|]+", " ", " ".join(screen_text(app)))


@pytest.mark.parametrize("room", [39, 59, 79])
def test_that_it_can_be_undone_is_never_cut(room: int):
    said = in_room(LONG, room, Look())
    assert width(said) <= room and said.endswith("u undo") and said.startswith("Priority 0 → 1: #1 long-1.")


@pytest.mark.parametrize("end", ["esc takes it back.", "p resumes it.", "u undo"])
def test_a_sentence_that_begins_with_a_key_is_kept(end: str):
    said = in_room(f"All 123,456 that the filter means are marked: a verb asks first. {end}", 59, Look())
    assert width(said) <= 59 and said.endswith(f"… {end}")


async def test_the_message_line_keeps_the_end_of_what_went_well_too():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.say(LONG)
        await until(pilot, lambda: screen_text(app)[22].rstrip().endswith("… u undo"))


async def test_how_to_leave_fits_into_80_cells():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+c")
        await until(pilot, lambda: screen_text(app)[22].rstrip().endswith("jobs go on."))


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
@pytest.mark.parametrize("way", ["click", "palette"])
async def test_what_was_said_lately_is_shown_in_full(size: tuple[int, int], way: str):
    app, _ = an_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.board is not None and "3 Running" in shown(app))
        app.say("Held #3 gzip.")
        app.say(LONG, "warn")
        if way == "click":
            await pilot.click("#message")
        else:
            await pilot.press("colon", *"messages", "enter")
        await until(pilot, lambda: "Said lately" in shown(app))
        assert re.search(rf"{re.escape(LONG).replace(re.escape('  '), ' ')} \S+ Held #3 gzip\.", shown(app))
        assert "q back" in shown(app)
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.deck)


def test_the_last_are_kept_each_once_and_hints_not_at_all():
    lately = Lately()
    assert lately.lines(boards.NOW, 72) == [[("Nothing was said yet.", "dim")]]
    for n in range(KEPT + 5):
        for _ in range(2):
            lately.note(boards.NOW, f"Held #{n}.", "")
        lately.note(boards.NOW, "k does nothing here", "dim")
    lines = lately.lines(boards.NOW, 72)
    assert len(lines) == KEPT and lines[0][1] == (f"Held #{KEPT + 4}.", "")
