"""A command on a real terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path


def run_on_terminal(
    home: Path, *words: str, columns: int = 80, typed: bytes = b"", **env: str
) -> bytes:
    """Return everything that a command writes to a terminal until its end.

    `typed` is available as input from the start.
    """
    pid, fd = pty.fork()
    if pid == 0:
        chosen = {
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "TASKDECK_HOME": str(home),
            "PATH": os.environ["PATH"],
            **env,
        }
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(sys.executable, [sys.executable, "-P", "-m", "taskdeck", *words], chosen)
    os.write(fd, typed)
    out = b""
    while data := _read(fd):
        out += data
    os.close(fd)
    os.waitpid(pid, 0)
    return out


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the other side has ended
        return b""
