"""Reading without a runtime, and the verbs that need there to be none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import paths
from app.errors import NotFound, Storage
from app.service.call import Call
from app.service.verbs import answer
from db import migrate
from db.engine import memory_database, open_database


@contextmanager
def _usable(home: str) -> Iterator[None]:
    """Says in words what the system refuses."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise Storage(f"the home {home} cannot be used: {why}. Nothing was done.", "Choose another: --home DIR") from None


def read(home: str, verb: str, args: dict[str, Any]) -> Any:
    """What a reading verb answers from the database as it lies there; a home that was never used reads as a fresh one."""
    with _usable(home):
        return asyncio.run(_read(Path(home), verb, args))


async def _read(home: Path, verb: str, args: dict[str, Any]) -> Any:
    path = paths.database(home)
    opened = open_database(path, writable=False) if migrate.version_of(path) is not None else memory_database(_seed)
    async with opened as db:
        return await answer(Call(db, "", home), verb, args)


def _seed(c: Any) -> None:
    from app.runtime.fresh import seed

    seed(c)


def migrate_home(home: str) -> list[str]:
    """Make or upgrade the database, while no runtime has the home; what was done."""
    from app.runtime.fresh import prepare
    from app.runtime.lock import hold_lock

    with _usable(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            return prepare(Path(home))


def check_home(home: str) -> list[str]:
    """What is wrong with the whole database; nothing when it is well."""
    path = paths.database(Path(home))
    with _usable(home):
        if migrate.version_of(path) is None:
            raise NotFound(f"there is no database in {home} yet.", "The first submit makes one.")
        return migrate.check(path)
