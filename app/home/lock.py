"""Lock that makes a runtime unique in its home.

The kernel releases the lock when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil

from app import paths
from app.core.text.joining import join_sentences
from app.errors import Conflict
from db.sqlite_files import try_lock


class RuntimeExists(Conflict):
    """Another runtime holds this home."""

    code = "runtime-exists"


PROBE_DELAY = 0.05
"""Seconds after which a probe has released the lock."""


@contextmanager
def hold_lock(home: Path) -> Iterator[None]:
    """Hold the lock of `home` and record the holder in its file.

    Raise RuntimeExists, and Refused in another user's home.
    """
    paths.refuse_foreign_home(home)
    fd = os.open(home / "run" / paths.LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        has_checked_holder = False
        while not try_lock(fd):
            if not _is_holder_dying(fd) and (has_checked_holder or _is_holder_alive(fd)):
                raise RuntimeExists(
                    "a runtime already has this home: {holder}.",
                    "See it: taskdeck",
                    holder=_read_holder(fd),
                )
            has_checked_holder = not _is_holder_dying(fd)
            time.sleep(PROBE_DELAY if has_checked_holder else 0.01)
        _record_holder(fd)
        yield
    finally:
        os.close(fd)


@contextmanager
def hold_stopped_home(home: Path, unchanged: str) -> Iterator[None]:
    """Hold the lock of `home`.

    Raise RuntimeExists with what stayed `unchanged` and the command that stops the runtime.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(home))
        except RuntimeExists as runtime:
            raise RuntimeExists(
                join_sentences(runtime.message, unchanged), "First: taskdeck stop"
            ) from None
        yield


def is_held(home: Path) -> bool:
    """Return True if a runtime, or a command in its place, holds `home`."""
    try:
        fd = os.open(home / "run" / paths.LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _record_holder(fd: int) -> None:
    """Record the holder. On a full disk the record is missing, but the lock holds."""
    with suppress(OSError):
        os.ftruncate(fd, 0)
        user = paths.get_user_name(os.getuid())
        os.pwrite(fd, f"pid {os.getpid()}, {user}, since {datetime.now():%H:%M}".encode(), 0)


def _is_holder_dying(fd: int) -> bool:
    """Return True for a killed holder that still exists.

    One of its threads may still wait for the disk.
    """
    try:
        return psutil.Process(_read_pid(fd)).status() == psutil.STATUS_ZOMBIE
    except (ValueError, psutil.Error):
        return False


def _is_holder_alive(fd: int) -> bool:
    """Return True if the file names a living process.

    A process that only probes the lock leaves the previous record in place.
    """
    try:
        return psutil.pid_exists(_read_pid(fd))
    except ValueError:
        return False


def _read_pid(fd: int) -> int:
    """Return the recorded pid. Raise ValueError if there is none."""
    return int(_read_holder(fd).partition(" ")[2].partition(",")[0])


def _read_holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace") or "another process, just starting"
