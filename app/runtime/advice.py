"""What to do about a damaged database: the newest good backup, how old it is, and the command to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import paths
from app.core import amounts
from app.errors import Usage
from app.service import backups
from db import clock
from db.backup.store import Backup, Store
from db.errors import DamagedDatabase, Problem

OUT_OF_REACH = "no good backup of it is within reach"
SAID = ("Newest good backup", "another program", "is saved", "has saved", OUT_OF_REACH, backups.UNKNOWN)
"""What says already what can be done."""


def folder(home: Path) -> Path:
    """Where the backups of a home are, as the user's settings say. Raises Usage while they are wrong and may mean another folder."""
    return backups.folder(home, backups.settings())


@contextmanager
def advised(home: Path) -> Iterator[None]:
    """A damaged database is told with what can be done about it."""
    try:
        yield
    except DamagedDatabase as damage:
        raise advice(home, damage) from None


def advice(home: Path, damage: DamagedDatabase) -> DamagedDatabase:
    """The same problem with the newest good backup and the command to type; as it is when that was said already."""
    if any(words in damage.message for words in SAID):
        return damage
    try:
        found = newest(home)
    except Usage as unknown:
        return DamagedDatabase(f"{damage.message} {unknown.message}", "Mend it, then see: taskdeck db restore --dry-run")
    if found is None:
        return DamagedDatabase(f"{damage.message} There is no good backup of it.", damage.without_backup)
    now, at = clock.utcnow(), clock.parse(found.at)
    old = amounts.age((now - at).total_seconds())
    said = f"{damage.message} Newest good backup: {amounts.clock(at, now)}, {old} old."
    return DamagedDatabase(said, "See what would change: taskdeck db restore --dry-run")


def newest(home: Path) -> Backup | None:
    """The newest good backup of a home, as far as that can be told. Raises Usage as `folder` does."""
    where = folder(home)
    try:
        return next(reversed(Store(where, paths.database(home)).good()), None)
    except (Problem, OSError):
        return None
