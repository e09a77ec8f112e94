"""Whether the database of a home lies where it belongs, or there never was one."""

from __future__ import annotations

from pathlib import Path

from app import paths
from app.runtime.advice import folder, newest
from db import check, restore
from db.errors import DamagedDatabase

CLOSED = "closed"
"""The file in `run/` that says that a runtime has let go of the database in peace."""


def check_in_place(home: Path) -> None:
    """Raises DamagedDatabase where a restore was cut short, and where there is no database, or an empty one, and backups say that there
    was one: one made anew would give the same numbers again."""
    path = paths.database(home)
    if restore.unfinished(path):
        raise check.damaged(path, "a restore was cut short, and its log lies beside the one before that")
    if path.exists() and path.stat().st_size or not _used(home) or newest(home) is None:
        return
    if path.exists():
        raise check.damaged(path, "it is empty")
    raise DamagedDatabase(f"the database is gone: {path}. No new one was made.", "Bring it back: taskdeck db restore")


def _used(home: Path) -> bool:
    """Whether there was a database: a folder of backups that lies elsewhere may be that of another home."""
    runs = home / "runs"
    return folder(home).parent == home or (home / "run" / CLOSED).exists() or runs.is_dir() and any(runs.iterdir())
