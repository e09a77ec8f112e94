"""Tests of user commands in the deck; those in a real terminal are acceptance tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core.user_commands import UserCommand
from app.tui.user_commands import MAX_BACKGROUND
from tests.tui.fake_runtime import (
    FakeRuntime,
    make_deck,
    make_log_answer,
    make_run_row,
    make_task_row,
    wait_until,
)
from tests.tui.screen_text import read_screen_lines

LOG = "/home/ann/runs/aa/1.log"


def make_command(script: str, *words: str, **more: Any) -> UserCommand:
    argv = ("sh", "-c", script, "sh", *words)
    return UserCommand("L", "my command", argv, is_background=True, **more)


def make_answers() -> FakeRuntime:
    row = make_task_row()
    return FakeRuntime(log=make_log_answer(row, make_run_row(path=LOG)), show=row)


def get_message(app: Any) -> str:
    message = app.get_message()
    return message[0] if message else ""


async def test_a_command_gets_its_values_and_tells_its_result(tmp_path: Path):
    script = 'printf "%s\\n" "$@" "$TASKDECK_HOME" >"$0"; echo first; echo last line'
    command = UserCommand(
        "L", "my command", ("sh", "-c", script, f"{tmp_path}/out", "{number}", "{name}", "{log}"),
        is_background=True,
    )  # fmt: skip
    answers = make_answers()
    app = make_deck(answers, commands=(command,), home=tmp_path)
    async with app.run_test() as pilot:
        await pilot.press("3", "L")
        await wait_until(pilot, lambda: "done" in get_message(app))
        row = app.screen.table.item  # pyright: ignore[reportAttributeAccessIssue]
    assert get_message(app) == "my command is done. last line"
    assert (tmp_path / "out").read_text().splitlines() == [
        str(row.number), row.name, LOG, str(tmp_path),
    ]  # fmt: skip
    assert answers.list_args("log") == [{"id": row.uuid}]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo one; echo 'two\x1b[2J' >&2; exit 3", "my command ended with exit code 3. one | two"),
        ("kill -KILL $$", "my command ended with signal KILL"),
        ("exec no-such-program", "my command ended with exit code 127"),
        ("yes | head -c 3000000; exit 1", "my command ended with exit code 1. … y | y"),
    ],
)
async def test_a_failure_is_told_with_the_last_output(script: str, said: str):
    app = make_deck(make_answers(), commands=(make_command(script),))
    async with app.run_test() as pilot:
        await pilot.press("3", "L")
        await wait_until(pilot, lambda: "ended" in get_message(app))
        assert get_message(app).startswith(said)
        assert "\x1b" not in get_message(app)


async def test_a_program_that_cannot_be_started_is_a_message():
    command = UserCommand("L", "mine", ("/no/such/program",), is_background=True)
    app = make_deck(make_answers(), commands=(command,))
    async with app.run_test() as pilot:
        await pilot.press("3", "L")
        await wait_until(pilot, lambda: "cannot be started" in get_message(app))
        assert "no such file or directory" in get_message(app)


async def test_a_row_without_a_task_runs_nothing(tmp_path: Path):
    command = make_command(f"touch {tmp_path}/ran")
    app = make_deck(make_answers(), commands=(command,))
    async with app.run_test() as pilot:
        await pilot.press("1", "L")
        assert get_message(app) == ("my command runs on a task, but no task is under the cursor.")
    assert not (tmp_path / "ran").exists()


async def test_a_deck_that_changes_nothing_runs_no_command():
    app = make_deck(make_answers(), commands=(make_command("exit 1"),), read_only=True)
    async with app.run_test() as pilot:
        await pilot.press("3", "L")
        assert get_message(app) == "Read only: this deck changes nothing."


async def test_a_task_without_a_run_has_no_log():
    answers = FakeRuntime(log=make_log_answer(make_task_row()))
    app = make_deck(answers, commands=(make_command("exit 1", "{log}"),))
    async with app.run_test() as pilot:
        await pilot.press("W", "L")
        await wait_until(pilot, lambda: "has no log" in get_message(app))


async def test_a_command_with_confirm_asks_first(tmp_path: Path):
    command = make_command(f'touch "{tmp_path}/$1"', "{number}", confirm=True)
    app = make_deck(make_answers(), commands=(command,))
    async with app.run_test() as pilot:
        await pilot.press("3", "L")
        assert any("y  run it" in line for line in read_screen_lines(app))
        await pilot.press("n")
        assert list(tmp_path.iterdir()) == []
        await pilot.press("L")
        await pilot.pause(0.3)  # the dialog ignores keys typed ahead
        await pilot.press("y")
        await wait_until(pilot, lambda: "done" in get_message(app))
    assert len(list(tmp_path.iterdir())) == 1


async def test_few_commands_run_at_the_same_time_and_end_with_the_deck(tmp_path: Path):
    command = make_command(f'trap "echo >>{tmp_path}/ended" EXIT TERM; sleep 1000 & wait')
    app = make_deck(make_answers(), commands=(command,))
    async with app.run_test() as pilot:
        await pilot.press("3", *"L" * (MAX_BACKGROUND + 1))
        await wait_until(pilot, lambda: "was not run" in get_message(app))
    assert (tmp_path / "ended").exists()


async def test_help_and_palette_list_commands_where_there_are_tasks():
    app = make_deck(make_answers(), commands=(make_command("true"),))
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("3", "question_mark")
        text = "\n".join(read_screen_lines(app))
        assert "Your commands, on a task" in text and "L             my command" in text
        await pilot.press("i")
        assert "commands.L" in "\n".join(read_screen_lines(app))
        await pilot.press("escape", "colon", *"my comm")
        assert any("my command" in line for line in read_screen_lines(app)), "\n".join(
            read_screen_lines(app)
        )
        await pilot.press("escape", "B", "question_mark")
        assert "my command" not in "\n".join(read_screen_lines(app))
