"""Detection of a missing database, as opposed to a new home."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from app import paths
from app.core.text.joining import end_sentence, join_sentences
from app.errors import Usage
from app.home.restore_advice import OUT_OF_REACH, find_backup_folder, find_newest_backup
from app.translation import tr
from db.backup import folder
from db.backup.catalog import BackupCatalog
from db.errors import DamagedDatabase, Problem, make_damaged_error
from db.restore import previous_databases, swap

CLEAN_SHUTDOWN_FILE = "closed"
"""Clean-shutdown marker in `run/`."""
OFFLINE_BACKUP_FILE = "backed-up"
"""File in `run/` that names a backup taken without a runtime."""
RESCUE_INFIX = ".rescued-"
"""Infix between the name of a database and the time of its rescue."""


def format_put_back_command(path: Path, saved: Path) -> str:
    """Return the shell command that moves a rescued database back."""
    name = shlex.quote(str(path))
    return f"rm -f {name}-wal {name}-shm && mv {shlex.quote(str(saved))} {name}"


def check_database_present(home: Path) -> None:
    """Check that the database is present, or that the home never had one.

    Raise DamagedDatabase after an interrupted restore, and for a missing or empty database that
    existed before: a new one would assign the same task numbers again. Raise Usage if faulty
    settings hide the backups of a home that looks unused. Raise Storage if the path of the database
    is no file.
    """
    path = paths.get_database_path(home)
    swap.require_file(path)
    if swap.has_unfinished_swap(path):
        raise make_damaged_error(
            path, "a restore was cut short before the new database was in place"
        )
    if path.exists() and path.stat().st_size:
        return
    used = _has_been_used(home)
    if not used and not _has_backups(home):
        return
    if path.exists():
        raise make_damaged_error(path, "it is empty")
    raise _make_gone_problem(home, used)


def _make_gone_problem(home: Path, used: bool) -> DamagedDatabase:
    """Return the problem of a missing database, with advice."""
    path = paths.get_database_path(home)
    message = tr("the database is gone: {path}. No new one was made.", path=path)
    if saved := sorted(path.parent.glob(f"{path.name}{RESCUE_INFIX}*")):
        return DamagedDatabase(
            "{problem} A runtime has saved its contents: {saved}.",
            "Put it back: {command}",
            problem=message,
            saved=saved[-1],
            command=format_put_back_command(path, saved[-1]),
        )
    try:
        found, where = find_newest_backup(home), find_backup_folder(home)
    except Usage as unknown:
        return DamagedDatabase(
            join_sentences(message, unknown.message), "Fix it, then: taskdeck db restore --dry-run"
        )
    away = (
        [
            tr(
                "the home: mv {home} {target}",
                home=shlex.quote(str(home)),
                target=shlex.quote(f"{home}.before"),
            )
        ]
        if used or where.parent == home
        else []
    )
    away += (
        [tr("its backups: {where}", where=where)]
        if where.parent != home and _has_backups(home)
        else []
    )
    advice = tr("To start over, move away {away}", away=", and ".join(away))
    if found is not None:
        return DamagedDatabase(
            join_sentences(message, end_sentence(advice)),
            tr("Bring it back: taskdeck db restore{argument}", argument=found.argument),
        )
    message = tr(
        "{problem} There was a database, and {reason} ({where}).",
        problem=message,
        reason=tr(OUT_OF_REACH),
        where=where,
    )
    return DamagedDatabase(
        message, f"Put it back, or bring its backups there, then: taskdeck db restore. {advice}"
    )


def _has_been_used(home: Path) -> bool:
    """Return True if logs, markers or leftovers show that the home had a database."""
    runs, run, path = home / "runs", home / "run", paths.get_database_path(home)
    # keepers create journals only if there is a database
    had = (run / CLEAN_SHUTDOWN_FILE).exists() or any(run.glob("journal*"))
    return (
        had
        or os.path.lexists(f"{path}-wal")
        or bool(previous_databases.list_previous(path))
        or runs.is_dir()
        and any(runs.iterdir())
    )


def _has_backups(home: Path) -> bool:
    """Return True if there are backups of the database.

    An external folder may belong to another home, so its entries must name this database.
    """
    where, path = find_backup_folder(home), os.path.realpath(paths.get_database_path(home))
    with suppress(Problem):
        return any(
            where.parent == home or entry.get("of") == path
            for entry in BackupCatalog(where).list_entries()
        )
    return False


def record_offline_backup(home: Path, ident: str) -> None:
    """Record that the backup `ident` was taken while no runtime was running.

    Such a backup contains every task number assigned so far. The caller holds the runtime's lock.
    """
    with suppress(OSError):  # without the record, some numbers are skipped needlessly
        if (mark := _read_mark(home)) is not None:
            folder.write_file(home / "run" / OFFLINE_BACKUP_FILE, f"{ident} {mark}".encode("ascii"))


def is_unused_since(home: Path, ident: str) -> bool:
    """Return True if no runtime has run since the backup `ident` was taken.

    Each runtime replaces the clean-shutdown marker.
    """
    try:
        mark = _read_mark(home)
        return (
            mark is not None
            and (home / "run" / OFFLINE_BACKUP_FILE).read_text("ascii") == f"{ident} {mark}"
        )
    except (OSError, ValueError):
        return False


def _read_mark(home: Path) -> str | None:
    """Return the clean-shutdown marker, or None if a WAL makes the marker ambiguous."""
    mark = (home / "run" / CLEAN_SHUTDOWN_FILE).read_text("ascii")
    return None if mark.startswith("a log") else mark
