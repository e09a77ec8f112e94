"""Reading without a runtime: from the database as it lies there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app import paths
from app.errors import NotFound, Storage
from app.home.database_presence import check_in_place
from app.home.lock import held
from app.home.setup import unsure
from app.offline.home_errors import usable
from app.service.context import Call
from app.service.database import integrity
from db.defaults import seed
from db.engine import FAILED, memory_database, open_database
from db.errors import OlderDatabase, damaged
from db.maintenance import integrity as checks
from db.maintenance import migrate, value_checks
from db.readonly import reading


def read(home: str, verb: str, args: dict[str, Any]) -> Any:
    """What a reading verb answers from the database as it lies there; a home that was never used reads as a fresh one.

    Raises DamagedDatabase where there was a database and is none.
    """
    with usable(home):
        found = asyncio.run(_read(Path(home), verb, args))
        if verb == "status" and (state := _ails(Path(home))):
            found["database"]["state"] = state
        return found


def _ails(home: Path) -> str:
    """What is wrong with the database, which a look at its figures does not tell, where the last runtime did not let go of it in peace;
    empty when nothing is."""
    if behind(home):
        return "DAMAGED"
    if not unsure(home):
        return ""
    with reading(paths.database(home)) as c:
        return next(iter(value_checks.lines(c.execute, value_checks.IN_USE, integrity.JUDGES)), "")


async def _read(home: Path, verb: str, args: dict[str, Any]) -> Any:
    from app.service.registry import answer  # all of them, which nobody else here needs

    async with opened(home) as call:
        return await answer(call, verb, args)


@asynccontextmanager
async def opened(home: Path, note: Callable[[str], None] = lambda text: None) -> AsyncIterator[Call]:
    """A call on the database as it lies there."""
    path = paths.database(home)
    check_in_place(home)
    database = open_database(path, writable=False) if migrate.version_of(path) is not None else memory_database(seed)
    try:
        async with database as db:
            yield Call(db, "", home, note=note)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, *FAILED) as error:
        _blame(path, error)
        raise


def _blame(path: Path, error: Exception) -> None:
    """Raises Storage when what came up at reading may come of what is wrong with the file, or of its version, rather than of a mistake of
    ours."""
    if (version := migrate.version_of(path)) is None:
        return
    if version != migrate.HEAD:
        raise OlderDatabase(path, version, migrate.HEAD) from error
    if not (wrong := checks.check(path, integrity.JUDGES)):
        return
    if checks.damage(path):
        raise damaged(path, wrong[0]) from error
    raise Storage(f"the database is not in order ({wrong[0]}): {path}.", "See all of it: taskdeck db check") from error


def behind(home: Path) -> list[str]:
    """What is missing where the last runtime did not let go of the database in peace; nothing while there is one."""
    return integrity.lacking(home) if unsure(home) and not held(home) else []


def look_there(path: Path) -> None:
    """Raises NotFound while there is no database yet, DamagedDatabase where there was one."""
    check_in_place(path.parent)
    if migrate.version_of(path) is None:
        raise none_yet(path.parent)


def none_yet(home: Path) -> NotFound:
    """What to say where there is no database yet."""
    return NotFound(f"there is no database in {home} yet.", "The first submit makes one.")
