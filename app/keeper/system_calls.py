"""System calls that Python's library lacks, and the ended children that one of them finds."""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIB_PER_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024
# 95 on newer architectures
WAITID = {"x86_64": 247, "ppc64le": 272, "s390x": 281}.get(os.uname().machine, 95)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
SIGINFO, RUSAGE = ctypes.create_string_buffer(128), ctypes.create_string_buffer(256)
WAITING = os.WEXITED | os.WNOHANG | os.WNOWAIT


class EndedChild:
    """A child that has ended and is not yet reaped. Memory figures are in KiB."""

    __slots__ = ("pid", "code", "signal", "cpu", "rss", "faulted")

    def __init__(self, pid: int, how: int, status: int, usage: tuple[int, ...]) -> None:
        self.pid = pid
        self.code, self.signal = (status, None) if how == os.CLD_EXITED else (None, status)
        self.cpu = usage[0] + usage[2] + (usage[1] + usage[3]) / 1e6
        self.rss, self.faulted = usage[4], (usage[8] + usage[9]) * KIB_PER_PAGE


def find_ended_child() -> EndedChild | None:
    """Return any ended child with its usage, unreaped, or None.

    `os.waitid` returns no usage, and `wait4` reaps.
    """
    if libc.syscall(WAITID, os.P_ALL, 0, SIGINFO, WAITING, RUSAGE) != 0:
        return None
    how, _, pid, _, status = struct.unpack_from("iiiii", SIGINFO, 8)
    return EndedChild(pid, how, status, struct.unpack_from("10l", RUSAGE)) if pid else None


def set_process_option(option: int, value: Any) -> None:
    """Set an attribute of this process."""
    libc.prctl(option, value, 0, 0, 0)
