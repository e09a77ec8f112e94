"""Reads of a replica, whose file its home may replace during a read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from app import paths
from app.core.text import units
from app.errors import Conflict, Problem, Storage
from app.service.context import Call
from app.translation import tr
from db import timestamps
from db.engine import READ_ERRORS, open_database
from db.errors import DamagedDatabase
from db.maintenance import migrate
from db.restore.replica_file import make_damaged_error, make_unreadable_error, read_origin_and_time
from db.sqlite_files import make_undisturbed_uri

T = TypeVar("T")

HOME_VERBS = frozenset({
    "db.backups", "db.check", "db.cleanup", "db.slow", "db.verify", "doctor", "wait",
})  # fmt: skip
"""Reading verbs that need more of a home than its database, so that a replica refuses them."""

READ_FAULTS = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, *READ_ERRORS,
)  # fmt: skip
"""Errors that the content of a changing database may cause."""
ATTEMPTS = 20
"""Maximum number of reads, if the replica changes during each."""
SYNC_DELAY = 0.05
"""Seconds until a read that failed during a sync, perhaps the first one, is repeated."""


def read(home: Path, verb: str, args: dict[str, Any]) -> Any:
    """Answer a reading verb from the replica in `home`, and leave no file there.

    Without a WAL, SQLite reads the file as immutable, so repeat a read if the file has changed.
    Raise Conflict for a verb that needs more of a home than its database, else Storage.
    """
    if verb in HOME_VERBS:
        raise make_home_needed_error(verb.replace(".", " "), home)
    path = paths.get_replica_path(home)
    return _read_unchanged(path, lambda: asyncio.run(_answer(home, path, verb, args)))


def describe_age(home: str) -> str:
    """Return `this is a replica of HOST:FOLDER, from 10:31, 2m old`. Raise Storage."""
    path = paths.get_replica_path(Path(home))
    origin, at = _read_unchanged(path, lambda: read_origin_and_time(path))
    if at is None:
        return tr("this is a replica of {origin}, of unknown age", origin=origin)
    made, now = timestamps.parse_time(at), timestamps.utcnow()
    age = units.format_age((now - made).total_seconds())
    return tr(
        "this is a replica of {origin}, from {time}, {age} old",
        origin=origin,
        time=units.format_clock_time(made, now),
        age=age,
    )


def _read_unchanged(path: Path, read_once: Callable[[], T]) -> T:
    """Return the result of a read during which the replica did not change."""
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        before = _identify(path)
        try:
            found = read_once()
        except (*READ_FAULTS, Storage) as error:
            if before is not None and before == _identify(path):
                raise _translate_failure(error, path) from error
            failure = error
            time.sleep(SYNC_DELAY)
        else:
            if before == _identify(path):
                return found
    if failure is not None:
        raise _translate_failure(failure, path) from failure
    raise Storage(
        "the replica changes all the time: {path}. Nothing was done.", "Try again.", path=path
    )


def make_home_needed_error(what: str, home: Path | str) -> Conflict:
    """Return the error for a command that needs more of a home than a replica has."""
    return Conflict(
        "{what} needs a home, and {home} is a replica. Nothing was done.",
        "See: taskdeck help replica",
        what=what,
        home=home,
    )


def _identify(path: Path) -> tuple[int, int, int] | None:
    """Return inode, size and time of a replica, or None if its WAL makes reads consistent."""
    if path.with_name(f"{path.name}-wal").exists():
        return None
    try:
        found = path.stat()
    except OSError as error:
        why = (error.strerror or os.strerror(error.errno or 0)).lower()
        raise Storage("the replica cannot be read ({why}): {path}.", why=why, path=path) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


async def _answer(home: Path, path: Path, verb: str, args: dict[str, Any]) -> Any:
    from app.service.registry import call_verb  # imports every verb

    version = migrate.read_version(path, make_undisturbed_uri)
    if version is None:
        raise Storage(
            "the replica is incomplete, because its first sync has not ended: {path}."
            " Nothing was done.",
            "Try again later.",
            path=path,
        )
    if version != migrate.HEAD:
        raise Storage(
            "the replica has version {version!r}, this program needs {expected!r}: {path}."
            " Nothing was done.",
            "Read it with the Taskdeck that made it.",
            version=version,
            expected=migrate.HEAD,
            path=path,
        )
    async with open_database(path, writable=False, make_uri=make_undisturbed_uri) as db:
        return await call_verb(Call(db, "", home), verb, args)


def _translate_failure(error: Exception, path: Path) -> Exception:
    """Return the problem behind an error. Its hint names no backup of this home."""
    if isinstance(error, DamagedDatabase):
        return make_damaged_error(error.why, path)
    if isinstance(error, Problem) or not isinstance(error, READ_ERRORS):
        return error
    return make_unreadable_error(error, path)
