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
from app.home.database_presence import CLEAN_SHUTDOWN_FILE, check_database_present
from app.service.database.integrity import find_lost_writes
from db.defaults import create_defaults
from db.engine import Database
from db.errors import ReadOnlyDisk
from db.maintenance import integrity, migrate
from db.restore import swap
from db.sqlite_files import SIDE_SUFFIXES


def verify_before_start(home: Path) -> None:
    """Look for damage where the last runtime did not let go of the database in peace. Raises DamagedDatabase; nothing is written.
    Raises ReadOnlyDisk where the database may not be written: SQLite would open it all the same, and for good.

    The caller holds the lock.
    """
    path = paths.database_path(home)
    swap.clean_up(path)
    check_database_present(home)
    for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in SIDE_SUFFIXES)):
        if file.exists() and not os.access(file, os.W_OK):
            said = f"the database cannot be written: {file} is read-only. No runtime was started."
            raise ReadOnlyDisk(said, "See whose it is, and whether its disk can be written.")
    if was_unclean_shutdown(home):
        integrity.check_pages(path)  # 1.5 s for 1 GiB
        require_latest_writes(home)


def require_latest_writes(home: Path) -> None:
    """Raises BehindDatabase where what was written last is missing, while nobody writes."""
    if lost := find_lost_writes(home):
        raise integrity.make_behind_error(paths.database_path(home), lost[0])


def was_unclean_shutdown(home: Path) -> bool:
    """Whether the database is another file than the one that a runtime let go of in peace, or has a log."""
    try:
        found = _identify_database(home)
    except FileNotFoundError:
        return False
    try:
        return found.startswith("a log") or (home / "run" / CLEAN_SHUTDOWN_FILE).read_text("ascii", "replace") != found
    except OSError:
        return True


@contextmanager
def mark_clean_shutdown(home: Path, opened: Sequence[Database]) -> Iterator[None]:
    """While a runtime has the database there is no mark; it comes when what was `opened` was closed without trouble, and found whole."""
    (home / "run" / CLEAN_SHUTDOWN_FILE).unlink(missing_ok=True)
    yield
    if any(db.damage for db in opened):
        return
    with suppress(OSError):  # without it the next one has a look
        (home / "run" / CLEAN_SHUTDOWN_FILE).write_text(_identify_database(home), "ascii")


def _identify_database(home: Path) -> str:
    """What tells the database's file from what it was: told by the folder, for nobody but SQLite may open it."""
    path = paths.database_path(home)
    found, log = path.stat(), path.with_name(f"{path.name}-wal")
    with_log = log.exists() and log.stat().st_size > 0
    return "a log" if with_log else f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def prepare_in_subprocess(home: Path) -> None:
    """`prepare` where there is work to do; an upgrade in a process of its own: Alembic takes 50 MB that a runtime would keep for life.

    It shares the runtime's lock and ends by itself, so that a runtime killed meanwhile leaves nothing behind that holds it.
    """
    verify_before_start(home)
    found = migrate.read_version(paths.database_path(home))
    if found == migrate.HEAD:
        return
    if found is None:
        prepare_database(home)
        return
    context = get_context("fork")
    ours, its = context.Pipe(duplex=False)
    apart = context.Process(target=_prepare_and_send, args=(home, its))
    apart.start()
    its.close()
    error = _receive_result(ours)
    apart.join()
    if error is not None:
        raise error


def _prepare_and_send(home: Path, pipe: Pipe) -> None:
    try:
        prepare_database(home)
    except Exception as error:
        pipe.send(error)
    else:
        pipe.send(None)


def _receive_result(pipe: Pipe) -> Exception | None:
    try:
        return pipe.recv()
    except EOFError:
        return Storage("the process that prepares the database was ended.", "Try again.")


def prepare_database(home: Path) -> list[str]:
    """Make or upgrade the database, and what a fresh one holds; what was done. The caller holds the lock."""
    path = paths.database_path(home)
    check_database_present(home)
    return migrate.migrate(path, create_defaults)
