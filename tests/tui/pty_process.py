"""A program on a pseudo-terminal that answers cursor position requests."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TIMEOUT = 60.0
_COLOUR_CODES = re.compile(rb"\x1b\[[0-9;]*m")
_CURSOR_REQUEST = b"\x1b[6n"


class PtyProcess:
    """A command that runs on a pseudo-terminal.

    `column` is the reported cursor column: 2 means that `─` took one cell, 0 sends no answer.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        size: tuple[int, int] = (80, 24),
        column: int = 2,
    ) -> None:
        self.output = b""
        self._column = column
        self._answered = 0
        self._fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        sized = {**env, "COLUMNS": str(size[0]), "LINES": str(size[1])}
        self._process = subprocess.Popen(
            command,
            stdin=child,
            stdout=child,
            stderr=child,
            env=sized,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(child)

    def __enter__(self) -> PtyProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def send(self, keys: bytes) -> None:
        """Type these bytes."""
        os.write(self._fd, keys)

    def wait_for(self, text: str) -> None:
        """Read until the program has written this text, in any colours."""
        self._read_until(lambda: text.encode() in _COLOUR_CODES.sub(b"", self.output), text)

    def kill(self, number: int) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def hang_up(self) -> int:
        """Close the terminal and return the program's exit code."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDWR)
        return self._process.wait(TIMEOUT)

    def finish(self) -> int:
        """Read until the program ends and return its exit code."""
        self._read_until(lambda: self._process.poll() is not None, "its end")
        while self._read(0.05):
            pass
        return self._process.wait()

    def _read_until(self, done: Callable[[], bool], what: str) -> None:
        last = time.monotonic() + TIMEOUT
        while not done():
            assert time.monotonic() < last, f"never heard {what}: …{self.output[-400:]!r}"
            self._read(0.05)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            heard = os.read(self._fd, 65536)
        except OSError:
            return False
        self.output += heard
        while self._column and self.output.count(_CURSOR_REQUEST) > self._answered:
            self._answered += 1
            os.write(self._fd, f"\x1b[1;{self._column}R".encode())
        return bool(heard)
