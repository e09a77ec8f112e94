"""Brings up the runtime of a home in the background, as tmux does with its server: once, whoever asks at the same moment."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time

from app import client, paths
from app.errors import Conflict, Problem, Remote, Storage

PATIENCE = 30.0
"""Seconds until a runtime that holds the lock must answer."""


def runtime(home: str, *, resume: bool = False, demo: bool = False) -> None:
    """Return when a runtime answers. Raises Conflict when it was stopped on purpose, unless `resume`; else what it failed with."""
    _make(home)
    with open(os.path.join(home, "run", "start.lock"), "w", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = client.connect(home)
        if line is not None:
            return line.close()
        stopped = paths.stopped(home)
        if stopped and not resume:
            raise Conflict(
                f"the runtime was stopped by {stopped[0]} at {stopped[1]}, so nothing was done.",
                "Start it: taskdeck serve --detach",
            )
        _start(home, demo)


def dismiss(home: str) -> bool:
    """End the runtime that has `home`, of whatever version, so that another may take over; whether there was one. No job notices."""
    sock = client.dial(home)
    if sock is None:
        return False
    # What the kernel says of who listens; the greeting of another version could not be trusted.
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    sock.close()
    gone = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(gone, signal.SIGTERM)
        if not select.select([gone], [], [], PATIENCE)[0]:
            raise Problem(f"the runtime, pid {pid}, did not end within {PATIENCE:.0f} s of SIGTERM.", "See it: taskdeck status")
    finally:
        os.close(gone)
    return True


def _make(home: str) -> None:
    from pathlib import Path

    try:
        paths.make_home(Path(home))
    except OSError as error:
        raise Storage(f"cannot make the home {home}: {error.strerror}.", "Choose another: --home DIR") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _start(home: str, demo: bool) -> None:
    until = time.monotonic() + PATIENCE
    said = _spawn(home, demo)
    while (line := client.connect(home)) is None:
        if "error" in said and said["error"]["code"] != "runtime-exists":
            raise Remote(**said["error"])
        if time.monotonic() > until:
            raise Problem(
                f"the runtime did not answer within {PATIENCE:.0f} s.",
                f"It may have said why in {paths.runtime_log(home)}",
            )
        time.sleep(0.05)
        if "error" in said:  # the one that had the lock may be gone by now
            said = _spawn(home, demo)
    line.close()


def _spawn(home: str, demo: bool) -> dict:
    """Start `serve` in a session of its own and wait for its first word on a pipe."""
    ours, its = os.pipe()
    log = os.open(paths.runtime_log(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    argv = [
        sys.executable,
        "-P",
        "-m",
        "app",
        "--home",
        home,
        "serve",
        "--ready-fd",
        "3",
        *(["--demo"] if demo else []),
    ]
    try:
        pid = os.posix_spawn(
            sys.executable, argv, {k: v for k, v in os.environ.items() if not k.startswith("TASKDECK_")}, setsid=True,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, log, 2),
                          *_pass(its)],
        )  # fmt: skip
    finally:
        for fd in (its, log, null):
            os.close(fd)
    with open(ours, "rb") as pipe:
        said = pipe.readline()
    os.waitpid(pid, 0)
    if not said:
        raise Problem("the runtime did not start.", f"It may have said why in {paths.runtime_log(home)}")
    return json.loads(said)


def _pass(fd: int) -> list[tuple[int, ...]]:
    """Give `fd` to the child as 3; a dup2 onto itself would leave it closed at exec."""
    return (
        [(os.POSIX_SPAWN_DUP2, fd, 9), (os.POSIX_SPAWN_DUP2, 9, 3), (os.POSIX_SPAWN_CLOSE, 9)]
        if fd == 3
        else [(os.POSIX_SPAWN_DUP2, fd, 3)]
    )
