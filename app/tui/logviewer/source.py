"""A log as bytes by offset: where lines begin and end, and how many there are, in bounded memory.

A place in a log is the offset of a line's first byte, never a line number: so a log of any size opens at its end at
once, and the index that knows the numbers is built afterwards.
"""

from __future__ import annotations

import errno
import os
import stat
from array import array
from typing import Protocol

BLOCK = 256 * 1024
"""Bytes read at a time by whatever walks through the whole log."""
MAX_LINE = 1024 * 1024
"""Bytes. A longer stretch without a newline is shown as several lines, split where an offset is a multiple of this."""
_FIRST_READ = 16 * 1024
_CACHE_SIZE = 4096


class LogSource(Protocol):
    """Where the bytes come from."""

    def size(self) -> int:
        """Bytes there are now."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`; fewer when there are fewer."""
        ...

    def describe_change(self) -> str:
        """What became of its name, in words; "" while that is as it was."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileSource:
    """A log file, held open: it stays readable when its name goes.

    Raises OSError when it cannot be opened, or is no file (a directory, or a pipe, which would wait for a writer).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(self._fd)
        self._id = (found.st_dev, found.st_ino)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._fd)
            raise OSError(errno.EINVAL, "not a file")

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self._fd, max(0, end - start), start)

    def describe_change(self) -> str:
        try:
            found = os.stat(self._path)
        except OSError:
            return "the file was deleted; what it holds is still here"
        same = (found.st_dev, found.st_ino) == self._id
        return "" if same else "another file has its name now; this is the one that was opened"

    def close(self) -> None:
        os.close(self._fd)


class TextSource:
    """A text kept in memory: what the database holds of a log whose file is gone."""

    def __init__(self, text: str) -> None:
        self._data = text.encode("utf-8", "surrogateescape")

    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        return self._data[start:end]

    def describe_change(self) -> str:
        return ""

    def close(self) -> None:
        self._data = b""


class LogLines:
    """The lines of a source, up to `size`, which moves only by `refresh`."""

    def __init__(self, source: LogSource) -> None:
        self.source = source
        self.size = source.size()
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}

    def refresh(self) -> int:
        """Look at the size again; the bytes it grew by, negative when the log was cut."""
        before, self.size = self.size, self.source.size()
        if self.size < before:
            self._clear_cache()
        return self.size - before

    def _clear_cache(self) -> None:
        self._ends.clear()
        self._starts.clear()

    def find_start(self, offset: int) -> int:
        """The start of the line that holds the byte at `offset`."""
        base = offset // MAX_LINE * MAX_LINE
        for low, high in ((base, offset), (base - MAX_LINE, base)):
            found = self._rfind(max(0, low), high)
            if found >= 0 or low <= 0:
                return found + 1
        return base

    def find_end(self, start: int) -> int:
        """The offset behind the line that begins at `start`, its newline included; remembered, for lines may be long."""
        if start in self._ends:
            return self._ends[start]
        end = self._compute_end(start)
        if end < self.size:  # the last one may still grow
            if len(self._ends) >= _CACHE_SIZE:
                self._clear_cache()
            self._ends[start], self._starts[end] = end, start
        return end

    def _compute_end(self, start: int) -> int:
        edge = (start // MAX_LINE + 1) * MAX_LINE
        if not self._is_split(start):
            found = self._find(start, edge)
            if found >= 0:
                return found + 1
            start, edge = edge, edge + MAX_LINE
        found = self._find(start, edge)
        return found + 1 if found >= 0 else min(edge, self.size)

    def find_previous(self, start: int) -> int | None:
        """The start of the line above; None for the first."""
        if start not in self._starts:
            return self.find_start(start - 1) if start > 0 else None
        return self._starts[start]

    def find_last(self) -> int:
        """The start of the last line; 0 of an empty log."""
        return self.find_start(self.size - 1) if self.size else 0

    def read_line(self, start: int) -> bytes:
        """The line that begins at `start`, without its newline."""
        return self.source.read(start, self.find_end(start)).removesuffix(b"\n")

    def _is_split(self, start: int) -> bool:
        return start > 0 and start % MAX_LINE == 0 and self.source.read(start - 1, start) != b"\n"

    def _find(self, low: int, high: int) -> int:
        """The first newline in a range; -1 when there is none."""
        high = min(high, self.size)
        step = _FIRST_READ
        while low < high:
            found = self.source.read(low, min(high, low + step)).find(b"\n")
            if found >= 0:
                return low + found
            low, step = low + step, BLOCK
        return -1

    def _rfind(self, low: int, high: int) -> int:
        """The last newline in a range; -1 when there is none."""
        step = _FIRST_READ
        while low < high:
            begin = max(low, high - step)
            found = self.source.read(begin, high).rfind(b"\n")
            if found >= 0:
                return begin + found
            high, step = begin, BLOCK
        return -1


class LineIndex:
    """How many lines there are and which number a line has: a count per block (8 bytes for 256 KiB of log)."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._before = array("Q", [0])
        self._tail = 0
        self.counted = 0

    @property
    def done(self) -> bool:
        """Whether every byte was counted."""
        return self.counted >= self._lines.size

    @property
    def total(self) -> int:
        """Lines counted so far; one without a newline at the end counts."""
        whole = self._before[-1] + self._tail
        return whole + (self.counted > 0 and self._lines.source.read(self.counted - 1, self.counted) != b"\n")

    def step(self) -> None:
        """Count up to the end of one more block."""
        edge = min(len(self._before) * BLOCK, self._lines.size)
        self._tail += self._lines.source.read(self.counted, edge).count(b"\n")
        self.counted = edge
        if edge == len(self._before) * BLOCK:
            self._before.append(self._before[-1] + self._tail)
            self._tail = 0

    def count_before(self, offset: int) -> int | None:
        """Lines that begin before `offset`; None while that was not counted yet."""
        if offset > self.counted:
            return None
        block = min(offset // BLOCK, len(self._before) - 1)
        whole = self._before[block] + self._lines.source.read(block * BLOCK, offset).count(b"\n")
        return whole + (offset > 0 and self._lines.source.read(offset - 1, offset) != b"\n")

    def find_number(self, start: int) -> int | None:
        """The number, from 1, of the line that begins at `start`; None while it was not counted yet."""
        before = self.count_before(start)
        return None if before is None else before + 1
