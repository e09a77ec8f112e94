"""Reasons dialog of a task, opened with w."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.tasks.task import TaskScreen
from tests.tui.fake_runtime import (
    WHY,
    FakeRuntime,
    make_deck,
    make_log_answer,
    make_run_row,
    make_task_row,
    wait_until,
)
from tests.tui.screen_text import read_screen_lines

LACKS_GPUS = WHY | {
    "reasons": [{"code": "pool-gpu", "text": "needs 2 gpu of pool gpu, 1 free", "short": ""}]
}


async def test_a_waiting_task_shows_reasons_holders_and_expected_start() -> None:
    """Show state, expected start, two numbered reasons, and the holders of pool gpu."""
    app = make_deck(FakeRuntime(show=make_task_row(), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot, lambda: any("starts 10:43–10:55" in line for line in read_screen_lines(app))
        )
        lines = read_screen_lines(app)

        assert any("#1049 resnet50-sweep-08" in line for line in lines)
        assert any("1 needs 12.0G memory of pool gpu" in line for line in lines)
        assert any("held by   #1042 resnet50-sweep-06" in line for line in lines)
        assert any("2 it has a reservation" in line for line in lines)


async def test_a_holder_beyond_its_usual_duration_is_late() -> None:
    answers = FakeRuntime(show=make_task_row(), why=[WHY])
    first, *others = answers.board.running
    answers.board = answers.board._replace(running=(first._replace(left=-300.0), *others))
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot,
            lambda: any(
                "#1042 resnet50-sweep-06" in line and "late 5m" in line
                for line in read_screen_lines(app)[8:]
            ),
        )


async def test_enter_opens_the_task_and_escape_closes() -> None:
    app = make_deck(FakeRuntime(show=make_task_row(), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(pilot, lambda: any("1 needs" in line for line in read_screen_lines(app)))
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        app.open_why("1049")
        await wait_until(pilot, lambda: isinstance(app.screen, WhyScreen))
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_an_ended_task_shows_its_result(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("no such file\n")
    one = make_run_row(
        status="failed",
        reason="exit 3",
        path=str(path),
        end_time="2026-11-25T10:40:04.000000Z",
        run_seconds=3.2,
    )
    row = make_task_row(
        status="failed", reason="exit 3", ended_at="2026-11-25T10:40:04.000000Z", instances=[one]
    )
    app = make_deck(FakeRuntime(show=row, log=make_log_answer(row, one)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot, lambda: any("python failed: exit 3" in line for line in read_screen_lines(app))
        )
        assert any("no such file" in line for line in read_screen_lines(app))


async def test_a_running_task_has_no_reasons() -> None:
    one = make_run_row(runid="r1042")
    row = make_task_row(status="running", instances=[one])
    app = make_deck(FakeRuntime(show=row, log=make_log_answer(row, one)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot, lambda: any("attempt 1 of" in line for line in read_screen_lines(app))
        )


async def test_an_error_is_shown_in_the_dialog() -> None:
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("77")
        await wait_until(
            pilot, lambda: any("no answer for show" in line for line in read_screen_lines(app))
        )
        await pilot.press("q")
        await wait_until(pilot, lambda: app.screen is app.deck)


async def test_the_dialog_lists_the_first_suggestions_without_applying_them() -> None:
    """List suggestions below the reasons; enter only opens the task."""
    told: dict[str, object] = {"gain": "it starts at once", "verb": "set", "args": {},
    "command": [], "said": "", "undo": [], "object": "",
                               "asks": None, "worth": 0}  # fmt: skip
    answers = FakeRuntime(
        show=make_task_row(),
        why=[{**WHY, "cures": [{**told, "name": f"{n}", "text": f"way {n}"} for n in range(5)]}],
    )
    app = make_deck(answers)
    async with app.run_test(size=(80, 30)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot,
            lambda: any(
                "way 2" in line and "it starts at once" in line for line in read_screen_lines(app)
            ),
        )
        assert not any("way 3" in line for line in read_screen_lines(app))
        assert any("↵ open the task" in line for line in read_screen_lines(app))
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TaskScreen))
        assert answers.list_args("set") == []


async def test_the_dialog_s_keys_stay_visible_on_a_small_terminal() -> None:
    app = make_deck(FakeRuntime(show=make_task_row(), why=[{**WHY, "reasons": WHY["reasons"] * 6}]))
    async with app.run_test(size=(60, 16)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot, lambda: any("1 needs 12.0G" in line for line in read_screen_lines(app))
        )
        await wait_until(
            pilot,
            lambda: any("↵ open the task  esc close" in line for line in read_screen_lines(app)),
        )


async def test_a_loading_dialog_says_so() -> None:
    answered = Event()
    app = make_deck(
        FakeRuntime(show=lambda _: make_task_row() if answered.wait(20) else {}, why=[WHY])
    )
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(pilot, lambda: any("loading" in line for line in read_screen_lines(app)))
        answered.set()
        await wait_until(pilot, lambda: any("1 needs" in line for line in read_screen_lines(app)))
        assert not any("loading" in line for line in read_screen_lines(app))


async def test_holders_of_a_named_resource_are_named_with_what_they_hold() -> None:
    answers = FakeRuntime(show=make_task_row(), why=[LACKS_GPUS])
    first, *others = answers.board.running
    first = first._replace(holds={"gpu": 3})
    answers.board = answers.board._replace(running=(first, *others))
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await wait_until(
            pilot, lambda: any("held by" in line for line in read_screen_lines(app)[8:])
        )
        (line,) = (line for line in read_screen_lines(app)[8:] if "held by" in line)
        assert f"#{first.number}" in line and "3 gpu" in line
        assert not any("0 gpu" in line for line in read_screen_lines(app)[8:])
