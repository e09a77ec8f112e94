"""Tests of the group screen: parameters, orders, and keys on the group and on its tasks."""

from __future__ import annotations

from pathlib import Path

from app.tui.screens.tasks.group import GroupScreen
from app.tui.widgets.table import Table
from tests.tui.recording_runtime import post_keys, wait_for
from tests.tui.screens.tasks.test_filter_actions import open_groups, until


async def test_a_group_shows_its_tasks_with_their_parameters(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, "enter")
        text = await until(app, pilot, "g12 train  100 tasks by ann 45m ago, at most 8 at once")
        assert isinstance(app.screen, GroupScreen)
        assert "37/100  2 failed  8 run" in text
        heads = next(line for line in text.splitlines() if "NAME" in line)
        assert heads.index("lr") < heads.index("bs") < heads.index("STATE")

        post_keys(app, "o", "1")
        rows = app.screen.query_one(Table).views[0].rows
        await wait_for(
            pilot,
            lambda: (
                [row.facts["sweep"]["lr"] for row in app.screen.query_one(Table).views[0].rows[1:3]]
                == ["0.4", "0.4"]
            ),
        )
        assert rows[0].key == "group:12"

        post_keys(app, "j", "R")
        await until(app, pilot, "as they were")
        post_keys(app, "f")
        await until(app, pilot, "Retry: 37 of 100 tasks of g12 train")
        words = runtime.list_args("review")[-1]["filter"]
        assert words == "group:g12 status:failed,timed-out,lost"
        post_keys(app, "n", "escape")
        await until(app, pilot, "render frames")


async def test_the_row_of_the_group_acts_on_all_and_opens_the_list(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, _):
        post_keys(app, "enter")
        await until(app, pilot, "at most 8 at once")
        post_keys(app, "x")
        await until(app, pilot, "Cancel: 63 of 100 tasks of g12 train")
        post_keys(app, "n", "enter")
        await until(app, pilot, "/group:g12")
