"""The numbers of tasks that were given, told outside the database too: a lost one takes its own figure along, and backups are of before.

`run/numbers` has the highest in its first line, of a fixed length, so that it is written in place, on a full disk too; then, a line
each, the first and the last of those that a restore passed over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from db import moves
from db.backup import keeping
from db.ledger import UNSURE

NAME = "numbers"
_WIDTH = len(str(moves.LAST))
_RARELY = UNSURE // 2
"""After so many numbers the file is seen on the disk: as many as a restore passes over may be told of by nobody, and no more."""


class Given(NamedTuple):
    """The highest number that is known to have been given or passed over, and what was passed over."""

    highest: int = 0
    passed: tuple[tuple[int, int], ...] = ()


def read(home: Path) -> Given:
    """What the file tells; a torn one, or none, tells nothing."""
    try:
        first, *more = (home / "run" / NAME).read_text("ascii").splitlines()
        passed = tuple((int(low), int(high)) for low, high in (line.split() for line in more))
        return Given(int(first), passed) if 0 <= int(first) < moves.LAST else Given()
    except (OSError, ValueError):
        return Given()


async def note(home: Path, highest: int) -> None:
    """Numbers up to `highest` were given. Where no file can be written the backups tell alone."""
    with suppress(OSError):
        fd = os.open(home / "run" / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = _highest(fd)
            if highest > before:
                os.pwrite(fd, _line(highest), 0)
            if highest // _RARELY > before // _RARELY:
                await asyncio.to_thread(os.fsync, fd)
        finally:
            os.close(fd)


def _highest(fd: int) -> int:
    try:
        return int(os.pread(fd, _WIDTH, 0))
    except ValueError:
        return 0


def _line(highest: int) -> bytes:
    return f"{highest:0{_WIDTH}}\n".encode("ascii")


def pass_over(home: Path, highest: int, passed: Sequence[int]) -> None:
    """A restore has the next number be above `highest`, and passes over from the first to the last of `passed`, if any. On the disk when
    this returns. Raises OSError."""
    before = read(home)
    ranges = [*before.passed, *([(passed[0], passed[1])] if passed else [])]
    text = "".join(f"{low} {high}\n" for low, high in ranges)
    keeping.put(home / "run" / NAME, _line(max(highest, before.highest)) + text.encode("ascii"))
    keeping.sync(home / "run")
