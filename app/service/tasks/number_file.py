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
from app.core.text.sanitize import clean
from db.backup import folder
from db.errors import Storage
from db.queries import transitions
from db.restore.reconcile import UNSURE

NAME = "numbers"
_WIDTH = len(str(transitions.LAST))
_LINE = _WIDTH + 10
"""Bytes of a line with one number: that, its sum, and what is between and behind."""
_RARELY = UNSURE // 2
"""After so many numbers the file is seen on the disk: as many as a restore passes over may be told of by nobody, and no more."""


class Given(NamedTuple):
    """The highest number that is known to have been given or passed over, and what was passed over."""

    highest: int = 0
    passed: tuple[tuple[int, int], ...] = ()


def read(home: Path) -> Given:
    """What the file tells, of its lines those that are whole; none, or what is no file, tells nothing."""
    try:
        first, *more = config.contents(os.fspath(home / "run" / NAME)).split(b"\n")
    except OSError:
        return Given()
    pairs = [numbers for numbers in map(_numbers, more) if len(numbers) == 2]
    return Given(_alone(first), tuple((low, high) for low, high in pairs))


async def note(home: Path, highest: int) -> None:
    """Numbers up to `highest` were given. Where no file can be written the backups tell alone."""
    with suppress(OSError):
        fd = os.open(home / "run" / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = _alone(os.pread(fd, _LINE, 0).removesuffix(b"\n"))
            if highest > before:
                os.pwrite(fd, _line(highest), 0)
            if highest // _RARELY > before // _RARELY:
                await asyncio.to_thread(os.fsync, fd)
        finally:
            os.close(fd)


def _line(*numbers: int) -> bytes:
    return _summed(" ".join(f"{number:0{_WIDTH}}" for number in numbers).encode("ascii")) + b"\n"


def _summed(text: bytes) -> bytes:
    return b"%s %08x" % (text, crc32(text))


def _numbers(line: bytes) -> tuple[int, ...]:
    """What a line says; nothing where its sum is another."""
    text = line.rpartition(b" ")[0]
    return tuple(map(int, text.split())) if line == _summed(text) else ()


def _alone(line: bytes) -> int:
    """The number of the first line; 0 where that says none, so that it is written anew by the next that is given."""
    numbers = _numbers(line)
    return numbers[0] if len(numbers) == 1 else 0


def pass_over(home: Path, highest: int, passed: Sequence[int]) -> None:
    """A restore has the next number be above `highest`, and passes over from the first to the last of `passed`, if any. On the disk when
    this returns. Raises OSError, and Storage where there is a folder in its place."""
    path = home / "run" / NAME
    if path.is_dir():
        raise Storage(f"{clean(str(path))} is a folder, and was to be a file of ours. Nothing was restored.", "Move it away.")
    before = read(home)
    ranges = [*before.passed, *([(passed[0], passed[1])] if passed else [])]
    folder.put(path, b"".join([_line(max(highest, before.highest)), *(_line(*pair) for pair in ranges)]))
    folder.sync(home / "run")
