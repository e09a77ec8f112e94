"""What-if screen: amounts, their forecast, and the changes made with `a`."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.board import GroupEntry, ResourceUse
from app.errors import Usage
from app.tui.actions.what_if import (
    Amount,
    find_fault,
    format_amount,
    list_amounts,
    make_requests,
    step_amount,
)
from app.tui.app import TaskdeckApp
from app.tui.pages.what_if import build_forecast
from app.tui.screens.what_if import WhatIfScreen
from app.tui.style import Look
from tests.tui import boards, fake_what_if
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown

CHANGED = {"operations": [7]}


async def open_screen(pilot: Any, app: TaskdeckApp, *keys: str) -> WhatIfScreen:
    await wait_until(pilot, lambda: is_shown(app, "resnet50-sweep-06"))
    await pilot.press(*keys, "I")
    await wait_until(pilot, lambda: is_shown(app, "all done in"))
    assert isinstance(app.screen, WhatIfScreen)
    return app.screen


def make_runtime(**answers: Any) -> FakeRuntime:
    usual: dict[str, Any] = {"forecast": fake_what_if.answer_what_if, "queue_set": CHANGED}
    return FakeRuntime(**(usual | answers))


async def test_each_key_changes_an_amount_and_its_forecast():
    home = make_runtime()
    app = make_deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_screen(pilot, app)
        await pilot.press("+", "+", "-", "j", "minus")
        await wait_until(pilot, lambda: is_shown(app, "mean wait     45m → 11m"))
        asked = home.list_args("forecast")
        assert asked[-1] == {"settings": ["pool.gpu.cpu=9", "pool.gpu.memory=31G"], "cancel": []}
        await pilot.press("r", "k", "enter")
        await wait_until(pilot, lambda: is_shown(app, "pool gpu: cpu"))
        await pilot.press("backspace", *"x", "enter")
        await wait_until(pilot, lambda: is_shown(app, "cpu must be"))
        await pilot.press("backspace", *"12", "enter")
        await wait_until(pilot, lambda: is_shown(app, "8 → 12"))
        await pilot.press("R")
        await wait_until(pilot, lambda: is_shown(app, "mean wait     45m → 45m"))


async def test_marked_tasks_are_supposed_to_be_cancelled():
    home = make_runtime(cancel={"done": [{"number": 1042, "name": "resnet50-sweep-06"}]})
    app = make_deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_screen(pilot, app, "space")
        await wait_until(pilot, lambda: is_shown(app, "Cancel 1"))
        assert home.list_args("forecast")[-1]["cancel"] == ["1042"]
        await pilot.press("G", "enter")
        await wait_until(pilot, lambda: not is_shown(app, "Cancel 1"))


async def test_a_marked_group_is_supposed_to_be_cancelled():
    home = make_runtime(cancel={"done": [{"number": 7, "name": "sweep"}]})
    app = make_deck(home)
    sweep = GroupEntry(12, "sweep", "running", 6, 1, 0, 1, 4)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_screen(pilot, app)
        app.pop_screen()
        app.push_screen(WhatIfScreen(app.client_factory, [sweep]))
        await wait_until(pilot, lambda: is_shown(app, "g12 sweep"))
        await wait_until(pilot, lambda: home.list_args("forecast")[-1]["cancel"] == ["g12"])
        await pilot.press("a")
        await wait_until(pilot, lambda: is_shown(app, "Make these changes?"))
        await pilot.press("y")
        await wait_until(pilot, lambda: home.list_args("cancel") == [{"ids": ["g12"]}])


async def test_the_changes_are_made_after_a_question_and_undone():
    home = make_runtime(undo={"done": [{"text": "queue gpu"}]})
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: is_shown(app, "Nothing is supposed yet"))
        await pilot.press("G", "k", "+")
        await wait_until(pilot, lambda: is_shown(app, "45m → 22m"))
        await pilot.press("a")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck queue set gpu --capacity 8"))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Changed queue gpu.  u undo"))
        assert home.list_args("queue.set") == [{"name": "gpu", "capacity": 8}]
        await pilot.press("u")
        await wait_until(pilot, lambda: bool(home.list_args("undo")))
        assert home.list_args("undo") == [{"ids": [7]}]
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, WhatIfScreen))


async def test_a_refused_forecast_tells_why():
    def refuse(args: Any) -> Any:
        raise Usage("#9 is gone.")

    app = make_deck(make_runtime(forecast=refuse))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: is_shown(app, "resnet50-sweep-06"))
        await pilot.press("I")
        await wait_until(pilot, lambda: is_shown(app, "#9 is gone."))
        await wait_until(pilot, lambda: is_shown(app, "not known"))


def test_amounts_are_those_of_pools_shared_resources_and_queues():
    board = boards.busy()
    pool = board.pools[0]._replace(resources=(ResourceUse("gpu", 4, 1), ResourceUse("tape", 0, 0)))
    shared = (ResourceUse("license.matlab", 2, 0),)
    found = list_amounts(board._replace(pools=(pool,), resources=shared, queues=board.queues[:1]))

    assert [one.key for one in found] == [
        "pool.gpu.cpu", "pool.gpu.memory", "pool.gpu.resources.gpu",
        "resource.license.matlab.total", "queue.media.capacity", "queue.media.priority",
    ]  # fmt: skip
    assert [step_amount(one, 0, -1) for one in found] == [0, 0, 0, 0, 0, -1]


def test_a_shared_total_is_set_and_undone():
    amounts = [Amount("resource.license.matlab.total", "", "total", 2.0)]
    args = {"name": "license.matlab", "total": 5}
    step = {"verb": "resource.set", "args": args, "command": ["taskdeck", "resource"]}

    (request,) = make_requests([step], amounts, [])

    assert (request.verb, request.args) == ("resource.set", args)
    assert request.undo[0].args == {"name": "license.matlab", "total": 2}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("memory", 2048, "2G"), ("memory", 1536, "1536M"), ("cpu", 2.5, "2.5"), ("gpu", 4, "4")],
)
def test_amounts_are_shown_as_typed(name: str, value: float, text: str):
    assert format_amount(name, value) == text and not find_fault(name, text)
    assert find_fault(name, "much")


def test_a_long_label_keeps_a_space_before_its_figures():
    answer = fake_what_if.answer_what_if({})
    for side in ("before", "after"):
        answer[side]["hours"] = {"license.matlab": 0.2}
    rows = [row for s in build_forecast(answer, False, 80, Look()) for row in s.rows]

    drawn = ["".join(text for text, _ in row.spans) for row in rows]
    assert "license.matlab hours 0.2 → 0.2" in drawn


def test_outside_text_is_drawn_as_plain_text():
    answer = fake_what_if.answer_what_if({})
    answer["tasks"][0]["name"] = "\x1b[2J evil"
    answer["before"]["missed"][0]["rule"] = "\x1b]0;x\x07"
    rows = [row for s in build_forecast(answer, False, 80, Look()) for row in s.rows]

    assert not any("\x1b" in text for row in rows for text, _ in row.spans)
