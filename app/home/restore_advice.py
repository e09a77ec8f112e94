"""What to do about a damaged database: the newest good backup, how old it is, and the command to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from app import config, paths
from app.core.text import units
from app.errors import Usage
from app.service.database import backup_files
from db import timestamps
from db.backup.catalog import Store
from db.errors import DamagedDatabase, Problem
from db.restore import previous_databases

OUT_OF_REACH = "no good backup of it is within reach"
SAID = ("Newest good backup", "another program", "is saved", "has saved", OUT_OF_REACH, "No backup of it can be seen", config.UNKNOWN)
"""What says already what can be done."""


def folder(home: Path) -> Path:
    """Where the backups of a home are, as the user's settings say. Raises Usage while they are wrong and may mean another folder."""
    return backup_files.folder(home, backup_files.settings())


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
    if found is None and (why := _far(home)):
        return DamagedDatabase(f"{damage.message} No backup of it can be seen: {why.message}", why.hint)
    if found is None:
        return DamagedDatabase(f"{damage.message} There is no good backup of it.", damage.without_backup)
    now, at = timestamps.utcnow(), timestamps.parse(found.at)
    old = units.age((now - at).total_seconds())
    said = f"{damage.message} Newest good backup: {units.clock(at, now)}, {old} old{', from before an upgrade' if found.named else ''}."
    return DamagedDatabase(said, f"See what would change: taskdeck db restore --dry-run{found.named}")


def _far(home: Path) -> Problem | None:
    """Why the folder of the backups cannot be looked into."""
    try:
        backup_files.within_reach(home)
    except Problem as why:
        return why
    return None


class Newest(NamedTuple):
    """A good backup of the stored time `at`; `named`: what is to follow `db restore`, nothing for the one that it takes by itself."""

    at: str
    named: str


def newest(home: Path) -> Newest | None:
    """The newest good backup of a home, as far as that can be told, or the copy from before an upgrade where that is newer. Raises Usage
    as `folder` does."""
    where, database = folder(home), paths.database(home)
    found: list[Newest] = []
    with suppress(Problem, OSError):
        found += [Newest(one.at, "") for one in Store(where, database).good()[-1:]]
    with suppress(OSError):
        found += [Newest(one.at, f" {one.path.name}") for one in previous_databases.before_upgrades(database)[-1:]]
    return max(found, default=None)
