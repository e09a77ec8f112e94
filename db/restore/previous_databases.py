"""The databases that a home had before, as they lie there: put aside by restores, and copied before upgrades."""

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
"""What stands between the name of a database that a restore puts aside and the time."""


class PreviousDatabase(NamedTuple):
    """A database that a restore has put aside at the stored time `at`, or was copied then; `bytes` with the log that may lie beside it."""

    path: Path
    at: str
    bytes: int

    def copy_to(self, target: Path) -> None:
        """Make `target` one like it, with the log beside it. Raises OSError."""
        for ending in ("", "-wal"):
            if (source := Path(f"{self.path}{ending}")).exists():
                shutil.copyfile(source, f"{target}{ending}")


def list_before_restores(present: Path) -> list[PreviousDatabase]:
    """What restores have put aside, oldest first. Raises OSError."""
    return [PreviousDatabase(path, at, _get_size(path)) for path, at in _find_moved(present).items() if path.is_file()]


def list_before_upgrades(present: Path) -> list[PreviousDatabase]:
    """The copies that were made, and read, before upgrades, oldest first. Raises OSError."""
    return [PreviousDatabase(path, at, _get_size(path)) for path, at in _find_copies(present).items()]


def find_fault(copy: PreviousDatabase) -> str | None:
    """What is wrong with a copy from before an upgrade, in a line; None when it is well."""
    try:
        with closing(tool.open_image(os.fspath(copy.path))) as c:
            return next((" ".join(line.split()) for line in find_faults(c, 1)), None)
    except raw_sql.DRIVER_ERRORS as error:
        return " ".join(str(error).split())


def list_previous(present: Path) -> list[PreviousDatabase]:
    """Both, oldest first. Raises OSError."""
    return sorted([*list_before_restores(present), *list_before_upgrades(present)], key=lambda one: one.at)


def _get_size(path: Path) -> int:
    return sum(one.stat().st_size for ending in ("", *SIDE_SUFFIXES) if (one := Path(f"{path}{ending}")).exists())


def prune_previous(present: Path, keep: float) -> None:
    """Remove what was put aside, or copied, more than `keep` seconds ago, but for the newest of each, rather one that holds something.
    Raises OSError."""
    since = timestamps.format_time(timestamps.utcnow() - timedelta(seconds=keep))
    each = [found for found in (list_before_restores(present), list_before_upgrades(present)) if found]
    newest = {max(found, key=lambda one: (one.bytes > 0, one.at)).path for found in each}
    for path, at in _find_moved(present).items():
        if at < since and path not in newest:
            remove_database(path)
    for copy, at in _find_copies(present).items():
        if at < since and copy not in newest:
            copy.unlink()


_MOVED_NAME = re.compile(f"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}})([0-9]{{2}})([0-9]{{2}}[.][0-9]{{6}})(?:{'|'.join(SIDE_SUFFIXES)})?")


def _find_moved(present: Path) -> dict[Path, str]:
    """The stored times by the paths, oldest first; of a database that was missing only the log may have been put there."""
    found = {}
    for path in present.parent.glob(f"{present.name}{BEFORE_RESTORE_INFIX}*"):
        match = _MOVED_NAME.fullmatch(path.name.removeprefix(f"{present.name}{BEFORE_RESTORE_INFIX}"))
        if match and path.is_file():  # nothing else of such a name is ours, and a folder could not be removed
            hour, minute, second = match.groups()
            found[present.with_name(f"{present.name}{BEFORE_RESTORE_INFIX}{hour}{minute}{second}")] = f"{hour}:{minute}:{second}Z"
    return dict(sorted(found.items(), key=lambda one: one[1]))


def get_copies_folder(present: Path) -> Path:
    """Where the copies lie that are made before an upgrade."""
    return present.parent / "backups"


COPY_NAME = re.compile("before-[0-9]{4}-([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2})([0-9]{2})([0-9]{2}[.][0-9]{6}Z)[.](db|part)(-journal)?")
"""The name of such a copy, or of one that is made."""


def _find_copies(present: Path) -> dict[Path, str]:
    """The stored times of the copies from before upgrades, by their paths, oldest first. Raises OSError."""
    folder = get_copies_folder(present)
    found = [match for name in (os.listdir(folder) if folder.is_dir() else []) if (match := COPY_NAME.fullmatch(name)) and match[4] == "db"]
    by_time = sorted((":".join(match.groups()[:3]), folder / match[0]) for match in found if not match[5] and (folder / match[0]).is_file())
    return {copy: at for at, copy in by_time}
