"""Catalogue of the backups in a folder, from its manifest and the files' headers."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from app.translation import tr
from db import raw_sql
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.errors import Problem, Storage
from db.sqlite_files import make_undisturbed_uri


class NoBackup(Problem):
    """No such backup exists."""

    code = "not-found"
    exit_code = 3


class BadBackup(Storage):
    """An unusable backup; `ident` is the faulty one."""

    code = "bad-backup"

    def __init__(self, ident: str, why: str) -> None:
        super().__init__(
            tr("the backup {ident} is bad: {why}.", ident=ident, why=why),
            tr("See which are good: taskdeck db backups"),
        )
        self.ident, self.why = ident, why


class Backup(NamedTuple):
    """A backup.

    `kind` is full or increment, `base` the backup that an increment builds on, `at` its stored
    time, `bytes` its file size, `sha256` the hash of the database file. `facts`: rows, last_event,
    revision, highest and newest_task. `stranger`: the database path if it belongs to another home.
    """

    id: str
    kind: str
    at: str
    base: str | None
    path: Path
    bytes: int
    pages: int
    page_size: int
    sha256: str
    verified: bool
    problem: str | None
    facts: Mapping[str, Any]
    stranger: str | None = None


class BackupFault(NamedTuple):
    """A fault of a backup.

    `own` is False if the backup itself may be good: it is unreadable now, or its companion files
    changed.
    """

    ident: str
    why: str
    own: bool


class BackupCatalog:
    """Reader of a backup folder for one home.

    Without a `database`, all backups count as own. The folder may be missing.
    """

    def __init__(self, folder: Path, database: Path | None = None) -> None:
        self.folder, self._database = folder, database

    def list_entries(self) -> list[dict[str, Any]]:
        """Return all entries of the restore tool, oldest first. Raise Storage."""
        try:
            if not self.folder.is_dir() and os.path.lexists(self.folder):
                raise space_errors.make_no_folder(self.folder)
            return tool.list_entries(str(self.folder))
        except OSError as error:
            raise space_errors.make_problem(self.folder, error) from None

    def list_backups(self) -> list[Backup]:
        """Return all backups, oldest first, including other homes'."""
        found = self.list_entries()
        strangers = self._map_strangers(found)
        return [_make_backup(entry, strangers) for entry in found]

    def list_own(self) -> list[Backup]:
        """Return the backups that this home took, oldest first.

        Only these may be pruned or built upon: the parent of a promoted replica may be alive.
        """
        found = self.list_entries()
        strangers = self._map_strangers(found, with_parent=False)
        return [_make_backup(entry, {}) for entry in found if entry["id"] not in strangers]

    def list_others(self) -> list[dict[str, Any]]:
        """Return the entries of other homes, or [] if a backup surely belongs to this home."""
        found = self.list_entries()
        strangers = self._map_strangers(found, with_parent=False)
        theirs = [entry for entry in found if entry["id"] in strangers]
        return theirs if all(entry in theirs for entry in found if entry.get("home")) else []

    def find_home_uuid(self) -> str | None:
        """Return the UUID of the home in the last backup of the database's path, or None."""
        return _find_home_uuid(self.list_entries(), self._database) if self._database else None

    def _map_strangers(
        self, found: list[dict[str, Any]], with_parent: bool = True
    ) -> dict[str, str]:
        return _map_strangers(found, self._database, with_parent) if self._database else {}

    def list_good(self) -> list[Backup]:
        """Return the home's verified backups, oldest first."""
        return [backup for backup in self.list_own() if backup.verified]

    def find_backup(self, ident: str | None = None, at: str | None = None) -> Backup:
        """Return a backup by id, or the newest good one up to the time `at`.

        Raise NoBackup.
        """
        try:
            found = self.list_entries()
            strangers = self._map_strangers(found)
            chosen = tool.pick_backup(
                (
                    found
                    if ident is not None
                    else [entry for entry in found if entry["id"] not in strangers]
                ),
                ident,
                at,
            )
            return _make_backup(chosen, strangers)
        except tool.RestoreError as error:
            raise NoBackup("{error}.", "List them: taskdeck db backups", error=error) from None

    def rebuild(self, backup: Backup, target: Path) -> None:
        """Rebuild the database file at `target`, which must not exist.

        Raise BadBackup, Storage and FileExistsError.
        """
        with BackupErrorTranslator(self.folder, space_errors.NOTHING_RESTORED):
            tool.rebuild(tool.find_chain(self.list_entries(), backup.id), str(target))

    def check_backup(
        self, backup: Backup, image: Path, step: Callable[[], None] = tool.do_nothing
    ) -> list[BackupFault]:
        """Return the faults of a backup and its bases; rebuilds it temporarily at `image`.

        Raise Storage, and what `step` raises.
        """
        with BackupErrorTranslator(self.folder, space_errors.CHECK_UNFINISHED):
            found = self.list_entries()
            chosen = tool.pick_backup(found, backup.id)
            try:
                return _make_faults(
                    backup.id, *tool.check_whole(str(self.folder), found, chosen, str(image), step)
                )
            except tool.DamagedBackupError as damaged:
                return [BackupFault(damaged.ident, damaged.why, True)]

    def find_damaged_files(self) -> Iterator[BackupFault]:
        """Yield the faults of all files."""
        for entry in self.list_entries():
            yield from _make_faults(entry["id"], *tool.check_file(str(self.folder), entry))

    def find_damaged_lines(self) -> list[int]:
        """Return the numbers of damaged manifest lines."""
        return tool.read_manifest(str(self.folder))[1]


def _make_faults(ident: str, damaged: list[str], suspicious: list[str]) -> list[BackupFault]:
    return [
        *(BackupFault(ident, why, True) for why in damaged),
        *(BackupFault(ident, why, False) for why in suspicious),
    ]


class BackupErrorTranslator:
    """Context manager that turns the restore tool's errors into problems.

    `undone` names what was not done.
    """

    def __init__(self, folder: Path, undone: str = space_errors.NO_BACKUP_TAKEN) -> None:
        self.folder, self.undone = folder, undone

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, tool.DamagedBackupError):
            raise BadBackup(error.ident, error.why) from error
        if isinstance(error, tool.RestoreError):
            raise Storage("{error}.", error=error) from error
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise space_errors.make_problem(self.folder, error, self.undone) from error


def _map_strangers(
    found: list[dict[str, Any]], database: Path, with_parent: bool
) -> dict[str, str]:
    """Return the paths of the databases of backups that belong to another home, by backup id.

    If `database` cannot be read, its last backup names the home. Without such a backup, every
    backup counts as its own. `with_parent` accepts what the parent of a promoted replica took
    before the promotion.
    """
    uuid, parent, created_at = _read_identity(database)
    uuid, place = uuid or _find_home_uuid(found, database), os.path.realpath(database)

    def is_own(entry: dict[str, Any]) -> bool:
        named = entry.get("home")
        if named is None:
            return entry.get("of") == place
        is_inherited = with_parent and named == parent and entry["at"] <= created_at
        return named == uuid or is_inherited

    strangers = [entry for entry in found if uuid and not is_own(entry)]
    return {entry["id"]: entry.get("of") or "an unknown place" for entry in strangers}


def _find_home_uuid(found: list[dict[str, Any]], database: Path) -> str | None:
    place = os.path.realpath(database)
    uuids = [entry["home"] for entry in found if entry.get("of") == place and entry.get("home")]
    return uuids[-1] if uuids else None


def _read_identity(database: Path) -> tuple[str | None, str | None, str]:
    """Return UUID, parent and creation time of the home; (None, None, "") if unreadable."""
    with suppress(OSError, *raw_sql.DRIVER_ERRORS):
        if database.is_file():
            with closing(sqlite3.connect(make_undisturbed_uri(database), uri=True)) as c:
                row = c.execute("SELECT uuid, parent, created_at FROM home").fetchone()
                if row and isinstance(row[2], str):
                    return row
    return None, None, ""


def find_newest_recorded(database: Path) -> str | None:
    """Return the file of the newest good backup that a database records, or None."""
    newest = (
        "SELECT file FROM backups WHERE verified_at IS NOT NULL AND problem IS NULL ORDER BY id"
        " DESC LIMIT 1"
    )
    with suppress(*raw_sql.DRIVER_ERRORS):
        if database.exists():
            with closing(sqlite3.connect(make_undisturbed_uri(database), uri=True)) as c:
                row = c.execute(newest).fetchone()
                return row[0] if row else None
    return None


def _make_backup(entry: Mapping[str, Any], strangers: Mapping[str, str]) -> Backup:
    names = (
        "id",
        "kind",
        "at",
        "base",
        "bytes",
        "pages",
        "page_size",
        "sha256",
        "problem",
        "facts",
    )
    fields = {name: entry[name] for name in names} | {
        "path": Path(entry["path"]),
        "verified": entry["problem"] is None,
    }
    return Backup(**fields, stranger=strangers.get(entry["id"]))
