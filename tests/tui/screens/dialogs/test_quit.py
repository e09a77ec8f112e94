"""Quit dialog of a deck with an embedded runtime."""

from __future__ import annotations

import pytest
from textual.app import App

from app.core.board import Board
from app.tui.actions.question import CONFIRM_DELAY
from app.tui.screens.dialogs.choice import Box
from app.tui.screens.dialogs.quit import QuitScreen
from app.tui.style import Look
from tests.tui import boards

BOARD = boards.busy()._replace(waiting_total=22)

EXPECTED_DIALOG = """\
┌─ Leave Taskdeck ───────────────────────────────────────────────┐
│ The runtime runs in this deck (--in-process).                  │
│ The 7 jobs continue to their end. 22 tasks wait for a runtime. │
│                                                                │
│ › b  Leave a runtime in the background: the queue continues    │
│   o  Leave; waiting tasks do not start                         │
│                                                                │
│ ↵ chooses the marked line    esc stay                          │
└────────────────────────────────────────────────────────────────┘"""


class DialogApp(App[None]):
    """An app that opens the dialog, with its own clock."""

    def __init__(self, board: Board, look: Look | None = None) -> None:
        super().__init__()
        self.look = look or Look()
        self.clock = 100.0
        self.board = board
        self.answers: list[str | None] = []

    def ticks(self) -> float:
        return self.clock

    def on_mount(self) -> None:
        self.push_screen(QuitScreen(self.board), self.answers.append)

    def drawn(self) -> list[str]:
        return self.screen.query_one(Box).list_text()


async def test_the_dialog_says_what_continues_and_what_stops():
    app = DialogApp(BOARD)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert app.drawn() == EXPECTED_DIALOG.splitlines()


async def test_a_narrow_ascii_terminal_shows_every_word():
    app = DialogApp(BOARD._replace(waiting_total=1_000_000), Look(ascii=True))
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        words = " ".join(" ".join(app.drawn()).replace("|", " ").split())

    assert (
        words.isascii()
        and "7 jobs continue to their end. 1,000,000 tasks wait for a runtime." in words
    )
    assert (
        "> b Leave a runtime in the background: the queue continues" in words
        and "o Leave; waiting tasks do not start" in words
    )


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["b"], "b"),
        (["o"], "o"),
        (["enter"], "b"),
        (["down", "enter"], "o"),
        (["q"], None),
        (["escape"], None),
    ],
)
async def test_each_key_gives_its_answer(keys: list[str], answer: str | None):
    app = DialogApp(BOARD)
    async with app.run_test() as pilot:
        await pilot.pause()
        app.clock += CONFIRM_DELAY
        await pilot.press(*keys)
        assert app.answers == [answer]


async def test_type_ahead_does_not_answer_the_dialog():
    app = DialogApp(BOARD)
    async with app.run_test() as pilot:
        await pilot.pause()
        await pilot.press("o", "b", "enter")
        assert app.answers == [] and isinstance(app.screen, QuitScreen)
