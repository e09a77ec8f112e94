"""Home setup: current database version, first-start checks, clean-shutdown marker."""

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
from app.translation import tr
from db.defaults import create_defaults
from db.engine import Database
from db.errors import ReadOnlyDisk
from db.maintenance import integrity, migrate
from db.restore import swap
from db.sqlite_files import SIDE_SUFFIXES


def verify_before_start(home: Path) -> None:
    """Check the home before a start, without writing. The caller holds the lock.

    After an unclean shutdown, check the database and raise DamagedDatabase. Raise ReadOnlyDisk if
    the database cannot be written, because SQLite would open it read-only for good.
    """
    path = paths.get_database_path(home)
    swap.clean_up(path)
    check_database_present(home)
    for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in SIDE_SUFFIXES)):
        if file.exists() and not os.access(file, os.W_OK):
            said = tr(
                "the database cannot be written: {file} is read-only. No runtime was started.",
                file=file,
            )
            raise ReadOnlyDisk(said, "Check its owner, and that its disk is writable.")
    if was_unclean_shutdown(home):
        integrity.check_pages(path)  # takes 1.5 s per GiB
        require_latest_writes(home)


def require_latest_writes(home: Path) -> None:
    """Raise BehindDatabase if the latest writes are missing. Nobody may be writing."""
    if lost := find_lost_writes(home):
        raise integrity.make_behind_error(paths.get_database_path(home), lost[0])


def was_unclean_shutdown(home: Path) -> bool:
    """Return True after an unclean shutdown.

    The database file differs from the one in the clean-shutdown marker, or has a WAL.
    """
    try:
        found = _identify_database(home)
    except FileNotFoundError:
        return False
    try:
        return (
            found.startswith("a log")
            or (home / "run" / CLEAN_SHUTDOWN_FILE).read_text("ascii", "replace") != found
        )
    except OSError:
        return True


@contextmanager
def mark_clean_shutdown(home: Path, databases: Sequence[Database]) -> Iterator[None]:
    """Remove the clean-shutdown marker, and write it again on a clean exit.

    A clean exit means that all `databases` closed without error and without damage.
    """
    (home / "run" / CLEAN_SHUTDOWN_FILE).unlink(missing_ok=True)
    yield
    if any(db.damage for db in databases):
        return
    with suppress(OSError):  # without a marker, the next start checks the database
        (home / "run" / CLEAN_SHUTDOWN_FILE).write_text(_identify_database(home), "ascii")


def _identify_database(home: Path) -> str:
    """Return inode, size and time of the database file, or `a log` if it has a WAL.

    The values come from the directory entry, because only SQLite may open the file.
    """
    path = paths.get_database_path(home)
    found, log = path.stat(), path.with_name(f"{path.name}-wal")
    with_log = log.exists() and log.stat().st_size > 0
    return "a log" if with_log else f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def prepare_in_subprocess(home: Path) -> None:
    """Prepare the database if necessary, upgrading it in a subprocess.

    Alembic takes 50 MB, which the runtime would keep. The subprocess shares the runtime's lock and
    exits by itself, so a killed runtime leaves no process that holds the lock.
    """
    verify_before_start(home)
    found = migrate.read_version(paths.get_database_path(home))
    if found == migrate.HEAD:
        return
    if found is None:
        prepare_database(home)
        return
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_and_send, args=(home, sender))
    process.start()
    sender.close()
    error = _receive_result(receiver)
    process.join()
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
        return Storage("the process that prepares the database was killed.", "Try again.")


def prepare_database(home: Path) -> list[str]:
    """Create or upgrade the database, and return what was done.

    The caller holds the lock.
    """
    path = paths.get_database_path(home)
    check_database_present(home)
    return migrate.migrate(path, create_defaults)
