"""Restore of a database from a backup.

The new file is built beside the present database, checked, reconciled and swapped in atomically.

The present database is unchanged until then and stays as `taskdeck.db.before-restore-TIME`. A
damaged one keeps its WAL and `-shm` file and is never written to.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from app.translation import tr, tr_noop
from db import raw_sql, timestamps
from db.error_translation import translate_error
from db.errors import (
    BusyDatabase,
    DamagedDatabase,
    DiskFull,
    NewerDatabase,
    Problem,
    Storage,
    UnreleasedDatabase,
    make_unreleased_error,
)
from db.maintenance import integrity, migrate
from db.readonly import find_faults, open_read_only
from db.restore import reconcile, salvage
from db.restore.merge.result import ReconcileResult
from db.restore.previous_databases import BEFORE_RESTORE_INFIX
from db.search import index_file
from db.sqlite_files import SIDE_SUFFIXES, fsync_path, make_existing_uri, remove_database

Rebuild = Callable[[Path], None]
"""Function that writes the image of a backup to a new file."""


@dataclass(frozen=True, slots=True)
class DatabaseContent:
    """Content of a database: tasks by status, and the newest task."""

    tasks: dict[str, int]
    newest: int | None
    newest_at: str | None


@dataclass(slots=True)
class PreparedRestore:
    """A database ready to replace the present one.

    `before` is None if the present one is unreadable.
    """

    path: Path
    before: DatabaseContent | None
    after: DatabaseContent
    carried: ReconcileResult
    present: str
    """State of the present database: `whole`, `damaged`, `empty` or `missing`."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "before": None if self.before is None else asdict(self.before),
            "after": asdict(self.after), "carried": asdict(self.carried),
            "present": self.present,
        }  # fmt: skip


def read_content(path: Path) -> DatabaseContent:
    """Return the content of a database. Raise Storage."""
    with open_read_only(path) as c:
        counted = dict(
            c.execute("SELECT status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY 1")
        )
        newest = c.execute(
            "SELECT number, created_at FROM tasks ORDER BY number DESC LIMIT 1"
        ).fetchone()
    return DatabaseContent(counted, *(newest or (None, None)))


class DamagedBackup(Storage):
    """A damaged backup.

    The present database is not at fault, so restore advice for it would not help.
    """

    code = "bad-backup"


def build_image(rebuild: Rebuild, target: Path, size: int, what: str = "backup") -> DatabaseContent:
    """Rebuild a backup of `size` bytes into `target` and check it; return its content.

    On failure nothing is left. `target` must not exist. Raise Problem.
    """
    require_space(target.parent, size)
    # a random name cannot clash with a user's file
    part = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
    try:
        rebuild(part)
        with _blame_backup(what):
            if _find_fault(part):
                _rebuild_indexes(part)
                _require_intact(part, what)
            _require_known_version(part, what)
            found = read_content(part)
        _checkpoint(part)
        os.chmod(part, 0o600)
        fsync_path(part)
        os.rename(part, target)
        fsync_path(target.parent)
        return found
    finally:
        remove_database(part)


def require_space(folder: Path, size: int) -> None:
    """Raise DiskFull if `size` bytes would not fit."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        message = tr(
            "the disk has {free} bytes free in {folder}, and {size} are needed. Nothing was"
            " restored.",
            free=free,
            folder=folder,
            size=size,
        )
        raise DiskFull(message, "Free space, then try again.")


@contextmanager
def _blame_backup(what: str) -> Iterator[None]:
    """Attribute damage to the backup instead of the temporary file made from it."""
    try:
        yield
    except DamagedDatabase as damage:
        raise _make_damaged(
            what, damage.why or "it cannot be read as a database of Taskdeck"
        ) from None


def _make_damaged(what: str, why: str) -> DamagedBackup:
    return DamagedBackup(
        "the {what} is damaged ({fault}). Nothing was restored.",
        "Choose another: taskdeck db backups",
        what=what,
        fault=" ".join(why.split()),
    )


def _find_fault(path: Path) -> str | None:
    """Return the first fault of an image, or None. Raise Storage."""
    with open_read_only(path) as c:
        return next(iter(find_faults(c, 1)), None)


def _rebuild_indexes(path: Path) -> None:
    """Rebuild the indexes of an image: an increment does not compare them with the rows."""
    with (
        suppress(*raw_sql.DRIVER_ERRORS),  # damage of another kind
        closing(sqlite3.connect(make_existing_uri(path), uri=True)) as c,
    ):
        c.execute("REINDEX")


def _require_intact(path: Path, what: str) -> None:
    """Raise DamagedBackup if the image is damaged."""
    if fault := _find_fault(path):
        raise _make_damaged(what, fault)


def _require_known_version(path: Path, what: str) -> None:
    """Raise NewerDatabase if the image has a later version than this program."""
    try:
        migrate.read_version(path)
    except NewerDatabase:
        raise NewerDatabase(
            "the {what} is newer than this program. Nothing was restored.",
            "Upgrade Taskdeck.",
            what=what,
        ) from None


def _require_schema(path: Path, revision: str, what: str) -> None:
    """Raise Storage if the image lacks tables or columns of its revision."""
    try:
        with _blame_backup(what):
            migrate.require_schema(path, revision)
    except UnreleasedDatabase:
        raise make_unreleased_error(
            tr_noop(
                "the {what} is from before revisions were renumbered, and commit {commit} is"
                " the last that opens its database. No version upgrades it. Nothing was restored."
            ),
            what=what,
        ) from None


@contextmanager
def prepare_restore(
    rebuild: Rebuild,
    present: Path,
    size: int,
    list_observed: Callable[[], Sequence[reconcile.ObservedRun]],
    highest: int,
    by: str,
    what: str,
    is_dry_run: bool = False,
    idle: bool = False,
    lacks: Callable[[Path], bool] = lambda path: False,
    passed: Sequence[tuple[int, int]] = (),
    latest: bool = True,
) -> Iterator[PreparedRestore]:
    """Yield the backup, reconciled with the present database.

    The file is removed afterwards unless it was swapped in. The caller holds the runtime lock,
    except for a dry run, which only reads. `list_observed` returns the runs known to keeper and
    logs. `highest`: highest number known to be used. `passed`: skipped number ranges. `by` and
    `what` are author and object in the operation log. `idle`: no number was assigned since the last
    backup, which is this one if it is the `latest`. `lacks` tells if a readable database lacks its
    latest writes; unknown while a runtime writes. Raise Storage if only permissions or a lock
    prevent reading the present database, because changes since the backup are in it.
    """
    path = present.with_name(f"{present.name}.restoring{os.getpid() if is_dry_run else ''}")
    if not is_dry_run:
        clean_up(present)
    remove_database(path)
    source = _find_with_wal(present)
    _require_readable(source)
    try:
        build_image(rebuild, path, size, what)
        revision = str(migrate.read_version(path))
        if revision != migrate.HEAD:
            _require_schema(path, revision, what)
            migrate.upgrade(path)
        behind = _lacks_writes(source, lacks)
        sound = is_intact(source) and not has_unfinished_swap(present) and not behind
        before = _try_read_content(source)
        old = source if source.exists() else None
        facts = reconcile.RestoreFacts(
            list_observed, highest, by, what, idle, behind, passed, latest
        )
        carried = reconcile.reconcile(path, old, sound, facts)
        _checkpoint(path)
        _require_intact(path, what)
        yield PreparedRestore(
            path, before, read_content(path), carried, "whole" if sound else _describe_state(source)
        )
    except raw_sql.DRIVER_ERRORS as error:
        raise translate_error(error, path) or Problem(
            "the backup cannot be restored ({error}). Nothing was changed.", error=error
        ) from error
    finally:
        remove_database(path)


def require_file(path: Path) -> None:
    """Raise Storage if the database path is no regular file.

    SQLite might wait for it forever.
    """
    if path.exists() and not path.is_file():
        away = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.away')}"
        raise Storage(
            "the database is not a file: {path}. Nothing was done.",
            "Move it away: {away}",
            path=path,
            away=away,
        )


def _require_readable(source: Path) -> None:
    """Raise Storage if the database or its WAL exists but may not be read."""
    require_file(source)
    files = [file for file in (source, Path(f"{source}-wal")) if file.exists()]
    for file in files:
        if not os.access(file, os.R_OK):
            message = tr(
                "the database cannot be read: permission denied: {file}. It holds changes"
                " made since the backup. Nothing was restored.",
                file=file,
            )
            away = " && ".join(
                f"mv {shlex.quote(str(one))} {shlex.quote(f'{one}.unread')}" for one in files
            )
            raise Storage(message, f"Check its owner. To restore without it: {away}")


def _lacks_writes(path: Path, lacks: Callable[[Path], bool]) -> bool:
    try:
        return lacks(path)
    except Problem:
        return False


def is_intact(path: Path) -> bool:
    """Return True if the database is undamaged and has all required tables.

    Raise BusyDatabase.
    """
    try:
        with open_read_only(path) as c:
            there = {
                row[0] for row in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        return there >= salvage.REQUIRED_TABLES and not integrity.find_damage(path)
    except BusyDatabase:
        raise
    except Problem:
        return False


def _describe_state(path: Path) -> str:
    """Return the state of a database that is not intact."""
    if not path.exists():
        return "missing"
    return "damaged" if path.stat().st_size else "empty"


def _try_read_content(path: Path) -> DatabaseContent | None:
    try:
        return read_content(path)
    except Problem:
        return None


def swap_in(ready: PreparedRestore, present: Path) -> Path | None:
    """Swap the prepared file in; return the path of the previous database, if any.

    A damaged database is kept with its WAL, untouched. The old WAL moves away before the new file
    arrives: SQLite would apply it to the new file.
    """
    old_path, was_there = _make_kept_path(present), present.exists()
    fsync_path(ready.path)
    if ready.present == "whole":
        _checkpoint(present)
    with _moved_away(present, old_path, ready.path):
        os.rename(ready.path, present)
    index_file.remove_index(index_file.get_index_path(present))  # it is rebuilt later
    fsync_path(present.parent)
    return old_path if was_there else None


def move_side_files(present: Path) -> None:
    """Move the WAL of a missing database away. Raise OSError.

    SQLite would apply it to the next database.
    """
    old_path = _make_kept_path(present)
    for ending in _list_side_files(present):
        os.rename(f"{present}{ending}", f"{old_path}{ending}")
    fsync_path(present.parent)


def _make_kept_path(present: Path) -> Path:
    return present.with_name(
        f"{present.name}{BEFORE_RESTORE_INFIX}{timestamps.now()[:26].replace(':', '')}"
    )


def _list_side_files(path: Path) -> list[str]:
    """Return the suffixes of the existing side files."""
    return [ending for ending in SIDE_SUFFIXES if os.path.lexists(f"{path}{ending}")]


@contextmanager
def _moved_away(present: Path, old_path: Path, new: Path) -> Iterator[None]:
    """Move the present database and its side files to `old_path`, and back on failure.

    A marker file records the unfinished swap.
    """
    side_files = _list_side_files(present)
    if present.exists() and not _try_link(present, old_path):
        side_files.append("")
    try:
        if side_files:
            _write_marker(present, new, old_path)
        for ending in side_files:
            os.rename(f"{present}{ending}", f"{old_path}{ending}")
        fsync_path(present.parent)
        yield
    except OSError:
        _move_back(present, old_path)
        raise
    fsync_path(present.parent)
    _get_marker_path(present).unlink(missing_ok=True)


def _move_back(present: Path, old_path: Path) -> None:
    """Move the database and its side files back. Safe to repeat after a kill."""
    for ending in _list_side_files(old_path):
        os.rename(f"{old_path}{ending}", f"{present}{ending}")
    with suppress(FileNotFoundError):
        if not present.exists():
            os.rename(old_path, present)
        elif os.path.samefile(present, old_path):
            old_path.unlink()
    fsync_path(present.parent)
    _get_marker_path(present).unlink(missing_ok=True)


def has_unfinished_swap(present: Path) -> bool:
    """Return True if a restore was killed in the middle of the swap.

    The old database or its WAL is moved away, and the new one is not in place.
    """
    return (marker := _read_marker(present)) is not None and not marker.matches(present)


class _SwapMarker(NamedTuple):
    """Marker of a swap.

    Inode and sha256 of the new database, and the path of the old one. The sha256 identifies the
    database in a copy of the home too.
    """

    inode: str
    sha256: str
    kept: Path

    def matches(self, path: Path) -> bool:
        """Return True if the file at `path` is the new database."""
        return path.exists() and (
            str(path.stat().st_ino) == self.inode or _hash_file(path) == self.sha256
        )


def _read_marker(present: Path) -> _SwapMarker | None:
    """Return the marker of an unfinished restore, or None.

    A marker that a killed process left incomplete counts as none.
    """
    try:
        inode, sha256, old_path = _get_marker_path(present).read_text("ascii", "replace").split()
        return _SwapMarker(inode, sha256, present.with_name(old_path))
    except (FileNotFoundError, ValueError):
        return None


def _write_marker(present: Path, new: Path, old_path: Path) -> None:
    mark = _get_marker_path(present)
    mark.write_text(f"{new.stat().st_ino} {_hash_file(new)} {old_path.name}", "ascii")
    fsync_path(mark)
    fsync_path(present.parent)


def _get_marker_path(present: Path) -> Path:
    return present.with_name(f"{present.name}.unfinished")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_with_wal(present: Path) -> Path:
    """Return the present database at the path where its WAL is.

    A trial leaves the WAL where a killed restore moved it.
    """
    marker = _read_marker(present)
    is_moved = (
        marker is not None
        and not marker.matches(present)
        and marker.kept.exists()
        and "-wal" in _list_side_files(marker.kept)
    )
    return marker.kept if marker and is_moved else present


def clean_up(present: Path) -> None:
    """Clean up after a killed restore: remove its files and undo or finish the swap.

    The caller holds the runtime lock, which a trial does not need.
    """
    for path in present.parent.glob(f"{present.name}.restoring*"):
        if not _is_trial_running(path.name.removeprefix(f"{present.name}.restoring")):
            remove_database(path)
    if not (mark := _get_marker_path(present)).exists():
        return
    if (marker := _read_marker(present)) is not None and not marker.matches(present):
        _move_back(present, marker.kept)
    else:
        index_file.remove_index(index_file.get_index_path(present))
    mark.unlink(missing_ok=True)


def _is_trial_running(ending: str) -> bool:
    """Return True if the process of a trial, named by the file name, is alive."""
    pid = ending.split(".")[0].split("-")[0]
    return (
        pid.isascii() and pid.isdigit() and int(pid) != os.getpid() and psutil.pid_exists(int(pid))
    )


NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""Errors of a file system without hard links."""


def _try_link(path: Path, old_path: Path) -> bool:
    """Add a second link to the file, so that a database exists at every moment.

    Return False if the file system has no hard links.
    """
    try:
        os.link(path, old_path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS or os.path.lexists(old_path):
            raise
        return False
    return True


def _checkpoint(path: Path) -> None:
    """Checkpoint and remove the WAL through SQLite."""
    with closing(
        sqlite3.connect(make_existing_uri(path), uri=True, timeout=10, isolation_level=None)
    ) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
