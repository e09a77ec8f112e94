"""Which parts of the log of a run are error output, by the index that its companion writes."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from app import paths

_PAIR = 2 * array("Q").itemsize


class LogPart(StrEnum):
    """A part of a log."""

    ALL = "all"
    OUTPUT = "output"
    ERROR = "error"


class ErrorIndex(NamedTuple):
    """Parts of a log that are error output: starts and ends, in order.

    Before `limit` every byte is known; None is no limit.
    """

    starts: Sequence[int] = ()
    ends: Sequence[int] = ()
    limit: int | None = None

    def has(self, offset: int) -> bool:
        """Return True if the byte at an offset is error output."""
        at = bisect_right(self.starts, offset) - 1
        return at >= 0 and offset < self.ends[at]


def read_index(log: str) -> ErrorIndex:
    """Return which parts of a log are error output; none if the index is missing or unreadable.

    Take the size of the log before: the index may lack what is appended later.
    """
    try:
        with paths.open_regular(paths.get_index_path(log)) as file:
            data = file.read()
    except OSError:
        return ErrorIndex()
    pairs = array("Q", data[: len(data) // _PAIR * _PAIR])
    starts, lengths = pairs[::2], pairs[1::2]
    limit = None
    if lengths and not lengths[-1]:  # a part may begin here and is not known yet
        limit = starts.pop()
        lengths.pop()
    return ErrorIndex(starts, array("Q", map(sum, zip(starts, lengths, strict=True))), limit)


def list_pieces(part: LogPart, index: ErrorIndex, at: int, size: int) -> Iterator[range]:
    """Yield the pieces of a log from `at` to `size` that belong to a part, as far as known."""
    if part == LogPart.ALL:
        yield range(at, size)
        return
    size = size if index.limit is None else min(size, index.limit)
    first = bisect_right(index.ends, at)
    for start, end in zip(index.starts[first:], index.ends[first:], strict=True):
        if at >= size:
            return
        if part == LogPart.ERROR:
            yield range(max(at, start), min(end, size))
        elif at < start:
            yield range(at, min(start, size))
        at = max(at, end)
    if part == LogPart.OUTPUT and at < size:
        yield range(at, size)


def find_known_end(part: LogPart, index: ErrorIndex, size: int) -> int:
    """Return the offset up to which `list_pieces` has yielded everything."""
    is_limited = part != LogPart.ALL and index.limit is not None
    return min(size, index.limit or 0) if is_limited else size
