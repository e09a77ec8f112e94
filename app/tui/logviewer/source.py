"""Log source: bytes by offset and line boundaries, in bounded memory.

A position in a log is the offset of a line's first byte, not a line number. A log of any size
therefore opens at its end at once, and the index of line numbers is built afterwards.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from typing import Protocol

from app import paths
from app.core.text.log_rows import CURSOR_UP, find_group_starts
from app.log_parts import ErrorIndex, read_index
from app.translation import tr

BLOCK = 256 * 1024
"""Bytes read at a time when scanning the whole log."""
MAX_LINE = 1024 * 1024
"""Maximum bytes of a line; longer ones are split at multiples of this offset."""
GROUP_BLOCK = 512 * 1024
"""Bytes of a block; a group of lines lies within one block. The size divides `MAX_LINE`."""
_FIRST_READ = 16 * 1024
_NEAR_READ = 512
_CACHE_SIZE = 4096


class LogSource(Protocol):
    """Provider of the log's bytes."""

    def size(self) -> int:
        """Return the current size in bytes."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, fewer at the end of the log."""
        ...

    def is_error(self, offset: int) -> bool:
        """Return True if the byte at an offset is known as error output."""
        ...

    def describe_change(self) -> str:
        """Return a note if the file was deleted or replaced, else ""."""
        ...

    def close(self) -> None:
        """Release the source."""
        ...


class FileSource:
    """An open log file, which stays readable after deletion.

    Raise OSError if it cannot be opened or is not a regular file. A pipe would block until it has a
    writer.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = paths.open_regular_descriptor(path)
        found = os.fstat(self._fd)
        self._id = (found.st_dev, found.st_ino)
        self._index: tuple[int, ErrorIndex] = (-1, ErrorIndex())
        """The error output and the size of the log at which it was read."""

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def is_error(self, offset: int) -> bool:
        size = self.size()
        if size != self._index[0]:
            self._index = size, read_index(self._path)
        return self._index[1].has(offset)

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self._fd, max(0, end - start), start)

    def describe_change(self) -> str:
        try:
            found = os.stat(self._path)
        except OSError:
            return tr("the file was deleted; its contents are still shown")
        same = (found.st_dev, found.st_ino) == self._id
        return "" if same else tr("the file was replaced; the old one is still shown")

    def close(self) -> None:
        os.close(self._fd)


class TextSource:
    """Text in memory: the stored part of a log whose file is gone."""

    def __init__(self, text: str) -> None:
        self._data = text.encode("utf-8", "surrogateescape")

    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        return self._data[start:end]

    def is_error(self, offset: int) -> bool:
        return False

    def describe_change(self) -> str:
        return ""

    def close(self) -> None:
        self._data = b""


class LogLines:
    """Lines of a source up to `size`, which changes only in `refresh`.

    A group counts as one line. A program rewrites the lines of a group by moving the cursor up, or
    the parts of an overlong line by carriage returns.
    """

    def __init__(self, source: LogSource) -> None:
        self.source = source
        self.size = source.size()
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._groups: dict[int, array[int]] = {}
        """Starts of the groups and other lines in a block; none if no line is rewritten."""

    def refresh(self) -> int:
        """Update the size; return the growth in bytes, negative if the log was truncated."""
        before, self.size = self.size, self.source.size()
        if self.size < before:
            self._clear_cache()
        elif self.size > before:
            self._forget_from(before // GROUP_BLOCK * GROUP_BLOCK)
        return self.size - before

    def _forget_from(self, block: int) -> None:
        """Forget the lines of the last block, which new output may rewrite."""
        self._groups.pop(block, None)
        for start in [start for start in self._ends if start >= block]:
            self._starts.pop(self._ends.pop(start), None)

    def _clear_cache(self) -> None:
        self._ends.clear()
        self._starts.clear()
        self._groups.clear()

    def find_start(self, offset: int) -> int:
        """Return the start of the line, or of the group, that contains `offset`."""
        start = self._find_line_start(offset)
        while self._is_overwriting_part(start):
            start = self._find_line_start(start - 1)
        groups = self._list_groups(start)
        return groups[bisect_right(groups, start) - 1] if groups else start

    def is_rewritten(self, start: int) -> bool:
        """Return True if the line at `start` may be a group that shows several lines."""
        return bool(self._list_groups(start))

    def _is_overwriting_part(self, start: int) -> bool:
        """Return True for a part of an overlong line that returns to the start of the line."""
        return self._is_split(start) and b"\r" in self.source.read(start, start + _FIRST_READ)

    def _list_groups(self, start: int) -> array[int]:
        """Return the starts of groups in the block of `start`, or none without cursor movements."""
        base = start // GROUP_BLOCK * GROUP_BLOCK
        if base not in self._groups:
            self._groups[base] = self._compute_groups(base)
        return self._groups[base]

    def _compute_groups(self, base: int) -> array[int]:
        end = min(base + GROUP_BLOCK, self.size)
        if not CURSOR_UP.search(self.source.read(base, end)):
            return array("Q")
        first = self._find_first_line(base)
        starts = find_group_starts(self.source.read(first, end))
        return array("Q", (first + at for at in starts if first + at < end))

    def _find_first_line(self, base: int) -> int:
        """Return the first start of a line from `base` on."""
        if self._find_line_start(base) == base:
            return base
        found = self._find(base, self.size)
        return found + 1 if found >= 0 else self.size

    def _find_line_start(self, offset: int) -> int:
        base = offset // MAX_LINE * MAX_LINE
        for low, high in ((base, offset), (base - MAX_LINE, base)):
            found = self._rfind(max(0, low), high)
            if found >= 0 or low <= 0:
                return found + 1
        return base

    def find_end(self, start: int) -> int:
        """Return the end of the line or group at `start`, including its newline.

        Results are cached, since lines may be long.
        """
        if start in self._ends:
            return self._ends[start]
        groups = self._list_groups(start)
        at = bisect_right(groups, start)
        if at < len(groups):
            end = groups[at]
        elif groups:
            end = self._find_first_line((start // GROUP_BLOCK + 1) * GROUP_BLOCK)
        else:
            end = self.find_line_end(start)
        while end < self.size and self._is_overwriting_part(end):
            end = self.find_line_end(end)
        if end < self.size:  # the last line may still grow
            if len(self._ends) >= _CACHE_SIZE:
                self._clear_cache()
            self._ends[start], self._starts[end] = end, start
        return end

    def find_line_end(self, start: int) -> int:
        """Return the end of a single line, including its newline."""
        edge = (start // MAX_LINE + 1) * MAX_LINE
        if not self._is_split(start):
            found = self._find(start, edge)
            if found >= 0:
                return found + 1
            start, edge = edge, edge + MAX_LINE
        found = self._find(start, edge)
        return found + 1 if found >= 0 else min(edge, self.size)

    def find_previous(self, start: int) -> int | None:
        """Return the start of the previous line; None for the first."""
        if start not in self._starts:
            return self.find_start(start - 1) if start > 0 else None
        return self._starts[start]

    def find_last(self) -> int:
        """Return the start of the last line; 0 for an empty log."""
        return self.find_start(self.size - 1) if self.size else 0

    def read_line(self, start: int) -> bytes:
        """Return the line or group at `start` without its last newline.

        Of a group beyond 2 × `MAX_LINE` bytes, return only the last lines.
        """
        end = self.find_end(start)
        begin = max(start, end - 2 * MAX_LINE)
        data = self.source.read(begin, end).removesuffix(b"\n")
        return data[data.find(b"\n") + 1 :] if begin > start else data

    def _is_split(self, start: int) -> bool:
        return start > 0 and start % MAX_LINE == 0 and self.source.read(start - 1, start) != b"\n"

    def _find(self, low: int, high: int) -> int:
        """Return the first newline in a range, or -1."""
        high = min(high, self.size)
        step = _NEAR_READ
        while low < high:
            found = self.source.read(low, min(high, low + step)).find(b"\n")
            if found >= 0:
                return low + found
            low, step = low + step, _FIRST_READ if step == _NEAR_READ else BLOCK
        return -1

    def _rfind(self, low: int, high: int) -> int:
        """Return the last newline in a range, or -1."""
        step = _NEAR_READ
        while low < high:
            begin = max(low, high - step)
            found = self.source.read(begin, high).rfind(b"\n")
            if found >= 0:
                return begin + found
            high, step = begin, _FIRST_READ if step == _NEAR_READ else BLOCK
        return -1


class LineIndex:
    """Line counts per block: 8 bytes for 256 KiB of log."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._before = array("Q", [0])
        self._tail = 0
        self.counted = 0

    @property
    def done(self) -> bool:
        """True if every byte was counted."""
        return self.counted >= self._lines.size

    @property
    def total(self) -> int:
        """Lines counted so far, including one without a newline at the end."""
        whole = self._before[-1] + self._tail
        return whole + (
            self.counted > 0 and self._lines.source.read(self.counted - 1, self.counted) != b"\n"
        )

    def step(self) -> None:
        """Count one more block."""
        edge = min(len(self._before) * BLOCK, self._lines.size)
        self._tail += self._lines.source.read(self.counted, edge).count(b"\n")
        self.counted = edge
        if edge == len(self._before) * BLOCK:
            self._before.append(self._before[-1] + self._tail)
            self._tail = 0

    def count_before(self, offset: int) -> int | None:
        """Return the number of lines that begin before `offset`; None if not counted yet."""
        if offset > self.counted:
            return None
        block = min(offset // BLOCK, len(self._before) - 1)
        whole = self._before[block] + self._lines.source.read(block * BLOCK, offset).count(b"\n")
        return whole + (offset > 0 and self._lines.source.read(offset - 1, offset) != b"\n")

    def find_number(self, start: int) -> int | None:
        """Return the line number, from 1, of the line at `start`; None if not counted yet."""
        before = self.count_before(start)
        return None if before is None else before + 1
