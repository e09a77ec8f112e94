"""Previous databases of a home: moved by restores, and copied before upgrades."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from db import raw_sql, timestamps
from db.backup import restore_tool as tool
from db.readonly import find_faults
from db.sqlite_files import SIDE_SUFFIXES, remove_database

BEFORE_RESTORE_INFIX = ".before-restore-"
"""Infix between the name of a database moved away by a restore and the time."""


class PreviousDatabase(NamedTuple):
    """A previous database, moved away or copied at time `at`.

    `bytes` includes its WAL.
    """

    path: Path
    at: str
    bytes: int

    def copy_to(self, target: Path) -> None:
        """Copy the database and its WAL to `target`. Raise OSError."""
        for ending in ("", "-wal"):
            if (source := Path(f"{self.path}{ending}")).exists():
                shutil.copyfile(source, f"{target}{ending}")


def list_before_restores(present: Path) -> list[PreviousDatabase]:
    """Return the databases moved away by restores, oldest first. Raise OSError."""
    return [
        PreviousDatabase(path, at, _get_size(path))
        for path, at in _find_moved(present).items()
        if path.is_file()
    ]


def list_before_upgrades(present: Path) -> list[PreviousDatabase]:
    """Return the verified copies from before upgrades, oldest first. Raise OSError."""
    return [
        PreviousDatabase(path, at, _get_size(path)) for path, at in _find_copies(present).items()
    ]


def find_fault(copy: PreviousDatabase) -> str | None:
    """Return the fault of a copy from before an upgrade in one line, or None."""
    try:
        with closing(tool.open_image(os.fspath(copy.path))) as c:
            return next((" ".join(line.split()) for line in find_faults(c, 1)), None)
    except raw_sql.DRIVER_ERRORS as error:
        return " ".join(str(error).split())


def list_previous(present: Path) -> list[PreviousDatabase]:
    """Return all previous databases, oldest first. Raise OSError."""
    return sorted(
        [*list_before_restores(present), *list_before_upgrades(present)], key=lambda one: one.at
    )


def _get_size(path: Path) -> int:
    return sum(
        one.stat().st_size
        for ending in ("", *SIDE_SUFFIXES)
        if (one := Path(f"{path}{ending}")).exists()
    )


def prune_previous(present: Path, keep: float) -> None:
    """Remove previous databases older than `keep` seconds. Raise OSError.

    The newest of each kind stays, preferably one that is not empty.
    """
    since = timestamps.format_time(timestamps.utcnow() - timedelta(seconds=keep))
    each = [
        found for found in (list_before_restores(present), list_before_upgrades(present)) if found
    ]
    newest = {max(found, key=lambda one: (one.bytes > 0, one.at)).path for found in each}
    for path, at in _find_moved(present).items():
        if at < since and path not in newest:
            remove_database(path)
    for copy, at in _find_copies(present).items():
        if at < since and copy not in newest:
            copy.unlink()


_MOVED_NAME = re.compile(
    "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2})([0-9]{2})([0-9]{2}[.][0-9]{6})"
    f"(?:{'|'.join(SIDE_SUFFIXES)})?"
)


def _find_moved(present: Path) -> dict[Path, str]:
    """Return {path: stored time} of databases moved away, oldest first.

    Of a missing database, only the WAL may have been moved.
    """
    found = {}
    for path in present.parent.glob(f"{present.name}{BEFORE_RESTORE_INFIX}*"):
        match = _MOVED_NAME.fullmatch(
            path.name.removeprefix(f"{present.name}{BEFORE_RESTORE_INFIX}")
        )
        if match and path.is_file():  # other entries are foreign, and a folder cannot be unlinked
            hour, minute, second = match.groups()
            found[
                present.with_name(f"{present.name}{BEFORE_RESTORE_INFIX}{hour}{minute}{second}")
            ] = f"{hour}:{minute}:{second}Z"
    return dict(sorted(found.items(), key=lambda one: one[1]))


def get_copies_folder(present: Path) -> Path:
    """Return the folder of the copies made before upgrades."""
    return present.parent / "backups"


COPY_NAME = re.compile(
    "before-[0-9]{4}-([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2})([0-9]{2})([0-9]{2}[.][0-9]{6}Z)"
    "[.](db|part)(-journal)?"
)
"""Name of a copy from before an upgrade, complete or partial."""


def _find_copies(present: Path) -> dict[Path, str]:
    """Return {path: stored time} of the copies from before upgrades, oldest first.

    Raise OSError.
    """
    folder = get_copies_folder(present)
    found = [
        match
        for name in (os.listdir(folder) if folder.is_dir() else [])
        if (match := COPY_NAME.fullmatch(name)) and match[4] == "db"
    ]
    by_time = sorted(
        (":".join(match.groups()[:3]), folder / match[0])
        for match in found
        if not match[5] and (folder / match[0]).is_file()
    )
    return {copy: at for at, copy in by_time}
