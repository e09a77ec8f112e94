"""Signals to processes, which may be gone or have a successor with their pid."""

from __future__ import annotations

import os
import signal
import time

from app.keeper.marks import read_mark
from app.keeper.processes import list_children, read_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SEARCH_SECONDS = 0.02
EVERY_SIGNAL = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def signal_process(pid: int, ticks: int, number: int) -> None:
    """Send a signal to a process unless its pid has been reused."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        found = read_process(pid)
        if found and found.ticks == ticks:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass  # The process has ended or belongs to another user.
    finally:
        os.close(handle)


def signal_marked_children(
    signals: dict[int, int], parents: Iterable[int], known: set[int]
) -> set[int]:
    """Send signals by mark to children as fast as new ones appear; return the marks found.

    A process that forks and ends in a loop is gone before a search of /proc reaches it. Each is a
    child of one of the parents as soon as its own parent ends.
    """
    seen, found, misses, end = set(known), set[int](), 0, time.monotonic() + SEARCH_SECONDS
    while misses < 20 and time.monotonic() < end:
        new = {pid for parent in parents for pid in list_children(parent)} - seen
        misses = 0 if new else misses + 1
        seen |= new
        found |= {signal_if_marked(pid, signals) for pid in new}
    return found


def signal_if_marked(pid: int, signals: dict[int, int]) -> int:
    """Send a process the signal of its mark, if there is one. Return the mark, or 0."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return 0
    try:
        if (mark := read_mark(pid)) in signals:
            signal.pidfd_send_signal(handle, signals[mark])
        return mark
    except OSError:
        return 0  # The process has ended or belongs to another user.
    finally:
        os.close(handle)


def send_signal(tree: dict[int, int], number: int) -> None:
    """Send a signal to each process of {pid: start ticks}."""
    for pid, ticks in tree.items():
        signal_process(pid, ticks, number)
