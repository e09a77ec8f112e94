"""What takes the most room in a home whose disk is full: counted for a moment, which is all there is to learn where it is too much.

Every entry of the home is counted a piece at a time, all of them in turn: a folder of a million logs hides no other one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic

from app.core.board import Taken

SECONDS = 1.0
"""How long it is counted: a runtime that ends meanwhile waits for it."""
PIECE = 200
"""Files that are counted at a time."""
NAMED = 2
BLOCK = 512
"""Bytes of a block of `st_blocks`, whatever the file system's own are."""


def largest(home: Path, seconds: float = SECONDS) -> tuple[Taken, ...]:
    """The entries of the home that take the most of its disk, the largest first. Takes so many seconds at most, where the disk answers.
    Raises OSError where there is no home."""
    end, sums, left = monotonic() + seconds, Counter[str](), _entries(home)
    while left and monotonic() < end:
        for name, sizes in list(left.items()):
            piece = list(islice(sizes, PIECE))
            sums[name] += sum(piece)
            if len(piece) < PIECE:
                del left[name]
    return tuple(Taken(name, taken, name not in left) for name, taken in sums.most_common(NAMED) if taken)


def _entries(home: Path) -> dict[str, Iterator[int]]:
    """The sizes of the files of each entry on the home's own disk."""
    disk = os.stat(home).st_dev
    with os.scandir(home) as found:
        return {f"{entry.name}/" if _is_folder(entry) else entry.name: _sizes(entry, disk) for entry in found}


def _sizes(entry: os.DirEntry[str], disk: int) -> Iterator[int]:
    """The bytes of the disk that each file takes, also of those in folders below. What goes meanwhile takes nothing."""
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError:
        return
    if stat.st_dev == disk:
        yield stat.st_blocks * BLOCK
        if _is_folder(entry):
            for one in _inside(entry.path):
                yield from _sizes(one, disk)


def _inside(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
