"""Translation of SQLite errors into problems with a cause and a hint."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from db.errors import BusyDatabase, DamagedDatabase, DiskFull, Problem, ReadOnlyDisk, Storage

BUSY_SECONDS = 10.0
"""Seconds to wait for a lock held by another program."""
MIN_FREE_BYTES = 64 * 1024
"""Free bytes below which a disk I/O error means that the disk is full."""


def translate_error(error: BaseException, path: Path) -> Problem | None:
    """Return the problem behind a driver error, or None for a bug of our own.

    `error` is one of `raw_sql.DRIVER_ERRORS`.
    """
    text = "text that is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).lower()
    for words, make in _TRANSLATIONS:
        if any(word in text for word in words):
            return make(path, text)
    return (
        _make_damaged(path, "it is empty") if "no such table" in text and _is_empty(path) else None
    )


def _is_empty(path: Path) -> bool:
    """Return True if the database file was truncated to zero bytes.

    SQLite reads such a file as a database without tables.
    """
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _make_disk_full(path: Path, text: str) -> Problem:
    stats = os.statvfs(path.parent)
    free = "no more files can be created"
    if stats.f_favail or not stats.f_files:
        free = f"{stats.f_bavail * stats.f_frsize} bytes free"
    return DiskFull(
        "the disk is full ({parent}, {free}). {undone} Running jobs continue.",
        "Free space, then try again; taskdeck db cleanup --dry-run shows what could go.",
        parent=path.parent,
        free=free,
        undone=DiskFull.undone,
    )


def _make_damaged(path: Path, text: str) -> Problem:
    problem = DamagedDatabase(
        "the database is damaged ({said}): {path}. It was not written to.",
        "See what would change: taskdeck db restore --dry-run",
        said=text,
        path=path,
    )
    problem.why = text
    return problem


def _make_read_only(path: Path, text: str) -> Problem:
    return ReadOnlyDisk(
        "the database cannot be written: {path} is read-only. Nothing was changed.",
        "Check its owner, and that its disk is writable.",
        path=path,
    )


def _is_read_only_now(folder: Path) -> bool:
    """Return True if the file system refuses a change.

    A file system that turned read-only after an error still reports itself as writable.
    """
    try:
        os.utime(folder)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _make_busy(path: Path, text: str) -> Problem:
    return BusyDatabase(
        "another program has held the database for over {busy_seconds:.0f} s: {path}."
        " Nothing was changed.",
        "Try again.",
        busy_seconds=BUSY_SECONDS,
        path=path,
    )


def _is_disk_full(folder: Path) -> bool:
    """Return True if the disk lacks the little space SQLite needs to open a database.

    SQLite has to create the `-shm` file.
    """
    try:
        stats = os.statvfs(folder)
    except OSError:
        return False
    return stats.f_bavail * stats.f_frsize < MIN_FREE_BYTES or (
        stats.f_files > 0 and stats.f_favail == 0
    )


def _make_unusable(path: Path, text: str) -> Problem:
    if _is_disk_full(path.parent):
        return _make_disk_full(path, text)
    if _is_read_only_now(path.parent):
        return _make_read_only(path, text)
    return Storage(
        "the database cannot be used ({said}): {path}. Nothing was changed.",
        "Check its owner, and that its disk is healthy and writable.",
        said=text,
        path=path,
    )


_TRANSLATIONS: Sequence[tuple[tuple[str, ...], Callable[[Path, str], Problem]]] = (
    (("disk is full",), _make_disk_full),
    (
        (
            "malformed",
            "not a database",
            "file is encrypted",
            "unsupported file format",
            "could not decode",
            "no UTF-8",
        ),
        _make_damaged,
    ),
    (("readonly", "read-only"), _make_read_only),
    (("locked", "busy"), _make_busy),
    (("disk i/o error", "unable to open"), _make_unusable),
)
