"""Tests of copies of the output of runs to files of the user."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.runtime.dispatch import output_copier
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.dispatch.output_copier import OutputCopier
from app.service.context import Call
from app.service.tasks.inspection import views
from tests.runtime.conftest import FakeKeeper, make_ended_event
from tests.runtime.dispatch.test_dispatcher import start_task


@pytest.fixture
async def run(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, tmp_path: Path
) -> tuple[str, Path]:
    """Start a task that wrote a line; return its run id and the path of its copy."""
    _, runid = await start_task(
        call, dispatcher, fake_keeper, name="train", cwd=str(tmp_path), output="{name}.{attempt}"
    )
    log = Path(paths.get_log_path(call.home, runid))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("one\n")
    return runid, tmp_path / "train.1"


def append_line(call: Call, runid: str, line: str) -> None:
    with open(paths.get_log_path(call.home, runid), "a", encoding="utf-8") as log:
        log.write(f"{line}\n")


async def end_run(dispatcher: Dispatcher, runid: str) -> None:
    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()


async def show_run(call: Call) -> dict[str, Any]:
    return (await views.show(call, id=1))["instances"][0]


async def test_a_file_follows_the_log_and_is_whole_when_the_end_is_stored(
    call: Call, dispatcher: Dispatcher, run: tuple[str, Path]
):
    runid, target = run
    await dispatcher.copier.run()
    assert target.read_text() == "one\n"
    append_line(call, runid, "two")

    await end_run(dispatcher, runid)

    assert target.read_text() == "one\ntwo\n"
    assert target.stat().st_mode & 0o777 == 0o644
    await dispatcher.copier.run()
    assert (await show_run(call))["reason"] is None
    assert dispatcher.copier.runs == set()


async def test_the_next_runtime_completes_a_copy(
    call: Call, dispatcher: Dispatcher, run: tuple[str, Path]
):
    runid, target = run
    await dispatcher.copier.run()
    append_line(call, runid, "two")
    dispatcher.copier.runs.clear()
    await end_run(dispatcher, runid)
    target.write_text("longer than the output of this run")

    copier = OutputCopier(dispatcher.db, dispatcher.home)
    await copier.run()

    assert target.read_text() == "one\ntwo\n"
    changes = dispatcher.db.changes
    await copier.run()
    assert dispatcher.db.changes == changes


def test_the_folders_of_a_copy_are_made(tmp_path: Path):
    output_copier.make_folder(str(tmp_path / "a" / "b"), 0o027)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750

    (tmp_path / "file").touch()
    output_copier.make_folder(str(tmp_path / "file"), 0o027)
    with pytest.raises(NotADirectoryError):
        output_copier.make_folder(str(tmp_path / "file" / "b"), 0o027)


async def test_a_copy_waits_for_a_missing_folder(
    call: Call, dispatcher: Dispatcher, run: tuple[str, Path]
):
    _, target = run
    target.symlink_to(target.parent / "later" / "file")
    await dispatcher.copier.run()
    (target.parent / "later").mkdir()
    await dispatcher.copier.run()
    assert target.read_text() == "one\n"


@pytest.mark.parametrize("obstacle", ["folder", "fifo"])
async def test_a_copy_that_cannot_be_is_named_by_its_run(
    call: Call, dispatcher: Dispatcher, run: tuple[str, Path], obstacle: str
):
    runid, target = run
    if obstacle == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    await end_run(dispatcher, runid)

    await dispatcher.copier.run()

    found = await show_run(call)
    assert found["status"] == "succeeded"
    assert found["reason"].startswith(f"output not copied to {target}: ")
    assert (await views.show(call, id=1))["reason"] == found["reason"]
    (answer,) = await views.explain(call, ids=[1])
    assert answer["reasons"][0]["text"] == f"succeeded: {found['reason']}"


async def test_a_full_disk_delays_a_copy(
    call: Call, dispatcher: Dispatcher, run: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    runid, target = run

    def refuse(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(output_copier.os, "sendfile", refuse)
        await end_run(dispatcher, runid)
        await dispatcher.copier.run()
        assert target.read_text() == "" and (await show_run(call))["reason"] is None

    await dispatcher.copier.run()

    assert target.read_text() == "one\n"
