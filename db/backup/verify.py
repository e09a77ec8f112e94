"""Verification of a new backup: rebuild it and check the result before it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import BadBackup
from db.errors import Storage, make_damaged_error
from db.maintenance import value_checks


class DamagedBaseError(Exception):
    """An older backup turned out to be damaged while it served as a base."""

    def __init__(self, ident: str, why: str) -> None:
        super().__init__(why)
        self.ident, self.why = ident, why


def verify_backup(
    part: Path,
    header: Mapping[str, Any],
    chain: Sequence[tuple[str, str]],
    image: Path,
    source: Path,
    step: Callable[[], None],
) -> list[str]:
    """Rebuild the backup `part` as `image` and return its unreadable values.

    `chain` holds the older backups that an increment builds on. Raise BadBackup for a bad backup,
    DamagedBaseError for a bad base, and DamagedDatabase or Storage if the database `source` itself
    is at fault.
    """
    try:
        tool.rebuild([*chain, (str(part), "")], str(image), step)
    except tool.DamagedBackupError as damaged:
        if damaged.ident != header["id"]:
            raise DamagedBaseError(damaged.ident, damaged.why) from None
        raise BadBackup(header["id"], damaged.why) from None
    if wrong := tool.check_image(str(image), header["facts"], step):
        _blame_source(image, source)
        image.unlink()
        raise BadBackup(header["id"], wrong[0])
    # Reading tasks, runs and environments takes as long as an increment, so the next full backup
    # checks them.
    tables = value_checks.SMALL_TABLES if chain else value_checks.ALL
    unreadable = value_checks.describe_image(image, step, tables)
    image.unlink()
    return unreadable


def _blame_source(image: Path, source: Path) -> None:
    """Raise if the database itself is damaged: the image is an exact copy."""
    with closing(tool.open_image(str(image))) as c:
        (found,) = c.execute("PRAGMA integrity_check(1)").fetchone()
        found = next(iter(tool.find_broken_checks(c)), found) if found == "ok" else found
        row = c.execute("PRAGMA foreign_key_check").fetchone() if found == "ok" else None
    if found != "ok":
        raise make_damaged_error(
            source, " ".join(found.replace("*** in database main ***", "").split())
        )
    if row is not None:
        said = f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}"
        raise Storage(
            f"the database is not in order ({said}). {space_errors.NO_BACKUP_TAKEN}",
            "Repair it: taskdeck stop && taskdeck db check --repair",
        )
