"""The lock that makes a runtime the only one of its home. Released by the kernel when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from app import paths
from app.errors import Conflict


class RuntimeExists(Conflict):
    """Another runtime has this home."""

    code = "runtime-exists"


@contextmanager
def hold_lock(home: Path) -> Iterator[None]:
    """Hold the lock of `home`; its file says who does. Raises RuntimeExists."""
    fd = os.open(home / "run" / paths.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeExists(f"a runtime already has this home: {_holder(fd)}.", "See it: taskdeck") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}, {user_name(os.getuid())}, since {datetime.now():%H:%M}".encode(), 0)
        yield
    finally:
        os.close(fd)


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace") or "another process, just starting"


def user_name(uid: int) -> str:
    """The login name of a uid, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
