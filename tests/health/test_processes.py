"""Tests of the doctor's checks of keeper, journal and other runtimes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.health import processes
from app.health.procfs import TaskdeckProcess

PROCESS_PAIR = {"pid": os.getpid(), "guard_pid": os.getppid()}


def test_a_keeper_of_another_version_should_be_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        processes, "read_file", lambda path: "python\0-I\0-S\0/old/app/keeper/keeper.py\0/srv\0"
    )

    (found,) = processes.check_keeper("/srv", PROCESS_PAIR)

    assert found.state == "hint" and "another version" in found.text
    assert found.cure == "taskdeck --home /srv stop --drain && taskdeck --home /srv serve --detach"


@pytest.mark.parametrize("outdated", [True, False])
def test_a_runtime_older_than_its_files_should_be_replaced(
    monkeypatch: pytest.MonkeyPatch, outdated: bool
):
    monkeypatch.setattr(processes, "is_outdated", lambda pid: outdated)

    found = processes.check_runtime("/srv", {"state": "running", "pid": 7})

    assert ("began before this version" in found.text) is outdated
    assert found.cure == ("taskdeck --home /srv serve --replace --detach" if outdated else "")


def test_a_growing_journal_is_reported(home: Path):
    journal = home / "run" / "journal"
    journal.mkdir()
    with (journal / "00000001.log").open("wb") as file:
        file.truncate(65 * 2**20)

    (found,) = processes.check_keeper(str(home), PROCESS_PAIR)

    assert found.state == "hint" and "its journal holds 65M" in found.text


def test_other_runtimes_are_named_once_and_counted_if_many():
    ours = [
        TaskdeckProcess(10, os.geteuid(), "runtime", "/mine"),
        TaskdeckProcess(11, os.geteuid(), "keeper", "/mine"),
    ]
    others = [
        TaskdeckProcess(20, 54321, "keeper", "/theirs"),
        TaskdeckProcess(21, 54321, "runtime", "/theirs"),
        TaskdeckProcess(22, 54321, "keeper", "/left"),
    ]
    many = [TaskdeckProcess(100 + n, 54321, "runtime", f"/{n}") for n in range(9)]

    assert [one.text for one in processes.find_other_homes("/mine", [*ours, *others])] == [
        "uid 54321: runtime pid 21, home /theirs",
        "uid 54321: keeper without a runtime, pid 22, home /left",
    ]  # fmt: skip
    *_, last = processes.find_other_homes("/mine", many)
    assert last.text.startswith("and 4 more;")
