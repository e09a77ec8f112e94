"""The disk under a home."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.health import disk


def look(path: Path):
    (found,) = disk.disk(str(path))
    return found


@pytest.mark.parametrize(
    ("free", "inodes", "state"), [(0, 9, "broken"), (100 * 2**20, 9, "broken"), (2**39, 0, "broken"), (2**39, 9, "well")]
)
def test_no_room_for_bytes_or_for_files_is_broken(home: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, state: str):
    space = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=2**40, f_files=10, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert look(home).state == state and bool(look(home).cure) is (state != "well")


def test_a_disk_that_takes_no_write_is_broken_whatever_it_says_of_itself(home: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: str) -> float:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk, "sync_time", refuse)

    assert look(home).text.endswith("it takes no write: read-only file system") and "remount,rw" in look(home).cure


@pytest.mark.parametrize(("seconds", "state"), [(0.4, "well"), (0.6, "hint")])
def test_a_disk_that_is_slow_is_told_above_half_a_second(home: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, state: str):
    monkeypatch.setattr(disk, "sync_time", lambda path: seconds)

    assert look(home).state == state


def test_the_trial_leaves_nothing_behind(home: Path):
    before = sorted(home.iterdir())

    assert disk.sync_time(str(home)) >= 0 and sorted(home.iterdir()) == before


@pytest.mark.parametrize(("kind", "broken"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)])
def test_a_network_file_system_is_no_place_for_a_database(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, broken: bool):
    monkeypatch.setattr(disk, "mount", lambda path: ("/", kind))

    (found,) = disk.files(str(home))

    assert (found.state == "broken") is broken


def test_the_file_system_of_a_path_is_that_of_the_longest_mount_above_it(monkeypatch: pytest.MonkeyPatch):
    assert disk.mount("/proc/self") == ("/proc", "proc")
    assert disk.mount("/process")[1] != "proc"
    monkeypatch.setattr(disk, "read", lambda path: "9 1 0:1 / /my\\040disk rw - tmpfs none rw\n")

    assert disk.mount("/my disk/home") == ("/my disk", "tmpfs")
