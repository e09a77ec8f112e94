"""Stop of a runtime by its cluster: everything of the home on this host ends in a given time."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from app import client, cluster, paths
from app.cli import output
from app.errors import Problem
from app.translation import tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

DRAIN_SHARE, GRACE_SHARE = 0.5, 0.2
"""Shares of the time for the drain, and for the grace of the runs that it has not seen end."""
GREETING_TIMEOUT = 5.0
"""Seconds within which a runtime must answer, or it is killed."""
END_TIMEOUT = 10.0
"""Seconds within which a runtime must end after the last request."""


def leave_host(home: str, resource: str, seconds: float, keep_runs: bool) -> None:
    """End the runtime of `home` on this host, and its runs unless `keep_runs` is set.

    A runtime that answers drains first. One that hangs is killed. Raise Problem if something of
    the home is left on this host.
    """
    if sock := _open_socket(home):
        with sock:
            pid = client.get_peer_pid(sock)
            if pid == 0:  # no process of this host: the home is visible on several hosts
                return
            with suppress(ProcessLookupError):  # it has just ended
                process = os.pidfd_open(pid)
                _kill_hanging(sock, process)
                _end_runtime(home, resource, process, 0.0 if keep_runs else seconds * DRAIN_SHARE)
    if keep_runs:
        return
    from app.offline.run_ends import end_runs

    if stopped := end_runs(home, cluster.STOP_REASON, seconds * GRACE_SHARE):
        output.print_note(
            tr_n(
                stopped,
                "1 running task ended with this host; a task with retries runs again.",
                "{n:,} running tasks ended with this host; a task with retries runs again.",
            )
        )
    with suppress(OSError):  # for a runtime that was killed; others write their own
        paths.write_stop_marker(home, cluster.STOPPED_BY, time.strftime("%H:%M"), resource)


def _open_socket(home: str) -> socket.socket | None:
    """Return a socket to the runtime, or None without one. Raise Problem if the home is in use.

    A runtime that starts holds the lock before it listens, and would stay behind.
    """
    from app.offline.run_ends import is_in_use

    until = time.monotonic() + END_TIMEOUT
    while (sock := client.open_socket(home)) is None and is_in_use(home):
        if time.monotonic() > until:
            raise Problem("a process that does not answer has the home.", "See: taskdeck doctor")
        time.sleep(0.1)
    return sock


def _kill_hanging(sock: socket.socket, process: int) -> None:
    try:
        client.read_greeting(sock, GREETING_TIMEOUT)
    except Problem:
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _end_runtime(home: str, resource: str, process: int, drain: float) -> None:
    """Drain, then end the runtime. A runtime of another version takes only a signal."""
    try:
        is_over = bool(drain) and _request_stop(home, resource, True) and _wait(process, drain)
        if not is_over and not _request_stop(home, resource, False):
            signal.pidfd_send_signal(process, signal.SIGINT)
        if not _wait(process, END_TIMEOUT):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            _wait(process, END_TIMEOUT)
    finally:
        os.close(process)


def _wait(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], seconds)[0])


def _request_stop(home: str, resource: str, drain: bool) -> bool:
    """Request the stop. Return False if the runtime does not take the request."""
    try:
        connection = client.connect(home)
        if connection is None:
            return True
        try:
            connection.ask("stop", {"drain": drain, "resource": resource}, None)
        finally:
            connection.close()
    except (OSError, EOFError, Problem):
        return False
    return True
