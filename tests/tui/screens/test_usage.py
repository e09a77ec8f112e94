"""Usage screen: groups, periods, and the tasks of a group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.filter_query import parse_query
from app.service import usage
from app.tui.pages.usage import KINDS, build_usage, make_filter
from app.tui.screens.tasks.tasks import TasksScreen
from app.tui.screens.usage import UsageScreen
from app.tui.style import Look
from tests.tui import fake_what_if
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown


async def test_keys_choose_group_and_period():
    home = FakeRuntime(usage=fake_what_if.answer_usage)
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("U")
        await wait_until(pilot, lambda: is_shown(app, "By queue, last 30d"))
        await wait_until(pilot, lambda: is_shown(app, "Complete since"))
        await pilot.press("f", "f")
        await wait_until(pilot, lambda: is_shown(app, "bob"))
        await pilot.press("t", *"exp", "enter")
        await wait_until(pilot, lambda: is_shown(app, "By exp, last 30d"))
        await pilot.press("o", "o", "o")
        await wait_until(pilot, lambda: is_shown(app, "last 1d") and is_shown(app, "audio"))
        await wait_until(pilot, lambda: not is_shown(app, "Complete since"))
        assert home.list_args("usage")[-1] == {"by": "tag:exp", "since": "1d"}
        await pilot.press("f")
        await wait_until(pilot, lambda: is_shown(app, "By queue"))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, UsageScreen))


async def test_enter_lists_the_tasks_of_a_group():
    browse = {"rows": [], "columns": [], "total": 0, "more": False}
    app = make_deck(FakeRuntime(usage=fake_what_if.answer_usage, browse=browse))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("U")
        await wait_until(pilot, lambda: is_shown(app, "media"))
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TasksScreen))
        assert isinstance(app.screen, TasksScreen) and app.screen.words == "queue:media"


@pytest.mark.parametrize(
    ("by", "name", "words"),
    [
        ("user", "ann", "by:ann"),
        ("template", None, None),
        ("group", "g12", "group:g12"),
        ("group", None, None),
        ("name", "re*port 1", 'name:"re*port 1"'),
        ("tag:exp", "a b", 'tag:"exp=a b"'),
        ("tag:exp", None, "!tag:exp"),
    ],
)
def test_a_group_is_selected_by_a_filter(by: str, name: str | None, words: str | None):
    assert make_filter(by, name) == words
    assert words is None or parse_query(words, datetime(2026, 11, 30, tzinfo=UTC))


def test_every_kind_of_the_command_is_shown():
    assert usage.KINDS == KINDS


@pytest.mark.parametrize("room", [40, 80, 200])
def test_columns_are_left_out_of_narrow_terminals(room: int):
    answer: dict[str, Any] = fake_what_if.answer_usage({"by": "queue", "since": "30d"})
    answer["rows"][0]["name"] = "\x1b[2J" + "x" * 300
    rows = next(iter(build_usage(answer, "queue", "30d", NOW, room, Look()))).rows
    texts = ["".join(text for text, _ in row.spans) for row in rows]

    assert all(len(text) <= room - 2 and "\x1b" not in text for text in texts)
    assert ("RUNS" in texts[0]) is (room == 200)


def test_a_period_without_runs_says_so():
    answer = {"rows": [], "total": {}, "complete_since": None}
    (section,) = build_usage(answer, "queue", "1d", NOW, 80, Look())

    assert section.rows[0].spans[0][0] == "No runs in this time."
