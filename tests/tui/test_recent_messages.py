"""Long messages: the line keeps the end, and the list of recent messages has the full text."""

from __future__ import annotations

import re

import pytest

from app.core.text.sanitize import measure_width
from app.tui.app import TaskdeckApp
from app.tui.message_fit import fit_message
from app.tui.status_messages import MAX_MESSAGES, MessageHistory
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

NOTE = "#1 is running: this run keeps its values, and the change applies to the next one."
LONG_MESSAGE = f"Priority 0 → 1: #1 long-1.  {NOTE}  u undo"


def read_plain_screen(app: TaskdeckApp) -> str:
    """Return the screen as one line, without the frame of a dialog."""
    return re.sub(r"[\s│|]+", " ", " ".join(read_screen_lines(app)))


@pytest.mark.parametrize("room", [39, 59, 79])
def test_the_undo_hint_is_never_cut(room: int):
    said = fit_message(LONG_MESSAGE, room, Look())
    assert (
        measure_width(said) <= room
        and said.endswith("u undo")
        and said.startswith("Priority 0 → 1: #1 long-1.")
    )


@pytest.mark.parametrize("end", ["esc unmarks them.", "p resumes it.", "u undo"])
def test_a_final_sentence_with_a_key_is_kept(end: str):
    said = fit_message(
        f"All 123,456 matching tasks are marked: an action asks first. {end}", 59, Look()
    )
    assert measure_width(said) <= 59 and said.endswith(f"… {end}")


async def test_the_message_line_keeps_the_end_of_success_messages():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        app.show_message(LONG_MESSAGE)
        await wait_for(pilot, lambda: read_screen_lines(app)[22].rstrip().endswith("… u undo"))


async def test_the_quit_hint_fits_into_80_cells():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+c")
        await wait_for(
            pilot, lambda: read_screen_lines(app)[22].rstrip().endswith("jobs keep running.")
        )


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
@pytest.mark.parametrize("way", ["click", "palette"])
async def test_recent_messages_are_shown_in_full(size: tuple[int, int], way: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=size) as pilot:
        await wait_for(
            pilot, lambda: app.board is not None and "3 Running" in read_plain_screen(app)
        )
        app.show_message("Held #3 gzip.")
        app.show_message(LONG_MESSAGE, "warn")
        if way == "click":
            await pilot.click("#message")
        else:
            await pilot.press("colon", *"messages", "enter")
        await wait_for(pilot, lambda: "Recent messages" in read_plain_screen(app))
        assert re.search(
            rf"{re.escape(LONG_MESSAGE).replace(re.escape('  '), ' ')} \S+ Held #3 gzip\.",
            read_plain_screen(app),
        )
        assert "esc back" in read_plain_screen(app)
        await pilot.press("q")
        await wait_for(pilot, lambda: app.screen is app.deck)


def test_recent_messages_are_kept_once_and_without_hints():
    lately = MessageHistory()
    assert lately.build_lines(boards.NOW, 72) == [[("No messages yet.", "dim")]]
    for n in range(MAX_MESSAGES + 5):
        for _ in range(2):
            lately.add_message(boards.NOW, f"Held #{n}.", "")
        lately.add_message(boards.NOW, "k does nothing here", "dim")
    lines = lately.build_lines(boards.NOW, 72)
    assert len(lines) == MAX_MESSAGES and lines[0][1] == (f"Held #{MAX_MESSAGES + 4}.", "")
