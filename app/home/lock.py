"""The lock that makes a runtime the only one of its home. Released by the kernel when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil

from app import paths
from app.errors import Conflict
from db.sqlite_files import try_lock


class RuntimeExists(Conflict):
    """Another runtime has this home."""

    code = "runtime-exists"


PROBE_DELAY = 0.05
"""Seconds in which somebody who only looks whether the lock is held has let go of it."""


@contextmanager
def hold_lock(home: Path) -> Iterator[None]:
    """Hold the lock of `home`; its file says who does. Raises RuntimeExists, and Refused in somebody else's home."""
    paths.refuse_foreign_home(home)
    fd = os.open(home / "run" / paths.LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        looked = False
        while not try_lock(fd):
            if not _is_holder_dying(fd) and (looked or _is_holder_alive(fd)):
                raise RuntimeExists(f"a runtime already has this home: {_read_holder(fd)}.", "See it: taskdeck")
            looked = not _is_holder_dying(fd)
            time.sleep(PROBE_DELAY if looked else 0.01)
        _record_holder(fd)
        yield
    finally:
        os.close(fd)


def is_held(home: Path) -> bool:
    """Whether a runtime, or somebody in its place, has `home` now."""
    try:
        fd = os.open(home / "run" / paths.LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _record_holder(fd: int) -> None:
    """Leave a word for those who come later. On a full disk there is none, and the lock is held all the same."""
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}, {paths.user_name(os.getuid())}, since {datetime.now():%H:%M}".encode(), 0)


def _is_holder_dying(fd: int) -> bool:
    """Whether the holder was killed but is not quite gone: a thread of it may still be writing to the disk."""
    try:
        return psutil.Process(_read_pid(fd)).status() == psutil.STATUS_ZOMBIE
    except (ValueError, psutil.Error):
        return False


def _is_holder_alive(fd: int) -> bool:
    """Whether the file names a process that is there: who only looks leaves no word, and the last holder's stays."""
    try:
        return psutil.pid_exists(_read_pid(fd))
    except ValueError:
        return False


def _read_pid(fd: int) -> int:
    """The pid in the holder's word. Raises ValueError where there is none."""
    return int(_read_holder(fd).partition(" ")[2].partition(",")[0])


def _read_holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace") or "another process, just starting"
