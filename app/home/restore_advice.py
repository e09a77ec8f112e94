"""Restore advice for a damaged database: newest good backup, its age, and the command to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from app import config, paths
from app.core.text import units
from app.core.text.joining import join_sentences
from app.errors import Usage
from app.service.database import backup_files
from app.translation import tr, tr_noop
from db import timestamps
from db.backup.catalog import BackupCatalog
from db.errors import DamagedDatabase, Problem
from db.restore import previous_databases

OUT_OF_REACH = tr_noop("no good backup of it is within reach")
ADVICE_PHRASES = (
    "Newest good backup",
    "another program",
    "is saved",
    "has saved",
    OUT_OF_REACH,
    "No backup of it can be seen",
    config.FOLDER_UNKNOWN,
)
"""Phrases of messages that contain advice already."""


def find_backup_folder(home: Path) -> Path:
    """Return the configured backup folder of a home.

    Raise Usage if the settings are invalid.
    """
    return backup_files.get_folder(home, backup_files.read_settings())


@contextmanager
def add_restore_advice(home: Path) -> Iterator[None]:
    """Add restore advice to a DamagedDatabase raised in the block."""
    try:
        yield
    except DamagedDatabase as damage:
        raise advise_restore(home, damage) from None


def advise_restore(home: Path, damage: DamagedDatabase) -> DamagedDatabase:
    """Return the problem with the newest good backup and the command to type.

    A problem that contains advice already is returned unchanged.
    """
    if any(phrase in damage.message for phrase in ADVICE_PHRASES):
        return damage
    try:
        found = find_newest_backup(home)
    except Usage as unknown:
        return DamagedDatabase(
            join_sentences(damage.message, unknown.message),
            "Fix it, then see: taskdeck db restore --dry-run",
        )
    if found is None and (why := _find_unreachable(home)):
        return DamagedDatabase(
            f"{damage.message} No backup of it can be seen: {why.message}", why.hint
        )
    if found is None:
        return DamagedDatabase(
            f"{damage.message} There is no good backup of it.", damage.without_backup
        )
    now, at = timestamps.utcnow(), timestamps.parse_time(found.at)
    old = units.format_age((now - at).total_seconds())
    said = tr(
        "{problem} Newest good backup: {time}, {old} old, from before an upgrade."
        if found.argument
        else "{problem} Newest good backup: {time}, {old} old.",
        problem=damage.message,
        time=units.format_clock_time(at, now),
        old=old,
    )
    return DamagedDatabase(
        said, f"See what would change: taskdeck db restore --dry-run{found.argument}"
    )


def _find_unreachable(home: Path) -> Problem | None:
    """Return why the backup folder is unreachable, or None."""
    try:
        backup_files.open_store(home)
    except Problem as why:
        return why
    return None


class RestoreCandidate(NamedTuple):
    """The newest good backup.

    `at` is its stored time. `argument` is typed after `db restore`, "" for its default choice.
    """

    at: str
    argument: str


def find_newest_backup(home: Path) -> RestoreCandidate | None:
    """Return the newest good backup of a home, or a newer copy from before an upgrade.

    Raise Usage if the settings are invalid.
    """
    where, database = find_backup_folder(home), paths.get_database_path(home)
    found: list[RestoreCandidate] = []
    with suppress(Problem, OSError):
        found += [
            RestoreCandidate(one.at, "") for one in BackupCatalog(where, database).list_good()[-1:]
        ]
    with suppress(OSError):
        found += [
            RestoreCandidate(one.at, f" {one.path.name}")
            for one in previous_databases.list_before_upgrades(database)[-1:]
        ]
    return max(found, default=None)
