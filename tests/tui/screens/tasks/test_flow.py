"""Tests of the flow screen: the tree, its critical path, folding, and keys on a task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from app.errors import NotFound
from app.tui.app import TaskdeckApp
from app.tui.rows.flow import BranchCell, FlowListRow, fold_rows, make_section
from app.tui.screens.base_task import make_task_row
from app.tui.screens.tasks.flow import FlowScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from db.states import SKIP_MARK
from tests.tui import boards, fake_groups
from tests.tui.fake_groups import make_step
from tests.tui.fake_runtime import UUID, FakeRuntime
from tests.tui.recording_runtime import Clock, post_keys, wait_for
from tests.tui.screens.tasks.test_filter_actions import open_groups, until


@asynccontextmanager
async def open_flow(
    folder: Path, ident: str = "g14"
) -> AsyncIterator[tuple[TaskdeckApp, Pilot[Any], FakeRuntime]]:
    """Open the tree of a workflow."""
    runtime = fake_groups.make_groups_home(folder)
    app = TaskdeckApp(runtime, now=lambda: boards.NOW, ticks=Clock(), first=runtime.board)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        app.open_flow(ident)
        await until(app, pilot, "call variants")
        yield app, pilot, runtime
    assert app.failure is None


async def test_the_tree_folds_and_shows_its_critical_path(tmp_path: Path):
    async with open_flow(tmp_path, UUID.format(1202)) as (app, pilot, _):
        text = await until(app, pilot, "◆ critical path 1h30m, at least 40m left")
        lines = [line.split() for line in text.splitlines() if "└─" in line]
        assert lines[0][:3] == ["1201", "✗", "└─"] and "◆" in lines[2]
        assert lines[2][-4:] == ["40m", "of", "~1h", "#1200"]
        assert isinstance(app.screen, FlowScreen)
        assert app.screen.table.cursor == UUID.format(1202)

        post_keys(app, "m")
        text = await until(app, pilot, "align  ▸ 1 below")
        assert "call variants" not in text

        post_keys(app, "f")
        text = await until(app, pilot, "call variants", "/path:critical")
        assert "tell" not in text
        post_keys(app, "m")
        await until(app, pilot, "Press esc to end the filter")
        post_keys(app, "escape", "m")
        text = await until(app, pilot, "tell", "call variants")


async def test_shift_c_opens_the_tree_and_keys_act_on_its_tasks(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, "C")
        await until(app, pilot, "Flow g14 variants")
        post_keys(app, "j", "C")
        await wait_for(pilot, lambda: len(runtime.list_args("flow")) > 1)
        idents = [args["id"] for args in runtime.list_args("flow")]
        assert idents[0] == "g12" and UUID.format(1201) in idents

        post_keys(app, "j", "p")
        await wait_for(pilot, lambda: bool(runtime.list_args("hold")))
        assert runtime.list_args("hold") == [{"ids": [UUID.format(1204)]}]
        post_keys(app, "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_the_screen_closes_when_its_tasks_are_gone(tmp_path: Path):
    async with open_flow(tmp_path) as (app, pilot, runtime):
        runtime.table["flow"] = NotFound("there is no group g14.")
        assert isinstance(app.screen, FlowScreen)
        app.screen.reread()
        await until(app, pilot, "The tasks of the flow were deleted.")
        assert not isinstance(app.screen, FlowScreen)


def test_a_deep_or_hostile_name_stays_in_its_cells():
    look = Look()
    drawn = BranchCell("x" * 60, 4_000, 0).draw(look, 24)
    assert len(drawn) == 24 and drawn.strip().startswith("└─ ")
    assert BranchCell("name", 2, 3).draw(look, 40) == "   └─ name  ▸ 3 below"
    assert BranchCell("name", 2, 0).draw(Look(plain=True, ascii=True), 40) == "2: name"


def test_fold_hides_all_levels_below():
    steps = [make_step(n, f"{n}", "queued", depth) for n, depth in enumerate((0, 1, 2, 1, 0))]
    rows = [FlowListRow(step, make_task_row(step, None)) for step in steps]
    shown = fold_rows(rows, frozenset({rows[0].key}))
    assert [(row.number, row.folded) for row in shown] == [(0, 3), (4, 0)]


def test_a_needless_step_is_shown_as_skipped():
    step = make_step(1, "clean-up", "cancelled", 0) | {"reason": f"{SKIP_MARK}only if #2 fails"}

    cells = make_section().grid.cells(FlowListRow(step, make_task_row(step, None)), Look(), 0.0)

    assert "skipped" in [cell.text for cell in cells]
