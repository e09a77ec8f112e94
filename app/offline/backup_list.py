"""Listing and verification of the backups of a home.

The database is not read, since it may be damaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import paths
from app.offline.home_errors import translate_os_errors
from app.service.database import backup_files
from db.restore import previous_databases


def list_backups(home: str) -> list[dict[str, Any]]:
    """Return the backups of a home, oldest first."""
    return backup_files.list_backups(Path(home))


def find_left_behind(home: str) -> dict[str, Any] | None:
    """Return backups in a folder that the settings no longer name.

    See `backup_files.find_left_behind`.
    """
    return backup_files.find_left_behind(Path(home))


def find_kept(home: str) -> dict[str, Any]:
    """Return the databases kept by restores and upgrades.

    See `backup_files.list_kept`.
    """
    with translate_os_errors(home):
        return backup_files.list_kept(Path(home))


def verify_backups(home: str, ident: str | None, marks: bool = True) -> dict[str, Any]:
    """Check one backup, or all of them and the copies kept by upgrades.

    The result is that of `backup_files.check_backups` with "copies": [{id, problem}], where problem
    is null for a good copy.
    """
    found = backup_files.check_backups(Path(home), ident, marks=marks)
    with translate_os_errors(home):
        copies = (
            previous_databases.list_before_upgrades(paths.get_database_path(Path(home)))
            if ident is None
            else []
        )
        return found | {
            "copies": [
                {"id": one.path.name, "problem": previous_databases.find_fault(one)}
                for one in copies
            ]
        }
