"""Verb calls on a fresh database, and shortcuts to submit tasks and to run SQL."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from app import paths
from app.home.setup import prepare_database
from app.service.context import Call
from app.service.tasks.submission import submit
from db import timestamps
from db.engine import Database, open_database

_T = TypeVar("_T")


@cache
def _prepare_once() -> Path:
    home = Path(tempfile.mkdtemp(prefix="taskdeck-ready-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    paths.make_home(home)
    prepare_database(home)
    return paths.get_database_path(home)


@asynccontextmanager
async def open_call(home: Path) -> AsyncIterator[Call]:
    """Yield a verb call by ann on a fresh database."""
    target = paths.get_database_path(home)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_prepare_once(), target)
    async with reopen_call(home) as call:
        yield call


@asynccontextmanager
async def reopen_call(home: Path) -> AsyncIterator[Call]:
    """Yield a verb call by ann on the database of a home."""
    async with open_database(paths.get_database_path(home), writable=True) as db:
        yield Call(db, "ann", home)


async def submit_task(call: Call, **spec: Any) -> dict[str, Any]:
    """Submit one task, by default a command, and return the answer."""
    task = spec if {"template", "script"} & spec.keys() else {"argv": ["true"], **spec}
    return (await submit.submit(call, tasks=[task], env={}))[0]


async def execute_sql(call: Call, statement: str, *values: Any) -> list[Any]:
    """Run one statement, commit it and return its rows."""

    def run(c: Any) -> list[Any]:
        found = c.exec_driver_sql(statement, values)
        return list(found.all()) if found.returns_rows else []

    return await call.db.write(run)


async def list_operations(call: Call) -> list[tuple[str, str]]:
    """Return verb and object of ann's operations, oldest first."""
    rows = await execute_sql(
        call, "SELECT verb, object FROM operations WHERE by = 'ann' ORDER BY id"
    )
    return [(row[0], row[1]) for row in rows]


async def count_other_writes(call: Call, work: Awaitable[Any]) -> int:
    """Return the number of transactions of another caller that go through during `work`."""
    doing, others = asyncio.ensure_future(work), 0
    await asyncio.sleep(0)
    while not doing.done():
        await call.db.write(lambda c: None)
        others += 1
    await doing
    return others


def to_stored_time(seconds: float) -> str:
    """Return UNIX seconds as the database stores them."""
    return timestamps.from_unix(seconds)


async def wait_for_change(db: Database, look: Callable[[], Awaitable[_T]]) -> _T:
    """Return a value once it is true; look again after each commit."""
    changed = asyncio.Event()
    db.after_commit(changed.set)
    async with asyncio.timeout(60):
        while True:
            changed.clear()
            if found := await look():
                return found
            await changed.wait()
