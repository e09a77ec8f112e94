"""Tests of a retry with other requests: the question of `R`, its forms, and their requests."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from app.core.board import EndedEntry
from app.tui.forms.edit_model import EditSheet
from app.tui.forms.retry_model import RETRY, RETRY_GROUP, describe_retry, list_command, retry_ended
from app.tui.screens.tasks.retry_form import RetryGroupScreen, RetryScreen
from tests.tui.fake_runtime import UUID, make_run_row, make_task_row
from tests.tui.recording_runtime import post_keys, wait_for
from tests.tui.screens.tasks.test_filter_actions import open_groups, until

SHOWN = make_task_row(
    number=1048, name="thumbs S02", status="failed", timeout=14400.0,
    instances=[make_run_row(max_rss=11469.0, run_seconds=3120.0)],
)  # fmt: skip


async def test_shift_r_retries_an_ended_task_with_other_requests(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        runtime.table["show"] = SHOWN
        runtime.table["retry"] = {"done": [{"number": 1048}], "refused": [], "notes": []}
        app.open_task(UUID.format(1048))
        await until(app, pilot, "R retry with")
        post_keys(app, "R")
        await until(app, pilot, "Retry #1048 thumbs S02", "as a new task")
        post_keys(app, "r")
        await until(app, pilot, "its last run used 11.2G", "Runs again as it was.")
        assert isinstance(app.screen, RetryScreen)
        post_keys(app, "1", "6", "G", "tab", "3", "0", "m")
        await until(app, pilot, "taskdeck retry 1048 --memory 16G --timeout 30m")
        post_keys(app, "ctrl+j")
        await wait_for(pilot, lambda: bool(runtime.list_args("retry")))
        (args,) = runtime.list_args("retry")
        assert args["fields"] == {"memory": 16384.0, "timeout": 1800.0} and args["again"]
        assert args["ids"] == [UUID.format(1048)] and args["ends"].keys() == {UUID.format(1048)}

        # The row does not show the retry yet.
        post_keys(app, "R")
        await until(app, pilot, "#1048 is being retried already")


async def test_shift_r_brings_back_the_dependents_of_a_task(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        runtime.table["show"] = SHOWN
        app.open_task(UUID.format(1048))
        await until(app, pilot, "R retry with")
        post_keys(app, "R")
        await until(app, pilot, "because of it")
        post_keys(app, "d")
        await wait_for(pilot, lambda: bool(runtime.list_args("retry")))
        (args,) = runtime.list_args("retry")
        assert args["with_dependents"] and "again" not in args and "fields" not in args


async def test_shift_r_on_a_group_retries_what_failed_with_requests(tmp_path: Path):
    async with open_groups(tmp_path) as (app, pilot, runtime):
        post_keys(app, "R")
        await until(app, pilot, "Retry the 2 failed of g12 train", "as they were")
        post_keys(app, "r")
        await wait_for(pilot, lambda: isinstance(app.screen, RetryGroupScreen))
        post_keys(app, "8", "G")
        await until(app, pilot, "taskdeck retry --failed g12 --memory 8G")
        post_keys(app, "ctrl+j")
        await wait_for(pilot, lambda: bool(runtime.list_args("retry")))
        post_keys(app, "R")
        await until(app, pilot, "because of them")
        post_keys(app, "d")
        await wait_for(pilot, lambda: len(runtime.list_args("retry")) == 2)
        first, second = runtime.list_args("retry")
        assert first["ids"] == second["ids"] == ["g12"] and first["failed"] and second["failed"]
        assert first["fields"] == {"memory": 8192.0} and second["with_dependents"]


def test_a_retry_sends_named_resources_that_are_gone_as_zero():
    row = EndedEntry(UUID.format(7), 7, "a", "gpu", "failed", 10.0, "exit 1")
    stored = {"resources": {"gpu": 2, "tape": 1}, "cpu": 1.0, "memory": 0.0, "timeout": None}
    sheet = EditSheet(RETRY, (stored,), {"resources": "gpu=1", "dependents": "yes"})
    args = retry_ended([row], sheet).args
    assert args["fields"] == {"resources": {"gpu": 1, "tape": 0}} and args["with_dependents"]
    assert list_command(["7"], sheet)[-1] == "--with-dependents"
    assert describe_retry(sheet)[0] == "Runs again with other resources."


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"dependents": "yes"}, ["1", "2", "--with-dependents"]),
        ({"memory": "2G"}, ["--again", "1", "2", "--memory", "2G"]),
        ({}, ["--again", "1", "2"]),
    ],
)
def test_the_command_runs_the_same_tasks_as_the_request(texts: dict[str, str], words: list[str]):
    ends = enumerate(("succeeded", "failed"), start=1)
    rows = [EndedEntry(UUID.format(n), n, "a", "gpu", status, 10.0, "") for n, status in ends]
    stored = {"resources": {}, "cpu": 1.0, "memory": 0.0, "timeout": None}
    sheet = EditSheet(RETRY, (stored, stored), texts)
    screen = RetryScreen(MagicMock(), rows)

    ((request,), (command,)) = screen.make_requests(sheet), screen.make_commands(sheet)

    assert command == ["taskdeck", "retry", *words]
    assert request.args["again"] == ("--again" in words)
    assert ("unless it succeeded" in describe_retry(sheet)[0]) != request.args["again"]


def test_a_form_of_a_group_changes_nothing_when_empty():
    sheet = EditSheet(RETRY_GROUP, ())
    assert list_command(["--failed", "g1"], sheet) == ["taskdeck", "retry", "--failed", "g1"]
    assert describe_retry(sheet) == ["Runs again as it was."]
