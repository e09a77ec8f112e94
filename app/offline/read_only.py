"""Reads without a runtime, directly from the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app import paths
from app.errors import NotFound
from app.home.database_presence import check_database_present
from app.home.lock import is_held
from app.home.setup import was_unclean_shutdown
from app.offline import replica_reads
from app.offline.home_errors import translate_os_errors
from app.service.context import Call
from app.service.database import integrity
from db.defaults import create_defaults
from db.engine import open_database, open_memory_database
from db.errors import OlderDatabase, make_damaged_error
from db.maintenance import integrity as checks
from db.maintenance import migrate


def read(home: str, verb: str, args: dict[str, Any]) -> Any:
    """Answer a reading verb from the database.

    An unused home reads as a fresh one. Raise DamagedDatabase if the database is missing.
    """
    if paths.is_replica(home):
        return replica_reads.read(Path(home), verb, args)
    with translate_os_errors(home):
        found = asyncio.run(_answer(Path(home), verb, args))
        if verb == "status" and find_lost_writes(Path(home)):
            found["database"]["state"] = "DAMAGED"
        return found


async def _answer(home: Path, verb: str, args: dict[str, Any]) -> Any:
    from app.service.registry import call_verb  # imports every verb, which nothing else here needs

    async with open_call(home) as call:
        return await call_verb(call, verb, args)


@asynccontextmanager
async def open_call(
    home: Path, note: Callable[[str], None] = lambda text: None
) -> AsyncIterator[Call]:
    """Open the database and yield a call context."""
    path = paths.get_database_path(home)
    check_database_present(home)
    database = (
        open_database(path, writable=False)
        if migrate.read_version(path) is not None
        else open_memory_database(create_defaults)
    )
    try:
        async with database as db:
            yield Call(db, "", home, note=note)
    except replica_reads.READ_FAULTS as error:
        _raise_storage_problem(path, error)
        raise


def _raise_storage_problem(path: Path, error: Exception) -> None:
    """Raise Storage if an error may stem from the file or its version, not from a bug."""
    if (version := migrate.read_version(path)) is None:
        return
    if version != migrate.HEAD:
        migrate.require_schema(path, version)
        raise OlderDatabase(path, version, migrate.HEAD) from error
    if not (faults := checks.check_database(path, integrity.VALIDATORS)):
        return
    if checks.find_damage(path):
        raise make_damaged_error(path, faults[0]) from error
    raise integrity.make_value_error(path, faults[0]) from error


def find_lost_writes(home: Path) -> list[str]:
    """Return lost writes after an unclean shutdown; empty while a runtime is running."""
    return (
        integrity.find_lost_writes(home) if was_unclean_shutdown(home) and not is_held(home) else []
    )


def require_database(path: Path) -> None:
    """Raise NotFound if the home never had a database, DamagedDatabase if its own is missing."""
    check_database_present(path.parent)
    if migrate.read_version(path) is None:
        raise make_no_database_error(path.parent)


def make_no_database_error(home: Path) -> NotFound:
    """Return the error for a home without a database."""
    return NotFound(
        "there is no database in {home} yet.", "The first submit creates it.", home=home
    )
