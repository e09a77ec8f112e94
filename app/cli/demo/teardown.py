"""Demo teardown: ends jobs, runtime, keeper and guard, and restores the terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
from contextlib import contextmanager

from app.client import Client
from app.errors import Problem
from db.states import WAITING, TaskStatus, list_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

END_TIMEOUT = 15.0
"""Seconds before remaining processes are killed."""

ACTIVE_STATES = [*list_states(WAITING), TaskStatus.RUNNING.value]


def end_all(home: str) -> None:
    """End tasks, runtime, keeper and guard of the demo home."""
    client = Client(home, autostart=False)
    try:
        found = client.call("status")
        watched = _open_pidfds(found)
        _cancel_tasks(client)
        client.call("stop")
        _wait_or_kill(watched)
    except Problem:
        pass
    finally:
        client.close()


def _open_pidfds(status: dict[str, Any]) -> dict[int, int]:
    """Return pidfds of runtime, keeper and guard by pid.

    A pidfd denotes the same process even after its pid is reused.
    """
    found: dict[int, int] = {}
    for pid in (
        status["runtime"].get("pid"),
        status["keeper"].get("pid"),
        status["keeper"].get("guard_pid"),
    ):
        try:
            found[pid] = os.pidfd_open(pid)
        except (OSError, TypeError):
            continue
    return found


def _cancel_tasks(client: Client) -> None:
    until = time.monotonic() + END_TIMEOUT
    client.call("cancel", {"select": {"status": ACTIVE_STATES}, "grace": 0.5})
    for _ in Client(client.home, autostart=False).watch():
        if not client.call("status")["counts"].get("running") or time.monotonic() > until:
            return


def _wait_or_kill(watched: dict[int, int]) -> None:
    until = time.monotonic() + END_TIMEOUT
    for fd in watched.values():
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)


@contextmanager
def preserve_terminal() -> Iterator[None]:
    """Restore the terminal modes when the body ends."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
