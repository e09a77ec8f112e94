"""What takes the most room in a home: counted for a moment only, and only while the disk has too little."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.core.board import Taken
from app.runtime import disk_usage
from app.runtime import periodic as module
from app.runtime.disk_usage import largest
from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.usage import Usage
from db.engine import Database


def filled(folder: Path, files: int, size: int) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / str(number)).write_bytes(b"x" * size)


@pytest.fixture
def furnished(tmp_path: Path) -> Path:
    """A home with logs in folders of folders, backups, a database, and a link to what is elsewhere."""
    home = tmp_path / "home"
    filled(home / "runs" / "a1", 300, 4096)
    filled(home / "runs" / "a2", 300, 4096)
    filled(home / "backups", 2, 4096 * 50)
    (home / "taskdeck.db").write_bytes(b"x" * 4096)
    filled(tmp_path / "elsewhere", 1, 4096 * 1000)
    (home / "link").symlink_to(tmp_path / "elsewhere")
    return home


def bytes_of(folder: Path) -> int:
    """By du's own count."""
    return sum(os.lstat(path).st_blocks * 512 for path in [folder, *folder.rglob("*")])


def test_the_two_largest_are_named_with_what_they_take_of_the_disk(furnished: Path):
    runs, backups = bytes_of(furnished / "runs"), bytes_of(furnished / "backups")

    assert largest(furnished) == (Taken("runs/", runs), Taken("backups/", backups))


def test_what_is_on_another_disk_does_not_count(furnished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(disk_usage, "os", SimpleNamespace(scandir=os.scandir, stat=lambda path: SimpleNamespace(st_dev=-1)))

    assert largest(furnished) == ()


def test_when_the_time_is_over_there_is_what_was_counted_of_each_in_turn(furnished: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.5, 1.5])  # one round
    monkeypatch.setattr(disk_usage, "monotonic", lambda: next(clock))

    first, second = largest(furnished, 1.0)

    assert (first.name, first.whole, second) == ("runs/", False, Taken("backups/", bytes_of(furnished / "backups")))
    assert first.bytes < bytes_of(furnished / "runs")


async def test_it_is_counted_once_a_minute_while_the_disk_is_full_and_forgotten_when_it_is_not(
    db: Database, dispatcher: Dispatcher, home: Path, monkeypatch: pytest.MonkeyPatch
):
    duties = Duties(db, dispatcher, Usage(home))
    counted, now = list[Path](), [100.0]
    monkeypatch.setattr(module, "largest", lambda home: (counted.append(home), (Taken("runs/", len(counted)),))[1])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    for halted, later, known in (
        (None, 0, ()), ("the keeper cannot start processes since 10:31", 2, ()), ("disk full since 10:31", 2, (Taken("runs/", 1),)),
        ("disk nearly full (/x: 1K free) since 10:31", 2, (Taken("runs/", 1),)), ("disk full since 10:31", 60, (Taken("runs/", 2),)),
        (None, 2, ()), ("disk full since 10:40", 2, (Taken("runs/", 3),)),
    ):  # fmt: skip
        now[0] += later
        duties.dispatcher.halted = halted
        await duties.count_room()
        assert duties.usage.largest == known

    duties.usage.look([])
    assert duties.usage.host.largest == (Taken("runs/", 3),)
