"""Tests of groups in the list of tasks: their rows, their tasks in place, and keys on all tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from app.service.tasks.inspection.pages import COLUMNS
from app.tui.app import TaskdeckApp
from app.tui.rows.groups import find_telling_log
from app.tui.rows.tasks import make_rows
from app.tui.screens.tasks.log import LogScreen
from app.tui.widgets.paged_table import PagedTable
from tests.tui import boards, fake_groups
from tests.tui.fake_runtime import FakeRuntime
from tests.tui.recording_runtime import Clock, post_keys, wait_for
from tests.tui.screen_text import read_screen_lines


@asynccontextmanager
async def open_groups(
    folder: Path, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[tuple[TaskdeckApp, Pilot[Any], FakeRuntime]]:
    """Open the list of tasks of a home with groups."""
    runtime = fake_groups.make_groups_home(folder)
    app = TaskdeckApp(runtime, now=lambda: boards.NOW, ticks=Clock(), first=runtime.board)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        app.open_tasks()
        await until(app, pilot, "37/100")
        yield app, pilot, runtime
    assert app.failure is None


async def until(app: TaskdeckApp, pilot: Pilot[Any], *texts: str) -> str:
    """Return the text of the screen once it contains all of these."""

    def read() -> str:
        return "\n".join(read_screen_lines(app))

    await wait_for(pilot, lambda: all(text in read() for text in texts))
    return read()


async def test_a_group_is_one_row_with_its_outcomes(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, _):
        text = await until(app, pilot, "g12", "g11", "2 failed  8 run  55 wait  ~42m left  1.5/min")
        assert "[1] " not in text and "▸ train" in text


async def test_m_unfolds_a_group_in_its_place_and_folds_it_again(tmp_path: Path):
    async with open_groups(tmp_path, (80, 24)) as (app, pilot, _):
        post_keys(app, "m")
        await until(app, pilot, "▾ train", "1100 ✗   [1] lr=0.1 bs=32", "92 more: ↵", "~42m left")
        post_keys(app, "j", "j", "m")
        await until(app, pilot, "▸ train")
        assert app.screen.query_one(PagedTable).cursor == "group:12"


@pytest.mark.parametrize(
    ("key", "verb", "count", "states"),
    [
        ("x", "cancel", 63, "running,queued,"),
        ("p", "hold", 55, "queued"),
        ("r", "retry", 37, "failed"),
    ],
)
async def test_a_key_on_a_group_asks_with_the_number_of_its_tasks(
    tmp_path: Path, key: str, verb: str, count: int, states: str
):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, key)
        await until(app, pilot, f"{count} of 100 tasks of g12 train")
        assert not runtime.list_args(verb)

        app.ticks.at += 1.0  # type: ignore[attr-defined]
        post_keys(app, "y")
        await wait_for(pilot, lambda: bool(runtime.list_args(verb)))
        words = runtime.list_args(verb)[0]["select"]["filter"]
        assert "group:g12" in words and words.startswith("status:")
        assert any(state in words for state in states.split(","))


async def test_marks_on_groups_act_on_all_their_tasks(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, "space", "g", "x")
        await until(app, pilot, "tasks of g12 train")
        post_keys(app, "n")
        await until(app, pilot, "1 marked")

        app.screen.query_one(PagedTable).action_edge(1)
        post_keys(app, "space", "x")
        await until(app, pilot, "Both groups and single tasks are marked")
        assert not runtime.list_args("cancel")


async def test_e_on_a_group_sets_how_many_tasks_run_at_once(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, "e")
        await until(app, pilot, "how many run at once")
        post_keys(app, "m")
        await until(app, pilot, "g12; enter sets it")
        post_keys(app, "backspace", "x", "enter")
        await until(app, pilot, "Give a whole number.")
        post_keys(app, "backspace", "4", "enter")
        await wait_for(pilot, lambda: bool(runtime.list_args("group.set")))
        assert runtime.list_args("group.set") == [{"id": "g12", "max_running": 4}]


async def test_the_priority_of_a_group_can_be_set_and_undone(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        done = {"done": [{"number": 1100}, {"number": 1101}], "operations": [7, 8]}
        runtime.table["set"] = done | {"refused": [], "notes": []}
        post_keys(app, "e")
        await until(app, pilot, "priority of its tasks")
        post_keys(app, "p")
        await until(app, pilot, "g12; enter sets it")
        post_keys(app, "5", "enter")
        await until(app, pilot, "Priority 5: 2 tasks.  u undo")
        (args,) = runtime.list_args("set")
        assert args["select"] == {"filter": "status:active,waiting group:g12"}
        post_keys(app, "u")
        await wait_for(pilot, lambda: runtime.list_args("undo") == [{"ids": [7, 8]}])


async def test_l_on_a_group_opens_the_log_that_tells_most(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        page = runtime.table["group.tasks"]
        runtime.table["group.tasks"] = page | {"rows": page["rows"][5:7]}
        post_keys(app, "l")
        await until(app, pilot, "No task of g12 has a log yet")

        runtime.table["group.tasks"] = page
        post_keys(app, "l")
        await wait_for(pilot, lambda: isinstance(app.screen, LogScreen))
        await until(app, pilot, "#1100, the first that failed of g12.")


def test_the_log_of_a_group_is_of_what_failed_runs_or_ended_last():
    rows = make_rows(
        COLUMNS, [[fake_groups.make_member(n)[name] for name in COLUMNS] for n in range(9)]
    )
    found = [find_telling_log(rows[n:]) for n in (0, 2, 5)]
    assert [one and one[0].number for one in found] == [1100, 1102, 1107]
    assert find_telling_log(rows[5:7]) is None
