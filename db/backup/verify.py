"""Verification of a new backup before it counts.

Check the copy of the database, and compare the pages in the file with those of the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from app.translation import tr
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import BadBackup
from db.errors import Storage, make_damaged_error


class DamagedBaseError(Exception):
    """An older backup turned out to be damaged while it served as a base."""

    def __init__(self, ident: str, why: str) -> None:
        super().__init__(why)
        self.ident, self.why = ident, why


def open_base(chain: Sequence[tuple[str, str]]) -> tool.BackupFile:
    """Return the last file of a chain, as `tool.find_chain` returns it.

    Raise DamagedBaseError if a byte of any file changed since the file was read back.
    """
    try:
        for path, digest in chain[:-1]:
            tool.BackupFile(path, digest)
        return tool.BackupFile(*chain[-1])
    except tool.DamagedBackupError as damaged:
        raise DamagedBaseError(damaged.ident, damaged.why) from None


def read_back(
    part: Path, index: bytes, numbers: Sequence[int], step: Callable[[], None]
) -> tool.BackupFile:
    """Return a written file that holds exactly the pages `numbers` of the copy.

    `index` holds the hashes of all pages of the copy. Raise BadBackup.
    """
    try:
        file = tool.BackupFile(str(part))
        is_equal = file.index == index and list(file.stored) == list(numbers)
        for stored, data in file.read_frames():
            step()
            hashes = (index[n * tool.HASH_SIZE : (n + 1) * tool.HASH_SIZE] for n in stored)
            is_equal &= tool.hash_pages(data, file.page_size) == b"".join(hashes)
    except tool.DamagedBackupError as damaged:
        raise BadBackup(damaged.ident, damaged.why) from None
    if not is_equal:
        raise BadBackup(file.ident, "the stored pages differ from the database")
    return file


def check_copy(
    image: Path,
    header: Mapping[str, Any],
    source: Path,
    step: Callable[[], None],
    compare_indexes: bool,
) -> None:
    """Check the copy `image` of the database `source`.

    Raise DamagedDatabase or Storage if the database is at fault, BadBackup if only the copy is.
    """
    if wrong := tool.check_image(str(image), header["facts"], step, compare_indexes):
        _blame_source(image, source)
        raise BadBackup(header["id"], wrong[0])


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
        said = tr(
            "row {row} of {table} refers to a missing row of {parent}",
            row=row[1],
            table=row[0],
            parent=row[2],
        )
        raise Storage(
            "the database is not in order ({said}). {undone}",
            "Repair it: taskdeck stop && taskdeck db check --repair",
            said=said,
            undone=tr(space_errors.NO_BACKUP_TAKEN),
        )
