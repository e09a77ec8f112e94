"""The backups of a home, listed and checked. The database is not looked at: it may be what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import paths
from app.offline.home_errors import translate_os_errors
from app.service.database import backup_files
from db.restore import previous_databases


def list_backups(home: str) -> list[dict[str, Any]]:
    """The backups of a home, oldest first."""
    return backup_files.list_backups(Path(home))


def find_left_behind(home: str) -> dict[str, Any] | None:
    """Backups that lie where the settings look no longer; see `service.backupfiles.left_behind`."""
    return backup_files.find_left_behind(Path(home))


def find_kept(home: str) -> dict[str, Any]:
    """What restores and upgrades have put aside; see `service.backupfiles.kept`."""
    with translate_os_errors(home):
        return backup_files.list_kept(Path(home))


def verify_backups(home: str, ident: str | None, marks: bool = True) -> dict[str, Any]:
    """Check one backup, or all and what upgrades have kept; see `service.backupfiles.checked`, and "copies": [{id, problem}], null where
    there is none."""
    found = backup_files.check_backups(Path(home), ident, marks=marks)
    with translate_os_errors(home):
        copies = previous_databases.list_before_upgrades(paths.database_path(Path(home))) if ident is None else []
        return found | {"copies": [{"id": one.path.name, "problem": previous_databases.find_fault(one)} for one in copies]}
