"""A terminal for tests: a real pty with a program on it, keys in, a screen out.

Nothing waits for time: `wait` reads the pty until the screen shows what was asked, or fails with the screen as it then is.
Every byte that reached the terminal is kept in `raw`.
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

Lines = list[str]
Condition = Callable[["Terminal"], object]
TIMEOUT = 20.0
"""Seconds until a screen must show what is waited for."""

ALTERNATE = 1049

# pyte would print the ends of these as text: kitty's keyboard modes, other private markers, mode reports.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[ -/]*[@-~]|\x1b\[\?[0-9;]*\$p")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*)?$")
_SYNC_QUERY = b"\x1b[?2026$p"
_SYNC_BEGIN, _SYNC_END = b"\x1b[?2026h", b"\x1b[?2026l"


_NARROW_CHARACTERS = frozenset(c for c in map(chr, (*range(0x20, 0x7F), *range(0x2010, 0x2600))) if wcwidth(c) == 1)


class _CellCache(dict[str, Char]):
    """The cells of one look, by the character in them."""

    def __init__(self, look: Char) -> None:
        self._look = look

    def __missing__(self, character: str) -> Char:
        self[character] = cell = self._look._replace(data=character)
        return cell


class _StyleCache(dict[Char, _CellCache]):
    """The cells of each look."""

    def __missing__(self, look: Char) -> _CellCache:
        self[look] = cells = _CellCache(look)
        return cells


class TerminalScreen(pyte.Screen):
    """What a terminal shows; it answers the program's questions (where is the cursor, what are you)."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], object]) -> None:
        self._main: Any = None
        self._looks = _StyleCache()
        self._answer = answer
        self.box_cells = 1
        """Cells that this terminal claims a box character takes: 2 is usual in CJK set-ups."""
        super().__init__(columns, rows)

    def draw(self, data: str) -> None:
        """Characters of one cell each that fit into the line at once, which pyte draws one by one; that is most of what a deck writes."""
        cursor, mapped = self.cursor, self.charset or self.g0_charset is not LAT1_MAP
        end = cursor.x + len(data)
        if mapped or IRM in self.mode or end > self.columns or not _NARROW_CHARACTERS.issuperset(data):
            super().draw(data)
            return
        self.buffer[cursor.y].update(zip(range(cursor.x, end), map(self._looks[cursor.attrs].__getitem__, data), strict=True))
        cursor.x = end
        self.dirty.add(cursor.y)

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())

    def report_device_status(self, mode: int) -> None:
        if mode == 6:
            self._answer(f"\x1b[{self.cursor.y + 1};{self.cursor.x * self.box_cells + 1}R".encode())

    def set_mode(self, *modes: int, **kind: Any) -> None:
        """The alternate screen is kept apart from the main one, which pyte does not do."""
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


class Terminal:
    """A program on a pty of `columns` x `rows`, as its session's leader; a context manager that hangs up at the end."""

    def __init__(
        self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str], cwd: Path, columns: int = 80, rows: int = 24
    ) -> None:  # fmt: skip
        self.raw = bytearray()
        self.keyboard, slave = os.openpty()
        self.screen = TerminalScreen(columns, rows, self._reply)
        self._stream = pyte.ByteStream(self.screen)
        self._held = b""
        self._set_size(columns, rows)
        name = os.ttyname(slave)
        os.close(slave)
        # A session's leader that opens a terminal gets it as its own: what a terminal emulator does.
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        line = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(cwd), *map(os.fspath, argv)]
        self.pid = os.posix_spawn("/bin/sh", line, dict(env), file_actions=actions, setsid=True)
        self._gone = os.pidfd_open(self.pid)
        self.code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What it shows

    @property
    def lines(self) -> Lines:
        """The screen as it is, blanks at the ends of lines cut off."""
        # Not pyte's `display`: it stumbles over half a wide character.
        rows = (self.screen.buffer[y] for y in range(self.screen.lines))
        return ["".join(row[x].data for x in range(self.screen.columns)).rstrip() for row in rows]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    def find_line(self, words: str) -> str:
        """The first line that shows these words; "" when there is none."""
        return next((line for line in self.lines if words in line), "")

    def wait(self, shown: str | Condition, seconds: float = TIMEOUT) -> Terminal:
        """Read until the screen shows a text, or until it satisfies a condition. Fails with the screen when it does not."""
        until = time.monotonic() + seconds
        holds = (lambda t: shown in t.text) if isinstance(shown, str) else shown
        while not holds(self):
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"not shown within {seconds:.0f} s: {shown}\n{self.text}")
        return self

    def _read(self, seconds: float) -> bool:
        """Take in what comes next; False at the end of the time or of the program."""
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
        """Draw whole frames (mode 2026): nobody sees half of one, and no `wait` ends between two halves."""
        if _SYNC_QUERY in data:
            self._reply(b"\x1b[?2026;2$y")
        data = self._held + data
        cut = _UNFINISHED.search(data)
        end, begun = cut.start() if cut else len(data), data.rfind(_SYNC_BEGIN)
        if begun > data.rfind(_SYNC_END):
            end = begun
        self._held = data[end:]
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data[:end]))

    # What one does with it

    def type(self, keys: str) -> Terminal:
        """Press keys, as the bytes a terminal sends."""
        os.write(self.keyboard, keys.encode())
        return self

    def press(self, keys: str, until: str | Condition, again_after: float = 1.0) -> Terminal:
        """Press keys until the screen shows something: a dialog is deaf at first, a row that just changed refuses a verb."""
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
        """Make the window another size while the program runs."""
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)
        return self

    def end(self, seconds: float = TIMEOUT) -> int:
        """Read on until the program has ended; its exit code, negative for a signal."""
        until = time.monotonic() + seconds
        while self.code is None:
            left = until - time.monotonic()
            if left <= 0:
                raise AssertionError(f"did not end within {seconds:.0f} s\n{self.text}")
            ready = select.select([self.keyboard, self._gone], [], [], left)[0]
            if self.keyboard in ready and self._read(0.01):
                continue
            if self._gone in ready:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def block_output(self) -> None:
        """Take in nothing more: what stands unread between the program and the screen is as much as there can be."""
        side = os.open(f"/proc/{self.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        while select.select([], [side], [], 0.2)[1]:
            with suppress(BlockingIOError):
                os.write(side, b"x" * 1000)
        os.close(side)

    def is_ended_unread(self, seconds: float = TIMEOUT) -> bool:
        """Whether the program ends with nobody reading what it writes."""
        return bool(select.select([self._gone], [], [], seconds)[0])

    def hang_up(self) -> None:
        """Close the window: the session gets SIGHUP."""
        if self.keyboard >= 0:
            os.close(self.keyboard)
            self.keyboard = -1

    def close(self, seconds: float = TIMEOUT) -> None:
        """Hang up and see the program end; one that does not is killed."""
        self.hang_up()
        if self.code is None:
            if not select.select([self._gone], [], [], seconds)[0]:
                os.kill(self.pid, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self._gone >= 0:
            os.close(self._gone)
            self._gone = -1

    def _reply(self, data: bytes) -> None:
        os.write(self.keyboard, data)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
