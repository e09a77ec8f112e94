"""The largest folders of a home, measured briefly and only while the disk is short of space."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.core.board import DiskUsageEntry
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties import disk_usage
from app.runtime.duties import periodic as module
from app.runtime.duties.disk_usage import find_largest
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from db.engine import Database


def fill_folder(folder: Path, files: int, size: int) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / str(number)).write_bytes(b"x" * size)


@pytest.fixture
def filled_home(tmp_path: Path) -> Path:
    """Return a home with nested logs, backups, a database and an outside link."""
    home = tmp_path / "home"
    fill_folder(home / "runs" / "a1", 300, 4096)
    fill_folder(home / "runs" / "a2", 300, 4096)
    fill_folder(home / "backups", 2, 4096 * 50)
    (home / "taskdeck.db").write_bytes(b"x" * 4096)
    fill_folder(tmp_path / "elsewhere", 1, 4096 * 1000)
    (home / "link").symlink_to(tmp_path / "elsewhere")
    return home


def count_bytes(folder: Path) -> int:
    """Return the disk usage as du counts it."""
    return sum(os.lstat(path).st_blocks * 512 for path in [folder, *folder.rglob("*")])


def test_the_two_largest_folders_are_named_with_their_size(filled_home: Path):
    runs, backups = count_bytes(filled_home / "runs"), count_bytes(filled_home / "backups")

    assert find_largest(filled_home) == (
        DiskUsageEntry("runs/", runs),
        DiskUsageEntry("backups/", backups),
    )


def test_folders_on_another_disk_do_not_count(filled_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        disk_usage,
        "os",
        SimpleNamespace(scandir=os.scandir, stat=lambda path: SimpleNamespace(st_dev=-1)),
    )

    assert find_largest(filled_home) == ()


def test_a_timed_out_measurement_has_partial_sizes_of_each_folder(
    filled_home: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = iter([0.0, 0.5, 1.5])  # time for one round
    monkeypatch.setattr(disk_usage, "monotonic", lambda: next(clock))

    first, second = find_largest(filled_home, 1.0)

    assert (first.name, first.whole, second) == (
        "runs/",
        False,
        DiskUsageEntry("backups/", count_bytes(filled_home / "backups")),
    )
    assert first.bytes < count_bytes(filled_home / "runs")


async def test_the_folders_are_measured_once_a_minute_while_the_disk_is_full(
    db: Database, dispatcher: Dispatcher, home: Path, monkeypatch: pytest.MonkeyPatch
):
    duties = Duties(db, dispatcher, UsageSampler(home))
    counted, now = list[Path](), [100.0]
    monkeypatch.setattr(
        module,
        "find_largest",
        lambda home: (counted.append(home), (DiskUsageEntry("runs/", len(counted)),))[1],
    )
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    for halted, later, known in (
        (None, 0, ()), ("the keeper cannot start processes since 10:31", 2, ()),
        ("disk full since 10:31", 2, (DiskUsageEntry("runs/", 1),)),
        ("disk nearly full (/x: 1K free) since 10:31", 2, (DiskUsageEntry("runs/", 1),)),
        ("disk full since 10:31", 60, (DiskUsageEntry("runs/", 2),)),
        (None, 2, ()), ("disk full since 10:40", 2, (DiskUsageEntry("runs/", 3),)),
    ):  # fmt: skip
        now[0] += later
        duties.dispatcher.halted = halted
        await duties.find_largest()
        assert duties.usage.largest == known

    duties.usage.measure([])
    assert duties.usage.host.largest == (DiskUsageEntry("runs/", 3),)
