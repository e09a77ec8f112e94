"""While a box stands over a screen, what is seen around it goes on, and the last line has the keys of the box."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.board import RuntimeFacts
from app.tui.app import TaskdeckApp
from app.tui.screens.dialogs.choice import Answer, ChoiceScreen, Question
from app.tui.screens.dialogs.quit import LeaveScreen
from app.tui.screens.task import TaskScreen
from app.tui.widgets.modal import LeftBeside
from tests.tui import boards
from tests.tui.recording_runtime import an_app, fed, until

KEYS = {
    "question_mark": "esc close", "colon": "↵ do it  ↑ ↓ choose  esc close", "w": "↵ opens the task  esc closes",
    "X": "↵ take the marked answer  ↑ ↓ mark  esc leave all as it was",
}  # fmt: skip


def seen(app: TaskdeckApp) -> list[str]:
    """What stands on the terminal, with what is below a box."""
    update: Any = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    rows = getattr(update, "strips", [])
    return ["".join(segment.text for strip in row for segment in strip if not segment.control).rstrip() for row in rows]


def shown(app: TaskdeckApp, text: str, line: int | None = None) -> bool:
    lines = seen(app)
    return text in (lines[line] if line is not None and lines else "\n".join(lines))


@pytest.mark.parametrize("key", KEYS)
async def test_the_deck_goes_on_below_and_has_the_keys_of_the_box(key: str):
    app, recording = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: fed(app) and shown(app, "x cancel", -1))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, LeftBeside) and shown(app, KEYS[key], -1))
        assert not shown(app, "x cancel", -1)

        app.board = recording.board._replace(runtime=RuntimeFacts("stopped", since=boards.NOW))
        await until(pilot, lambda: shown(app, "NO RUNTIME", 0))
        assert isinstance(app.screen, LeftBeside)

        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LeftBeside) and shown(app, "S start runtime", -1))


async def test_the_list_goes_on_below_a_question():
    app, recording = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: fed(app) and shown(app, "5 Tasks", 0) and "browse" in recording.verbs())
        app.push_screen(ChoiceScreen(Question("Sure", [], [Answer("y", "yes"), Answer("n", "no")], safe="n")))
        await until(pilot, lambda: shown(app, "↵ take the marked answer  ← → mark", -1))
        before = recording.verbs().count("browse")
        app.board = recording.board._replace(runtime=RuntimeFacts("stopped", since=boards.NOW))
        await until(pilot, lambda: shown(app, "NO RUNTIME", 0) and recording.verbs().count("browse") > before)


async def test_a_box_over_a_box_has_its_own_keys_in_the_last_line():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app, "x cancel", -1))
        lines = [[(f"line {n}", "")] for n in range(20)]
        app.push_screen(ChoiceScreen(Question("Sure", [], [Answer("y", "yes"), Answer("n", "no")], safe="n", names=lines)))
        await until(pilot, lambda: shown(app, "↵ list them", -1))
        await pilot.press("enter")
        await until(pilot, lambda: shown(app, "esc back to the question", -1))
        await pilot.press("q")
        await until(pilot, lambda: shown(app, "↵ list them", -1))


async def test_a_click_on_a_key_of_the_last_line_is_that_key_and_one_beside_them_leaves_the_box():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app, "x cancel", -1))
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen) and shown(app, "↑ ↓ mark", -1))
        await pilot.click(offset=(seen(app)[-1].index("↑ ↓ mark"), 23))
        await until(pilot, lambda: shown(app, "› t"))
        await pilot.click(offset=(79, 23))
        await until(pilot, lambda: not isinstance(app.screen, LeftBeside))

        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, LeftBeside) and shown(app, "↵ opens the task", -1))
        await pilot.click(offset=(seen(app)[-1].index("opens the task"), 23))
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_at_leaving_to_leave_is_not_said_of_staying():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app, "x cancel", -1))
        app.push_screen(LeaveScreen(boards.busy()))
        await until(pilot, lambda: shown(app, "esc stay", -1) and not shown(app, "leave", -1))


async def test_the_styles_of_a_screen_are_read_before_its_widgets_come(monkeypatch: pytest.MonkeyPatch):
    """From Python 3.12 on Textual's tasks begin at once: the widgets would be styled, and placed, without them."""
    register, read = TaskdeckApp._register, list[bool]()

    def registered(self: TaskdeckApp, parent: Any, *nodes: Any, **more: Any) -> Any:
        read.extend(self.stylesheet.has_source(str(path)) for node in nodes for path in getattr(node, "css_path", []))
        return register(self, parent, *nodes, **more)

    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(TaskdeckApp, "_register", registered)
        await pilot.press("5")

    assert read == [True]
