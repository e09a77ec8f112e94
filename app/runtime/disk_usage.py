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

from app.core.board import DiskUsageEntry

MAX_SECONDS = 1.0
"""How long it is counted: a runtime that ends meanwhile waits for it."""
FILES_PER_TURN = 200
"""Files that are counted at a time."""
MAX_ENTRIES = 2
BLOCK_BYTES = 512
"""Bytes of a block of `st_blocks`, whatever the file system's own are."""


def find_largest(home: Path, seconds: float = MAX_SECONDS) -> tuple[DiskUsageEntry, ...]:
    """The entries of the home that take the most of its disk, the largest first. Takes so many seconds at most, where the disk answers.
    Raises OSError where there is no home."""
    end, sums, left = monotonic() + seconds, Counter[str](), _scan_entries(home)
    while left and monotonic() < end:
        for name, sizes in list(left.items()):
            piece = list(islice(sizes, FILES_PER_TURN))
            sums[name] += sum(piece)
            if len(piece) < FILES_PER_TURN:
                del left[name]
    return tuple(DiskUsageEntry(name, taken, name not in left) for name, taken in sums.most_common(MAX_ENTRIES) if taken)


def _scan_entries(home: Path) -> dict[str, Iterator[int]]:
    """The sizes of the files of each entry on the home's own disk."""
    disk = os.stat(home).st_dev
    with os.scandir(home) as found:
        return {f"{entry.name}/" if _is_folder(entry) else entry.name: _iterate_sizes(entry, disk) for entry in found}


def _iterate_sizes(entry: os.DirEntry[str], disk: int) -> Iterator[int]:
    """The bytes of the disk that each file takes, also of those in folders below. What goes meanwhile takes nothing."""
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError:
        return
    if stat.st_dev == disk:
        yield stat.st_blocks * BLOCK_BYTES
        if _is_folder(entry):
            for one in _iterate_folder(entry.path):
                yield from _iterate_sizes(one, disk)


def _iterate_folder(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
