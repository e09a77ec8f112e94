"""Fixed clock, ids, host and environment, so that a home answers the same on every machine.

`freeze` must run before any module of the product is loaded.
"""

from __future__ import annotations

import datetime as datetime_module
import os
import pwd
import random
import re
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
START = datetime_module.datetime(2026, 3, 2, 6, 0, tzinfo=datetime_module.UTC)
"""The first moment of the fixed home, a Monday."""
HOST = "deckhost"
USER = "ann"
BOOT_SECONDS = 500_000.0
"""Seconds since the boot of the machine, which stand still."""
ENVIRONMENT = {
    "COLUMNS": "80",
    "LANG": "C.UTF-8",
    "LINES": "24",
    "LOGNAME": USER,
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": os.fspath(ROOT),
    "SHELL": "/bin/sh",
    "TZ": "UTC",
    "USER": USER,
}

_real_datetime = datetime_module.datetime


class _Kind(type):
    """Type of the fixed datetime, which takes each real one for its own."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)


class FixedDatetime(_real_datetime, metaclass=_Kind):
    """A datetime whose present is that of the fixed clock."""

    @classmethod
    def now(cls, tz: datetime_module.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(clock.now, tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.fromtimestamp(clock.now, datetime_module.UTC).replace(tzinfo=None)


class FixedClock:
    """Clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = START.timestamp()
        self.ids = 0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def make_id_time(self) -> int:
        """Return nanoseconds for the next id, a millisecond after those of the last."""
        self.ids += 1
        return int(START.timestamp()) * 10**9 + self.ids * 10**6


clock = FixedClock()


def freeze() -> None:
    """Fix the clock, the ids, the user and the machine for this process."""
    assert not any(name.startswith(("app.", "db.")) for name in sys.modules)
    datetime_module.datetime = FixedDatetime  # type: ignore[misc]
    time.time = lambda: clock.now
    time.time_ns = lambda: int(clock.now * 10**9)
    read_clock = time.clock_gettime
    time.clock_gettime = lambda which: (
        BOOT_SECONDS if which == time.CLOCK_BOOTTIME else read_clock(which)
    )
    read_local, read_utc, format_local = time.localtime, time.gmtime, time.strftime
    time.localtime = lambda seconds=None: read_local(clock.now if seconds is None else seconds)
    time.gmtime = lambda seconds=None: read_utc(clock.now if seconds is None else seconds)
    time.strftime = lambda text, moment=None: format_local(text, moment or time.localtime())
    socket.gethostname = lambda: HOST
    machine = os.uname_result(("Linux", HOST, "6.1", "1", "x86_64"))
    os.uname = lambda: machine
    os.sched_getaffinity = lambda pid: set(range(4))
    os.cpu_count = lambda: 4
    os.getloadavg = lambda: (0.5, 0.5, 0.5)
    entry = pwd.getpwuid(os.geteuid())
    own = pwd.struct_passwd((USER, "x", *entry[2:5], os.environ["HOME"], "/bin/sh"))
    pwd.getpwuid = lambda uid: own
    pwd.getpwnam = lambda name: own
    random.seed(1)
    os.umask(0o077)
    _freeze_modules()


def _freeze_modules() -> None:
    import psutil

    memory = SimpleNamespace(total=16 << 30, available=12 << 30, percent=25.0, used=4 << 30)
    psutil.virtual_memory = lambda: memory
    psutil.cpu_percent = lambda *_, **__: 12.5
    reads = SimpleNamespace(read_chars=1 << 30, read_bytes=1 << 20)
    psutil.Process.io_counters = lambda self: reads  # type: ignore[assignment]

    from app.core import ids
    from db import host

    ids.time = SimpleNamespace(time_ns=clock.make_id_time)  # type: ignore[assignment]
    ids.os = SimpleNamespace(urandom=bytes)  # type: ignore[assignment]
    host.read_boot_id = lambda: "b" * 36


_TODAY = _real_datetime.now(datetime_module.UTC).date()
_DAYS = "|".join(str(_TODAY + datetime_module.timedelta(days=n)) for n in (0, 1))
MACHINE_CHECKS = ("versions", "disk", "files", "clock", "limits", "enforce", "others")
"""Checks of `doctor` whose findings depend on the machine, which the record leaves out."""
PATTERNS: tuple[tuple[str, str], ...] = (
    (r"/tmp/td-[a-z0-9_]{8}", "/tmp/td-00000000"),
    (re.escape(os.fspath(ROOT)), "/src/taskdeck"),
    (rf"\b{os.getpid()}\b", "4242"),
    (rf"\b({_DAYS})T[0-9:.]+Z", "(now)"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "(random)"),
    (rf"(?m)^[✓!✗] ({'|'.join(MACHINE_CHECKS)}) .*\n( +Fix: .*\n)?", ""),
)
"""Patterns of what differs from run to run, each with the text to record in its place.

Triggers of the database read the clock of the machine, and it makes the keys of messages.
"""


def scrub(text: str) -> str:
    """Return the text without what belongs to this run or machine."""
    for pattern, kept in PATTERNS:
        text = re.sub(pattern, kept, text)
    return text
