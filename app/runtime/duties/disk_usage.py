"""Disk usage of the largest entries of a home whose disk is full, within a time limit.

All entries are counted in turns, so that a folder of a million logs does not hide the others.
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
"""Time limit. A runtime that stops waits for the count."""
FILES_PER_TURN = 200
"""Files counted per turn."""
MAX_ENTRIES = 2
BLOCK_BYTES = 512
"""Bytes per `st_blocks` unit, regardless of the file system's block size."""


def find_largest(home: Path, seconds: float = MAX_SECONDS) -> tuple[DiskUsageEntry, ...]:
    """Return the entries of the home that use the most disk space, largest first.

    Stop after `seconds`, unless the disk hangs. Raise OSError if there is no home.
    """
    end, sums, pending = monotonic() + seconds, Counter[str](), _scan_entries(home)
    while pending and monotonic() < end:
        for name, sizes in list(pending.items()):
            piece = list(islice(sizes, FILES_PER_TURN))
            sums[name] += sum(piece)
            if len(piece) < FILES_PER_TURN:
                del pending[name]
    return tuple(
        DiskUsageEntry(name, size, name not in pending)
        for name, size in sums.most_common(MAX_ENTRIES)
        if size
    )


def _scan_entries(home: Path) -> dict[str, Iterator[int]]:
    """Return an iterator of file sizes for each entry on the home's own disk."""
    disk = os.stat(home).st_dev
    with os.scandir(home) as found:
        return {
            f"{entry.name}/" if _is_folder(entry) else entry.name: _iterate_sizes(entry, disk)
            for entry in found
        }


def _iterate_sizes(entry: os.DirEntry[str], disk: int) -> Iterator[int]:
    """Yield the allocated bytes of each file, recursively. Vanished files are skipped."""
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
