"""Reading without a runtime: from the database as it lies there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app import paths
from app.errors import NotFound, Storage
from app.home.database_presence import check_database_present
from app.home.lock import is_held
from app.home.setup import was_unclean_shutdown
from app.offline.home_errors import translate_os_errors
from app.service.context import Call
from app.service.database import integrity
from db.defaults import create_defaults
from db.engine import READ_ERRORS, open_database, open_memory_database
from db.errors import OlderDatabase, make_damaged_error
from db.maintenance import integrity as checks
from db.maintenance import migrate, value_checks
from db.readonly import open_read_only


def read(home: str, verb: str, args: dict[str, Any]) -> Any:
    """What a reading verb answers from the database as it lies there; a home that was never used reads as a fresh one.

    Raises DamagedDatabase where there was a database and is none.
    """
    with translate_os_errors(home):
        found = asyncio.run(_answer(Path(home), verb, args))
        if verb == "status" and (state := _find_problem(Path(home))):
            found["database"]["state"] = state
        return found


def _find_problem(home: Path) -> str:
    """What is wrong with the database, which a look at its figures does not tell, where the last runtime did not let go of it in peace;
    empty when nothing is."""
    if find_lost_writes(home):
        return "DAMAGED"
    if not was_unclean_shutdown(home):
        return ""
    with open_read_only(paths.database_path(home)) as c:
        return next(iter(value_checks.describe_unreadable(c.execute, value_checks.IN_USE, integrity.VALIDATORS)), "")


async def _answer(home: Path, verb: str, args: dict[str, Any]) -> Any:
    from app.service.registry import call_verb  # all of them, which nobody else here needs

    async with open_call(home) as call:
        return await call_verb(call, verb, args)


@asynccontextmanager
async def open_call(home: Path, note: Callable[[str], None] = lambda text: None) -> AsyncIterator[Call]:
    """A call on the database as it lies there."""
    path = paths.database_path(home)
    check_database_present(home)
    database = open_database(path, writable=False) if migrate.read_version(path) is not None else open_memory_database(create_defaults)
    try:
        async with database as db:
            yield Call(db, "", home, note=note)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, *READ_ERRORS) as error:
        _raise_storage_problem(path, error)
        raise


def _raise_storage_problem(path: Path, error: Exception) -> None:
    """Raises Storage when what came up at reading may come of what is wrong with the file, or of its version, rather than of a mistake of
    ours."""
    if (version := migrate.read_version(path)) is None:
        return
    if version != migrate.HEAD:
        raise OlderDatabase(path, version, migrate.HEAD) from error
    if not (wrong := checks.check_database(path, integrity.VALIDATORS)):
        return
    if checks.find_damage(path):
        raise make_damaged_error(path, wrong[0]) from error
    raise Storage(f"the database is not in order ({wrong[0]}): {path}.", "See all of it: taskdeck db check") from error


def find_lost_writes(home: Path) -> list[str]:
    """What is missing where the last runtime did not let go of the database in peace; nothing while there is one."""
    return integrity.find_lost_writes(home) if was_unclean_shutdown(home) and not is_held(home) else []


def require_database(path: Path) -> None:
    """Raises NotFound while there is no database yet, DamagedDatabase where there was one."""
    check_database_present(path.parent)
    if migrate.read_version(path) is None:
        raise make_no_database_error(path.parent)


def make_no_database_error(home: Path) -> NotFound:
    """What to say where there is no database yet."""
    return NotFound(f"there is no database in {home} yet.", "The first submit makes one.")
