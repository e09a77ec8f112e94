"""Marks that tell which run a process belongs to.

Each run has a mark, a hard RLIMIT_RTTIME of its own that its processes inherit. A process without
privileges can lower it but not raise it, and everybody can read it. It finds processes that cleared
their environment, are not dumpable, and left session and parent. The limit is at least 35 years of
real-time CPU, so it limits nothing.
"""

from __future__ import annotations

import os
import resource

from app.keeper.processes import read_file

LEAST_MARK = 1 << 50  # microseconds; below, runs get no mark
TOP_MARK = 1 << 62  # without an inherited limit, marks begin above
MARK_STEP = 1 << 40  # a new supervisor lowers its limit by at most this much


def read_mark(pid: int) -> int:
    """Return the mark of a process, dead or alive, or 0.

    The call also answers for processes of our user that /proc hides (`hidepid`).
    """
    try:
        return max(0, resource.prlimit(pid, resource.RLIMIT_RTTIME)[1])
    except ProcessLookupError:
        return 0
    except OSError:
        pass  # The process belongs to another user.
    _, _, after = read_file(f"/proc/{pid}/limits").partition(b"Max realtime timeout")
    fields = after.split(None, 2)
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0


def lower_mark(step: int) -> int:
    """Lower our hard RLIMIT_RTTIME and return it, or 0 if it cannot be a mark."""
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        if hard == resource.RLIM_INFINITY:
            hard = TOP_MARK + draw_number(TOP_MARK)
        mark = hard - step
        if mark < LEAST_MARK:
            return 0
        soft = mark if soft == resource.RLIM_INFINITY else min(soft, mark)
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, mark))
    except (OSError, ValueError):
        return 0
    return mark


def leave_marks() -> None:
    """Lower our limit to a value that is no run's mark, with room below for our own marks."""
    lower_mark(1 + draw_number(MARK_STEP))


def draw_number(below: int) -> int:
    """Return a random number below a power of two."""
    return int.from_bytes(os.urandom(8), "little") % below
