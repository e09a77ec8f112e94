"""The backups of a home as files, for which neither database nor runtime is needed: where they lie, which there are, which are good."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app import config, paths
from app.core.maintenance_settings import BackupSettings as Settings
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Storage
from db import raw_sql, sqlite_files, timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import Backup, BackupCatalog, BackupFault
from db.errors import DiskFull, ReadOnlyDisk
from db.restore import previous_databases

Row = dict[str, Any]
GOOD_BACKUPS_SQL = "SELECT id, parent_id, created_at, file FROM backups WHERE verified_at IS NOT NULL AND problem IS NULL ORDER BY id DESC"
"""What the database tells of those that are good, the newest first."""


def read_settings() -> Settings:
    """The section `backup` of config.toml as it is now, with the default of what is wrong. Raises Usage while that may be the folder."""
    found = config.read(paths.get_config_path())
    found.require_folder()
    return found.maintenance.backup


def get_folder(home: Path, chosen: Settings) -> Path:
    """Where the backups of a home lie: in it, or in a folder of its own within the one of the settings, which all homes share.

    That one is named by the home and by where it really is: a home that was moved begins a new one, and the old one stays as it is.
    """
    return Path(chosen.folder) / tool.make_folder_name(os.path.realpath(home)) if chosen.folder else home / "backups"


def require_parent(folder: Path, undone: str) -> None:
    """Raises Conflict where neither a folder is there nor the one in which it is to be made: its disk may be missing."""
    above = folder.parent
    if not folder.exists() and not above.is_dir():
        said = f"there is no folder {sanitize(str(above))}, in which {sanitize(folder.name)} is to be made. {undone}"
        raise Conflict(said, f"Is its disk mounted? Where there is to be none: mkdir -p {shlex.quote(str(above))}")


def require_disk(home: Path, chosen: Settings, file: str, at: str) -> None:
    """Raises Storage where the folder of the settings is not there, or empty, though the newest good backup, which is this `file` and of
    that stored time, was taken since they were written: its disk may be missing, and one that is taken now would lie below it."""
    if chosen.folder is None or (home / "backups" / file).exists():  # the settings came after it, though a copied file keeps its time
        return
    with suppress(OSError):
        as_then = timestamps.from_unix(os.stat(paths.get_config_path()).st_mtime) < at
        if as_then and (_is_missing(Path(chosen.folder)) or not os.listdir(chosen.folder)):
            raise _make_folder_gone(Path(chosen.folder))


def _make_folder_gone(where: Path) -> Storage:
    return Storage(f"the folder of the backups is gone: {sanitize(str(where))}.", "Is its disk mounted? Else: taskdeck db backup")


def list_backups(home: Path) -> list[Row]:
    """The backups of a home, oldest first; neither database nor runtime is needed."""
    return [to_row(found) for found in open_store(home).list_backups()]


def find_left_behind(home: Path) -> Row | None:
    """Good backups in the home while there is none in the folder that the settings name: {"path", "good", "at"}, path and time of the
    newest; None where there are none."""
    chosen = read_settings()
    database = paths.database_path(home)
    if chosen.folder is None or BackupCatalog(get_folder(home, chosen), database).list_good():
        return None
    good = BackupCatalog(home / "backups", database).list_good()
    return {"path": os.fspath(good[-1].path), "good": len(good), "at": good[-1].at} if good else None


def list_kept(home: Path) -> Row:
    """What restores and upgrades have put aside: {"files": [{path, at, bytes}], oldest first; "keep": seconds that all but the newest
    stay, or null}."""
    found = [{"path": os.fspath(one.path), "at": one.at, "bytes": one.bytes} for one in previous_databases.list_previous(paths.database_path(home))]
    return {"files": found, "keep": read_settings().keep}


def open_store_for(home: Path, ident: str | None) -> BackupCatalog:
    """Where the backup lies that a path names, which may be any folder; else that of the home."""
    where = os.path.dirname(ident or "")
    return BackupCatalog(Path(os.path.abspath(where))) if where else open_store(home)


def open_store(home: Path) -> BackupCatalog:
    """The backups of the home. Raises Storage where their folder is not there though some were taken, or cannot be made."""
    chosen, database = read_settings(), paths.database_path(home)
    where = get_folder(home, chosen)
    if _is_missing(where):
        above = Path(chosen.folder).parent if chosen.folder else where.parent
        if chosen.folder and _is_missing(Path(chosen.folder)) and _is_missing(above):
            said = f"the folder of the backups is out of reach: there is no {sanitize(str(above))}."
            raise Storage(said, f"Is its disk mounted? Where there is to be none: mkdir -p {shlex.quote(str(above))}")
        if (newest := _find_newest_recorded(database)) and not (home / "backups" / newest).exists():  # else the settings came after it
            raise _make_folder_gone(where)
    return BackupCatalog(where, database)


def _is_missing(path: Path) -> bool:
    """Whether nothing is there; what cannot be looked at is told by who opens it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _find_newest_recorded(database: Path) -> str | None:
    """The file of the newest good backup that the database tells of, where it can be read."""
    with suppress(*raw_sql.DRIVER_ERRORS):
        if database.exists():
            with closing(sqlite3.connect(sqlite_files.undisturbed_uri(database), uri=True)) as c:
                row = c.execute(GOOD_BACKUPS_SQL).fetchone()
                return row[3] if row else None
    return None


def check_backups(home: Path, ident: str | None = None, step: Callable[[], None] = lambda: None, marks: bool = True) -> Row:
    """Build one backup up and check it, which an id, its first letters or a path names; without one check the files of all, and build
    up the newest.

    {"checked": how many, "bad": [{id, problem}], "odd": [{id, problem}], "strangers": [{id, of}],
    "damaged_lines": numbers of the manifest's}. One that is found bad is told in the manifest, and counts no more; not so, and nothing is
    swept, unless `marks`. What is odd is no fault of the backup: it cannot be read as things stand, or what travels along is not as it
    was. Strangers are `of` the database of another home. Raises NoBackup and Storage.
    """
    store = open_store_for(home, ident)
    if not store.folder.is_dir():
        checked = len([store.find_backup(ident)] if ident else store.list_backups())
        return {"checked": checked, "bad": [], "odd": [], "strangers": [], "damaged_lines": []}
    try:
        with backup_folder.lock_folder(store.folder, step, space_errors.CHECK_UNFINISHED):
            return _check_store(store, ident, step, marks)
    except OSError as error:
        raise space_errors.make_problem(store.folder, error, space_errors.CHECK_UNFINISHED) from None


def _check_store(store: BackupCatalog, ident: str | None, step: Callable[[], None], marks: bool) -> Row:
    known = store.list_backups()
    asked = [store.find_backup(ident)] if ident else known
    faults = [] if ident else list(store.find_damaged_files())
    bad = {fault.ident for fault in faults if fault.own}
    own = [one for one in asked if one.id not in bad and not one.stranger]
    whole = asked[0] if ident else next(reversed(own), None)
    if marks:
        with suppress(OSError):  # the next backup sweeps
            backup_folder.remove_temporary_files(store.folder)
    try:
        faults += _rebuild(store, whole, step) if whole else []
    except (DiskFull, ReadOnlyDisk) as refused:
        if not bad:
            many = f"{len(asked)} backup{'' if len(asked) == 1 else 's'}"
            well = "" if ident or faults else f"the files of {many} are well, but "
            raise type(refused)(f"{well}{refused.message}", refused.hint) from None
    wrong, odd = _group_by_backup(fault for fault in faults if fault.own), _group_by_backup(fault for fault in faults if not fault.own)
    for one in known:
        if marks and one.id in wrong and one.problem is None:
            _mark_bad(store, one.id, wrong[one.id])
    told = {name: [{"id": ident, "problem": why} for ident, why in found.items()] for name, found in (("bad", wrong), ("odd", odd))}
    told["strangers"] = [{"id": one.id, "of": one.stranger} for one in asked if one.stranger]
    return {"checked": len(asked), **told, "damaged_lines": store.find_damaged_lines()}


def _group_by_backup(faults: Iterable[BackupFault]) -> dict[str, str]:
    """What there is of each, by its id."""
    found: dict[str, dict[str, None]] = {}
    for fault in faults:
        found.setdefault(fault.ident, {})[fault.why] = None
    return {ident: "; ".join(whys) for ident, whys in found.items()}


def _rebuild(store: BackupCatalog, backup: Backup, step: Callable[[], None]) -> list[BackupFault]:
    """What is wrong with it as a whole, built up beside, or where temporary files go if that disk takes nothing. Raises DiskFull and
    ReadOnlyDisk where it cannot be built up."""
    needed = backup.pages * backup.page_size if backup.verified else 0
    try:
        space_errors.require_space(store.folder, needed, space_errors.CHECK_UNFINISHED)
        return store.check_backup(backup, backup_folder.find_image_path(store.folder, "verifying"), step)
    except (DiskFull, ReadOnlyDisk) as refused:
        with TemporaryDirectory(prefix="taskdeck-") as elsewhere:
            try:
                space_errors.require_space(Path(elsewhere), needed, space_errors.CHECK_UNFINISHED)
            except DiskFull:
                raise refused from None
            return store.check_backup(backup, Path(elsewhere) / "image", step)


def _mark_bad(store: BackupCatalog, ident: str, why: str) -> None:
    """A disk that is full, or read-only, may take no line; the next check finds it again."""
    try:
        backup_folder.mark_bad(store.folder, ident, why)
    except OSError as error:
        if not isinstance(space_errors.make_problem(store.folder, error), DiskFull | ReadOnlyDisk):
            raise


def to_row(backup: Backup) -> Row:
    """{id, kind, at, path, bytes, verified, base, problem, stranger, unreadable}: `at` as stored, `bytes` of its file;
    `stranger`: the database of another home that it is of, null for one of our own; `unreadable`: what of it cannot be read."""
    return {
        "id": backup.id, "kind": backup.kind, "at": backup.at, "path": os.fspath(backup.path), "bytes": backup.bytes,
        "verified": backup.verified, "base": backup.base, "problem": backup.problem, "stranger": backup.stranger,
        "unreadable": list(backup.unreadable),
    }  # fmt: skip
