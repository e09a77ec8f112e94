"""Tests of the doctor's disk checks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.health import disk


def run_check(path: Path):
    (found,) = disk.check_disk(str(path))
    return found


@pytest.mark.parametrize(
    ("free", "inodes", "state"),
    [(0, 9, "broken"), (100 * 2**20, 9, "broken"), (2**39, 0, "broken"), (2**39, 9, "well")],
)
def test_a_lack_of_bytes_or_inodes_is_broken(
    home: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, state: str
):
    space = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=2**40, f_files=10, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert run_check(home).state == state and bool(run_check(home).cure) is (state != "well")


def test_a_disk_that_refuses_writes_is_broken(home: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: str) -> float:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk, "measure_sync_time", refuse)

    assert (
        run_check(home).text.endswith("writing fails: read-only file system")
        and "remount,rw" in run_check(home).cure
    )


@pytest.mark.parametrize(("seconds", "state"), [(0.4, "well"), (0.6, "hint")])
def test_a_disk_slower_than_half_a_second_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, state: str
):
    monkeypatch.setattr(disk, "measure_sync_time", lambda path: seconds)

    assert run_check(home).state == state


def test_the_write_test_leaves_nothing_behind(home: Path):
    before = sorted(home.iterdir())

    assert disk.measure_sync_time(str(home)) >= 0 and sorted(home.iterdir()) == before


@pytest.mark.parametrize(
    ("kind", "broken"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)]
)
def test_a_network_file_system_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, broken: bool
):
    monkeypatch.setattr(disk, "find_mount", lambda path: ("/", kind))

    (found,) = disk.check_file_system(str(home))

    assert (found.state == "broken") is broken


def test_a_path_belongs_to_its_longest_mount_point(monkeypatch: pytest.MonkeyPatch):
    assert disk.find_mount("/proc/self") == ("/proc", "proc")
    assert disk.find_mount("/process")[1] != "proc"
    monkeypatch.setattr(
        disk, "read_file", lambda path: "9 1 0:1 / /my\\040disk rw - tmpfs none rw\n"
    )

    assert disk.find_mount("/my disk/home") == ("/my disk", "tmpfs")
