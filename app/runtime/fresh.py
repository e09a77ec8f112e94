"""A home made ready: the database at this version, with the pool and queue that every home has."""

from __future__ import annotations

import os
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import psutil
from sqlalchemy import Connection

from app import paths
from app.errors import Storage
from db import migrate, named, schema
from db.engine import write_engine
from db.moves import SYSTEM


def prepare_apart(home: Path) -> None:
    """`prepare` where there is work to do, in a process of its own: Alembic takes 50 MB that a runtime would keep for life.

    It shares the runtime's lock and ends by itself, so that a runtime killed meanwhile leaves nothing behind that holds it.
    """
    if migrate.version_of(paths.database(home)) == migrate.HEAD:
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
    done = migrate.migrate(path)
    if done:
        engine = write_engine(path)
        try:
            with engine.begin() as c:
                seed(c)
        finally:
            engine.dispose()
    return done


def seed(c: Connection) -> None:
    """Pool `default`: this machine. Queue `default` on it. Only where there is no pool at all."""
    if c.execute(schema.pools.select().limit(1)).first() is not None:
        return
    cores = len(os.sched_getaffinity(0))
    memory = round(psutil.virtual_memory().total / 2**20)
    named.create(c, schema.pools, "default", {"total_cpu": float(cores), "total_memory": float(memory)}, SYSTEM)
    named.create(c, schema.queues, "default", {"pool": "default", "capacity": cores}, SYSTEM)
