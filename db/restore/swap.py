"""A database put back from an image: made beside, checked, brought up to what came since, and put in place in one step.

Nothing of the present database is changed before that. It stays beside as `taskdeck.db.before-restore-TIME`; where it is damaged, its log
and the index of that stay with it, as they were, and nothing is ever written to it.
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

from db import raw_sql, timestamps
from db.error_translation import translate_error
from db.errors import BusyDatabase, DamagedDatabase, DiskFull, NewerDatabase, Problem, Storage
from db.maintenance import integrity, migrate
from db.readonly import find_faults, open_read_only
from db.restore import reconcile
from db.restore.previous_databases import BEFORE_RESTORE_INFIX
from db.search import index_file
from db.sqlite_files import SIDE_SUFFIXES, existing_uri, fsync_path, remove_database

Rebuild = Callable[[Path], None]
"""Makes a file, which is not there yet, that holds the image of a backup."""


@dataclass(frozen=True, slots=True)
class DatabaseContent:
    """What a database holds: tasks by status, and its newest task."""

    tasks: dict[str, int]
    newest: int | None
    newest_at: str | None


@dataclass(slots=True)
class PreparedRestore:
    """A database ready to take the place of the present one. `before` is None where that cannot be read."""

    path: Path
    before: DatabaseContent | None
    after: DatabaseContent
    carried: reconcile.ReconcileResult
    present: str
    """How the present database is: `whole`, `damaged`, `empty` or `missing`."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "before": None if self.before is None else asdict(self.before), "after": asdict(self.after), "carried": asdict(self.carried),
            "present": self.present,
        }  # fmt: skip


def read_content(path: Path) -> DatabaseContent:
    """What is in a database. Raises Storage."""
    with open_read_only(path) as c:
        counted = dict(c.execute("SELECT status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY 1"))
        newest = c.execute("SELECT number, created_at FROM tasks ORDER BY number DESC LIMIT 1").fetchone()
    return DatabaseContent(counted, *(newest or (None, None)))


class DamagedBackup(Storage):
    """What is to be restored is not whole: none of the present database's faults, and no other backup is of help to it."""

    code = "bad-backup"


def build_image(rebuild: Rebuild, target: Path, size: int, what: str = "backup") -> DatabaseContent:
    """Rebuild `size` bytes of `what` into `target`, whole and checked or not at all; what it holds. Raises Problem; a file that is there
    is none of ours."""
    require_space(target.parent, size)
    part = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")  # no file of the user's has that name
    try:
        rebuild(part)
        with _blame_backup(what):
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
    """Raises DiskFull where `size` bytes would not fit."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        said = f"the disk has {free} bytes free in {folder}, and {size} are needed. Nothing was restored."
        raise DiskFull(said, "Free space, then try again.")


@contextmanager
def _blame_backup(what: str) -> Iterator[None]:
    """Damage that is met is told of what is to be restored, and not of the file that is made of it for a while."""
    try:
        yield
    except DamagedDatabase as damage:
        raise _make_damaged(what, damage.why or "it cannot be read as a database of Taskdeck") from None


def _make_damaged(what: str, why: str) -> DamagedBackup:
    return DamagedBackup(f"the {what} is damaged ({' '.join(why.split())}). Nothing was restored.", "Choose another: taskdeck db backups")


def _require_intact(path: Path, what: str) -> None:
    """Raises DamagedBackup when the image is not whole."""
    with open_read_only(path) as c:
        wrong = find_faults(c, 1)
    if wrong:
        raise _make_damaged(what, wrong[0])


def _require_known_version(path: Path, what: str) -> None:
    """Raises NewerDatabase when the image is of a later version than this program."""
    try:
        migrate.read_version(path)
    except NewerDatabase:
        raise NewerDatabase(f"the {what} is newer than this program. Nothing was restored.", "Upgrade Taskdeck.") from None


@contextmanager
def prepare_restore(
    rebuild: Rebuild, present: Path, size: int, traces: Callable[[], Sequence[reconcile.ObservedRun]], highest: int, by: str, what: str,
    trial: bool = False, idle: bool = False, lacks: Callable[[Path], bool] = lambda path: False,
    passed: Sequence[tuple[int, int]] = (), latest: bool = True,
) -> Iterator[PreparedRestore]:
    """The image, of `size` bytes, brought up to date beside the database `present`; it is gone afterwards unless it was put in place.
    The caller holds the runtime's lock, except for a `trial`, which only looks. `traces`: the runs that keeper and logs show; `highest`:
    the highest number that is known to have been given, and what was `passed` over; `by` restores `what`, as the log of operations names
    them; `idle`: none was given since the last backup, which this is where it is the `latest`; `lacks`: whether a database that can be
    read lacks what was written last, which nobody can tell while a runtime writes. Raises Storage for a present database that only this
    user or this moment keeps from being read: what came since is in it."""
    path = present.with_name(f"{present.name}.restoring{os.getpid() if trial else ''}")
    if not trial:
        clean_up(present)
    remove_database(path)
    source = _find_with_wal(present)
    _require_readable(source)
    try:
        build_image(rebuild, path, size, what)
        if migrate.read_version(path) != migrate.HEAD:
            migrate.upgrade(path)
        behind = _lacks_writes(source, lacks)
        sound = is_intact(source) and not has_unfinished_swap(present) and not behind
        before = _try_read_content(source)
        old = source if source.exists() else None
        carried = reconcile.reconcile(path, old, sound, traces, highest, by, what, idle, behind, passed, latest)
        _checkpoint(path)
        _require_intact(path, what)
        yield PreparedRestore(path, before, read_content(path), carried, "whole" if sound else _describe_state(source))
    except raw_sql.DRIVER_ERRORS as error:
        raise translate_error(error, path) or Problem(f"the backup cannot be restored ({error}). Nothing was changed.") from error
    finally:
        remove_database(path)


def require_file(path: Path) -> None:
    """Raises Storage where something else than a file has the name of the database: SQLite may wait for it for ever."""
    if path.exists() and not path.is_file():
        away = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.away')}"
        raise Storage(f"the database is no file: {path}. Nothing was done.", f"Move it away: {away}")


def _require_readable(source: Path) -> None:
    """Raises Storage where the database is no file, and where it or its log is there and may not be read, which is no damage."""
    require_file(source)
    files = [file for file in (source, Path(f"{source}-wal")) if file.exists()]
    for file in files:
        if not os.access(file, os.R_OK):
            said = f"the database cannot be read: permission denied: {file}. What was done since the backup is in it. Nothing was restored."
            away = " && ".join(f"mv {shlex.quote(str(one))} {shlex.quote(f'{one}.unread')}" for one in files)
            raise Storage(said, f"See whose it is. To do without it: {away}")


def _lacks_writes(path: Path, lacks: Callable[[Path], bool]) -> bool:
    try:
        return lacks(path)
    except Problem:
        return False


def is_intact(path: Path) -> bool:
    """Whether every page of a database can be read and is in order, and it has the tables of one of ours. Raises BusyDatabase."""
    try:
        with open_read_only(path) as c:
            there = {row[0] for row in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return there >= reconcile.REQUIRED_TABLES and not integrity.find_damage(path)
    except BusyDatabase:
        raise
    except Problem:
        return False


def _describe_state(path: Path) -> str:
    """How a database is that is not whole."""
    if not path.exists():
        return "missing"
    return "damaged" if path.stat().st_size else "empty"


def _try_read_content(path: Path) -> DatabaseContent | None:
    try:
        return read_content(path)
    except Problem:
        return None


def swap_in(ready: PreparedRestore, present: Path) -> Path | None:
    """Let the prepared file be the database; where the one before is kept. One that is damaged is kept with its log, untouched.

    The log goes before the new file comes: SQLite would take it for that one's.
    """
    kept, was_there = _make_kept_path(present), present.exists()
    fsync_path(ready.path)
    if ready.present == "whole":
        _checkpoint(present)
    with _moved_away(present, kept, ready.path):
        os.rename(ready.path, present)
    index_file.remove_index(index_file.get_index_path(present))  # it is made anew
    fsync_path(present.parent)
    return kept if was_there else None


def move_side_files(present: Path) -> None:
    """Put the log of a database that is missing aside, where the next one is to come: SQLite would take it for that one's. Raises
    OSError."""
    kept = _make_kept_path(present)
    for ending in _list_side_files(present):
        os.rename(f"{present}{ending}", f"{kept}{ending}")
    fsync_path(present.parent)


def _make_kept_path(present: Path) -> Path:
    return present.with_name(f"{present.name}{BEFORE_RESTORE_INFIX}{timestamps.now()[:26].replace(':', '')}")


def _list_side_files(path: Path) -> list[str]:
    """The ends of the names of what lies beside a database."""
    return [ending for ending in SIDE_SUFFIXES if os.path.lexists(f"{path}{ending}")]


@contextmanager
def _moved_away(present: Path, kept: Path, new: Path) -> Iterator[None]:
    """The present database is `kept`, with what lies beside it, until the `new` file comes, or all is as it was where that cannot come.
    A mark tells who finds it in between."""
    moved = _list_side_files(present)
    if present.exists() and not _try_link(present, kept):
        moved.append("")
    try:
        if moved:
            _write_marker(present, new, kept)
        for ending in moved:
            os.rename(f"{present}{ending}", f"{kept}{ending}")
        fsync_path(present.parent)
        yield
    except OSError:
        _move_back(present, kept)
        raise
    fsync_path(present.parent)
    _get_marker_path(present).unlink(missing_ok=True)


def _move_back(present: Path, kept: Path) -> None:
    """What was put aside as `kept` is the present database again, with its log. Killed in between, it is done again."""
    for ending in _list_side_files(kept):
        os.rename(f"{kept}{ending}", f"{present}{ending}")
    with suppress(FileNotFoundError):
        if not present.exists():
            os.rename(kept, present)
        elif os.path.samefile(present, kept):
            kept.unlink()
    fsync_path(present.parent)
    _get_marker_path(present).unlink(missing_ok=True)


def has_unfinished_swap(present: Path) -> bool:
    """Whether a restore was killed when the present database, or its log, was put aside and the new one was not there yet."""
    return (marked := _read_marker(present)) is not None and not marked.matches(present)


class _SwapMarker(NamedTuple):
    """The inode of the new database and its sha256, which a copy of the home has too; how the one before is kept."""

    inode: str
    sha256: str
    kept: Path

    def matches(self, path: Path) -> bool:
        """Whether the new one lies at `path`."""
        return path.exists() and (str(path.stat().st_ino) == self.inode or _hash_file(path) == self.sha256)


def _read_marker(present: Path) -> _SwapMarker | None:
    """What a restore that is not at its end has said; None where there is none, or it was killed while it said so."""
    try:
        inode, sha256, kept = _get_marker_path(present).read_text("ascii", "replace").split()
        return _SwapMarker(inode, sha256, present.with_name(kept))
    except (FileNotFoundError, ValueError):
        return None


def _write_marker(present: Path, new: Path, kept: Path) -> None:
    mark = _get_marker_path(present)
    mark.write_text(f"{new.stat().st_ino} {_hash_file(new)} {kept.name}", "ascii")
    fsync_path(mark)
    fsync_path(present.parent)


def _get_marker_path(present: Path) -> Path:
    return present.with_name(f"{present.name}.unfinished")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_with_wal(present: Path) -> Path:
    """The present database where its log lies: a trial leaves it where a restore that was killed has put it."""
    marked = _read_marker(present)
    aside = marked is not None and not marked.matches(present) and marked.kept.exists() and "-wal" in _list_side_files(marked.kept)
    return marked.kept if marked and aside else present


def clean_up(present: Path) -> None:
    """Remove what a restore that was killed has left beside, and put back what it had put aside, or do what was left to do. The caller
    holds the runtime's lock, which a trial does without."""
    for path in present.parent.glob(f"{present.name}.restoring*"):
        if not _is_trial_running(path.name.removeprefix(f"{present.name}.restoring")):
            remove_database(path)
    if not (mark := _get_marker_path(present)).exists():
        return
    if (marked := _read_marker(present)) is not None and not marked.matches(present):
        _move_back(present, marked.kept)
    else:
        index_file.remove_index(index_file.get_index_path(present))
    mark.unlink(missing_ok=True)


def _is_trial_running(ending: str) -> bool:
    """Whether the trial whose pid a name goes on with lives."""
    pid = ending.split(".")[0].split("-")[0]
    return pid.isascii() and pid.isdigit() and int(pid) != os.getpid() and psutil.pid_exists(int(pid))


NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""What a file system says that has none."""


def _try_link(path: Path, kept: Path) -> bool:
    """Whether the file has a second name now, so that there is a database at every moment; False where the file system has none."""
    try:
        os.link(path, kept)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS or os.path.lexists(kept):
            raise
        return False
    return True


def _checkpoint(path: Path) -> None:
    """Write the log back into its file, through SQLite, which removes it."""
    with closing(sqlite3.connect(existing_uri(path), uri=True, timeout=10, isolation_level=None)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
