"""Health check of the clock: set back, jumped, or not synchronized."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from datetime import datetime

from app.core.text import units
from app.health.finding import Finding, make_command, make_root_command
from app.health.procfs import read_file
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

STA_UNSYNC = 0x0040
MAX_CORRECTION = 60.0
"""Seconds of tolerated correction since the runtime began."""


class Timex(ctypes.Structure):
    """The kernel's `struct timex` up to its status, padded."""

    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("more", ctypes.c_long * 40),
    ]  # fmt: skip


def check_clock(home: str, status: dict[str, Any] | None, newest: str | None) -> Iterator[Finding]:
    """Yield the worst problem of the clock, or one line without problems."""
    behind = _measure_lag(newest)
    if behind > 1:
        text = tr(
            "{age} behind the newest task; times and deadlines are wrong",
            age=units.format_age(behind),
        )
        yield Finding("clock", text, "broken", suggest_sync_command())
    elif (jump := _measure_jump(status)) is not None and abs(jump) > MAX_CORRECTION:
        moved = tr("moved {age} ahead", age=units.format_age(jump))
        if jump < 0:
            moved = tr("moved {age} back", age=units.format_age(-jump))
        text = tr(
            "{moved} since the runtime began; the ages it shows are off by as much", moved=moved
        )
        yield Finding("clock", text, "hint", make_command(home, "serve --replace --detach"))
    elif is_in_container():
        yield Finding("clock", "clock of the host; synchronization is not visible in a container")
    elif is_synchronized() is False:
        yield Finding("clock", "not synchronized (no NTP)", "hint", suggest_sync_command())
    else:
        yield Finding("clock", "synchronized" if is_synchronized() else "no problem found")


def _measure_lag(newest: str | None) -> float:
    """Return the seconds by which the newest task is in the future, else 0."""
    if not newest:
        return 0.0
    try:
        return datetime.fromisoformat(newest).timestamp() - time.time()
    except ValueError:
        return 0.0


def _measure_jump(status: dict[str, Any] | None) -> float | None:
    """Return the seconds the clock moved beyond elapsed time since the runtime began."""
    runtime = (status or {}).get("runtime") or {}
    since, boottime = runtime.get("since"), runtime.get("boottime")
    if runtime.get("state") != "running" or not since or boottime is None:
        return None
    return (time.time() - datetime.fromisoformat(since).timestamp()) - (
        time.clock_gettime(time.CLOCK_BOOTTIME) - boottime
    )


def is_synchronized() -> bool | None:
    """Return the kernel's synchronization status, or None if unknown."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        about = Timex()
        if libc.adjtimex(ctypes.byref(about)) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return not about.status & STA_UNSYNC


def is_in_container() -> bool:
    """Return True in a container, which uses the clock of its host."""
    marks = ("/run/systemd/container", "/.dockerenv", "/run/.containerenv")
    first = read_file("/proc/1/environ").split("\0")  # readable by root only
    return any(map(os.path.exists, marks)) or any(entry.startswith("container=") for entry in first)


INSTALL_COMMANDS = (
    ("apt-get", "apt-get install -y chrony"),
    ("dnf", "dnf install -y chrony"),
    ("apk", "apk add chrony"),
)
"""Commands that install a time daemon, by package manager."""


def suggest_sync_command() -> str:
    """Return the command that keeps the clock synchronized."""
    if os.path.isdir("/run/systemd/system"):
        return make_root_command("timedatectl set-ntp true")
    installed = next((one for one in ("chronyd", "ntpd", "openntpd") if shutil.which(one)), None)
    return make_root_command(
        installed
        or next(
            (words for tool, words in INSTALL_COMMANDS if shutil.which(tool)), "hwclock --hctosys"
        )
    )
