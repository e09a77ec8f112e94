"""A home made ready: the database at this version, with the pool and queue that every home has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from app import paths
from app.errors import Storage
from app.home.database_presence import CLOSED, check_in_place
from app.service.database.integrity import lacking
from db.defaults import seed
from db.engine import Database
from db.errors import ReadOnlyDisk
from db.maintenance import integrity, migrate
from db.restore import swap
from db.sqlite_files import BESIDE


def look_over(home: Path) -> None:
    """Look for damage where the last runtime did not let go of the database in peace. Raises DamagedDatabase; nothing is written.
    Raises ReadOnlyDisk where the database may not be written: SQLite would open it all the same, and for good.

    The caller holds the lock.
    """
    path = paths.database(home)
    swap.sweep(path)
    check_in_place(home)
    for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in BESIDE)):
        if file.exists() and not os.access(file, os.W_OK):
            said = f"the database cannot be written: {file} is read-only. No runtime was started."
            raise ReadOnlyDisk(said, "See whose it is, and whether its disk can be written.")
    if unsure(home):
        integrity.quick(path)  # 1.5 s for 1 GiB
        refuse_behind(home)


def refuse_behind(home: Path) -> None:
    """Raises BehindDatabase where what was written last is missing, while nobody writes."""
    if lost := lacking(home):
        raise integrity.behind(paths.database(home), lost[0])


def unsure(home: Path) -> bool:
    """Whether the database is another file than the one that a runtime let go of in peace, or has a log."""
    try:
        found = _mark(home)
    except FileNotFoundError:
        return False
    try:
        return found.startswith("a log") or (home / "run" / CLOSED).read_text("ascii", "replace") != found
    except OSError:
        return True


@contextmanager
def let_go_in_peace(home: Path, opened: Sequence[Database]) -> Iterator[None]:
    """While a runtime has the database there is no mark; it comes when what was `opened` was closed without trouble, and found whole."""
    (home / "run" / CLOSED).unlink(missing_ok=True)
    yield
    if any(db.damage for db in opened):
        return
    with suppress(OSError):  # without it the next one has a look
        (home / "run" / CLOSED).write_text(_mark(home), "ascii")


def _mark(home: Path) -> str:
    """What tells the database's file from what it was: told by the folder, for nobody but SQLite may open it."""
    path = paths.database(home)
    found, log = path.stat(), path.with_name(f"{path.name}-wal")
    with_log = log.exists() and log.stat().st_size > 0
    return "a log" if with_log else f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def prepare_apart(home: Path) -> None:
    """`prepare` where there is work to do; an upgrade in a process of its own: Alembic takes 50 MB that a runtime would keep for life.

    It shares the runtime's lock and ends by itself, so that a runtime killed meanwhile leaves nothing behind that holds it.
    """
    look_over(home)
    found = migrate.version_of(paths.database(home))
    if found == migrate.HEAD:
        return
    if found is None:
        prepare(home)
        return
    context = get_context("fork")
    ours, its = context.Pipe(duplex=False)
    apart = context.Process(target=_prepare_and_tell, args=(home, its))
    apart.start()
    its.close()
    error = _answer(ours)
    apart.join()
    if error is not None:
        raise error


def _prepare_and_tell(home: Path, pipe: Pipe) -> None:
    try:
        prepare(home)
    except Exception as error:
        pipe.send(error)
    else:
        pipe.send(None)


def _answer(pipe: Pipe) -> Exception | None:
    try:
        return pipe.recv()
    except EOFError:
        return Storage("the process that prepares the database was ended.", "Try again.")


def prepare(home: Path) -> list[str]:
    """Make or upgrade the database, and what a fresh one holds; what was done. The caller holds the lock."""
    path = paths.database(home)
    check_in_place(home)
    return migrate.migrate(path, seed)
