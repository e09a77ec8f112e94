"""Rows of a log whose program moves the cursor up, such as several progress bars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_MAX_MOVE = 100
"""Lines that one sequence moves the cursor at most."""
CURSOR_UP = re.compile(rb"\x1b\[\d*[AF]")
"""Control sequences that move the cursor to a line above."""
VERTICAL_MOVE = re.compile(rb"\n|\x1b\[(\d*)([ABEF])")
"""Newlines, and sequences with a count and a letter that move the cursor up or down."""
_TO_FIRST_COLUMN = (None, b"E", b"F")
"""Moves, by their last byte, that also move to the first column; None is a newline."""


def move_row(row: int, move: re.Match[bytes], last: int) -> int:
    """Return the row after a `VERTICAL_MOVE`. Only a newline moves below the last row."""
    if move[2] is None:
        return row + 1
    count = min(_MAX_MOVE, max(1, int(move[1][:4] or 1)))
    return row - count if move[2] in b"AF" else min(last, row + count)


def find_group_starts(data: bytes) -> list[int]:
    """Return the offsets of lines that begin on a new row above which the cursor never returns."""
    starts, lowest, row, last = [0], [0], 0, 0
    for move in VERTICAL_MOVE.finditer(data):
        row = move_row(row, move, last)
        if row > last:
            last = row
            starts.append(move.end())
            lowest.append(row)
        elif row < lowest[-1]:
            lowest[-1] = row
    found, low = list[int](), last
    for number in range(last, -1, -1):
        low = min(low, lowest[number])
        if low >= number or not number:
            found.append(starts[number])
    return found[::-1]


def split_rows(data: bytes) -> list[bytes]:
    """Return a group of lines as the rows that a terminal shows, each with all that was written.

    The cursor stays between the first and the last row. Of its columns only the first is tracked.
    """
    if not CURSOR_UP.search(data):
        return [data]
    rows, row, at, is_first_column = [bytearray()], 0, 0, True
    for found in VERTICAL_MOVE.finditer(data):
        if text := data[at : found.start()]:
            rows[row] += text
            is_first_column = text.endswith(b"\r")
        row = max(0, move_row(row, found, len(rows) - 1))
        if row == len(rows):
            rows.append(bytearray())
        is_first_column = is_first_column or found[2] in _TO_FIRST_COLUMN
        rows[row] += b"\r" * is_first_column
        at = found.end()
    rows[row] += data[at:]
    while len(rows) > row + 1 and not rows[-1].strip(b"\r"):
        rows.pop()  # the next line of the log begins there
    return [bytes(row) for row in rows]


def iterate_rows(data: bytes) -> Iterator[bytes]:
    """Yield the rows that a terminal shows of complete lines, or of a last one without newline."""
    starts = find_group_starts(data) if CURSOR_UP.search(data) else []
    for start, end in pairwise([*starts, len(data)]):
        if start < end:
            yield from split_rows(data[start:end].removesuffix(b"\n"))
    if not starts and data:
        yield from data.removesuffix(b"\n").split(b"\n")
