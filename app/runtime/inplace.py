"""Whether the database of a home lies where it belongs, or there never was one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from app import paths
from app.runtime.advice import folder, newest
from db import check, restore
from db.backup import keeping
from db.backup.store import Store
from db.errors import DamagedDatabase, Problem

CLOSED = "closed"
"""The file in `run/` that says that a runtime has let go of the database in peace."""
QUIET = "backed-up"
"""The file in `run/` that says which backup was taken after that, while there was no runtime."""


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
    anew = "" if folder(home).parent == home else f" To begin anew, move its backups away: {folder(home)}."
    raise DamagedDatabase(f"the database is gone: {path}. No new one was made.{anew}", "Bring it back: taskdeck db restore")


def _used(home: Path) -> bool:
    """Whether there was a database: a folder of backups that lies elsewhere may be that of another home, unless they say otherwise."""
    runs = home / "runs"
    if folder(home).parent == home or (home / "run" / CLOSED).exists() or runs.is_dir() and any(runs.iterdir()):
        return True
    path = os.path.realpath(paths.database(home))
    with suppress(Problem):
        return any(entry.get("of") == path for entry in Store(folder(home)).entries())
    return False


def note_quiet(home: Path, ident: str) -> None:
    """The backup `ident` was just taken, by the holder of the runtime's lock: it knows of every number that was given."""
    with suppress(OSError):  # then numbers are passed over though that is not needed
        if (mark := _last_mark(home)) is not None:
            keeping.put(home / "run" / QUIET, f"{ident} {mark}".encode("ascii"))


def quiet_since(home: Path, ident: str) -> bool:
    """Whether no runtime was up since the backup `ident` was taken: each removes the mark of the one before, and leaves another."""
    try:
        mark = _last_mark(home)
        return mark is not None and (home / "run" / QUIET).read_text("ascii") == f"{ident} {mark}"
    except (OSError, ValueError):
        return False


def _last_mark(home: Path) -> str | None:
    """What the last runtime left, where it tells that one from another: a log says nothing of when it was written."""
    mark = (home / "run" / CLOSED).read_text("ascii")
    return None if mark.startswith("a log") else mark
