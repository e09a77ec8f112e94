"""Backup folder of a home and its manifest. Needs neither the database nor a runtime."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app import config, paths
from app.core.maintenance_settings import BackupSettings as Settings
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Storage
from db import timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import Backup, BackupCatalog, BackupFault, find_newest_recorded
from db.errors import DiskFull, ReadOnlyDisk
from db.restore import previous_databases

Row = dict[str, Any]


def read_settings() -> Settings:
    """Return the current `backup` section of config.toml, with defaults for bad values.

    Raise Usage while a bad value may be the folder.
    """
    found = config.read(paths.get_config_path())
    found.require_folder()
    return found.maintenance.backup


def get_folder(home: Path, settings: Settings) -> Path:
    """Return the backup folder of a home.

    Without a configured folder it is inside the home. All homes share a configured folder, in which
    each has a subfolder named by the home and its real path. A moved home therefore starts a new
    subfolder and leaves the old one unchanged.
    """
    return (
        Path(settings.folder) / tool.make_folder_name(os.path.realpath(home))
        if settings.folder
        else home / "backups"
    )


def require_parent(folder: Path, undone: str) -> None:
    """Raise Conflict if neither the folder nor its parent exists.

    The disk of the folder may not be mounted.
    """
    parent = folder.parent
    if not folder.exists() and not parent.is_dir():
        said = (
            f"there is no folder {sanitize(str(parent))} to create {sanitize(folder.name)} in."
            f" {undone}"
        )
        raise Conflict(
            said, f"Mount its disk, or if there is none: mkdir -p {shlex.quote(str(parent))}"
        )


def require_disk(home: Path, settings: Settings, file: str, at: str) -> None:
    """Raise Storage if the configured folder is missing or empty but should hold a backup.

    `file` and `at` are the file name and stored time of the newest good backup. If it was taken
    after config.toml was last written, the disk of the folder is probably not mounted. A new backup
    would then be written below the mount point.
    """
    # A backup in the home is older than the setting, whatever the mtime of config.toml says: a
    # copied file keeps its old mtime.
    if settings.folder is None or (home / "backups" / file).exists():
        return
    with suppress(OSError):
        as_then = timestamps.from_unix(os.stat(paths.get_config_path()).st_mtime) < at
        if as_then and (_is_missing(Path(settings.folder)) or not os.listdir(settings.folder)):
            raise _make_folder_gone(Path(settings.folder))


def _make_folder_gone(where: Path) -> Storage:
    return Storage(
        "the backup folder is gone: {where}.",
        "Mount its disk, or: taskdeck db backup",
        where=sanitize(str(where)),
    )


def list_backups(home: Path) -> list[Row]:
    """Return the backups of a home, oldest first."""
    return [to_row(found) for found in open_store(home).list_backups()]


def find_left_behind(home: Path) -> Row | None:
    """Return the good backups in the home if the configured folder has none.

    Return {"path", "good", "at"} with the path and time of the newest, or None.
    """
    settings = read_settings()
    database = paths.get_database_path(home)
    if settings.folder is None or BackupCatalog(get_folder(home, settings), database).list_good():
        return None
    good = BackupCatalog(home / "backups", database).list_good()
    return (
        {"path": os.fspath(good[-1].path), "good": len(good), "at": good[-1].at} if good else None
    )


def list_kept(home: Path) -> Row:
    """Return the database files that restores and upgrades have put aside.

    Return {"files": [{path, at, bytes}], oldest first; "keep": seconds after which all but the
    newest are deleted, or None}.
    """
    found = [
        {"path": os.fspath(one.path), "at": one.at, "bytes": one.bytes}
        for one in previous_databases.list_previous(paths.get_database_path(home))
    ]
    return {"files": found, "keep": read_settings().keep}


def open_store_for(home: Path, ident: str | None) -> BackupCatalog:
    """Return the store of the folder that a path names, else the store of the home."""
    where = os.path.dirname(ident or "")
    return BackupCatalog(Path(os.path.abspath(where))) if where else open_store(home)


def open_store(home: Path) -> BackupCatalog:
    """Return the backup store of the home.

    Raise Storage if backups were taken but their folder is missing, or if the folder cannot be
    created.
    """
    settings, database = read_settings(), paths.get_database_path(home)
    where = get_folder(home, settings)
    if _is_missing(where):
        parent = Path(settings.folder).parent if settings.folder else where.parent
        if settings.folder and _is_missing(Path(settings.folder)) and _is_missing(parent):
            said = f"the backup folder is out of reach: there is no {sanitize(str(parent))}."
            raise Storage(
                said, f"Mount its disk, or if there is none: mkdir -p {shlex.quote(str(parent))}"
            )
        # A newest backup in the home was taken before the folder was set.
        if (newest := find_newest_recorded(database)) and not (home / "backups" / newest).exists():
            raise _make_folder_gone(where)
    return BackupCatalog(where, database)


def _is_missing(path: Path) -> bool:
    """Return whether nothing exists at the path.

    Other errors appear when the path is opened.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def check_backups(
    home: Path,
    ident: str | None = None,
    step: Callable[[], None] = lambda: None,
    marks: bool = True,
) -> Row:
    """Rebuild and check one backup, given by id, id prefix or path.

    Without `ident` check the files of all backups and rebuild the newest.

    Return {"checked": how many, "bad": [{id, problem}], "odd": [{id, problem}], "strangers": [{id,
    of}], "damaged_lines": line numbers in the manifest}. Odd problems are not faults of the backup:
    it cannot be read at the moment, or its attached files have changed. Strangers belong to another
    home. With `marks`, mark bad backups in the manifest, so that they no longer count, and remove
    leftover files. Raise NoBackup and Storage.
    """
    store = open_store_for(home, ident)
    if not store.folder.is_dir():
        checked = len([store.find_backup(ident)] if ident else store.list_backups())
        return {"checked": checked, "bad": [], "odd": [], "strangers": [], "damaged_lines": []}
    try:
        with backup_folder.lock_folder(store.folder, step, space_errors.CHECK_UNFINISHED):
            return _check_store(store, ident, step, marks)
    except OSError as error:
        raise space_errors.make_problem(
            store.folder, error, space_errors.CHECK_UNFINISHED
        ) from None


def _check_store(
    store: BackupCatalog, ident: str | None, step: Callable[[], None], marks: bool
) -> Row:
    known = store.list_backups()
    backups = [store.find_backup(ident)] if ident else known
    faults = [] if ident else list(store.find_damaged_files())
    bad = {fault.ident for fault in faults if fault.own}
    own = [one for one in backups if one.id not in bad and not one.stranger]
    fully_checked = backups[0] if ident else next(reversed(own), None)
    if marks:
        with suppress(OSError):  # The next backup cleans up.
            backup_folder.remove_temporary_files(store.folder)
    try:
        faults += _rebuild(store, fully_checked, step) if fully_checked else []
    except (DiskFull, ReadOnlyDisk) as refused:
        if not bad:
            many = f"{len(backups)} backup{'' if len(backups) == 1 else 's'}"
            prefix = "" if ident or faults else f"the files of {many} are good, but "
            raise type(refused)(f"{prefix}{refused.message}", refused.hint) from None
    damaged, suspicious = (
        _group_by_backup(fault for fault in faults if fault.own),
        _group_by_backup(fault for fault in faults if not fault.own),
    )
    for one in known:
        if marks and one.id in damaged and one.problem is None:
            _mark_bad(store, one.id, damaged[one.id])
    copies = {
        name: [{"id": ident, "problem": why} for ident, why in found.items()]
        for name, found in (("bad", damaged), ("odd", suspicious))
    }
    copies["strangers"] = [{"id": one.id, "of": one.stranger} for one in backups if one.stranger]
    return {"checked": len(backups), **copies, "damaged_lines": store.find_damaged_lines()}


def _group_by_backup(faults: Iterable[BackupFault]) -> dict[str, str]:
    """Join the faults of each backup, by its id."""
    found: dict[str, dict[str, None]] = {}
    for fault in faults:
        found.setdefault(fault.ident, {})[fault.why] = None
    return {ident: "; ".join(whys) for ident, whys in found.items()}


def _rebuild(store: BackupCatalog, backup: Backup, step: Callable[[], None]) -> list[BackupFault]:
    """Return the faults found by rebuilding the backup.

    If the backup's disk takes no image, use the folder for temporary files. Raise DiskFull or
    ReadOnlyDisk if neither takes one.
    """
    needed = backup.pages * backup.page_size if backup.verified else 0
    try:
        space_errors.require_space(store.folder, needed, space_errors.CHECK_UNFINISHED)
        return store.check_backup(
            backup, backup_folder.find_image_path(store.folder, "verifying"), step
        )
    except (DiskFull, ReadOnlyDisk) as refused:
        with TemporaryDirectory(prefix="taskdeck-") as elsewhere:
            try:
                space_errors.require_space(Path(elsewhere), needed, space_errors.CHECK_UNFINISHED)
            except DiskFull:
                raise refused from None
            return store.check_backup(backup, Path(elsewhere) / "image", step)


def _mark_bad(store: BackupCatalog, ident: str, why: str) -> None:
    """Mark a backup as bad.

    A full or read-only disk may refuse the line; the next check finds the fault again.
    """
    try:
        backup_folder.mark_bad(store.folder, ident, why)
    except OSError as error:
        if not isinstance(space_errors.make_problem(store.folder, error), DiskFull | ReadOnlyDisk):
            raise


def to_row(backup: Backup) -> Row:
    """Return {id, kind, at, path, bytes, verified, base, problem, stranger}.

    `at` is as stored, `bytes` the size of the file. `stranger` is the database of another home, or
    None.
    """
    return {
        "id": backup.id, "kind": backup.kind, "at": backup.at, "path": os.fspath(backup.path),
        "bytes": backup.bytes,
        "verified": backup.verified, "base": backup.base, "problem": backup.problem,
        "stranger": backup.stranger,
    }  # fmt: skip
