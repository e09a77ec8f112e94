"""Whether the database of a home lies where it belongs, or there never was one."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from app import paths
from app.errors import Usage
from app.home.restore_advice import OUT_OF_REACH, find_backup_folder, find_newest_backup
from db.backup import folder
from db.backup.catalog import BackupCatalog
from db.errors import DamagedDatabase, Problem, make_damaged_error
from db.restore import previous_databases, swap

CLEAN_SHUTDOWN_FILE = "closed"
"""The file in `run/` that says that a runtime has let go of the database in peace."""
OFFLINE_BACKUP_FILE = "backed-up"
"""The file in `run/` that says which backup was taken after that, while there was no runtime."""
RESCUE_INFIX = ".rescued-"
"""What stands between the name of a database and the time when a runtime saved what was in it."""


def format_put_back_command(path: Path, saved: Path) -> str:
    """The words for a shell that put what was saved where the database was."""
    name = shlex.quote(str(path))
    return f"rm -f {name}-wal {name}-shm && mv {shlex.quote(str(saved))} {name}"


def check_database_present(home: Path) -> None:
    """Raises DamagedDatabase where a restore was cut short, and where there is no database, or an empty one, and the home or backups show
    that there was one: one made anew would give the same numbers again. Raises Usage where neither says so, and it is not known where the
    backups lie, and Storage where something else than a file has its name."""
    path = paths.database_path(home)
    swap.require_file(path)
    if swap.has_unfinished_swap(path):
        raise make_damaged_error(path, "a restore was cut short, and its log lies beside the one before that")
    if path.exists() and path.stat().st_size:
        return
    used = _has_been_used(home)
    if not used and not _has_backups(home):
        return
    if path.exists():
        raise make_damaged_error(path, "it is empty")
    raise _make_gone_problem(home, used)


def _make_gone_problem(home: Path, used: bool) -> DamagedDatabase:
    """What to say of a database that is gone: how it comes back, and how one begins anew on purpose."""
    path = paths.database_path(home)
    said = f"the database is gone: {path}. No new one was made."
    if saved := sorted(path.parent.glob(f"{path.name}{RESCUE_INFIX}*")):
        return DamagedDatabase(f"{said} A runtime has saved what was in it: {saved[-1]}.", f"Put it back: {format_put_back_command(path, saved[-1])}")
    try:
        found, where = find_newest_backup(home), find_backup_folder(home)
    except Usage as unknown:
        return DamagedDatabase(f"{said} {unknown.message}", "Mend it, then: taskdeck db restore --dry-run")
    away = [f"the home: mv {shlex.quote(str(home))} {shlex.quote(f'{home}.before')}"] if used or where.parent == home else []
    away += [f"its backups: {where}"] if where.parent != home and _has_backups(home) else []
    anew = f"To begin anew, move away {', and '.join(away)}"
    if found is not None:
        return DamagedDatabase(f"{said} {anew}.", f"Bring it back: taskdeck db restore{found.named}")
    said = f"{said} There was one, and {OUT_OF_REACH} ({where})."
    return DamagedDatabase(said, f"Put it back, or bring its backups there, then: taskdeck db restore. {anew}")


def _has_been_used(home: Path) -> bool:
    """Whether the home shows that there was a database: what ran has a log, a runtime has had it, or something of it is left."""
    runs, run, path = home / "runs", home / "run", paths.database_path(home)
    had = (run / CLEAN_SHUTDOWN_FILE).exists() or any(run.glob("journal*"))  # keepers begin their journals when there is a database
    return had or os.path.lexists(f"{path}-wal") or bool(previous_databases.list_previous(path)) or runs.is_dir() and any(runs.iterdir())


def _has_backups(home: Path) -> bool:
    """Whether there are backups of the database: a folder that lies elsewhere may be that of another home, unless they say otherwise."""
    where, path = find_backup_folder(home), os.path.realpath(paths.database_path(home))
    with suppress(Problem):
        return any(where.parent == home or entry.get("of") == path for entry in BackupCatalog(where).list_entries())
    return False


def record_offline_backup(home: Path, ident: str) -> None:
    """The backup `ident` was just taken, by the holder of the runtime's lock: it knows of every number that was given."""
    with suppress(OSError):  # then numbers are passed over though that is not needed
        if (mark := _read_mark(home)) is not None:
            folder.write_file(home / "run" / OFFLINE_BACKUP_FILE, f"{ident} {mark}".encode("ascii"))


def is_unused_since(home: Path, ident: str) -> bool:
    """Whether no runtime was up since the backup `ident` was taken: each removes the mark of the one before, and leaves another."""
    try:
        mark = _read_mark(home)
        return mark is not None and (home / "run" / OFFLINE_BACKUP_FILE).read_text("ascii") == f"{ident} {mark}"
    except (OSError, ValueError):
        return False


def _read_mark(home: Path) -> str | None:
    """What the last runtime left, where it tells that one from another: a log says nothing of when it was written."""
    mark = (home / "run" / CLEAN_SHUTDOWN_FILE).read_text("ascii")
    return None if mark.startswith("a log") else mark
