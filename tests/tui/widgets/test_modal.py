"""Modal dialogs: the screen below keeps updating, and the footer shows the dialog's keys."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.board import RuntimeFacts
from app.tui.actions.question import Answer, Question
from app.tui.app import TaskdeckApp
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.quit import QuitScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.widgets.modal import DismissOnClickOutside
from tests.tui import boards
from tests.tui.recording_runtime import is_fed, make_recorded_deck, wait_for

KEYS = {
    "question_mark": "/ search  i ids  h topics  space page down  b up  esc close",
    "colon": "↵ do it  ↑ ↓ choose  esc close",
    "w": "↵ open the task  esc close",
    "X": "↵ choose  ↑ ↓ move  esc close",
}  # fmt: skip


def read_terminal_lines(app: TaskdeckApp) -> list[str]:
    """Return the terminal's lines, with the screen below a dialog."""
    update: Any = app.screen._compositor.render_update(
        full=True, screen_stack=app._background_screens
    )
    rows = getattr(update, "strips", [])
    return [
        "".join(segment.text for strip in row for segment in strip if not segment.control).rstrip()
        for row in rows
    ]


def is_shown(app: TaskdeckApp, text: str, line: int | None = None) -> bool:
    lines = read_terminal_lines(app)
    return text in (lines[line] if line is not None and lines else "\n".join(lines))


@pytest.mark.parametrize("key", KEYS)
async def test_the_deck_updates_below_a_dialog_and_shows_its_keys(key: str):
    app, recording = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app) and is_shown(app, "x cancel", -1))
        await pilot.press(key)
        await wait_for(
            pilot,
            lambda: isinstance(app.screen, DismissOnClickOutside) and is_shown(app, KEYS[key], -1),
        )
        assert not is_shown(app, "x cancel", -1)

        app.board = recording.board._replace(runtime=RuntimeFacts("stopped", since=boards.NOW))
        await wait_for(pilot, lambda: is_shown(app, "NO RUNTIME", 0))
        assert isinstance(app.screen, DismissOnClickOutside)

        await pilot.press("escape")
        await wait_for(
            pilot,
            lambda: (
                not isinstance(app.screen, DismissOnClickOutside)
                and is_shown(app, "S start runtime", -1)
            ),
        )


async def test_the_task_list_updates_below_a_question():
    app, recording = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await wait_for(
            pilot,
            lambda: is_fed(app) and is_shown(app, "5 Tasks", 0) and "browse" in recording.verbs(),
        )
        app.push_screen(
            ChoiceScreen(Question("Sure", [], [Answer("y", "yes"), Answer("n", "no")], safe="n"))
        )
        await wait_for(pilot, lambda: is_shown(app, "↵ choose  ← → move", -1))
        before = recording.verbs().count("browse")
        app.board = recording.board._replace(runtime=RuntimeFacts("stopped", since=boards.NOW))
        await wait_for(
            pilot,
            lambda: is_shown(app, "NO RUNTIME", 0) and recording.verbs().count("browse") > before,
        )


async def test_a_nested_dialog_shows_its_own_keys():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_shown(app, "x cancel", -1))
        lines = [[(f"line {n}", "")] for n in range(20)]
        app.push_screen(
            ChoiceScreen(
                Question("Sure", [], [Answer("y", "yes"), Answer("n", "no")], safe="n", names=lines)
            )
        )
        await wait_for(pilot, lambda: is_shown(app, "l  list all"))
        await pilot.press("l")
        await wait_for(pilot, lambda: is_shown(app, "esc back to the question", -1))
        await pilot.press("q")
        await wait_for(pilot, lambda: is_shown(app, "l  list all"))


async def test_clicks_press_footer_keys_or_close_the_dialog():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_shown(app, "x cancel", -1))
        await pilot.press("X")
        await wait_for(
            pilot, lambda: isinstance(app.screen, ChoiceScreen) and is_shown(app, "↑ ↓ move", -1)
        )
        await pilot.click(offset=(read_terminal_lines(app)[-1].index("↑ ↓ move"), 23))
        await wait_for(pilot, lambda: is_shown(app, "› t"))
        await pilot.click(offset=(79, 23))
        await wait_for(pilot, lambda: not isinstance(app.screen, DismissOnClickOutside))

        await pilot.press("w")
        await wait_for(
            pilot,
            lambda: (
                isinstance(app.screen, DismissOnClickOutside)
                and is_shown(app, "↵ open the task", -1)
            ),
        )
        await pilot.click(offset=(read_terminal_lines(app)[-1].index("open the task"), 23))
        await wait_for(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_the_quit_dialog_calls_escape_stay():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_shown(app, "x cancel", -1))
        app.push_screen(QuitScreen(boards.busy()))
        await wait_for(
            pilot, lambda: is_shown(app, "esc stay", -1) and not is_shown(app, "leave", -1)
        )


async def test_a_screen_loads_its_styles_before_its_widgets_mount(monkeypatch: pytest.MonkeyPatch):
    """Guard against eager tasks: from Python 3.12 on, Textual would style widgets without them."""
    register, read = TaskdeckApp._register, list[bool]()

    def registered(self: TaskdeckApp, parent: Any, *nodes: Any, **more: Any) -> Any:
        read.extend(
            self.stylesheet.has_source(str(path))
            for node in nodes
            for path in getattr(node, "css_path", [])
        )
        return register(self, parent, *nodes, **more)

    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(TaskdeckApp, "_register", registered)
        await pilot.press("5")

    assert read == [True]
