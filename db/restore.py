"""A database put back from an image: made beside, checked, brought up to what came since, and put in place in one step.

Nothing of the present database is changed before that. It stays beside as `taskdeck.db.before-restore-TIME`; where it is damaged, its log
and the index of that stay with it, as they were, and nothing is ever written to it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from db import check, clock, index, ledger, migrate
from db.engine import explain
from db.errors import DamagedDatabase, DiskFull, Problem
from db.files import existing_uri

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of the names."""
KEPT = ".before-restore-"
Rebuild = Callable[[Path], None]
"""Makes a file, which is not there yet, that holds the image of a backup."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What a database holds: tasks by status, and its newest task."""

    tasks: dict[str, int]
    newest: int | None
    newest_at: str | None


@dataclass(slots=True)
class Prepared:
    """A database ready to take the place of the present one. `before` is None where that cannot be read."""

    path: Path
    before: Stand | None
    after: Stand
    carried: ledger.Carried
    present: str
    """How the present database is: `whole`, `damaged`, `empty` or `missing`."""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "before": None if self.before is None else asdict(self.before), "after": asdict(self.after), "carried": asdict(self.carried),
            "present": self.present,
        }  # fmt: skip


def stand(path: Path) -> Stand:
    """What is in a database. Raises Storage."""
    with check.reading(path) as c:
        counted = dict(c.execute("SELECT status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY 1"))
        newest = c.execute("SELECT number, created_at FROM tasks ORDER BY number DESC LIMIT 1").fetchone()
    return Stand(counted, *(newest or (None, None)))


def image(rebuild: Rebuild, target: Path, size: int) -> Stand:
    """Rebuild `size` bytes into `target`, whole and checked or not at all; what it holds. Raises Problem; a file that is there is none
    of ours."""
    room(target.parent, size)
    part = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")  # no file of the user's has that name
    try:
        rebuild(part)
        _sound(part)
        found = stand(part)
        _fold(part)
        os.chmod(part, 0o600)
        _sync(part)
        os.rename(part, target)
        _sync(target.parent)
        return found
    finally:
        _remove(part)


def room(folder: Path, size: int) -> None:
    """Raises DiskFull where `size` bytes would not fit."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        said = f"the disk has {free} bytes free in {folder}, and {size} are needed. Nothing was restored."
        raise DiskFull(said, "Free space, then try again.")


def _sound(path: Path) -> None:
    """Raises DamagedDatabase when the image is not whole."""
    with check.reading(path) as c:
        wrong = [row[0] for row in c.execute("PRAGMA integrity_check(1)") if row[0] != "ok"]
    if wrong:
        said = f"the backup is damaged ({' '.join(wrong[0].split())}). Nothing was restored."
        raise DamagedDatabase(said, "Choose another: taskdeck db backups")


@contextmanager
def prepared(
    rebuild: Rebuild, present: Path, size: int, traces: Callable[[], Sequence[ledger.Trace]], highest: int, by: str, what: str,
    trial: bool = False, idle: bool = False,
) -> Iterator[Prepared]:
    """The image, of `size` bytes, brought up to date beside the database `present`; it is gone afterwards unless it was put in place.
    The caller holds the runtime's lock, except for a `trial`, which only looks. `traces`: the runs that keeper and logs show; `highest`:
    the highest number in any backup; `by` restores `what`, as the log of operations names them; `idle`: none was given since."""
    path = present.with_name(f"{present.name}.restoring{os.getpid() if trial else ''}")
    _remove(path)
    try:
        image(rebuild, path, size)
        if migrate.version_of(path) != migrate.HEAD:
            migrate.upgrade(path)
        sound = is_sound(present) and not unfinished(present)
        before = _stand_of(present)
        carried = ledger.carry_over(path, present if present.exists() else None, sound, traces, highest, by, what, idle)
        _fold(path)
        _sound(path)
        yield Prepared(path, before, stand(path), carried, "whole" if sound else _how(present))
    except sqlite3.Error as error:
        raise explain(error, path) or Problem(f"the backup cannot be restored ({error}). Nothing was changed.") from error
    finally:
        _remove(path)


def is_sound(path: Path) -> bool:
    """Whether every page of a database can be read and is in order, and it has the tables of one of ours."""
    try:
        with check.reading(path) as c:
            there = {row[0] for row in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return there >= ledger.NEEDED and [row[0] for row in c.execute("PRAGMA integrity_check(1)")] == ["ok"]
    except Problem:
        return False


def _how(path: Path) -> str:
    """How a database is that is not whole."""
    if not path.exists():
        return "missing"
    return "damaged" if path.stat().st_size else "empty"


def _stand_of(path: Path) -> Stand | None:
    try:
        return stand(path)
    except Problem:
        return None


def put_in_place(ready: Prepared, present: Path) -> Path | None:
    """Let the prepared file be the database; where the one before is kept. One that is damaged is kept with its log, untouched.

    The log goes before the new file comes: SQLite would take it for that one's.
    """
    kept = present.with_name(f"{present.name}{KEPT}{clock.now()[:26].replace(':', '')}")
    was_there = present.exists()
    _sync(ready.path)
    if was_there:
        if ready.present == "whole":
            _fold(present)
        _link(present, kept)
    with _logs_aside(present, kept, ready.path):
        os.rename(ready.path, present)
    _remove(index.beside(present))  # it is made anew
    _sync(present.parent)
    return kept if was_there else None


@contextmanager
def _logs_aside(present: Path, kept: Path, new: Path) -> Iterator[None]:
    """What lies beside goes with the kept one, and comes back where the `new` file cannot come. A mark tells who finds it in between."""
    mark, moved = _mark(present), [ending for ending in BESIDE if os.path.lexists(f"{present}{ending}")]
    if moved:
        mark.write_text(str(new.stat().st_ino), "ascii")
        _sync(mark)
        _sync(present.parent)
    try:
        for ending in moved:
            os.rename(f"{present}{ending}", f"{kept}{ending}")
        _sync(present.parent)
        yield
    except OSError:
        for ending in moved:
            with suppress(FileNotFoundError):
                os.rename(f"{kept}{ending}", f"{present}{ending}")
        if moved:
            mark.unlink()
        raise
    _sync(present.parent)
    mark.unlink(missing_ok=True)


def unfinished(present: Path) -> bool:
    """Whether a restore was killed when the log of the present database was put aside and the new one was not there yet."""
    try:
        return _mark(present).read_text("ascii", "replace") != str(present.stat().st_ino)
    except FileNotFoundError:
        return False


def _mark(present: Path) -> Path:
    return present.with_name(f"{present.name}.unfinished")


@dataclass(frozen=True, slots=True)
class Kept:
    """A database that a restore has put aside at the stored time `at`; `bytes` with the log that may lie beside it."""

    path: Path
    at: str
    bytes: int

    def copy(self, target: Path) -> None:
        """Make `target` one like it, with the log beside it. Raises OSError."""
        for ending in ("", "-wal"):
            if (source := Path(f"{self.path}{ending}")).exists():
                shutil.copyfile(source, f"{target}{ending}")


def kept(present: Path) -> list[Kept]:
    """What restores have put aside, oldest first. Raises OSError."""
    return [Kept(path, at, _bytes(path)) for path, at in _put_aside(present).items() if path.exists()]


def _bytes(path: Path) -> int:
    return sum(one.stat().st_size for ending in ("", *BESIDE) if (one := Path(f"{path}{ending}")).exists())


def prune_kept(present: Path, keep: float) -> None:
    """Remove what was put aside more than `keep` seconds ago, but for the newest database. Raises OSError."""
    since, newest = clock.stamp(clock.utcnow() - timedelta(seconds=keep)), [one.path for one in kept(present)[-1:]]
    for path, at in _put_aside(present).items():
        if at < since and path not in newest:
            _remove(path)


_KEPT_AT = re.compile(f"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}})([0-9]{{2}})([0-9]{{2}}[.][0-9]{{6}})(?:{'|'.join(BESIDE)})?")


def _put_aside(present: Path) -> dict[Path, str]:
    """The stored times by the paths, oldest first; of a database that was missing only the log may have been put there."""
    found = {}
    for path in present.parent.glob(f"{present.name}{KEPT}*"):
        if match := _KEPT_AT.fullmatch(path.name.removeprefix(f"{present.name}{KEPT}")):
            hour, minute, second = match.groups()
            found[present.with_name(f"{present.name}{KEPT}{hour}{minute}{second}")] = f"{hour}:{minute}:{second}Z"
    return dict(sorted(found.items(), key=lambda one: one[1]))


def sweep(present: Path) -> None:
    """Remove what a restore that was killed has left beside. The caller holds the runtime's lock, which a trial does without."""
    for path in present.parent.glob(f"{present.name}.restoring*"):
        if not _at_work(path.name.removeprefix(f"{present.name}.restoring")):
            _remove(path)


def _at_work(ending: str) -> bool:
    """Whether the trial whose pid a name goes on with lives."""
    pid = ending.split(".")[0].split("-")[0]
    return pid.isascii() and pid.isdigit() and int(pid) != os.getpid() and psutil.pid_exists(int(pid))


NO_SECOND_NAME = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""What a file system says that has none."""


def _link(path: Path, kept: Path) -> None:
    """A second name, so that there is a database at every moment; where the file system has none, the first is given up."""
    try:
        os.link(path, kept)
    except OSError as error:
        if error.errno not in NO_SECOND_NAME or os.path.lexists(kept):
            raise
        os.rename(path, kept)


def _fold(path: Path) -> None:
    """Write the log back into its file, through SQLite, which removes it."""
    with closing(sqlite3.connect(existing_uri(path), uri=True, timeout=10, isolation_level=None)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _remove(path: Path) -> None:
    for ending in ("", *BESIDE):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file that nobody has open, or a folder, on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
