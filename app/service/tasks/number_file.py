"""The numbers of tasks that were given, told outside the database too: a lost one takes its own figure along, and backups are of before.

`run/numbers` has the highest in its first line, of a fixed length, so that it is written in place, on a full disk too; then, a line
each, the first and the last of those that a restore passed over. Each line ends with a sum of it: of one that has changed by itself
nothing is believed.
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
from db.queries import transitions
from db.restore.reconcile import SAFETY_MARGIN

FILE_NAME = "numbers"
_WIDTH = len(str(transitions.MAX_NUMBER))
_LINE_LENGTH = _WIDTH + 10
"""Bytes of a line with one number: that, its sum, and what is between and behind."""
_SYNC_INTERVAL = SAFETY_MARGIN // 2
"""After so many numbers the file is seen on the disk: as many as a restore passes over may be told of by nobody, and no more."""


class TaskNumbers(NamedTuple):
    """The highest number that is known to have been given or passed over, and what was passed over."""

    highest: int = 0
    passed: tuple[tuple[int, int], ...] = ()


def read_numbers(home: Path) -> TaskNumbers:
    """What the file tells, of its lines those that are whole; none, or what is no file, tells nothing."""
    try:
        first, *more = config.read_regular_file(os.fspath(home / "run" / FILE_NAME)).split(b"\n")
    except OSError:
        return TaskNumbers()
    pairs = [numbers for numbers in map(_parse_line, more) if len(numbers) == 2]
    return TaskNumbers(_parse_mark(first), tuple((low, high) for low, high in pairs))


async def raise_mark(home: Path, highest: int) -> None:
    """Numbers up to `highest` were given. Where no file can be written the backups tell alone."""
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
    return _add_checksum(" ".join(f"{number:0{_WIDTH}}" for number in numbers).encode("ascii")) + b"\n"


def _add_checksum(text: bytes) -> bytes:
    return b"%s %08x" % (text, crc32(text))


def _parse_line(line: bytes) -> tuple[int, ...]:
    """What a line says; nothing where its sum is another."""
    text = line.rpartition(b" ")[0]
    return tuple(map(int, text.split())) if line == _add_checksum(text) else ()


def _parse_mark(line: bytes) -> int:
    """The number of the first line; 0 where that says none, so that it is written anew by the next that is given."""
    numbers = _parse_line(line)
    return numbers[0] if len(numbers) == 1 else 0


def skip_numbers(home: Path, highest: int, passed: Sequence[int]) -> None:
    """A restore has the next number be above `highest`, and passes over from the first to the last of `passed`, if any. On the disk when
    this returns. Raises OSError, and Storage where there is a folder in its place."""
    path = home / "run" / FILE_NAME
    if path.is_dir():
        raise Storage(f"{sanitize(str(path))} is a folder, and was to be a file of ours. Nothing was restored.", "Move it away.")
    before = read_numbers(home)
    ranges = [*before.passed, *([(passed[0], passed[1])] if passed else [])]
    folder.write_file(path, b"".join([_format_line(max(highest, before.highest)), *(_format_line(*pair) for pair in ranges)]))
    folder.sync_folder(home / "run")
