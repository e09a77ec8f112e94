"""A terminal for tests: a program on a real pty, keys in, a screen out.

`wait` never waits for a fixed time: it reads the pty until the screen shows the text, or fails with
the current screen. `raw` keeps every byte that reached the terminal.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyte
from pyte.charsets import LAT1_MAP
from pyte.modes import IRM
from pyte.screens import Char
from wcwidth import wcwidth

from tests import fork_server

Lines = list[str]
Condition = Callable[["Terminal"], object]
TIMEOUT = 60.0
"""Seconds until a screen must show the expected text."""

ALTERNATE = 1049

# pyte would print the ends of these sequences as text: kitty's keyboard modes, other private
# markers, mode reports.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[ -/]*[@-~]|\x1b\[\?[0-9;]*\$p")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*)?$")
_SYNC_QUERY = b"\x1b[?2026$p"
_SYNC_BEGIN, _SYNC_END = b"\x1b[?2026h", b"\x1b[?2026l"


_NARROW_CHARACTERS = frozenset(
    c for c in map(chr, (*range(0x20, 0x7F), *range(0x2010, 0x2600))) if wcwidth(c) == 1
)


class _CellCache(dict[str, Char]):
    """Cells of one style, by character."""

    def __init__(self, look: Char) -> None:
        self._look = look

    def __missing__(self, character: str) -> Char:
        self[character] = cell = self._look._replace(data=character)
        return cell


class _StyleCache(dict[Char, _CellCache]):
    """Cell caches, by style."""

    def __missing__(self, look: Char) -> _CellCache:
        self[look] = cells = _CellCache(look)
        return cells


class TerminalScreen(pyte.Screen):
    """Screen of a terminal that answers the program's queries."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], object]) -> None:
        self._main: Any = None
        self._looks = _StyleCache()
        self._answer = answer
        self.box_cells = 1
        """Cells that this terminal claims for a box character; 2 is usual in CJK set-ups."""
        super().__init__(columns, rows)

    def draw(self, data: str) -> None:
        """Draw narrow characters at once.

        pyte draws them one by one, and they are most of the output.
        """
        cursor, mapped = self.cursor, self.charset or self.g0_charset is not LAT1_MAP
        end = cursor.x + len(data)
        if (
            mapped
            or IRM in self.mode
            or end > self.columns
            or not _NARROW_CHARACTERS.issuperset(data)
        ):
            super().draw(data)
            return
        self.buffer[cursor.y].update(
            zip(range(cursor.x, end), map(self._looks[cursor.attrs].__getitem__, data), strict=True)
        )
        cursor.x = end
        self.dirty.add(cursor.y)

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())

    def report_device_status(self, mode: int) -> None:
        if mode == 6:
            self._answer(f"\x1b[{self.cursor.y + 1};{self.cursor.x * self.box_cells + 1}R".encode())

    def set_mode(self, *modes: int, **kind: Any) -> None:
        """Keep the alternate screen apart from the main screen, which pyte does not do."""
        if ALTERNATE in modes and kind.get("private") and self._main is None:
            self._main = (dict(self.buffer), self.cursor.y, self.cursor.x)
            self.buffer.clear()
        super().set_mode(*modes, **kind)

    def reset_mode(self, *modes: int, **kind: Any) -> None:
        if ALTERNATE in modes and kind.get("private") and self._main is not None:
            lines, self.cursor.y, self.cursor.x = self._main
            self.buffer.clear()
            self.buffer.update(lines)
            self._main = None
        super().reset_mode(*modes, **kind)


def _start_program(argv: list[str], env: Mapping[str, str], cwd: Path, terminal: str) -> int:
    """Start a program as a session leader on a terminal and return its pid."""
    # A session leader that opens a terminal gets it as its controlling terminal, as in a
    # terminal emulator.
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    line = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(cwd), *argv]
    return os.posix_spawn("/bin/sh", line, dict(env), file_actions=actions, setsid=True)


class Terminal:
    """Program on a pty, as leader of its session. The context manager hangs up at the end."""

    def __init__(
        self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str], cwd: Path,
        columns: int = 80, rows: int = 24
    ) -> None:  # fmt: skip
        self.raw = bytearray()
        self.keyboard, slave = os.openpty()
        self.screen = TerminalScreen(columns, rows, self._reply)
        self._stream = pyte.ByteStream(self.screen)
        self._held = b""
        self._set_size(columns, rows)
        words = [os.fspath(word) for word in argv]
        self.forked = fork_server.start_on_terminal(words, env, os.fspath(cwd), slave)
        name = os.ttyname(slave)
        self.pid = self.forked.pid if self.forked else _start_program(words, env, cwd, name)
        os.close(slave)
        self._gone = self.forked.pidfd if self.forked else os.pidfd_open(self.pid)
        self.code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Screen

    @property
    def lines(self) -> Lines:
        """Lines of the screen without trailing blanks."""
        # pyte's `display` fails on half a wide character.
        rows = (self.screen.buffer[y] for y in range(self.screen.lines))
        return ["".join(row[x].data for x in range(self.screen.columns)).rstrip() for row in rows]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def find_line(self, words: str) -> str:
        """Return the first line with the text, or an empty string."""
        return next((line for line in self.lines if words in line), "")

    def wait(self, shown: str | Condition, seconds: float = TIMEOUT) -> Terminal:
        """Read until the screen shows a text or meets a condition.

        Fail with the current screen at the timeout.
        """
        until = time.monotonic() + seconds
        holds = (lambda t: shown in t.text) if isinstance(shown, str) else shown
        while not holds(self):
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"not shown within {seconds:.0f} s: {shown}\n{self.text}")
        return self

    def _read(self, seconds: float) -> bool:
        """Read the next output; return false at the timeout or the end of the program."""
        if seconds <= 0 or not select.select([self.keyboard], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.keyboard, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += data
        self._feed(data)
        return bool(data)

    def _feed(self, data: bytes) -> None:
        """Draw whole frames (mode 2026), so that no `wait` ends within a frame."""
        if _SYNC_QUERY in data:
            self._reply(b"\x1b[?2026;2$y")
        data = self._held + data
        cut = _UNFINISHED.search(data)
        end, begun = cut.start() if cut else len(data), data.rfind(_SYNC_BEGIN)
        if begun > data.rfind(_SYNC_END):
            end = begun
        self._held = data[end:]
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data[:end]))

    # Input

    def type(self, keys: str) -> Terminal:
        """Type keys, as the bytes that a terminal sends."""
        os.write(self.keyboard, keys.encode())
        return self

    def press(self, keys: str, until: str | Condition, again_after: float = 1.0) -> Terminal:
        """Press keys repeatedly until the screen shows the text.

        A new dialog ignores keys at first, and a row that has just changed refuses an action.
        """
        for _ in range(int(TIMEOUT / again_after)):
            try:
                return self.type(keys).wait(until, again_after)
            except AssertionError:
                continue
        return self.wait(until, again_after)

    def click(self, column: int, row: int) -> Terminal:
        """Press and release the left button on a cell, counted from 0."""
        return self.type(f"\x1b[<0;{column + 1};{row + 1}M\x1b[<0;{column + 1};{row + 1}m")

    def resize(self, columns: int, rows: int) -> Terminal:
        """Resize the window while the program runs."""
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)
        return self

    def end(self, seconds: float = TIMEOUT) -> int:
        """Read until the program has ended; return its exit code, negative for a signal."""
        until = time.monotonic() + seconds
        while self.code is None:
            left = until - time.monotonic()
            if left <= 0:
                raise AssertionError(f"did not end within {seconds:.0f} s\n{self.text}")
            ready = select.select([self.keyboard, self._gone], [], [], left)[0]
            if self.keyboard in ready and self._read(0.01):
                continue
            if self._gone in ready:
                self.code = self._reap()
        return self.code

    def block_output(self) -> None:
        """Fill the pty's buffer and read no more."""
        side = os.open(f"/proc/{self.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        while select.select([], [side], [], 0.2)[1]:
            with suppress(BlockingIOError):
                os.write(side, b"x" * 1000)
        os.close(side)

    def is_ended_unread(self, seconds: float = TIMEOUT) -> bool:
        """Return true if the program ends while its output is not read."""
        return bool(select.select([self._gone], [], [], seconds)[0])

    def hang_up(self) -> None:
        """Close the window: the session gets SIGHUP."""
        if self.keyboard >= 0:
            os.close(self.keyboard)
            self.keyboard = -1

    def close(self, seconds: float = TIMEOUT) -> None:
        """Hang up and wait for the program's end; kill it after the timeout."""
        self.hang_up()
        if self.code is None:
            if not select.select([self._gone], [], [], seconds)[0]:
                os.kill(self.pid, signal.SIGKILL)
            self.code = self._reap()
        if self._gone >= 0:
            os.close(self._gone)
            self._gone = -1

    def _reap(self) -> int:
        """Return the exit code of the program, which has ended."""
        status = self.forked.wait() if self.forked else os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(status)

    def _reply(self, data: bytes) -> None:
        os.write(self.keyboard, data)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
