"""Log search: offsets of matching lines, found block by block in idle time.

Case and colours are ignored. Raw bytes are searched first, which is fast. A possible match is then
checked as it is shown: overwritten or erased text does not count.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from app.tui.logviewer.layout import LineCells
from app.tui.logviewer.source import BLOCK, LogLines

MAX_MATCHES = 1_000_000
"""Maximum matches kept; a search stops there."""
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[^\[\]])?")
_REWRITES = re.compile(rb"[\r\b]|\x1b\[[0-?]*[ -/]*[^0-?m]")
"""Control sequences that go back in a line or erase, so that not all written text is visible."""
_PHRASES = (
    "could not", "couldn't", "cannot", "can't", "unable to", "failed", "refused", "denied",
    "no such file", "not found", "timed out",
)  # fmt: skip
"""Error phrases of programs that do not print the word "error"."""
_ERRORS = ("error", "fatal", "critical", "exception", "traceback", "panic", "segfault", *_PHRASES)
_ERROR = re.compile(
    r"(?<!no )(?<!\b0 )(?<!\bno tests )(?<!\b0 tests )(?<!\bno jobs )(?<!\b0 jobs )(?<!\w)"
    rf"(?:\w*(?:error|exception)s?|fatal|critical|traceback|panic|segfault|{'|'.join(_PHRASES)})"
    # Counts of zero: `errors: 0` is not an error, `KeyError: 0` is.
    r"(?!\w|(?:(?<=errors)|(?<=exceptions)|(?<=failed))\s*[:=]\s*0(?:[\s,;)]|$))",
    re.IGNORECASE | re.ASCII,
)


class LogSearch:
    """The matching lines of a log, in order.

    `pattern` checks the text of lines that contain one of `needles`.
    """

    def __init__(self, lines: LogLines, pattern: re.Pattern[str], needles: tuple[str, ...]) -> None:
        self._lines = lines
        self.pattern = pattern
        self._needles = tuple(n.lower().encode() for n in needles if _has_one_case(n))
        begun = {n[:end] for n in self._needles for end in range(1, len(n))}
        self._needle_prefixes = tuple(begun)
        """Needle prefixes that may precede an escape sequence inside a match."""
        self._parted = frozenset(part[-1] for part in begun)
        self._found = array("Q")
        self.overwritten = False
        """Set if a line was skipped because its match is no longer visible."""
        self._next = 0
        self._searched_size = -1

    @classmethod
    def for_text(cls, lines: LogLines, text: str) -> LogSearch:
        """Create a search for typed text."""
        return cls(lines, re.compile(re.escape(text), re.I), (text,))

    @classmethod
    def for_errors(cls, lines: LogLines) -> LogSearch:
        """Create a search for error messages."""
        return cls(lines, _ERROR, _ERRORS)

    @property
    def done(self) -> bool:
        """True if the whole log was searched."""
        return self._searched_size == self._lines.size or len(self._found) >= MAX_MATCHES

    @property
    def scanned(self) -> int:
        """Bytes searched."""
        return self._lines.size if self.done else self._next

    @property
    def count(self) -> int:
        """Matching lines found so far."""
        return len(self._found)

    def find_rank(self, start: int) -> int:
        """Return the number of the match at `start`, from 1; 0 if there is none."""
        i = bisect_left(self._found, start)
        return i + 1 if i < len(self._found) and self._found[i] == start else 0

    def find_after(self, offset: int) -> int | None:
        """Return the first known match after `offset`."""
        i = bisect_right(self._found, offset)
        return self._found[i] if i < len(self._found) else None

    def find_before(self, offset: int) -> int | None:
        """Return the last known match before `offset`."""
        i = bisect_left(self._found, offset)
        return self._found[i - 1] if i else None

    def step(self) -> None:
        """Search one more block, up to the end of its last line."""
        start, size = self._next, self._lines.size
        data = self._lines.source.read(start, min(start + BLOCK, size))
        end = data.rfind(b"\n") + 1
        if not end:
            data = self._lines.source.read(start, self._lines.find_line_end(start))
            end = len(data) if start + len(data) < size else 0
        self._keep_matches(start, data)
        self._next = start + end
        # Short read: the log was truncated; the next growth check notices.
        if start + len(data) >= size or not data:
            self._searched_size = size

    def _keep_matches(self, start: int, data: bytes) -> None:
        # Check a last line that grew again: its match may have been overwritten.
        while self._found and self._found[-1] >= start:
            self._found.pop()
        for begin, line in self._iter_candidates(data):
            if len(self._found) < MAX_MATCHES and self._matches(line):
                self._found.append(start + begin)

    def _matches(self, line: bytes) -> bool:
        if not self._matches_plain(line):
            return False
        written = line.rstrip(b"\r\n")
        if not _REWRITES.search(written):
            return True
        last = written.rpartition(b"\r")[2]
        # The last written text is visible; the whole line is parsed only if that has no match.
        shown = (
            not _REWRITES.search(last)
            and self._matches_plain(last)
            or LineCells(written).find(self.pattern) is not None
        )
        self.overwritten = self.overwritten or not shown
        return shown

    def _matches_plain(self, written: bytes) -> bool:
        """Return True if the line without colours matches."""
        return self.pattern.search(_ESCAPE.sub(b"", written).decode("utf-8", "replace")) is not None

    def _iter_candidates(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield lines that could match, with their offsets in `data`."""
        if not self._needles:
            yield from _iter_lines(data)
            return
        lower = data.lower()
        begins = {begin for needle in self._needles for begin in _iter_lines_with(needle, lower)}
        if b"\x1b" in lower:
            begins.update(self._iter_split_lines(lower))
        for begin in sorted(begins):
            yield begin, data[begin : data.find(b"\n", begin) + 1 or len(data)]

    def _iter_split_lines(self, data: bytes) -> Iterator[int]:
        """Yield the starts of lines with an escape inside a possible match."""
        at = -1
        for part in data.split(b"\x1b")[:-1]:
            at += len(part) + 1
            if part and part[-1] in self._parted and part.endswith(self._needle_prefixes):
                yield data.rfind(b"\n", 0, at) + 1


def _has_one_case(text: str) -> bool:
    """Return True if the text's bytes can be searched: ASCII letters or letters without case."""
    return all(c.isascii() or c == c.lower() == c.upper() for c in text)


def _iter_lines_with(needle: bytes, data: bytes) -> Iterator[int]:
    """Yield the starts of lines that contain the needle."""
    at = data.find(needle)
    while at >= 0:
        yield data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        at = data.find(needle, end) if end >= 0 else -1


def _iter_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for line in data.split(b"\n"):
        if line:
            yield at, line
        at += len(line) + 1
