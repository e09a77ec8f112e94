"""Errors about free space and access in the backup folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from app.translation import tr, tr_noop
from db.errors import DiskFull, ReadOnlyDisk, Storage

NO_BACKUP_TAKEN = tr_noop("No backup was taken.")
CHECK_UNFINISHED = "The check was not finished."
NOTHING_RESTORED = "Nothing was restored."
_DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY_ERRORS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def require_space(folder: Path, needed: int, undone: str = NO_BACKUP_TAKEN) -> None:
    """Raise DiskFull if fewer than `needed` bytes are free, naming the missing amount."""
    stats = os.statvfs(folder)
    free = stats.f_bavail * stats.f_frsize
    if needed > free:
        what = "rebuilding a backup takes" if undone == CHECK_UNFINISHED else "a backup needs"
        lacking = tr(
            "{what} {needed} MiB in {folder}, {free} MiB are free: {missing} MiB are missing",
            what=what,
            needed=format_mib(needed),
            folder=folder,
            free=format_mib(free),
            missing=format_mib(needed - free),
        )
        raise _make_shortage(lacking, undone)


def format_mib(count: int) -> str:
    """Format bytes as MiB with one digit, at least 0.1 for a positive count."""
    return f"{max(count / 2**20, 0.1 if count else 0):.1f}"


def make_disk_full(folder: Path, undone: str = NO_BACKUP_TAKEN) -> DiskFull:
    """Return the problem for a disk that filled up during a write."""
    return _make_shortage(tr("the disk of the backups is full ({folder})", folder=folder), undone)


def is_full(error: OSError) -> bool:
    """Return True if the error means that the disk is full."""
    return error.errno in _DISK_FULL_ERRORS


def make_problem(folder: Path, error: OSError, undone: str = NO_BACKUP_TAKEN) -> Storage:
    """Return the problem for an OS error. `undone` names what was not done."""
    if is_full(error):
        return make_disk_full(folder, undone)
    text = (error.strerror or "unknown").lower()
    where = (
        error.filename
        if isinstance(error.filename, str) and Path(error.filename).parent == folder
        else folder
    )
    kind = ReadOnlyDisk if error.errno in _READ_ONLY_ERRORS else Storage
    return kind(
        tr("the folder of the backups cannot be used: {said} ({where}).", said=text, where=where),
        "Check its owner, and that it is writable.",
    )


def make_no_folder(folder: Path) -> Storage:
    """Return the problem for a path that is no folder, such as a dangling link."""
    what = (
        tr("it is a link to {target}, which does not exist", target=os.readlink(folder))
        if folder.is_symlink()
        else "not a directory"
    )
    return Storage(
        "the folder of the backups cannot be used: {what} ({folder}).",
        "Mount its disk, or move it away.",
        what=what,
        folder=folder,
    )


def make_busy(folder: Path, undone: str = NO_BACKUP_TAKEN) -> Storage:
    """Return the problem for a folder locked by another process."""
    return Storage(
        "another process is using the backup folder ({folder}). {undone}",
        "Try again when it has finished.",
        folder=folder,
        undone=tr(undone),
    )


def _make_shortage(text: str, undone: str) -> DiskFull:
    elsewhere = (
        ", or name another folder in config.toml: [backup] folder"
        if undone == NO_BACKUP_TAKEN
        else ", then try again."
    )
    return DiskFull(
        "{said}. {undone}",
        "Free space there{elsewhere}",
        said=text,
        undone=tr(undone),
        elsewhere=elsewhere,
    )
