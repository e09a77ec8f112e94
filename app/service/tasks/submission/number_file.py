"""The file `run/numbers` with the high-water mark of task numbers.

Numbers are not reused even if the database is lost, since backups may be older. The first line
holds the highest number in a fixed width, so that it can be updated in place even on a full disk.
Each further line holds a range that a restore skipped. Every line ends with a checksum, and a line
with a wrong checksum is ignored.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from app import config
from app.core.text.sanitize import sanitize
from db.backup import folder
from db.errors import Storage
from db.queries.tasks import task_numbers
from db.restore.merge.numbers import SAFETY_MARGIN

FILE_NAME = "numbers"
_WIDTH = len(str(task_numbers.MAX_NUMBER))
_LINE_LENGTH = _WIDTH + 10
"""Bytes of a line with one number, including checksum and separators."""
_SYNC_INTERVAL = SAFETY_MARGIN // 2
"""Numbers between two syncs of the file. A crash loses fewer numbers than a restore skips."""


class TaskNumbers(NamedTuple):
    """The high-water mark and the ranges that restores skipped."""

    highest: int = 0
    passed: tuple[tuple[int, int], ...] = ()


def read_numbers(home: Path) -> TaskNumbers:
    """Read the valid lines of the file. A missing file gives no numbers."""
    try:
        first, *more = config.read_regular_file(os.fspath(home / "run" / FILE_NAME)).split(b"\n")
    except OSError:
        return TaskNumbers()
    pairs = [numbers for numbers in map(_parse_line, more) if len(numbers) == 2]
    return TaskNumbers(_parse_mark(first), tuple((low, high) for low, high in pairs))


async def raise_mark(home: Path, highest: int) -> None:
    """Raise the high-water mark to `highest`.

    If the file cannot be written, only backups hold the mark.
    """
    with suppress(OSError):
        fd = os.open(home / "run" / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = _parse_mark(os.pread(fd, _LINE_LENGTH, 0).removesuffix(b"\n"))
            if highest > before:
                os.pwrite(fd, _format_line(highest), 0)
            if highest // _SYNC_INTERVAL > before // _SYNC_INTERVAL:
                await asyncio.to_thread(os.fsync, fd)
        finally:
            os.close(fd)


def _format_line(*numbers: int) -> bytes:
    return (
        _add_checksum(" ".join(f"{number:0{_WIDTH}}" for number in numbers).encode("ascii")) + b"\n"
    )


def _add_checksum(text: bytes) -> bytes:
    return b"%s %08x" % (text, crc32(text))


def _parse_line(line: bytes) -> tuple[int, ...]:
    """Return the numbers of a line, or an empty tuple if its checksum is wrong."""
    text = line.rpartition(b" ")[0]
    return tuple(map(int, text.split())) if line == _add_checksum(text) else ()


def _parse_mark(line: bytes) -> int:
    """Return the number of the first line, or 0 if invalid.

    The next submission then writes the line again.
    """
    numbers = _parse_line(line)
    return numbers[0] if len(numbers) == 1 else 0


def skip_numbers(home: Path, highest: int, skipped: Sequence[int]) -> None:
    """Record that a restore skips the range `skipped` and numbers up to `highest`.

    The file is on the disk on return. Raise OSError, or Storage if its path is a folder.
    """
    path = home / "run" / FILE_NAME
    if path.is_dir():
        raise Storage(
            "{path} is a folder where Taskdeck needs a file. Nothing was restored.",
            "Move it away.",
            path=sanitize(str(path)),
        )
    before = read_numbers(home)
    ranges = [*before.passed, *([(skipped[0], skipped[1])] if skipped else [])]
    folder.write_file(
        path,
        b"".join(
            [_format_line(max(highest, before.highest)), *(_format_line(*pair) for pair in ranges)]
        ),
    )
    folder.sync_folder(home / "run")
