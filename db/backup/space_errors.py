"""Room on the disk of the backups."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from db.errors import DiskFull, ReadOnlyDisk, Storage

UNDONE = "No backup was taken."
UNCHECKED = "The check was not finished."
UNRESTORED = "Nothing was restored."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def require(folder: Path, needed: int, undone: str = UNDONE) -> None:
    """Raise DiskFull when fewer than `needed` bytes are free there, saying how much is missing and what was not done."""
    stats = os.statvfs(folder)
    free = stats.f_bavail * stats.f_frsize
    if needed > free:
        what = "to build a backup up takes" if undone == UNCHECKED else "a backup needs"
        lacking = f"{what} {mib(needed)} MiB in {folder}, {mib(free)} MiB are free: {mib(needed - free)} MiB are missing"
        raise _lacking(lacking, undone)


def mib(count: int) -> str:
    """Bytes as MiB with one digit, never less than 0.1 for something."""
    return f"{max(count / 2**20, 0.1 if count else 0):.1f}"


def full(folder: Path, undone: str = UNDONE) -> DiskFull:
    """The disk filled up while it was written to."""
    return _lacking(f"the disk of the backups is full ({folder})", undone)


def is_full(error: OSError) -> bool:
    """Whether it says that there is no more room."""
    return error.errno in _FULL


def problem(folder: Path, error: OSError, undone: str = UNDONE) -> Storage:
    """What the system said, as a problem for somebody who asked for what is `undone` now."""
    if is_full(error):
        return full(folder, undone)
    said = (error.strerror or "unknown").lower()
    where = error.filename if isinstance(error.filename, str) and Path(error.filename).parent == folder else folder
    kind = ReadOnlyDisk if error.errno in _REFUSED else Storage
    return kind(f"the folder of the backups cannot be used: {said} ({where}).", "See whose it is, and whether it can be written.")


def no_folder(folder: Path) -> Storage:
    """Something else lies where the folder was, as a link to a disk that is not there."""
    what = f"it is a link to {os.readlink(folder)}, which is not there" if folder.is_symlink() else "not a directory"
    return Storage(f"the folder of the backups cannot be used: {what} ({folder}).", "Is its disk mounted? Else move it away.")


def busy(folder: Path, undone: str = UNDONE) -> Storage:
    """Another process does not let go of the folder."""
    return Storage(f"another process is at work in the folder of the backups ({folder}). {undone}", "Try again once it is done.")


def _lacking(said: str, undone: str) -> DiskFull:
    elsewhere = ", or name another folder in config.toml: [backup] folder" if undone == UNDONE else ", then try again."
    return DiskFull(f"{said}. {undone}", f"Free space there{elsewhere}")
