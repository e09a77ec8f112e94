"""A program in a real tmux, with the interface of `tests.acceptance.terminal.Terminal`.

tmux reports new output over its control mode, so nothing waits for a fixed time.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.acceptance.terminal import TIMEOUT, Lines

Condition = Callable[["Tmux"], object]
SETTINGS = """\
set -g status off
set -s escape-time 10
set -s set-clipboard on
set -g default-terminal tmux-256color
"""
"""Settings that the README asks for, without a status line, so that the pane has all lines."""


class Tmux:
    """tmux server with one session that runs a program. The context manager kills the server."""

    def __init__(
        self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path, columns: int = 80,
        rows: int = 24
    ) -> None:  # fmt: skip
        settings = cwd / "tmux.conf"
        settings.write_text(SETTINGS)
        self._line = ["tmux", "-S", str(cwd / "tmux"), "-f", str(settings)]
        self._env = {**env, "TERM": "xterm-256color"}
        size = ["-x", str(columns), "-y", str(rows)]
        program = shlex.join(os.fspath(word) for word in argv)
        self._client = subprocess.Popen(
            [*self._line, "-C", "new-session", *size, program], env=self._env, cwd=cwd,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._held = b""
        self._known: list[str] = []
        self.ended = False
        self._read_answer()  # the answer to new-session
        self._send_command(f"refresh-client -C {columns}x{rows}")

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Screen

    @property
    def lines(self) -> Lines:
        """Lines of the screen without trailing blanks."""
        return [line.rstrip() for line in self._send_command("capture-pane -p")]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def find_line(self, words: str) -> str:
        """Return the first line with the text, or an empty string."""
        return next((line for line in self.lines if words in line), "")

    def read_clipboard(self) -> str:
        """Return the text that the program copied last, by OSC 52."""
        return "\n".join(self._send_command("show-buffer"))

    def wait(self, shown: str | Condition, seconds: float = TIMEOUT) -> Tmux:
        """Wait until the screen shows a text or meets a condition.

        Fail with the current screen at the timeout.
        """
        until = time.monotonic() + seconds
        holds = (lambda t: shown in t.text) if isinstance(shown, str) else shown
        while not holds(self):
            if not self._wait_for_output(until - time.monotonic()):
                raise AssertionError(f"not shown within {seconds:.0f} s: {shown}\n{self.text}")
        return self

    # Input

    def type(self, keys: str) -> Tmux:
        """Type keys, as the bytes that a terminal sends."""
        self._send_command(f"send-keys -H {keys.encode().hex(' ')}")
        return self

    def close(self) -> None:
        subprocess.run(
            [*self._line, "kill-server"], env=self._env, check=False, capture_output=True
        )
        self._client.communicate()

    # Control mode

    def _send_command(self, command: str) -> list[str]:
        assert self._client.stdin is not None
        self._client.stdin.write(f"{command}\n".encode())
        self._client.stdin.flush()
        return self._read_answer()

    def _read_answer(self) -> list[str]:
        """Return the lines of the next answer; `_wait_for_output` handles notices in between."""
        inside: list[str] | None = None
        while True:
            line = self._next_line(TIMEOUT)
            if line is None:
                raise AssertionError("tmux does not answer")
            if inside is None:
                inside = [] if line.startswith("%begin ") else None
            elif line.startswith(("%end ", "%error ")):
                return inside
            else:
                inside.append(line)

    def _wait_for_output(self, seconds: float) -> bool:
        """Wait for new output and read it; return false at the timeout."""
        if self._next_line(seconds) is None:
            return False
        while self._next_line(0.0) is not None:
            pass
        return True

    def _next_line(self, seconds: float) -> str | None:
        assert self._client.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._held:
            if not select.select([self._client.stdout], [], [], max(0.0, until - time.monotonic()))[
                0
            ]:
                return None
            data = os.read(self._client.stdout.fileno(), 65536)
            if not data:
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line.decode("utf-8", "replace")
